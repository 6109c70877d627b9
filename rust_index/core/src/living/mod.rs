//! An index that lives: rows come and go at any time, whatever graph it keeps.
//!
//! - An added row is stored, and scanned until it is linked. A small index is nothing but such rows.
//! - Linking is done by `add` itself, or left to `maintain` where the index is deferred.
//! - Removed rows become tombstones, and `maintain` takes them out of the graph in a pass over all nodes.
//!
//! One mutex puts mutations in order. What takes long reads under the shared lock; the exclusive one is held for
//! microseconds. How vectors are stored, walked and linked is the graph's own affair, behind [`LiveGraph`].

mod state;
mod upkeep;

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::filter::RowFilter;
use crate::index::{Hit, SearchOptions, Stats, VectorIndex, check_ids, check_search};
use crate::metric::Metric;
use crate::parallel::Team;
use crate::rows::Status;
use crate::snapshot::Unpublished;
use crate::spec::IndexSpec;
use crate::store::{check_batch, prepare_rows, prepare_vector};

use state::Removal;
pub(crate) use state::State;
use upkeep::{Sweep, Upkeep};

/// Rows that are stored under one exclusive lock.
const PUT_ROWS: usize = 32;
/// Rows that are encoded before any of them is stored.
const ENCODED_ROWS: usize = 2048;
/// Scratch memories that are kept for the next search, for each thread that links.
const MAX_IDLE_SCRATCH: usize = 4;

/// The vectors of a living index, by row, in the form that its graph works on.
pub(crate) trait LiveStore: Debug + Send + Sync {
    /// A vector in the form that it is stored in.
    type Encoded<'a>: Send;
    /// An empty store of the same form.
    fn empty_like(&self) -> Self;
    /// Makes rows `0..n_rows` usable.
    fn ensure(&mut self, n_rows: usize);
    /// Told of a vector before it is encoded: how others are may depend on the first one.
    fn begin(&mut self, _vector: &[f32]) {}
    /// Brings a vector that the metric has prepared into the form that it is stored in.
    fn encode<'a>(&self, vector: &'a [f32]) -> Self::Encoded<'a>;
    /// Stores a vector.
    fn set(&mut self, row: u32, encoded: Self::Encoded<'_>);
    /// Stores what another store of the same form holds.
    fn copy(&mut self, row: u32, from: &Self, from_row: u32);
    /// Whether storing a vector in a row would change nothing.
    fn holds(&self, row: u32, encoded: &Self::Encoded<'_>) -> bool;
    /// Appends the vector of a row, as near to what was stored as the store keeps it.
    fn read(&self, row: u32, vectors: &mut Vec<f32>);
    /// Told when all rows have come into the graph: what only a scan needs can go.
    fn all_linked(&mut self) {}
    /// Checks the next rows that lie in a file and were not checked, and tells whether there were any.
    fn check_next(&self) -> bool {
        false
    }
    /// Bytes allocated.
    fn memory_bytes(&self) -> usize;
}

/// A graph over the rows of a store, and the searches of an index that has or lacks one.
///
/// Changes come in two steps: a plan that only reads, and its application, which takes microseconds.
pub(crate) trait LiveGraph: Debug + Send + Sync + Sized {
    /// How it stores vectors.
    type Store: LiveStore;
    /// What a search or a plan writes to, kept and used again.
    type Scratch: Default + Debug + Send;
    /// How rows are to be linked.
    type LinkPlan;
    /// The new links of a node.
    type RepairPlan;
    /// Queries that are searched together.
    const N_TOGETHER: usize;

    /// An empty store.
    fn new_store(spec: &IndexSpec) -> Result<Self::Store>;
    /// A graph without nodes.
    fn new(spec: &IndexSpec) -> Self;
    /// Live rows from which on a graph is kept; it is dropped below half of this.
    fn scan_threshold(spec: &IndexSpec) -> usize;
    /// `ef_search` where a search does not give it.
    fn ef_search(spec: &IndexSpec) -> usize;
    /// Parameters by name.
    fn params(spec: &IndexSpec) -> Vec<(&'static str, u64)>;
    /// Nodes, tombstones included.
    fn n_nodes(&self) -> usize;
    /// What a node links to, where every node can be reached.
    fn links(&self, row: u32) -> &[u32];
    /// Where walks begin.
    fn starts(&self) -> Vec<u32>;
    /// How many rows are planned at once.
    fn batch_size(&self, spec: &IndexSpec) -> usize;
    /// Plans how to link rows.
    fn plan_links(
        state: &State<Self>,
        graph: &Self,
        rows: &[u32],
        spec: &IndexSpec,
        scratches: &ScratchPool<Self::Scratch>,
        team: &Team,
    ) -> Self::LinkPlan;
    /// Carries out a plan and settles its rows.
    fn apply_links(state: &mut State<Self>, plan: &Self::LinkPlan, team: &Team);
    /// Makes room for this many rows, of which many come next.
    fn ensure(&mut self, _n_rows: usize) {}
    /// Has the memory given that these of them are going to use.
    fn provide(&self, _rows: Range<usize>, _team: &Team) {}
    /// Plans the repair of a node; nothing when none of its links is dying.
    fn plan_repair(state: &State<Self>, graph: &Self, row: u32) -> Option<Self::RepairPlan>;
    /// Carries out a repair; returns the node when it has lost so many links that it should be linked again.
    fn apply_repair(&mut self, plan: &Self::RepairPlan) -> Option<u32>;
    /// Forgets nodes that no other node links to.
    fn forget(&mut self, rows: &[u32], status: &dyn Fn(u32) -> Status, n_rows: usize);
    /// For some prepared vectors, no more than [`LiveGraph::N_TOGETHER`], the `min(k, passing)` nearest live rows, ordered
    /// by (distance, id).
    fn search(
        state: &State<Self>,
        vectors: &[Vec<f32>],
        k: usize,
        ef: usize,
        filter: Option<&RowFilter>,
        scratches: &mut [Self::Scratch],
    ) -> Vec<Vec<Hit>>;
    /// Whether the graph has outgrown what it was made for, and is to be made anew beside itself.
    fn is_outgrown(&self, _n_live: usize) -> bool {
        false
    }
    /// Plans the next step of making an outgrown graph anew, to be carried out as links are.
    fn plan_renewal(_state: &State<Self>, _graph: &Self, _spec: &IndexSpec) -> Option<Self::LinkPlan> {
        None
    }
    /// As [`LiveStore::check_next`].
    fn check_next(&self) -> bool {
        false
    }
    /// Bytes of a scratch memory.
    fn scratch_bytes(scratch: &Self::Scratch) -> usize;
    /// Bytes allocated.
    fn memory_bytes(&self) -> usize;
    /// Writes a snapshot beside `path`.
    fn save(index: &LivingIndex<Self>, path: &Path, sequence: u64) -> Result<Unpublished>;
}

/// Scratch memories that wait for their next use.
#[derive(Debug)]
pub(crate) struct ScratchPool<S> {
    idle: Mutex<Vec<S>>,
    max_idle: usize,
}

impl<S: Default> ScratchPool<S> {
    fn new(max_idle: usize) -> Self {
        Self { idle: Mutex::default(), max_idle }
    }

    /// Some for a thread, which go back when it is done.
    pub(crate) fn lend(&self, n: usize) -> Lent<'_, S> {
        Lent { pool: self, scratches: (0..n).map(|_| self.take()).collect() }
    }

    pub(crate) fn take(&self) -> S {
        self.idle.lock().pop().unwrap_or_default()
    }

    pub(crate) fn keep(&self, scratch: S) {
        let mut idle = self.idle.lock();
        if idle.len() < self.max_idle {
            idle.push(scratch);
        }
    }
}

/// Scratch memories that a thread has for a while.
#[derive(Debug)]
pub(crate) struct Lent<'a, S: Default> {
    pool: &'a ScratchPool<S>,
    pub(crate) scratches: Vec<S>,
}

