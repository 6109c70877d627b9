//! Greedy best-first search of one layer (Malkov and Yashunin, algorithm 2), with what it needs to run again and again.

use crate::candidates::Candidate;
use crate::store::Space;

use super::graph::Graph;

/// Rows asked for ahead of the one whose distance is taken.
const PREFETCH_AHEAD: usize = 4;

/// Marks rows as seen, cleared in constant time.
#[derive(Debug, Default)]
struct Visited {
    stamps: Vec<u8>,
    stamp: u8,
}

impl Visited {
    fn clear(&mut self, n_rows: usize) {
        if self.stamps.len() < n_rows {
            self.stamps.resize(n_rows.next_power_of_two(), 0);
        }
        if self.stamp == u8::MAX {
            self.stamps.fill(0);
            self.stamp = 0;
        }
        self.stamp += 1;
    }

    /// Marks a row and tells whether it was not marked.
    #[inline]
    fn insert(&mut self, row: u32) -> bool {
        let seen = &mut self.stamps[row as usize];
        let is_new = *seen != self.stamp;
        *seen = self.stamp;
        is_new
    }
}

/// The best candidates so far, in order, with a mark on those whose links have been followed.
#[derive(Debug, Default)]
struct Pool {
    entries: Vec<Candidate>,
    limit: usize,
    /// All before this are expanded.
    cursor: usize,
}

impl Pool {
    fn clear(&mut self, limit: usize) {
        self.entries.clear();
        self.limit = limit;
        self.cursor = 0;
    }

    /// Offers a candidate and tells whether it is the next to be expanded.
    #[inline]
    fn offer(&mut self, candidate: Candidate) -> bool {
        if self.entries.len() == self.limit {
            match self.entries.last() {
                Some(&worst) if candidate < worst => self.entries.truncate(self.limit - 1),
                _ => return false,
            }
        }
        let at = self.entries.partition_point(|&entry| entry < candidate);
        self.entries.insert(at, candidate);
        if at <= self.cursor {
            self.cursor = at;
            return true;
        }
        false
    }

    /// Marks the best candidate that is not expanded and returns it.
    #[inline]
    fn expand(&mut self) -> Option<Candidate> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if !entry.is_expanded() {
                let candidate = *entry;
                *entry = entry.expanded();
                return Some(candidate);
            }
        }
        None
    }
}

/// What a walk writes to. Kept and used again, because the marks are as many as the rows.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    visited: Visited,
    pool: Pool,
    fresh: Vec<u32>,
}

impl Scratch {
    /// What the last walk found, best first.
    pub(super) fn found(&self) -> &[Candidate] {
        &self.pool.entries
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.visited.stamps.capacity() + self.pool.entries.capacity() * size_of::<Candidate>()
    }
}

/// Walks from the entry point down to `level`, greedily, and returns the nearest row met there.
pub(super) fn descend<'a, S: Space<'a>>(space: S, graph: &Graph, target: S::Target, level: usize) -> Option<Candidate> {
    let entry = graph.entry()?;
    let mut best = Candidate::new(space.distance(target, entry.row), entry.row);
    for layer in (level + 1..=entry.level).rev() {
        loop {
            let links = graph.links(best.row(), layer);
            for &link in links {
                space.prefetch(link);
            }
            let nearest = links.iter().map(|&link| Candidate::new(space.distance(target, link), link)).min();
            match nearest {
                Some(nearest) if nearest < best => best = nearest,
                _ => break,
            }
        }
    }
    Some(best)
}

/// Walks one layer from `start`, keeping the `ef` best; `scratch.found()` has them afterwards.
pub(super) fn walk<'a, S: Space<'a>>(
    space: S,
    graph: &Graph,
    target: S::Target,
    start: &[Candidate],
    (level, ef): (usize, usize),
    scratch: &mut Scratch,
    n_rows: usize,
) {
    let Scratch { visited, pool, fresh } = scratch;
    visited.clear(n_rows);
    pool.clear(ef);
    for &candidate in start {
        if visited.insert(candidate.row()) {
            pool.offer(candidate);
        }
    }
    while let Some(candidate) = pool.expand() {
        fresh.clear();
        fresh.extend(graph.links(candidate.row(), level).iter().copied().filter(|&link| visited.insert(link)));
        for &row in fresh.iter().take(PREFETCH_AHEAD) {
            space.prefetch(row);
        }
        for (i, &row) in fresh.iter().enumerate() {
            if let Some(&ahead) = fresh.get(i + PREFETCH_AHEAD) {
                space.prefetch(ahead);
            }
            let met = Candidate::new(space.distance(target, row), row);
            if pool.offer(met) && level == 0 {
                graph.prefetch(row);
            }
        }
    }
}
