//! Product quantisation: each sub-vector of each row is coded by the nearest of sixteen trained centroids, a search scans the
//! codes of all rows by tables of the query, and looks closer at the best. docs/vector-index.md has the measurements behind it.
//!
//! Vectors are stored as those of `qg` are. The codes stand where a living index has a graph: a row that has one is linked,
//! and is reached by every scan. Codebooks are trained when the first rows are to be coded, and again when there are many
//! times as many rows, beside the old ones, which serve until all rows are coded anew.
//!
//! Sources: Jegou, Douze and Schmid, "Product quantization for nearest neighbor search" (2011); Andre, Kermarrec and Le
//! Scouarnec (2015), for the scan.

mod codes;
mod search;
mod train;

use std::path::Path;

use crate::error::Result;
use crate::filter::RowFilter;
use crate::index::Hit;
use crate::living::{LiveGraph, LivingIndex, ScratchPool, State};
use crate::parallel::Team;
use crate::qg::save;
use crate::qg::store::QuantizedStore;
use crate::qg::walk::Scratch;
use crate::rows::Status;
use crate::snapshot::Unpublished;
use crate::snapshot::sections::Sections;
use crate::spec::IndexSpec;

use codes::{CodePlan, ProductCodes};

/// Index over product codes.
pub(crate) type ProductIndex = LivingIndex<ProductCodes>;

/// Rows that are coded in one step.
const ROWS_PER_STEP: usize = 256;
/// Queries that go over the codes together, each block of which is then read from memory once.
const N_TOGETHER: usize = 4;

impl LiveGraph for ProductCodes {
    type Store = QuantizedStore;
    type Scratch = Scratch;
    type LinkPlan = CodePlan;
    /// Removing a row leaves the codes of the others as they are.
    type RepairPlan = ();
    const N_TOGETHER: usize = N_TOGETHER;

    fn new_store(spec: &IndexSpec) -> Result<QuantizedStore> {
        spec.pq.check()?;
        QuantizedStore::new(spec)
    }

    fn new(_spec: &IndexSpec) -> Self {
        Self::default()
    }

    fn scan_threshold(spec: &IndexSpec) -> usize {
        spec.pq.scan_threshold
    }

    fn ef_search(spec: &IndexSpec) -> usize {
        spec.pq.ef_search
    }

    fn params(spec: &IndexSpec) -> Vec<(&'static str, u64)> {
        let pq = &spec.pq;
        vec![
            ("subvector_dim", pq.subvector_dim as u64),
            ("ef_search", pq.ef_search as u64),
            ("scan_threshold", pq.scan_threshold as u64),
            ("seed", pq.seed),
        ]
    }

    fn n_nodes(&self) -> usize {
        self.n_coded()
    }

    fn links(&self, _row: u32) -> &[u32] {
        &[]
    }

    fn starts(&self) -> Vec<u32> {
        (0..self.n_places() as u32).collect()
    }

    fn batch_size(&self, _spec: &IndexSpec) -> usize {
        ROWS_PER_STEP
    }

    fn plan_links(
        state: &State<Self>,
        graph: &Self,
        rows: &[u32],
        spec: &IndexSpec,
        _scratches: &ScratchPool<Scratch>,
        _team: &Team,
    ) -> CodePlan {
        graph.plan(state, rows, spec)
    }

    fn apply_links(state: &mut State<Self>, plan: &CodePlan, _team: &Team) {
        codes::apply(state, plan);
    }

    fn is_outgrown(&self, n_live: usize) -> bool {
        self.is_outgrown(n_live)
    }

    fn plan_renewal(state: &State<Self>, graph: &Self, spec: &IndexSpec) -> Option<CodePlan> {
        Some(graph.plan_renewal(state, spec))
    }

    fn plan_repair(_state: &State<Self>, _graph: &Self, _row: u32) -> Option<()> {
        None
    }

    fn apply_repair(&mut self, _plan: &()) -> Option<u32> {
        None
    }

    fn forget(&mut self, rows: &[u32], _status: &dyn Fn(u32) -> Status, _n_rows: usize) {
        self.forget(rows.len());
    }

    fn search(
        state: &State<Self>,
        vectors: &[Vec<f32>],
        k: usize,
        ef: usize,
        filter: Option<&RowFilter>,
        scratches: &mut [Scratch],
    ) -> Vec<Vec<Hit>> {
        search::search(state, vectors, k, ef, filter, scratches)
    }

    fn scratch_bytes(scratch: &Scratch) -> usize {
        scratch.memory_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }

    fn check_next(&self) -> bool {
        self.check_next()
    }

    fn save(index: &ProductIndex, path: &Path, sequence: u64) -> Result<Unpublished> {
        save::save(index, path, sequence)
    }
}

/// The index that a snapshot holds.
pub(crate) fn restore(spec: &IndexSpec, sections: &mut Sections, path: &Path) -> Result<ProductIndex> {
    save::restore(spec, sections, path)
}
