//! The allowed ids of a filtered search, the rows that hold them, and when to scan these instead of walking a graph.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The rows of a set in one state of an index.
type KnownRows = (Generation, Arc<RowFilter>);

/// Ids that a search may return. Which rows of an index hold them is looked up by the first search, in some 5 ns an id where
/// they follow each other, and again after a change of the index; searches in between, from any thread, find it done.
#[derive(Debug, Default)]
pub struct IdSet {
    ids: Vec<u64>,
    /// Of the last two indexes: a hybrid search asks a vector index and a lexical one in turn.
    rows: Mutex<[Option<KnownRows>; 2]>,
}

impl IdSet {
    /// A set of ids in any order, which may repeat.
    pub fn new(ids: Vec<u64>) -> Self {
        Self { ids, rows: Mutex::default() }
    }

    /// The ids as they were given.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    fn memory_bytes(&self) -> usize {
        let of_rows = |(_, rows): &KnownRows| rows.bits.len() * 8 + rows.rows.capacity() * 4;
        self.ids.capacity() * 8 + self.rows.lock().iter().flatten().map(of_rows).sum::<usize>()
    }

    /// The rows of an index that is at a generation; `find` gives the live ones below `n_rows`.
    pub(crate) fn rows<'a, I: Iterator<Item = u32>>(
        &'a self,
        generation: Generation,
        n_rows: usize,
        find: impl FnOnce(&'a [u64]) -> I,
    ) -> Arc<RowFilter> {
        if let Some((_, rows)) = self.rows.lock().iter().flatten().find(|(known, _)| *known == generation) {
            return Arc::clone(rows);
        }
        // Not under the lock: others need not wait, and find the same.
        let rows = Arc::new(RowFilter::new(n_rows, find(&self.ids)));
        let mut kept = self.rows.lock();
        kept.swap(0, 1);
        kept[0] = Some((generation, Arc::clone(&rows)));
        drop(kept);
        rows
    }
}

/// The last sets of ids that searches were given: who gives the same ids again finds their rows looked up.
#[derive(Debug, Default)]
pub struct RecentIdSets(Mutex<Vec<Arc<IdSet>>>);

impl RecentIdSets {
    /// Sets that are kept.
    const MAX_SETS: usize = 4;
    /// Ids in all of them, at some 12 bytes.
    const MAX_IDS: usize = 1 << 20;

    /// The set of some ids: one that is kept, if it has the same ids in the same order, else a new one, which is kept for the
    /// next search. `O(n)`, some 0.4 ns an id where it is kept.
    pub fn set_of(&self, ids: &[u64]) -> Arc<IdSet> {
        // Compared outside the lock, and then moved to the front.
        let mut kept = self.0.lock().clone();
        let place = kept.iter().position(|set| set.ids() == ids);
        let set = place.map_or_else(|| Arc::new(IdSet::new(ids.to_vec())), |place| kept.remove(place));
        kept.insert(0, Arc::clone(&set));
        let mut n_ids = 0;
        kept.retain(|set| {
            n_ids += set.ids().len();
            n_ids <= Self::MAX_IDS
        });
        kept.truncate(Self::MAX_SETS);
        *self.0.lock() = kept;
        set
    }

    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        self.0.lock().iter().map(|set| set.memory_bytes()).sum()
    }
}

/// A state of one index as to which row holds what: no other state of any index has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Generation {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// The rows that may be returned.
#[derive(Debug)]
pub(crate) struct RowFilter {
    bits: Vec<u64>,
    rows: Vec<u32>,
}

impl RowFilter {
    /// Makes a filter of live rows below `n_rows`; the rows may repeat.
    pub(crate) fn new(n_rows: usize, rows: impl Iterator<Item = u32>) -> Self {
        let mut bits = vec![0_u64; n_rows.div_ceil(64)];
        let mut kept: Vec<u32> = rows
            .filter(|&row| {
                let (word, bit) = (row as usize / 64, 1 << (row % 64));
                let is_new = bits[word] & bit == 0;
                bits[word] |= bit;
                is_new
            })
            .collect();
        // Rows in order are read in order.
        if !kept.is_sorted() {
            kept.sort_unstable();
        }
        Self { bits, rows: kept }
    }

