//! Greedy best-first search of the graph, by distances that each node estimates for its neighbours. The distance of a node
//! itself is taken when it is expanded, from its eight-bit code: so nothing is visited only to be measured.

use crate::candidates::{Candidate, insert};
use crate::filter::RowFilter;
use crate::kernels::{BLOCK, Kernels};

use super::block::first_bits;
use super::graph::QuantizedGraph;
use super::query::Query;
use super::sketch::Sketches;
use super::store::QuantizedStore;
use super::wanted::Wanted;

/// A walk starts from as many entries as one part in so many of its pool.
const STARTS_SHARE: usize = 16;
/// Rows that pass a filter that a walk within it may start from.
const N_SAMPLED: usize = 64;
/// Nodes that a walk expands on its way to the surroundings of a query.
const N_ON_THE_WAY: usize = 16;

/// Marks rows, and forgets them in time that depends on their number alone.
#[derive(Debug, Default)]
struct Marks {
    words: Vec<u64>,
    n_rows: usize,
    marked: Vec<u32>,
}

impl Marks {
    fn clear(&mut self, n_rows: usize) {
        for row in self.marked.drain(..) {
            self.words[row as usize / 64] = 0;
        }
        if self.words.len() * 64 < n_rows {
            self.words.resize(n_rows.next_power_of_two().div_ceil(64), 0);
        }
        self.n_rows = n_rows;
    }

    /// Marks a row and tells whether it was not marked; those that were not are to be noted. A row beyond the marks is taken
    /// for marked.
    #[inline]
    fn mark(&mut self, row: u32) -> bool {
        let word = self.words.get_mut(row as usize / 64).filter(|_| (row as usize) < self.n_rows);
        let Some(word) = word else { return false };
        let bit = 1 << (row % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Notes rows that were marked, to be forgotten.
    fn note(&mut self, rows: &[u32]) {
        self.marked.extend_from_slice(rows);
    }

    /// As `mark`, and notes the row: for rows of which few are new.
    #[inline]
    fn insert(&mut self, row: u32) -> bool {
        let is_new = self.mark(row);
        if is_new {
            self.marked.push(row);
        }
        is_new
    }
}

/// What a search or a plan writes to. Kept and used again, because the marks are as many as the rows.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    marks: Marks,
    /// The best candidates so far by estimate, in order, with a mark on those that were expanded.
    pool: Vec<Candidate>,
    /// The expanded nodes with their distances, in the order of their expansion.
    pub(super) visited: Vec<Candidate>,
    /// What a scan of codes found, or a filtered walk: rows that pass with their estimates, some of them more than once.
    pub(crate) met: Vec<Candidate>,
    /// What a walk came to.
    pub(super) region: Region,
    /// Neighbours that are to be estimated by their sketches.
    fresh: Vec<u32>,
    pub(crate) query: Query,
    pub(crate) rotated: Vec<f32>,
}

impl Scratch {
    pub(crate) fn memory_bytes(&self) -> usize {
        self.marks.words.capacity() * 8
            + (self.marks.marked.capacity() + self.fresh.capacity()) * 4
            + (self.pool.capacity() + self.visited.capacity() + self.met.capacity()) * size_of::<Candidate>()
            + self.query.memory_bytes()
            + self.rotated.capacity() * 4
    }
}

/// Where a filtered walk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Region {
    /// Where enough rows pass.
    #[default]
    Inside,
    /// Where some pass, too few.
    Border,
    /// Where next to none passes.
    Outside,
}

/// How a walk asks for the memory that it is about to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// While a node is looked at, for the one that seems to be next.
    NextBest,
    /// When a node has been looked at, for the next one; the caller has other things to do before that.
    Next,
}

/// Where a walk goes and what it keeps.
#[derive(Clone, Copy, Debug)]
pub(super) enum Course<'a> {
    /// Everywhere.
    Free,
    /// Everywhere, keeping what passes of all that it sees, not only of what it expands: a look at a row costs a fraction of
    /// an expansion. When an unfiltered walk would be at its end it is decided how far to go on.
    Through(Wanted<'a>),
    /// Through rows that pass alone, from the best kept so far and from a sample of all that pass; keeps what it sees too.
    Within(Wanted<'a>),
}

impl<'a> Course<'a> {
    fn wanted(self) -> Option<Wanted<'a>> {
        match self {
            Self::Free => None,
            Self::Through(wanted) | Self::Within(wanted) => Some(wanted),
        }
    }
}

