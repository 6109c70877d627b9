//! Hierarchical navigable small world graph over codes, that lives: rows come and go at any time.
//!
//! Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
//! world graphs" (2018). What differs:
//! - The graph is built and walked on eight-bit codes; the best candidates are ranked with exact distances.
//! - An added row is only stored; until `maintain` links it, it is scanned. A small index is nothing but such rows.
//! - Removed rows become tombstones, and `maintain` takes them out of the graph in a pass over all nodes.
//!
//! One mutex puts mutations in order. What takes long reads under the shared lock; the exclusive one is held for
//! microseconds.

mod graph;
mod link;
mod repair;
mod search;
mod select_neighbors;
mod state;
mod upkeep;
mod walk;

use std::path::Path;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::filter::RowFilter;
use crate::index::{Hit, SearchOptions, Stats, VectorIndex, check_ids, check_search};
use crate::metric::Metric;
use crate::rows::{Rows, Status};
use crate::snapshot::{self, Content};
use crate::spec::IndexSpec;
use crate::store::{Store, prepare_batch, prepare_query};

use graph::Graph;
use state::{Removal, State};
use upkeep::Upkeep;
use walk::Scratch;

/// Rows that are stored under one exclusive lock.
const PUT_ROWS: usize = 32;
/// Scratch memories that are kept for the next search.
const MAX_IDLE_SCRATCH: usize = 4;

/// HNSW index; see the module.
#[derive(Debug)]
pub struct HnswIndex {
    spec: IndexSpec,
    state: RwLock<State>,
    /// Held through each mutation; what is in it is for mutations alone.
    upkeep: Mutex<Upkeep>,
    /// Held through each save: two would write to the same temporary file.
    saving: Mutex<()>,
    idle_scratch: Mutex<Vec<Scratch>>,
}

impl HnswIndex {
    pub(crate) fn new(spec: &IndexSpec) -> Result<Self> {
        spec.hnsw.check()?;
        let store = Store::new(spec.dim, spec.metric, spec.kernels()?);
        Ok(Self::with_state(spec, State::new(store), Upkeep::default()))
    }

