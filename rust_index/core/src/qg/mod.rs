//! Quantised graph: one layer of nodes that keep the codes of their neighbours, walked by estimates and alive under
//! insertions, updates and deletions. docs/vector-index.md has the measurements behind it.
//!
//! `spiral` is the same graph with another coding of the neighbours, `qg-compact` one whose nodes keep no codes of them.
//!
//! Source: Gou et al., `SymphonyQG` (SIGMOD 2025). What differs: an insertion touches its own block and one slot of each
//! neighbour's; nodes hold eight-bit codes instead of vectors; deletions are repaired in place.

pub(crate) mod block;
pub(crate) mod coding;
mod entries;
mod graph;
mod link;
pub(crate) mod query;
mod repair;
mod rotation;
pub(crate) mod save;
pub(crate) mod scan;
pub(crate) mod search;
mod sketch;
mod spiral;
pub(crate) mod store;
pub(crate) mod walk;
mod wanted;

use std::ops::Range;
use std::path::Path;

use crate::error::Result;
use crate::filter::RowFilter;
use crate::index::Hit;
use crate::kernels::SCAN_DIM;
use crate::living::{LiveGraph, LivingIndex, ScratchPool};
use crate::parallel::Team;
use crate::rows::Status;
use crate::snapshot::Unpublished;
use crate::snapshot::sections::Sections;
use crate::spec::IndexSpec;

use block::Form;
use coding::Coding;
use graph::QuantizedGraph;
use link::LinkPlan;
use repair::RepairPlan;
use store::QuantizedStore;
use walk::Scratch;

/// Index over a quantised graph.
pub(crate) type QuantizedGraphIndex = LivingIndex<QuantizedGraph>;

type State = crate::living::State<QuantizedGraph>;

/// A batch is no more than one part in so many of the graph that it is linked to, so that its rows, which do not see each
/// other, find neighbours.
const NODES_PER_BATCH: usize = 64;
/// Rows in a batch for each of several threads: enough that starting them does not count.
const BATCH_PER_THREAD: usize = 64;
/// Walks that a thread does by turns: what hides the time that memory takes. More would push one another out of the
/// nearest cache.
const N_TOGETHER: usize = 4;

impl LiveGraph for QuantizedGraph {
    type Store = QuantizedStore;
    type Scratch = Scratch;
    type LinkPlan = LinkPlan;
    type RepairPlan = RepairPlan;
    const N_TOGETHER: usize = N_TOGETHER;

    fn new_store(spec: &IndexSpec) -> Result<QuantizedStore> {
        spec.qg.check()?;
        QuantizedStore::new(spec)
    }

    fn new(spec: &IndexSpec) -> Self {
        let padded = spec.dim.next_multiple_of(SCAN_DIM);
        Self::with_code_len(Form::of(spec.kind), Coding::of(spec.kind, padded).code_len(padded))
    }

    fn scan_threshold(spec: &IndexSpec) -> usize {
        spec.qg.scan_threshold
    }

    fn ef_search(spec: &IndexSpec) -> usize {
        spec.qg.ef_search
    }

    fn params(spec: &IndexSpec) -> Vec<(&'static str, u64)> {
        let qg = &spec.qg;
        vec![
            ("ef_construction", qg.ef_construction as u64),
            ("ef_search", qg.ef_search as u64),
            ("scan_threshold", qg.scan_threshold as u64),
            ("seed", qg.seed),
        ]
    }

    fn n_nodes(&self) -> usize {
        self.n_nodes()
    }

    fn links(&self, row: u32) -> &[u32] {
        self.node(row).links
    }

    fn starts(&self) -> Vec<u32> {
        self.entries().rows().to_vec()
    }

    fn batch_size(&self, spec: &IndexSpec) -> usize {
        let most = if spec.n_threads == 1 { N_TOGETHER } else { spec.n_threads * BATCH_PER_THREAD };
        (self.n_nodes() / NODES_PER_BATCH).clamp(1, most)
    }

    fn plan_links(
        state: &State,
        graph: &Self,
        rows: &[u32],
        spec: &IndexSpec,
        scratches: &ScratchPool<Scratch>,
        team: &Team,
    ) -> LinkPlan {
        link::plan_links(state, graph, rows, spec.qg.ef_construction, scratches, team)
    }

    fn apply_links(state: &mut State, plan: &LinkPlan, team: &Team) {
        link::apply_links(state, plan, team);
    }

    fn ensure(&mut self, n_rows: usize) {
        self.ensure(n_rows);
    }

    fn provide(&self, rows: Range<usize>, team: &Team) {
        self.provide(rows, team);
    }

    fn plan_repair(state: &State, graph: &Self, row: u32) -> Option<RepairPlan> {
        repair::plan_repair(state, graph, row)
    }

    fn apply_repair(&mut self, plan: &RepairPlan) -> Option<u32> {
        repair::apply_repair(self, plan)
    }

    fn forget(&mut self, rows: &[u32], status: &dyn Fn(u32) -> Status, n_rows: usize) {
        self.remove(rows, status, n_rows);
    }

    fn search(
        state: &State,
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

    fn save(index: &QuantizedGraphIndex, path: &Path, sequence: u64) -> Result<Unpublished> {
        save::save(index, path, sequence)
    }
}

/// The index that a snapshot holds.
pub(crate) fn restore(spec: &IndexSpec, sections: &mut Sections, path: &Path) -> Result<QuantizedGraphIndex> {
    save::restore(spec, sections, path)
}