/// A walk that is under way.
#[derive(Debug)]
struct Walk<'a> {
    store: &'a QuantizedStore,
    graph: &'a QuantizedGraph,
    ef: usize,
    course: Course<'a>,
    ahead: Ahead,
    scratch: &'a mut Scratch,
    /// All candidates before this are expanded.
    cursor: usize,
    /// What is farther than this is not kept.
    kept_limit: f32,
    /// Whether it is decided how far to go.
    is_decided: bool,
    /// Of the course, see [`Wanted::n_telling`].
    n_telling: usize,
    /// Distance of the centre of the sketches.
    base: f32,
}

/// What takes in the neighbours that a walk sees.
struct Intake<'a> {
    filter: Option<&'a RowFilter>,
    is_within: bool,
    ef: usize,
    /// The pool's farthest when it is full, before anything of the node was taken in.
    limit: f32,
    kept_limit: f32,
}

impl<'a> Intake<'a> {
    fn of(course: Course<'a>, ef: usize, pool: &[Candidate], kept_limit: f32) -> Self {
        Self {
            filter: course.wanted().map(|wanted| wanted.filter),
            is_within: matches!(course, Course::Within(_)),
            ef,
            limit: if pool.len() < ef { f32::INFINITY } else { pool[ef - 1].distance() },
            kept_limit,
        }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is the inner loop of a walk")]
    fn passes(&self, row: u32) -> bool {
        self.filter.is_some_and(|filter| filter.allows(row))
    }

    /// Takes in a neighbour that was not seen before; returns its place in the pool.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is the inner loop of a walk")]
    fn take(
        &self,
        kernels: &Kernels,
        seen: Candidate,
        passes: bool,
        pool: &mut Vec<Candidate>,
        met: &mut Vec<Candidate>,
    ) -> Option<usize> {
        if passes {
            met.push(seen);
        }
        if pool.len() < self.ef {
            pool.push(Candidate::NONE);
        } else if pool[self.ef - 1] < seen {
            return None;
        }
        let at = insert(kernels, pool, seen);
        Some(at)
    }
}

/// Walks with a pool of `ef` for the query of each scratch memory, whose `visited` has the nodes expanded, tombstones among
/// them. Several walks take turns, so that each waits for memory while the others work.
pub(super) fn walk_all<'a>(
    store: &'a QuantizedStore,
    graph: &'a QuantizedGraph,
    (ef, course): (usize, Course<'a>),
    n_rows: usize,
    scratches: impl ExactSizeIterator<Item = &'a mut Scratch>,
) {
    let ahead = if scratches.len() == 1 { Ahead::NextBest } else { Ahead::Next };
    let start = |scratch| {
        let n_telling = course.wanted().map_or(0, |wanted| wanted.n_telling());
        // What is beyond the pool's own limit is only worth keeping where the pool takes few of what is seen.
        let kept_limit = if matches!(course, Course::Within(_)) { f32::INFINITY } else { f32::NEG_INFINITY };
        let mut walk = Walk {
            store,
            graph,
            ef,
            course,
            ahead,
            scratch,
            cursor: 0,
            kept_limit,
            is_decided: false,
            n_telling,
            base: 0.0,
        };
        walk.start(n_rows);
        walk
    };
    let mut walks: Vec<Walk<'_>> = scratches.map(start).collect();
    while !walks.is_empty() {
        walks.retain_mut(Walk::step);
    }
}

impl Walk<'_> {
    fn prefetch(&self, row: u32) {
        self.graph.prefetch(row);
        self.store.prefetch(row);
    }

