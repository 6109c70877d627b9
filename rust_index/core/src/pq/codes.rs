//! The codes of all rows by trained codebooks, and their renewal when these have become old.

use std::sync::Arc;

use crate::error::Result;
use crate::kernels::{BLOCK, N_POINTS};
use crate::living::State;
use crate::qg::block::{Neighbour, Neighbours};
use crate::qg::coding::{Coding, PointSets, n_groups};
use crate::qg::save::SavedGraph;
use crate::qg::scan::ScanCodes;
use crate::qg::store::{Measure, QuantizedStore};
use crate::rows::Status;
use crate::snapshot::sections::{Section, Sections, Tag};
use crate::spec::IndexSpec;

use super::ROWS_PER_STEP;
use super::train::{Trained, train};

/// Codebooks are trained anew when there are so many times the rows.
const GROWTH: usize = 16;

/// Codes by codebooks that were trained when there were so many rows.
#[derive(Debug)]
struct Generation {
    codes: ScanCodes,
    points: Arc<PointSets>,
    n_trained: usize,
}

impl Generation {
    fn new(store: &QuantizedStore, trained: &Trained) -> Self {
        let coding = Coding::Points(Arc::clone(&trained.points));
        Self {
            codes: ScanCodes::around(&store.kernels, coding, &trained.origin),
            points: Arc::clone(&trained.points),
            n_trained: trained.n_rows,
        }
    }
}

/// The codes of all linked rows.
#[derive(Debug, Default)]
pub(crate) struct ProductCodes {
    /// Absent until the first rows are coded.
    current: Option<Generation>,
    /// What takes its place when all rows are coded by it; those before this one are.
    next: Option<(Generation, u32)>,
    n_coded: usize,
    n_places: usize,
}

/// A step of coding or of a renewal.
#[derive(Debug, Default)]
pub(crate) struct CodePlan {
    /// Codebooks that are put in use with this, or as the next ones where there are some.
    trained: Option<Trained>,
    /// Codes by the current codebooks, of rows that are linked with this.
    current: Neighbours,
    /// Codes by the next ones.
    next: Neighbours,
    /// The row from which on the renewal goes on.
    reached: Option<u32>,
}

/// Trains codebooks on the live rows.
fn train_on_live(state: &State<ProductCodes>, spec: &IndexSpec) -> Option<Trained> {
    let live: Vec<u32> = (0..state.rows.n_rows() as u32).filter(|&row| state.status(row).is_live()).collect();
    (!live.is_empty()).then(|| train(&state.store, &live, spec.pq.subvector_dim, spec.pq.seed))
}

impl ProductCodes {
    /// What a search scans.
    pub(super) fn codes(&self) -> Option<&ScanCodes> {
        self.current.as_ref().map(|current| &current.codes)
    }

    pub(super) fn n_coded(&self) -> usize {
        self.n_coded
    }

    /// All rows with codes are below this.
    pub(super) fn n_places(&self) -> usize {
        self.n_places
    }

    pub(super) fn forget(&mut self, n_rows: usize) {
        self.n_coded -= n_rows;
    }

    /// Whether a renewal is due or under way.
    pub(super) fn is_outgrown(&self, n_live: usize) -> bool {
        let is_old = |current: &Generation| n_live >= GROWTH.saturating_mul(current.n_trained);
        self.next.is_some() || self.current.as_ref().is_some_and(is_old)
    }

    /// Plans the codes of rows that have none, and codebooks where there are none.
    pub(super) fn plan(&self, state: &State<Self>, rows: &[u32], spec: &IndexSpec) -> CodePlan {
        let rows = || rows.iter().copied();
        let mut plan = CodePlan::default();
        if let Some(current) = &self.current {
            plan.current = current.codes.code(&state.store, rows());
        } else if let Some(trained) = train_on_live(state, spec) {
            plan.current = Generation::new(&state.store, &trained).codes.code(&state.store, rows());
            plan.trained = Some(trained);
        }
        if let Some((next, _)) = &self.next {
            plan.next = next.codes.code(&state.store, rows());
        }
        plan
    }

    /// Plans the next step of a renewal.
    pub(super) fn plan_renewal(&self, state: &State<Self>, spec: &IndexSpec) -> CodePlan {
        let Some((next, start)) = &self.next else {
            return CodePlan { trained: train_on_live(state, spec), ..CodePlan::default() };
        };
        let end = start.saturating_add(ROWS_PER_STEP as u32).min(state.rows.n_rows() as u32);
        let rows = (*start..end).filter(|&row| state.status(row).is_in_graph());
        CodePlan { next: next.codes.code(&state.store, rows), reached: Some(end), ..CodePlan::default() }
    }