impl<S: Default> Drop for Lent<'_, S> {
    fn drop(&mut self) {
        self.scratches.drain(..).for_each(|scratch| self.pool.keep(scratch));
    }
}

/// Index over a graph; see the module.
#[derive(Debug)]
pub(crate) struct LivingIndex<G: LiveGraph> {
    pub(crate) spec: IndexSpec,
    state: RwLock<State<G>>,
    /// Held through each mutation; what is in it is for mutations alone.
    pub(crate) upkeep: Mutex<Upkeep>,
    /// Held through each save: two would write to the same temporary file.
    saving: Mutex<()>,
    scratches: ScratchPool<G::Scratch>,
    /// At work under `upkeep` alone.
    team: Team,
}

impl<G: LiveGraph> LivingIndex<G> {
    pub(crate) fn new(spec: &IndexSpec) -> Result<Self> {
        Ok(Self::with_state(spec, State::new(G::new_store(spec)?)))
    }

    /// An index with the state that a snapshot kept.
    pub(crate) fn with_state(spec: &IndexSpec, state: State<G>) -> Self {
        let tombstones =
            (0..state.rows.n_rows() as u32).filter(|&row| state.status(row) == Status::TOMBSTONE).collect();
        Self {
            spec: *spec,
            state: RwLock::new(state),
            upkeep: Mutex::new(Upkeep::with_tombstones(tombstones)),
            saving: Mutex::new(()),
            scratches: ScratchPool::new(MAX_IDLE_SCRATCH.saturating_mul(spec.n_threads)),
            team: Team::of(spec.n_threads),
        }
    }