    fn start(&mut self, n_rows: usize) {
        let Scratch { marks, pool, visited, met, region, fresh, query, rotated } = &mut *self.scratch;
        *region = Region::Inside;
        fresh.clear();
        if let Some(sketches) = self.graph.sketches() {
            query.set_bytes(rotated);
            self.base = sketches.base(self.store, query);
        }
        marks.clear(n_rows);
        visited.clear();
        pool.clear();
        let n_starts = (self.ef / STARTS_SHARE).max(1);
        match self.course {
            Course::Within(Wanted { filter, .. }) => {
                pool.append(met);
                let step = filter.rows().len().div_ceil(N_SAMPLED).max(1);
                // Rows that pass may not be nodes yet.
                let passing = filter.rows().iter().copied().step_by(step).filter(|&row| self.graph.reaches(row));
                let sample: Vec<u32> = passing.inspect(|&row| self.store.prefetch(row)).collect();
                pool.extend(sample.into_iter().map(|row| Candidate::new(self.store.distance_to(query, row), row)));
            }
            Course::Free | Course::Through(_) => {
                met.clear();
                self.graph.entries().nearest(self.store, query, n_starts, pool);
            }
        }
        // A pool for everything starts everywhere, so that it reaches all that a sweep does.
        if n_starts < pool.len() {
            pool.select_nth_unstable(n_starts);
            pool.truncate(n_starts);
        }
        pool.sort_unstable();
        pool.retain(|start| marks.insert(start.row()));
        if let Some(Wanted { filter, .. }) = self.course.wanted() {
            met.extend(pool.iter().filter(|start| filter.allows(start.row())));
        }
        if let Some(first) = pool.first().map(|first| first.row()) {
            self.prefetch(first);
        }
    }

    /// Expands the best candidate that is not, or goes on with that; false when there is none.
    fn step(&mut self) -> bool {
        let Some(sketches) = self.graph.sketches() else {
            return self.expand().map(|row| self.see_by_block(row)).is_some();
        };
        if self.scratch.fresh.is_empty() {
            let Some(row) = self.expand() else { return false };
            self.look_around(sketches, row);
            if self.ahead == Ahead::Next {
                // The sketches are on their way while other walks work.
                return true;
            }
        }
        self.see_by_sketches(sketches);
        true
    }

    /// Takes the best candidate that is not expanded.
    fn expand(&mut self) -> Option<u32> {
        if !self.goes_on() {
            return None;
        }
        let candidate = self.scratch.pool.get_mut(self.cursor)?;
        let row = candidate.row();
        *candidate = candidate.expanded();
        self.advance();
        if self.ahead == Ahead::NextBest
            && let Some(next) = self.scratch.pool.get(self.cursor)
        {
            self.prefetch(next.row());
        }
        Some(row)
    }

    /// Measures a compact node and asks for the sketches of the neighbours that were not seen. Not inlined, to leave the
    /// registers to the loop for fast nodes.
    #[inline(never)]
    fn look_around(&mut self, sketches: &Sketches, row: u32) {
        let intake = Intake::of(self.course, self.ef, &self.scratch.pool, self.kept_limit);
        let Scratch { marks, visited, fresh, query, .. } = &mut *self.scratch;
        // Which links are new cannot be predicted: a place is written for each, and kept for those.
        let mut new = [0; BLOCK];
        let mut n_new = 0;
        for &link in self.graph.node(row).links {
            new[n_new] = link;
            n_new += usize::from((!intake.is_within || intake.passes(link)) && marks.mark(link));
        }
        fresh.extend_from_slice(&new[..n_new]);
        marks.note(fresh);
        for &link in &*fresh {
            sketches.prefetch(link);
        }
        visited.push(Candidate::new(self.store.distance_by(query, row, sketches.measure(row)), row));
    }

    /// Estimates the neighbours whose sketches were asked for.
    #[inline(never)]
    fn see_by_sketches(&mut self, sketches: &Sketches) {
        let intake = Intake::of(self.course, self.ef, &self.scratch.pool, self.kept_limit);
        let kernels = &self.store.kernels;
        let mut cursor = self.cursor;
        let Scratch { pool, met, fresh, query, .. } = &mut *self.scratch;
        let estimates = sketches.estimate(kernels, query, self.base, fresh);
        for (row, estimate) in fresh.drain(..).zip(estimates) {
            let passes = intake.passes(row);
            let seen = Candidate::new(estimate, row);
            if estimate > intake.limit {
                if passes && estimate < intake.kept_limit {
                    met.push(seen);
                }
                continue;
            }
            if let Some(at) = intake.take(kernels, seen, passes, pool, met) {
                cursor = cursor.min(at);
            }
        }
        self.cursor = cursor;
        self.tidy();
    }