    pub(super) fn check_next(&self) -> bool {
        self.codes().is_some_and(|codes| codes.blocks().check_next())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let generations = self.current.iter().chain(self.next.as_ref().map(|(next, _)| next));
        generations.map(|generation| generation.codes.memory_bytes() + generation.points.memory_bytes()).sum()
    }
}

/// Carries out a plan and settles the rows that it codes first.
pub(super) fn apply(state: &mut State<ProductCodes>, plan: &CodePlan) {
    let State { graph: Some(graph), store, rows, .. } = state else { return };
    if let Some(trained) = &plan.trained {
        let generation = Generation::new(store, trained);
        match graph.current {
            None => graph.current = Some(generation),
            Some(_) => graph.next = Some((generation, 0)),
        }
    }
    let Some(current) = &mut graph.current else { return };
    current.codes.place(&plan.current);
    if let Some((next, start)) = &mut graph.next {
        next.codes.place(&plan.next);
        *start = plan.reached.unwrap_or(*start);
    }
    if plan.reached == Some(rows.n_rows() as u32) {
        graph.current = graph.next.take().map(|(next, _)| next);
    }
    graph.n_coded += plan.current.len();
    graph.n_places = rows.n_rows();
    for Neighbour { row, .. } in plan.current.iter() {
        state.settle(row);
    }
}

/// What a snapshot tells of the training.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Training {
    n_trained: u64,
    /// Of the origin.
    measure: Measure,
}

impl SavedGraph for ProductCodes {
    /// No renewal comes to its end while a snapshot is written: what is not of a row stays.
    type Fixed = ();

    fn sections(&self, n_rows: usize) -> Vec<Section> {
        let Some(Generation { codes, points, .. }) = &self.current else { return Vec::new() };
        let n_blocks = n_rows.div_ceil(BLOCK).min(codes.blocks().n_rows());
        vec![
            Section { tag: Tag::Blocks, row_len: codes.blocks().stride(), n_rows: n_blocks },
            Section { tag: Tag::Codebooks, row_len: size_of::<[f32; N_POINTS]>(), n_rows: points.values().len() },
            Section { tag: Tag::Origin, row_len: 1, n_rows: codes.centre().0.len() },
            Section { tag: Tag::Training, row_len: size_of::<Training>(), n_rows: 1 },
        ]
    }

    fn fixed(&self) {}

    fn keep_before(&mut self) {
        if let Some(current) = &mut self.current {
            current.codes.blocks_mut().keep_before();
        }
    }

    fn forget_before(&mut self) {
        if let Some(current) = &mut self.current {
            current.codes.blocks_mut().forget_before();
        }
    }

    fn append(graph: Option<&Self>, (): &(), tag: Tag, row: usize, out: &mut Vec<u8>) {
        let Some(Generation { codes, points, n_trained }) = graph.and_then(|graph| graph.current.as_ref()) else {
            return;
        };
        match tag {
            Tag::Codebooks => out.extend_from_slice(bytemuck::bytes_of(&points.values()[row])),
            Tag::Origin => out.push(codes.centre().0[row] as u8),
            Tag::Training => {
                let training = Training { n_trained: *n_trained as u64, measure: codes.centre().1 };
                out.extend_from_slice(bytemuck::bytes_of(&training));
            }
            _ => out.extend_from_slice(codes.blocks().row_before(row as u32)),
        }
    }

    fn restore(
        store: &QuantizedStore,
        spec: &IndexSpec,
        statuses: &[Status],
        from: &mut Sections,
    ) -> Result<Option<Self>> {
        let (padded, dim) = (store.padded(), spec.pq.subvector_dim);
        let values: Vec<[f32; N_POINTS]> = from.take_all(Tag::Codebooks)?;
        let origin: Vec<i8> = from.take_all(Tag::Origin)?;
        let training: Vec<Training> = from.take_all(Tag::Training)?;
        let [Training { n_trained, measure }] = training[..] else { return Ok(None) };
        if values.len() != n_groups(dim, padded) * dim || origin.len() != padded {
            return Ok(None);
        }
        let points = Arc::new(PointSets::new(dim, padded, values));
        let coding = Coding::Points(Arc::clone(&points));
        let n_blocks = from.n_rows_of(Tag::Blocks);
        let last = statuses.iter().rposition(|status| status.is_in_graph()).unwrap_or_default();
        if last / BLOCK >= n_blocks {
            return Ok(None);
        }
        let blocks = from.take(Tag::Blocks, ScanCodes::block_len(&coding, padded), n_blocks)?;
        let codes = ScanCodes::restored(coding, origin, measure, blocks);
        let n_trained = usize::try_from(n_trained).unwrap_or(usize::MAX).max(1);
        Ok(Some(Self {
            current: Some(Generation { codes, points, n_trained }),
            next: None,
            n_coded: statuses.iter().filter(|status| status.is_in_graph()).count(),
            n_places: statuses.len(),
        }))
    }
}
