//! Exact search by comparing with every vector: the baseline and the oracle of the tests.

use std::path::Path;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::filter::RowFilter;
use crate::index::{Hit, SearchOptions, Stats, VectorIndex, check_ids, check_search};
use crate::kernels::Kernels;
use crate::living::LiveStore;
use crate::metric::Metric;
use crate::rows::{Rows, Status};
use crate::snapshot::{self, rows::Content};
use crate::spec::IndexSpec;
use crate::store::{Store, prepare_batch, prepare_vector};
use crate::vectors::Arena;

/// Exact index. `O(n * dim)` a query.
#[derive(Debug)]
pub struct FlatIndex {
    spec: IndexSpec,
    state: RwLock<State>,
    /// Held through each mutation, so that none waits for the exclusive lock, and searches behind it, during a save.
    mutating: Mutex<()>,
    /// Held through each save: two would write to the same temporary file.
    saving: Mutex<()>,
}

#[derive(Debug)]
struct State {
    rows: Rows,
    store: Store,
}

impl FlatIndex {
    pub(crate) fn new(spec: &IndexSpec) -> Result<Self> {
        Ok(Self::with_state(spec, Rows::new(), spec.kernels()?))
    }

    fn with_state(spec: &IndexSpec, rows: Rows, kernels: Kernels) -> Self {
        let mut store = Store::exact(spec.dim, spec.metric, kernels);
        store.ensure(rows.n_rows());
        Self {
            spec: *spec,
            state: RwLock::new(State { rows, store }),
            mutating: Mutex::new(()),
            saving: Mutex::new(()),
        }
    }

    pub(crate) fn restore(spec: &IndexSpec, content: &Content, path: &Path) -> Result<Self> {
        let is_flat = |status: &Status| !status.is_in_graph();
        if content.graph.is_some() || !content.statuses.iter().all(is_flat) {
            return Err(snapshot::invalid(path, "status"));
        }
        let rows =
            Rows::restore(Arena::of(&content.ids), &content.statuses).ok_or_else(|| snapshot::invalid(path, "ids"))?;
        let index = Self::with_state(spec, rows, spec.kernels()?);
        {
            let mut state = index.write()?;
            for (row, vector) in (0..).zip(content.vectors.chunks_exact(spec.dim)) {
                state.store.set(row, vector);
            }
        }
        Ok(index)
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.state.read().map_err(|_| Error::Poisoned)
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, State>> {
        self.state.write().map_err(|_| Error::Poisoned)
    }
}

impl VectorIndex for FlatIndex {
    fn dim(&self) -> usize {
        self.spec.dim
    }

    fn metric(&self) -> Metric {
        self.spec.metric
    }

    fn kind(&self) -> &'static str {
        self.spec.kind.name()
    }

    fn params(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn add(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        check_ids(ids)?;
        let prepared = prepare_batch(self.spec.metric, self.spec.dim, ids.len(), vectors)?;
        let _mutating = self.mutating.lock();
        let mut state = self.write()?;
        for (&id, vector) in ids.iter().zip(prepared.chunks_exact(self.spec.dim)) {
            let row = if let Some(row) = state.rows.row_of(id) {
                row
            } else {
                let row = state.rows.allocate()?;
                state.rows.bind(id, row);
                row
            };
            let n_rows = state.rows.n_rows();
            state.store.ensure(n_rows);
            state.store.set(row, vector);
        }
        Ok(())
    }

    fn remove(&self, ids: &[u64]) -> Result<usize> {
        let _mutating = self.mutating.lock();
        let mut state = self.write()?;
        let mut n_removed = 0;
        for &id in ids {
            if let Some(row) = state.rows.unbind(id) {
                state.rows.release(row);
                n_removed += 1;
            }
        }
        Ok(n_removed)
    }

    fn contains(&self, ids: &[u64]) -> Result<Vec<bool>> {
        let state = self.read()?;
        Ok(ids.iter().map(|&id| state.rows.row_of(id).is_some()).collect())
    }

    fn vectors(&self, ids: &[u64]) -> Result<Vec<f32>> {
        let state = self.read()?;
        state.store.gather(&state.rows, ids)
    }

    fn search_batch(&self, queries: &[f32], k: usize, options: SearchOptions<'_>) -> Result<Vec<Vec<Hit>>> {
        check_search(self.spec.dim, queries, k, options.ef_search)?;
        let queries = queries
            .chunks_exact(self.spec.dim)
            .enumerate()
            .map(|(position, query)| prepare_vector(self.spec.metric, self.spec.dim, query, position))
            .collect::<Result<Vec<_>>>()?;
        let state = self.read()?;
        let rows: Vec<u32> = match options.allowed {
            None => state.rows.live().map(|(_, row)| row).collect(),
            Some(allowed) => {
                let rows = allowed.ids().iter().filter_map(|&id| state.rows.row_of(id));
                RowFilter::new(state.rows.n_rows(), rows).rows().to_vec()
            }
        };
        let rank = |query: &Vec<f32>| state.store.rank(&state.store.query(query), rows.iter().copied(), &state.rows, k);
        Ok(queries.iter().map(rank).collect())
    }

    fn maintain(&self, _max_rows: usize) -> Result<usize> {
        Ok(0)
    }

    fn stats(&self) -> Result<Stats> {
        let state = self.read()?;
        Ok(Stats {
            n_live: state.rows.len(),
            n_rows: state.rows.n_rows(),
            memory_bytes: size_of::<Self>() + state.rows.memory_bytes() + state.store.memory_bytes(),
            ..Stats::default()
        })
    }

    fn save(&self, path: &Path, sequence: u64) -> Result<()> {
        let _saving = self.saving.lock();
        let mutating = self.mutating.lock();
        let state = self.read()?;
        let mut statuses = vec![Status::FREE; state.rows.n_rows()];
        for (_, row) in state.rows.live() {
            statuses[row as usize] = Status::UNLINKED;
        }
        let file = snapshot::rows::write(path, sequence, &self.spec, &state.rows, &state.store, &statuses, None)?;
        drop(state);
        drop(mutating);
        file.publish()
    }
}