    /// Sees the neighbours of a node by the codes that it keeps of them.
    fn see_by_block(&mut self, row: u32) {
        let (store, graph) = (self.store, self.graph);
        let intake = Intake::of(self.course, self.ef, &self.scratch.pool, self.kept_limit);
        let limit = intake.limit;
        let Scratch { marks, pool, visited, met, query, .. } = &mut *self.scratch;
        let (head, codes) = graph.parts(row);
        let distance = store.distance_by(query, row, head.measure);
        visited.push(Candidate::new(distance, row));
        let scale = query.scale(distance, head.slope_unit, head.offset_unit);
        let mut estimates = [0.0; BLOCK];
        let looked_for = limit.max(self.kept_limit);
        let near = store.kernels.scan(query.table(), head.scan_block(codes), &scale, looked_for, &mut estimates);
        let mut near = near & first_bits(head.links().len());
        let mut cursor = self.cursor;
        while near != 0 {
            let slot = near.trailing_zeros() as usize;
            near &= near - 1;
            let row = head.links[slot];
            let seen = Candidate::new(estimates[slot], row);
            let passes = intake.passes(row);
            if estimates[slot] > limit {
                // Not marked: a nearer node may estimate it better.
                if passes {
                    met.push(seen);
                }
                continue;
            }
            if (intake.is_within && !passes) || !marks.insert(row) {
                continue;
            }
            if let Some(at) = intake.take(&store.kernels, seen, passes, pool, met)
                && at < cursor
            {
                cursor = at;
                if self.ahead == Ahead::NextBest {
                    graph.prefetch(row);
                    store.prefetch(row);
                }
            }
        }
        self.cursor = cursor;
        self.tidy();
    }

    /// Keeps the best of what passes, and asks for what comes next.
    #[inline]
    fn tidy(&mut self) {
        let met = &mut self.scratch.met;
        if let Some(n_kept) = self.course.wanted().map(|wanted| wanted.n_kept())
            && met.len() >= 2 * n_kept
        {
            met.select_nth_unstable(n_kept - 1);
            met.truncate(n_kept);
            if matches!(self.course, Course::Within(_)) {
                self.kept_limit = met.last().map_or(f32::INFINITY, |last| last.distance());
            }
        }
        if self.ahead == Ahead::Next
            && let Some(next) = self.scratch.pool.get(self.cursor)
        {
            self.prefetch(next.row());
        }
    }

    /// Decides what kind of region a walk through everything came to, and how far to go there: at the end of what a walk
    /// without a filter would do, or before, when hardly anything passes.
    fn goes_on(&mut self) -> bool {
        let Course::Through(wanted) = self.course else { return true };
        let Scratch { visited, pool, region, met, marks, .. } = &mut *self.scratch;
        let is_outside = match visited.len().checked_sub(N_ON_THE_WAY) {
            Some(0) => wanted.is_outside(met.len(), marks.marked.len()),
            Some(n) if n == self.n_telling => wanted.n_passing(&visited[N_ON_THE_WAY..]) == 0,
            _ => false,
        };
        if is_outside {
            *region = Region::Outside;
        } else if self.cursor >= wanted.ef && !self.is_decided {
            self.is_decided = true;
            match wanted.ef_among(visited) {
                Some(ef) => {
                    self.ef = ef.min(self.ef);
                    pool.truncate(self.ef);
                }
                None => *region = Region::Border,
            }
        }
        *region == Region::Inside
    }

    /// Moves the cursor to the best candidate that is not expanded.
    fn advance(&mut self) {
        while self.scratch.pool.get(self.cursor).is_some_and(|candidate| candidate.is_expanded()) {
            self.cursor += 1;
        }
    }
}
