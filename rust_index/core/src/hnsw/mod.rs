//! Hierarchical navigable small world graph over codes.
//!
//! Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small
//! world graphs" (2018). What differs: the graph is built and walked on eight-bit codes; the best candidates are ranked
//! with exact distances.

mod graph;
mod link;
mod repair;
mod search;
mod select_neighbors;
mod walk;

use std::path::Path;

use crate::error::Result;
use crate::filter::RowFilter;
use crate::index::Hit;
use crate::living::{LiveGraph, LiveStore, LivingIndex, ScratchPool};
use crate::parallel::Team;
use crate::rows::{Rows, Status};
use crate::snapshot::rows::Content;
use crate::snapshot::{self, Unpublished};
use crate::spec::IndexSpec;
use crate::store::Store;
use crate::vectors::Arena;

use graph::Graph;
use link::LinkPlan;
use repair::RepairPlan;
use walk::Scratch;

/// HNSW index.
pub(crate) type HnswIndex = LivingIndex<Graph>;

type State = crate::living::State<Graph>;

impl LiveGraph for Graph {
    type Store = Store;
    type Scratch = Scratch;
    type LinkPlan = LinkPlan;
    type RepairPlan = RepairPlan;
    const N_TOGETHER: usize = 1;

    fn new_store(spec: &IndexSpec) -> Result<Store> {
        spec.hnsw.check()?;
        Ok(Store::new(spec.dim, spec.metric, spec.kernels()?))
    }

    fn new(spec: &IndexSpec) -> Self {
        Self::with_m(spec.hnsw.m)
    }

    fn scan_threshold(spec: &IndexSpec) -> usize {
        spec.hnsw.scan_threshold
    }

    fn ef_search(spec: &IndexSpec) -> usize {
        spec.hnsw.ef_search
    }

    fn params(spec: &IndexSpec) -> Vec<(&'static str, u64)> {
        let hnsw = &spec.hnsw;
        vec![
            ("m", hnsw.m as u64),
            ("ef_construction", hnsw.ef_construction as u64),
            ("ef_search", hnsw.ef_search as u64),
            ("scan_threshold", hnsw.scan_threshold as u64),
            ("seed", hnsw.seed),
        ]
    }

    fn n_nodes(&self) -> usize {
        self.n_nodes()
    }

    fn links(&self, row: u32) -> &[u32] {
        self.base_links(row)
    }

    fn starts(&self) -> Vec<u32> {
        self.entry().map(|entry| entry.row).into_iter().collect()
    }

    fn batch_size(&self, _spec: &IndexSpec) -> usize {
        1
    }

    fn plan_links(
        state: &State,
        graph: &Self,
        rows: &[u32],
        spec: &IndexSpec,
        scratches: &ScratchPool<Scratch>,
        _team: &Team,
    ) -> LinkPlan {
        let mut scratch = scratches.take();
        let plan = link::plan_links(state, graph, rows, spec.hnsw.seed, spec.hnsw.ef_construction, &mut scratch);
        scratches.keep(scratch);
        plan
    }

    fn apply_links(state: &mut State, plan: &LinkPlan, _team: &Team) {
        link::apply_links(state, plan);
    }

    fn plan_repair(state: &State, graph: &Self, row: u32) -> Option<RepairPlan> {
        repair::plan_repair(state, graph, row)
    }

    fn apply_repair(&mut self, plan: &RepairPlan) -> Option<u32> {
        let mut is_worn = false;
        for list in &plan.lists {
            is_worn |= list.level == 0 && self.wear(plan.row, list.n_dead);
            self.set_links(plan.row, list.level, &list.links);
        }
        is_worn.then_some(plan.row)
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
        let searches = vectors.iter().zip(scratches);
        searches.map(|(vector, scratch)| search::search(state, vector, k, ef, filter, scratch)).collect()
    }

    fn scratch_bytes(scratch: &Scratch) -> usize {
        scratch.memory_bytes()
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes()
    }

    fn save(index: &HnswIndex, path: &Path, sequence: u64) -> Result<Unpublished> {
        // With mutations held back no exclusive lock waits, and so no search does.
        let _upkeep = index.upkeep.lock();
        let state = index.read()?;
        let statuses: Vec<Status> = (0..state.rows.n_rows() as u32).map(|row| state.status(row)).collect();
        let graph = state.graph.as_ref().map(|graph| graph.to_content(&statuses));
        snapshot::rows::write(path, sequence, &index.spec, &state.rows, &state.store, &statuses, graph.as_ref())
    }
}

/// The index that a snapshot holds.
pub(crate) fn restore(spec: &IndexSpec, content: &Content, path: &Path) -> Result<HnswIndex> {
    let has_nodes = content.statuses.iter().any(|status| status.is_in_graph());
    if has_nodes != content.graph.is_some() {
        return Err(snapshot::invalid(path, "status"));
    }
    let rows =
        Rows::restore(Arena::of(&content.ids), &content.statuses).ok_or_else(|| snapshot::invalid(path, "ids"))?;
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
    Ok(HnswIndex::with_state(spec, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{SearchOptions, VectorIndex};
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
            graph: Some(snapshot::rows::GraphContent { entry, words }),
        };
        let path = Path::new("index");
        assert!(restore(&spec, &content(40, words.clone()), path).is_err());
        assert!(restore(&spec, &content(0, words[..words.len() - 1].to_vec()), path).is_err());
        let mut n_accepted = 0;
        for at in 0..words.len() {
            for value in [0, 1, 3, 39, 40, u32::MAX, words[at].wrapping_add(1)] {
                let mut changed = words.clone();
                changed[at] = value;
                if let Ok(opened) = restore(&spec, &content(0, changed), path) {
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
