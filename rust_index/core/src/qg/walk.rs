//! Greedy best-first search of the graph, by distances that each node estimates for its neighbours. The distance of a node
//! itself is taken when it is expanded, from its eight-bit code: so nothing is visited only to be measured.

use crate::candidates::{Candidate, rank};
use crate::kernels::BLOCK;

use super::block::first_bits;
use super::graph::QuantizedGraph;
use super::query::Query;
use super::store::QuantizedStore;

/// A walk starts from as many entries as one part in so many of its pool.
const STARTS_SHARE: usize = 8;

/// Marks rows, and forgets them in time that depends on their number alone.
#[derive(Debug, Default)]
struct Marks {
    words: Vec<u64>,
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
    }

    /// Marks a row and tells whether it was not marked. A row beyond the marks is taken for marked.
    #[inline]
    fn insert(&mut self, row: u32) -> bool {
        let Some(word) = self.words.get_mut(row as usize / 64) else { return false };
        let bit = 1 << (row % 64);
        let is_new = *word & bit == 0;
        if is_new {
            *word |= bit;
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
    /// What a scan of codes found.
    pub(super) met: Vec<Candidate>,
    pub(super) query: Query,
    pub(super) rotated: Vec<f32>,
}

impl Scratch {
    pub(super) fn memory_bytes(&self) -> usize {
        self.marks.words.capacity() * 8
            + self.marks.marked.capacity() * 4
            + (self.pool.capacity() + self.visited.capacity() + self.met.capacity()) * size_of::<Candidate>()
            + self.query.memory_bytes()
            + self.rotated.capacity() * 4
    }
}

/// How a walk asks for the memory that it is about to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// While a node is looked at, for the one that seems to be next.
    NextBest,
    /// When a node has been looked at, for the next one; the caller has other things to do before that.
    Next,
}

/// A walk that is under way.
#[derive(Debug)]
struct Walk<'a> {
    store: &'a QuantizedStore,
    graph: &'a QuantizedGraph,
    ef: usize,
    ahead: Ahead,
    scratch: &'a mut Scratch,
    /// All candidates before this are expanded.
    cursor: usize,
}

/// Walks with a pool of `ef` for the query of each scratch memory, whose `visited` has the nodes met, tombstones among
/// them. Several walks take turns, so that each waits for memory while the others work.
pub(super) fn walk_all(
    store: &QuantizedStore,
    graph: &QuantizedGraph,
    ef: usize,
    n_rows: usize,
    scratches: &mut [Scratch],
) {
    let ahead = if scratches.len() == 1 { Ahead::NextBest } else { Ahead::Next };
    let start = |scratch| {
        let mut walk = Walk { store, graph, ef, ahead, scratch, cursor: 0 };
        walk.start(n_rows);
        walk
    };
    let mut walks: Vec<Walk<'_>> = scratches.iter_mut().map(start).collect();
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
        let Scratch { marks, pool, visited, query, .. } = &mut *self.scratch;
        marks.clear(n_rows);
        visited.clear();
        pool.clear();
        let entries = self.graph.entries();
        for &entry in entries {
            self.store.prefetch(entry);
        }
        pool.extend(entries.iter().map(|&entry| Candidate::new(self.store.distance_to(query, entry), entry)));
        // A pool for everything starts everywhere, so that it reaches all that a sweep does.
        let n_starts = (self.ef / STARTS_SHARE).max(1);
        if n_starts < pool.len() {
            pool.select_nth_unstable(n_starts);
            pool.truncate(n_starts);
        }
        pool.sort_unstable();
        for start in &*pool {
            marks.insert(start.row());
        }
        if let Some(first) = pool.first().map(|first| first.row()) {
            self.prefetch(first);
        }
    }

    /// Expands the best candidate that is not; false when there is none.
    fn step(&mut self) -> bool {
        let (store, graph, ef) = (self.store, self.graph, self.ef);
        let Some(candidate) = self.scratch.pool.get_mut(self.cursor) else { return false };
        let row = candidate.row();
        *candidate = candidate.expanded();
        self.advance();
        if self.ahead == Ahead::NextBest
            && let Some(next) = self.scratch.pool.get(self.cursor)
        {
            self.prefetch(next.row());
        }
        let Scratch { marks, pool, visited, query, .. } = &mut *self.scratch;
        let (head, codes) = graph.parts(row);
        let distance = store.distance_by(query, row, head.measure);
        visited.push(Candidate::new(distance, row));
        let limit = if pool.len() < ef { f32::INFINITY } else { pool[ef - 1].distance() };
        let scale = query.scale(distance, head.slope_unit, head.offset_unit);
        let mut estimates = [0.0; BLOCK];
        let near = store.kernels.scan(query.table(), head.scan_block(codes), &scale, limit, &mut estimates);
        let mut near = near & first_bits(head.links().len());
        let mut cursor = self.cursor;
        while near != 0 {
            let slot = near.trailing_zeros() as usize;
            near &= near - 1;
            let row = head.links[slot];
            if !marks.insert(row) {
                continue;
            }
            let met = Candidate::new(estimates[slot], row);
            if pool.len() == ef {
                if pool[ef - 1] < met {
                    continue;
                }
                pool.pop();
            }
            let at = rank(&store.kernels, pool, met);
            pool.insert(at, met);
            if at < cursor {
                cursor = at;
                if self.ahead == Ahead::NextBest {
                    graph.prefetch(row);
                    store.prefetch(row);
                }
            }
        }
        self.cursor = cursor;
        if self.ahead == Ahead::Next
            && let Some(next) = self.scratch.pool.get(self.cursor)
        {
            self.prefetch(next.row());
        }
        true
    }

    /// Moves the cursor to the best candidate that is not expanded.
    fn advance(&mut self) {
        while self.scratch.pool.get(self.cursor).is_some_and(|candidate| candidate.is_expanded()) {
            self.cursor += 1;
        }
    }
}