    #[inline]
    pub(crate) fn allows(&self, row: u32) -> bool {
        self.bits.get(row as usize / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The allowed rows, ascending.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// How to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Look at each row that passes.
    Scan,
    /// Walk the graph with a pool of this size.
    Walk {
        /// `ef_search`, widened for the rows that do not pass.
        ef: usize,
    },
}

/// Chooses between the rows that pass (`n_passing` of `n_live`) and the graph, by which is less work.
///
/// `widened` is the pool that a walk needs to see enough rows that pass, where it needs a larger one than `ef`; a place of it
/// costs a walk `walk_cost` times what a row costs a scan. Source: the widening of `DiskANN` (RFC 01128).
pub(crate) fn plan(n_live: usize, n_passing: usize, ef: usize, widened: f64, walk_cost: f64) -> Plan {
    if n_passing == n_live {
        return Plan::Walk { ef };
    }
    if widened * walk_cost >= n_passing as f64 {
        return Plan::Scan;
    }
    Plan::Walk { ef: widened.ceil() as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_allows_its_rows_only() {
        let filter = RowFilter::new(130, [129, 0, 64, 0].into_iter());
        assert_eq!(filter.rows(), [0, 64, 129]);
        for row in 0..200 {
            assert_eq!(filter.allows(row), [0, 64, 129].contains(&row));
        }
    }

    #[test]
    fn a_set_knows_the_rows_of_two_indexes() {
        let set = IdSet::new(vec![5, 6]);
        let generations = [Generation::next(), Generation::next(), Generation::next()];
        let n_found = std::cell::Cell::new(0);
        let rows = |generation, offset: u64| {
            let find = |ids: &[u64]| {
                n_found.set(n_found.get() + 1);
                ids.iter().map(|id| (id - offset) as u32).collect::<Vec<_>>().into_iter()
            };
            set.rows(generation, 10, find).rows().to_vec()
        };
        for _ in 0..3 {
            assert_eq!(rows(generations[0], 0), [5, 6]);
            assert_eq!(rows(generations[1], 5), [0, 1]);
        }
        assert_eq!(n_found.get(), 2);
        assert_eq!(rows(generations[2], 1), [4, 5]);
        assert_eq!(rows(generations[1], 5), [0, 1]);
        assert_eq!(n_found.get(), 3);
    }

    #[test]
    fn recent_sets_are_found_again_and_are_few() {
        let recent = RecentIdSets::default();
        let first = recent.set_of(&[1, 2, 3]);
        assert_eq!(first.ids(), [1, 2, 3]);
        assert!(Arc::ptr_eq(&first, &recent.set_of(&[1, 2, 3])));
        assert!(!Arc::ptr_eq(&first, &recent.set_of(&[1, 2, 4])));
        assert!(Arc::ptr_eq(&first, &recent.set_of(&[1, 2, 3])));
        for n in 0..RecentIdSets::MAX_SETS as u64 {
            recent.set_of(&[n]);
        }
        assert!(!Arc::ptr_eq(&first, &recent.set_of(&[1, 2, 3])));
        assert_eq!(recent.0.lock().len(), RecentIdSets::MAX_SETS);
        assert_eq!(recent.set_of(&vec![7; RecentIdSets::MAX_IDS + 1]).ids().len(), RecentIdSets::MAX_IDS + 1);
        assert_eq!(recent.memory_bytes(), 0);
    }

    #[test]
    fn few_are_scanned_and_many_walked() {
        assert_eq!(plan(1_000_000, 5_000, 64, 12_800.0, 96.0), Plan::Scan);
        assert_eq!(plan(1_000_000, 500_000, 64, 127.5, 96.0), Plan::Walk { ef: 128 });
        assert_eq!(plan(100_000, 100_000, 64, 64.0, 96.0), Plan::Walk { ef: 64 });
        assert_eq!(plan(3_000, 1_500, 64, 128.0, 96.0), Plan::Scan);
    }
}
