//! Greedy best-first search of the graph, by distances that each node estimates for its neighbours. The distance of a node
//! itself is taken when it is expanded, from its eight-bit code: so nothing is visited only to be measured.

use crate::candidates::Candidate;
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
    pub(super) query: Query,
    pub(super) rotated: Vec<f32>,
    pub(super) fine: Vec<i8>,
}

impl Scratch {
    pub(super) fn memory_bytes(&self) -> usize {
        self.marks.words.capacity() * 8
            + self.marks.marked.capacity() * 4
            + (self.pool.capacity() + self.visited.capacity()) * size_of::<Candidate>()
            + self.query.memory_bytes()
            + self.rotated.capacity() * 4
            + self.fine.capacity()
    }
}

/// Walks with a pool of `ef` for `scratch.query`; `scratch.visited` has the nodes met, tombstones among them.
pub(super) fn walk(store: &QuantizedStore, graph: &QuantizedGraph, ef: usize, n_rows: usize, scratch: &mut Scratch) {
    let Scratch { marks, pool, visited, query, .. } = scratch;
    marks.clear(n_rows);
    pool.clear();
    visited.clear();
    let entries = graph.entries();
    for &entry in entries {
        store.prefetch(entry);
    }
    pool.extend(entries.iter().map(|&entry| Candidate::new(store.distance_to(query, entry), entry)));
    // A pool for everything starts everywhere, so that it reaches all that a sweep does.
    let n_starts = (ef / STARTS_SHARE).max(1);
    if n_starts < pool.len() {
        pool.select_nth_unstable(n_starts);
        pool.truncate(n_starts);
    }
    pool.sort_unstable();
    for start in &*pool {
        marks.insert(start.row());
    }
    // All before the cursor are expanded.
    let mut cursor = 0;
    let mut estimates = [0.0; BLOCK];
    while let Some(candidate) = pool.get_mut(cursor) {
        let row = candidate.row();
        *candidate = candidate.expanded();
        while pool.get(cursor).is_some_and(|candidate| candidate.is_expanded()) {
            cursor += 1;
        }
        if let Some(next) = pool.get(cursor) {
            // It is expanded next unless something nearer turns up.
            graph.prefetch(next.row());
            store.prefetch(next.row());
        }
        let distance = store.distance_to(query, row);
        visited.push(Candidate::new(distance, row));
        let (head, codes) = graph.parts(row);
        let limit = if pool.len() < ef { f32::INFINITY } else { pool[ef - 1].distance() };
        let scale = query.scale(distance, head.slope_unit, head.offset_unit);
        let near = store.kernels.scan(query.table(), head.scan_block(codes), &scale, limit, &mut estimates);
        let mut near = near & first_bits(head.links().len());
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
            let at = pool.partition_point(|&candidate| candidate < met);
            pool.insert(at, met);
            if at < cursor {
                cursor = at;
                graph.prefetch(row);
                store.prefetch(row);
            }
        }
    }
}
