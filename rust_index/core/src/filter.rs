//! The allowed rows of a filtered search, and when to scan them instead of walking a graph.

/// Up to this many allowed rows a scan is faster than any walk.
const MAX_SCANNED_ROWS: usize = 5_000;
/// Below this share of live rows a walk meets too few allowed ones.
const MIN_WALKED_SHARE: f64 = 0.01;
/// A walk costs about this many times more a place of its pool than a scan costs a row: 1.3 us and 13 ns at 384 dimensions.
const WALK_COST: f64 = 96.0;

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
        kept.sort_unstable();
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

/// Chooses between the rows that pass (`n_passing` of `n_live`) and the graph.
///
/// A walk must collect `ef / share` rows to see `ef` that pass; it is chosen where that is less work than the scan.
/// Source: the thresholds of Weaviate and Qdrant, the widening of `DiskANN` (RFC 01128).
pub(crate) fn plan(n_live: usize, n_passing: usize, ef: usize) -> Plan {
    if n_passing == n_live {
        return Plan::Walk { ef };
    }
    let share = n_passing as f64 / n_live as f64;
    let widened = ef as f64 / share;
    if n_passing <= MAX_SCANNED_ROWS || share < MIN_WALKED_SHARE || widened * WALK_COST >= n_passing as f64 {
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
    fn few_are_scanned_and_many_walked() {
        assert_eq!(plan(1_000_000, 5_000, 64), Plan::Scan);
        assert_eq!(plan(1_000_000, 9_999, 64), Plan::Scan);
        assert_eq!(plan(1_000_000, 500_000, 64), Plan::Walk { ef: 128 });
        assert_eq!(plan(100_000, 100_000, 64), Plan::Walk { ef: 64 });
        assert_eq!(plan(3_000, 1_500, 64), Plan::Scan);
    }
}
