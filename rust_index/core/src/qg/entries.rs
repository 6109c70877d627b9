//! Nodes that a walk may begin at: a sample of all, with codes relative to their mean, so that those nearest to a query are
//! told for less than two expansions.

use std::sync::OnceLock;

use crate::candidates::Candidate;
use crate::rows::{Status, mix};

use super::query::Query;
use super::scan::ScanCodes;
use super::store::QuantizedStore;

/// Size of the sample. 128 to 1,024 are as fast as each other; 64 compared by eight bits were 7 to 9 % slower in all.
const N_ENTRIES: usize = 256;

/// The sample.
#[derive(Debug, Default)]
pub(super) struct Entries {
    rows: Vec<u32>,
    /// Place `i` has the code of `rows[i]`. Made by the first walk that asks, and anew when the mean has become old.
    codes: OnceLock<ScanCodes>,
    /// Places that changed since.
    n_changed: usize,
    /// Nodes ever linked: what the sample is drawn by.
    n_linked: u64,
}

impl Entries {
    /// The entries of a snapshot with `n_nodes` nodes.
    pub(super) fn restored(rows: Vec<u32>, n_nodes: usize) -> Self {
        Self { rows, n_linked: n_nodes as u64, ..Self::default() }
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Replaces `best` by the `n` entries that seem nearest to a query, in no order.
    pub(super) fn nearest(&self, store: &QuantizedStore, query: &Query, n: usize, best: &mut Vec<Candidate>) {
        let codes = self.codes.get_or_init(|| ScanCodes::of_rows(store, &self.rows));
        codes.nearest((&store.kernels, store.metric), std::iter::once((query, &mut *best)), self.rows.len(), n, |_| {
            true
        });
        if best.len() < n.min(self.rows.len()) {
            // Magnitudes near the end of f32 have no estimate.
            best.clear();
            best.extend(self.rows.iter().map(|&row| Candidate::new(store.distance_to(query, row), row)));
            return;
        }
        for place in best {
            *place = Candidate::new(place.distance(), self.rows[place.row() as usize]);
        }
    }

    /// Takes a new node into account. Source: Vitter, "Random sampling with a reservoir" (1985), algorithm R.
    pub(super) fn sample(&mut self, store: &QuantizedStore, row: u32) {
        self.n_linked += 1;
        let place = (mix(self.n_linked) % self.n_linked) as usize;
        if self.rows.len() < N_ENTRIES {
            self.rows.push(row);
            self.changed(store, self.rows.len() - 1);
        } else if let Some(entry) = self.rows.get_mut(place) {
            *entry = row;
            self.changed(store, place);
        }
    }

    /// Takes a node in whatever the sample says.
    pub(super) fn add(&mut self, store: &QuantizedStore, row: u32) {
        if !self.rows.contains(&row) {
            self.rows.push(row);
            self.changed(store, self.rows.len() - 1);
        }
    }

    fn changed(&mut self, store: &QuantizedStore, place: usize) {
        self.n_changed += 1;
        if self.n_changed >= self.rows.len() {
            self.forget_codes();
        } else if let Some(codes) = self.codes.get_mut() {
            codes.put_at(store, place, self.rows[place]);
        }
    }

    fn forget_codes(&mut self) {
        self.codes = OnceLock::new();
        self.n_changed = 0;
    }

    /// Forgets removed nodes; where few are left of `n_nodes`, takes some of `n_rows` instead.
    pub(super) fn retain(&mut self, status: &dyn Fn(u32) -> Status, n_nodes: usize, n_rows: usize) {
        self.forget_codes();
        self.rows.retain(|&entry| status(entry).is_live());
        if self.rows.len() <= N_ENTRIES.min(n_nodes) / 2 {
            let is_node = |row: &u32| status(*row).is_in_graph();
            let step = (n_rows / N_ENTRIES).max(1);
            self.rows = (0..n_rows as u32).step_by(step).filter(is_node).collect();
            if self.rows.is_empty() {
                self.rows.extend((0..n_rows as u32).find(is_node));
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>() + self.codes.get().map_or(0, ScanCodes::memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::living::LiveStore;
    use crate::metric::Metric;
    use crate::spec::{IndexSpec, Kind};

    /// A store of rows of which no two are near each other.
    fn store(n_rows: usize, scale: f32) -> QuantizedStore {
        let spec = IndexSpec::new(Kind::Qg, 64, Metric::L2);
        let mut store = QuantizedStore::new(&spec).unwrap();
        store.ensure(n_rows);
        for row in 0..n_rows as u32 {
            let vector: Vec<f32> =
                (0..64).map(|i| scale * (mix(u64::from(row) * 64 + i) as f32 / u64::MAX as f32 - 0.5)).collect();
            store.begin(&vector);
            let encoded = store.encode(&vector);
            store.set(row, encoded);
        }
        store
    }

    fn nearest(entries: &Entries, store: &QuantizedStore, row: u32, n: usize) -> Vec<u32> {
        let (mut query, mut best) = (Query::default(), vec![Candidate::NONE]);
        store.query_of_row(row, &mut Vec::new(), &mut query);
        entries.nearest(store, &query, n, &mut best);
        best.iter().map(|candidate| candidate.row()).collect()
    }

    #[test]
    fn codes_follow_the_sample() {
        let store = store(4000, 1.0);
        let mut entries = Entries::default();
        for row in 0..4000 {
            entries.sample(&store, row);
            // Codes are there from the beginning, so that later rows replace them one by one.
            assert_eq!(nearest(&entries, &store, row, 1).len(), 1);
        }
        assert_eq!(entries.rows().len(), N_ENTRIES);
        assert!(entries.rows().iter().any(|&row| row >= 2000));
        entries.add(&store, 3999);
        for &row in entries.rows() {
            assert_eq!(nearest(&entries, &store, row, 1), [row]);
        }
        let is_kept = |row: u32| row.is_multiple_of(3);
        let kept: Vec<u32> = entries.rows().iter().copied().filter(|&row| is_kept(row)).collect();
        entries.retain(&|row| if is_kept(row) { Status::LINKED } else { Status::FREE }, kept.len(), 4000);
        assert_eq!(entries.rows(), kept);
        assert!(kept.iter().all(|&row| nearest(&entries, &store, row, 1) == [row]));
    }

    #[test]
    fn rows_without_estimates_are_entries_too() {
        let store = store(100, 1e19);
        let mut entries = Entries::default();
        (0..100).for_each(|row| entries.sample(&store, row));
        assert!(nearest(&entries, &store, 5, 40).len() >= 40);
    }
}