    fn with_state(spec: &IndexSpec, state: State, upkeep: Upkeep) -> Self {
        Self {
            spec: *spec,
            state: RwLock::new(state),
            upkeep: Mutex::new(upkeep),
            saving: Mutex::new(()),
            idle_scratch: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn restore(spec: &IndexSpec, content: &Content, path: &Path) -> Result<Self> {
        let has_nodes = content.statuses.iter().any(|status| status.is_in_graph());
        if has_nodes != content.graph.is_some() {
            return Err(snapshot::invalid(path, "status"));
        }
        let rows = Rows::restore(&content.ids, &content.statuses).ok_or_else(|| snapshot::invalid(path, "ids"))?;
        let graph = match &content.graph {
            None => None,
            Some(graph) => Some(
                Graph::from_content(spec.hnsw.m, graph, &content.statuses)
                    .ok_or_else(|| snapshot::invalid(path, "links"))?,
            ),
        };
        let store = Store::new(spec.dim, spec.metric, spec.kernels()?);
        let mut state = State::restored(store, rows, &content.statuses, graph);
        for (row, vector) in (0_u32..).zip(content.vectors.chunks_exact(spec.dim)) {
            state.store.set(row, vector);
        }
        let tombstones =
            (0_u32..).zip(&content.statuses).filter(|&(_, &status)| status == Status::TOMBSTONE).map(|(row, _)| row);
        let upkeep = Upkeep::with_tombstones(tombstones.collect());
        Ok(Self::with_state(spec, state, upkeep))
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.state.read().map_err(|_| Error::Poisoned)
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, State>> {
        self.state.write().map_err(|_| Error::Poisoned)
    }

    fn take_scratch(&self) -> Scratch {
        self.idle_scratch.lock().pop().unwrap_or_default()
    }

    fn keep_scratch(&self, scratch: Scratch) {
        // A search that walked no graph left nothing worth keeping.
        if scratch.memory_bytes() == 0 {
            return;
        }
        let mut idle = self.idle_scratch.lock();
        if idle.len() < MAX_IDLE_SCRATCH {
            idle.push(scratch);
        }
    }

    /// Live rows that no walk of the lowest layer from the entry point reaches and no scan looks at: always none when
    /// `maintain` has nothing to do after a repair. For tests.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn n_unreachable(&self) -> Result<usize> {
        let state = self.read()?;
        let Some(graph) = &state.graph else { return Ok(0) };
        let mut sweep = repair::Sweep::start(&state, graph);
        sweep.advance(graph, usize::MAX);
        Ok(sweep.lost(&state).len())
    }
}

impl VectorIndex for HnswIndex {
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
        let hnsw = &self.spec.hnsw;
        vec![
            ("m", hnsw.m as u64),
            ("ef_construction", hnsw.ef_construction as u64),
            ("ef_search", hnsw.ef_search as u64),
            ("scan_threshold", hnsw.scan_threshold as u64),
            ("seed", hnsw.seed),
        ]
    }

    fn add(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        check_ids(ids)?;
        let dim = self.spec.dim;
        let prepared = prepare_batch(self.spec.metric, dim, ids.len(), vectors)?;
        let mut upkeep = self.upkeep.lock();
        let grown = self.read()?.rows.grown_table(ids.len());
        if let Some(grown) = grown {
            let old = self.write()?.rows.replace_table(grown);
            drop(old);
        }
        for (ids, vectors) in ids.chunks(PUT_ROWS).zip(prepared.chunks(PUT_ROWS * dim)) {
            let mut state = self.write()?;
            for (&id, vector) in ids.iter().zip(vectors.chunks_exact(dim)) {
                upkeep.note_mutation(state.put(id, vector)?);
            }
        }
        Ok(())
    }

    fn remove(&self, ids: &[u64]) -> Result<usize> {
        let mut upkeep = self.upkeep.lock();
        let mut n_removed = 0;
        for ids in ids.chunks(PUT_ROWS) {
            let mut state = self.write()?;
            for &id in ids {
                let removal = state.remove(id);
                n_removed += usize::from(removal != Removal::Absent);
                upkeep.note_mutation(match removal {
                    Removal::Tombstone(row) => Some(row),
                    Removal::Absent | Removal::Freed => None,
                });
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
        let dim = self.spec.dim;
        check_search(dim, queries, k, options.ef_search)?;
        let ef = options.ef_search.unwrap_or(self.spec.hnsw.ef_search);
        let queries = queries
            .chunks_exact(dim)
            .enumerate()
            .map(|(position, query)| prepare_query(self.spec.metric, dim, query, position))
            .collect::<Result<Vec<_>>>()?;
        let mut scratch = self.take_scratch();
        let mut filter: Option<(u64, RowFilter)> = None;
        let mut found = Vec::with_capacity(queries.len());
        for query in &queries {
            // Each query has its own lock, so that a long batch does not hold up a mutation.
            let state = self.read()?;
            if let Some(allowed) = options.allowed
                && filter.as_ref().is_none_or(|(generation, _)| *generation != state.generation)
            {
                let rows = allowed.iter().filter_map(|&id| state.rows.row_of(id));
                filter = Some((state.generation, RowFilter::new(state.rows.n_rows(), rows)));
            }
            let filter = filter.as_ref().map(|(_, filter)| filter);
            found.push(search::search(&state, query, k, ef, filter, &mut scratch));
        }
        self.keep_scratch(scratch);
        Ok(found)
    }

    fn maintain(&self, max_rows: usize) -> Result<usize> {
        let mut upkeep = self.upkeep.lock();
        let mut scratch = self.take_scratch();
        let remaining = self.work(&mut upkeep, max_rows, &mut scratch);
        drop(upkeep);
        self.keep_scratch(scratch);
        remaining
    }

    fn stats(&self) -> Result<Stats> {
        let state = self.read()?;
        let scratch_bytes: usize = self.idle_scratch.lock().iter().map(Scratch::memory_bytes).sum();
        Ok(Stats {
            n_live: state.n_live(),
            n_unlinked: state.pending.rows().len(),
            n_tombstones: state.n_tombstones,
            n_rows: state.rows.n_rows(),
            memory_bytes: size_of::<Self>() + state.memory_bytes() + scratch_bytes,
        })
    }

    fn save(&self, path: &Path, sequence: u64) -> Result<()> {
        let _saving = self.saving.lock();
        // With mutations held back no exclusive lock waits, and so no search does.
        let upkeep = self.upkeep.lock();
        let state = self.read()?;
        let statuses: Vec<Status> = (0..state.rows.n_rows() as u32).map(|row| state.status(row)).collect();
        let graph = state.graph.as_ref().map(|graph| graph.to_content(&statuses));
        let file = snapshot::write(path, sequence, &self.spec, &state.rows, &state.store, &statuses, graph.as_ref())?;
        drop(state);
        drop(upkeep);
        file.publish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use crate::spec::{HnswParams, Kind};

    #[test]
    fn a_snapshot_with_wrong_links_is_refused_or_harmless() {
        let hnsw = HnswParams { m: 2, scan_threshold: 2, ..HnswParams::default() };
        let spec = IndexSpec { hnsw, ..IndexSpec::new(Kind::Hnsw, 2, Metric::L2) };
        let index = HnswIndex::new(&spec).unwrap();
        let vectors: Vec<f32> = (0..40).flat_map(|i| [(i * 7 % 40) as f32, (i * 3 % 11) as f32]).collect();
        index.add(&(0..40).collect::<Vec<_>>(), &vectors).unwrap();
        while index.maintain(100).unwrap() > 0 {}
        let statuses: Vec<Status> = (0..40).map(|row| index.read().unwrap().status(row)).collect();
        let words = index.read().unwrap().graph.as_ref().unwrap().to_content(&statuses).words;
        let content = |entry: u32, words: Vec<u32>| Content {
            spec,
            ids: (0..40).collect(),
            statuses: statuses.clone(),
            vectors: vectors.clone(),
            graph: Some(snapshot::GraphContent { entry, words }),
        };
        let path = Path::new("index");
        assert!(HnswIndex::restore(&spec, &content(40, words.clone()), path).is_err());
        assert!(HnswIndex::restore(&spec, &content(0, words[..words.len() - 1].to_vec()), path).is_err());
        let mut n_accepted = 0;
        for at in 0..words.len() {
            for value in [0, 1, 3, 39, 40, u32::MAX, words[at].wrapping_add(1)] {
                let mut changed = words.clone();
                changed[at] = value;
                if let Ok(opened) = HnswIndex::restore(&spec, &content(0, changed), path) {
                    n_accepted += 1;
                    assert_eq!(opened.search(&[3.0, 3.0], 40, SearchOptions::default()).unwrap().len(), 40);
                    opened.remove(&(0..20).collect::<Vec<_>>()).unwrap();
                    while opened.maintain(100).unwrap() > 0 {}
                    assert_eq!(opened.search(&[3.0, 3.0], 40, SearchOptions::default()).unwrap().len(), 20);
                }
            }
        }
        assert!(n_accepted > 0);
    }
}