    pub(crate) fn read(&self) -> Result<RwLockReadGuard<'_, State<G>>> {
        self.state.read().map_err(|_| Error::Poisoned)
    }

    pub(crate) fn write(&self) -> Result<RwLockWriteGuard<'_, State<G>>> {
        self.state.write().map_err(|_| Error::Poisoned)
    }
}

fn encode_all<'a, S: LiveStore>(store: &S, dim: usize, vectors: &'a [f32]) -> Vec<S::Encoded<'a>> {
    vectors.chunks_exact(dim).map(|vector| store.encode(vector)).collect()
}

impl<G: LiveGraph> VectorIndex for LivingIndex<G> {
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
        G::params(&self.spec)
    }

    fn add(&self, ids: &[u64], vectors: &[f32]) -> Result<()> {
        check_ids(ids)?;
        let dim = self.spec.dim;
        check_batch(dim, ids.len(), vectors)?;
        let mut upkeep = self.upkeep.lock();
        let _shift = self.team.shift();
        let parts: Vec<(usize, &[f32])> = (0..).step_by(ENCODED_ROWS).zip(vectors.chunks(ENCODED_ROWS * dim)).collect();
        let prepared = self.team.map(&parts, |&(first, part)| prepare_rows(self.spec.metric, dim, first, part));
        let prepared = prepared.into_iter().collect::<Result<Vec<_>>>()?;
        let grown = self.read()?.rows.grown_table(ids.len());
        if let Some(grown) = grown {
            let old = self.write()?.rows.replace_table(grown);
            drop(old);
        }
        if let Some(first) = prepared.first() {
            self.write()?.store.begin(&first[..dim]);
        }
        for (ids, vectors) in ids.chunks(ENCODED_ROWS).zip(prepared) {
            let mut encoded = {
                let state = self.read()?;
                let parts: Vec<&[f32]> = vectors.chunks(PUT_ROWS * dim).collect();
                self.team.map(&parts, |part| encode_all(&state.store, dim, part)).into_iter()
            };
            for ids in ids.chunks(PUT_ROWS) {
                let mut state = self.write()?;
                for (&id, encoded) in ids.iter().zip(encoded.next().into_iter().flatten()) {
                    upkeep.note_mutation(state.put(id, encoded)?);
                }
            }
        }
        if !self.spec.deferred {
            self.settle(&mut upkeep, ids.len())?;
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
        let mut vectors = Vec::with_capacity(ids.len() * self.spec.dim);
        for &id in ids {
            let row = state.rows.row_of(id).ok_or(Error::UnknownId { id })?;
            state.store.read(row, &mut vectors);
        }
        state.check()?;
        Ok(vectors)
    }

    fn search_batch(&self, queries: &[f32], k: usize, options: SearchOptions<'_>) -> Result<Vec<Vec<Hit>>> {
        let dim = self.spec.dim;
        check_search(dim, queries, k, options.ef_search)?;
        let ef = options.ef_search.unwrap_or(G::ef_search(&self.spec));
        let queries = queries
            .chunks_exact(dim)
            .enumerate()
            .map(|(position, query)| prepare_vector(self.spec.metric, dim, query, position))
            .collect::<Result<Vec<_>>>()?;
        let n_together = G::N_TOGETHER.min(queries.len());
        let mut scratches: Vec<G::Scratch> = (0..n_together).map(|_| self.scratches.take()).collect();
        let mut found = Vec::with_capacity(queries.len());
        for queries in queries.chunks(n_together.max(1)) {
            // Few queries have a lock together, so that a long batch does not hold up a mutation.
            let state = self.read()?;
            let filter = options
                .allowed
                .map(|allowed| allowed.rows(state.generation, state.rows.n_rows(), |ids| state.rows_of(ids)));
            found.extend(G::search(&state, queries, k, ef, filter.as_deref(), &mut scratches));
            state.check()?;
        }
        for scratch in scratches {
            self.scratches.keep(scratch);
        }
        Ok(found)
    }

    fn maintain(&self, max_rows: usize) -> Result<usize> {
        let mut upkeep = self.upkeep.lock();
        let _shift = self.team.shift();
        self.work(&mut upkeep, max_rows)
    }

    fn n_unreachable(&self) -> Result<usize> {
        let state = self.read()?;
        let Some(graph) = &state.graph else { return Ok(0) };
        let mut sweep = Sweep::start(&state, graph);
        sweep.advance(graph, usize::MAX);
        Ok(sweep.lost(&state).len())
    }

    fn stats(&self) -> Result<Stats> {
        let state = self.read()?;
        let scratch_bytes: usize = self.scratches.idle.lock().iter().map(G::scratch_bytes).sum();
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
        let file = G::save(self, path, sequence)?;
        file.publish()
    }
}
