//! The vectors of an index, exact and as codes, and the distances that a walk takes of them.
//!
//! Two spaces order the same rows: [`ExactSpace`] by the metric itself, [`CodeSpace`] by its estimate from codes.
//! Results always leave with exact distances.

use crate::candidates::Candidate;
use crate::codes::{Code, CodeRef, Codes};
use crate::error::{Error, Result};
use crate::index::Hit;
use crate::kernels::{Kernels, prefetch};
use crate::living::LiveStore;
use crate::metric::Metric;
use crate::rows::Rows;
use crate::vectors::Arena;

/// Below this dimension codes are too coarse to order neighbours, and exact vectors are small anyway.
const MIN_CODED_DIM: usize = 32;

/// Distances over rows, and to one target that is a row or a query.
pub(crate) trait Space<'a>: Copy {
    /// What distances are taken to.
    type Target: Copy;
    /// A stored row as a target.
    fn target(self, row: u32) -> Self::Target;
    /// Distance of a row to the target.
    fn distance(self, target: Self::Target, row: u32) -> f32;
    /// Asks for what `distance` will read.
    fn prefetch(self, row: u32);
}

/// Estimated distances, from codes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeSpace<'a> {
    codes: &'a Codes,
    metric: Metric,
    kernels: &'a Kernels,
}

impl<'a> Space<'a> for CodeSpace<'a> {
    type Target = CodeRef<'a>;

    #[inline]
    fn target(self, row: u32) -> CodeRef<'a> {
        self.codes.get(row)
    }

    #[inline]
    fn distance(self, target: CodeRef<'a>, row: u32) -> f32 {
        self.metric.of_inner_product(target.inner_product(self.kernels, self.codes.get(row)))
    }

    #[inline]
    fn prefetch(self, row: u32) {
        self.codes.prefetch(row);
    }
}

/// Exact distances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExactSpace<'a> {
    vectors: &'a Arena<f32>,
    metric: Metric,
    kernels: &'a Kernels,
}

impl<'a> Space<'a> for ExactSpace<'a> {
    type Target = &'a [f32];

    #[inline]
    fn target(self, row: u32) -> &'a [f32] {
        self.vectors.row(row)
    }

    #[inline]
    fn distance(self, target: &'a [f32], row: u32) -> f32 {
        self.metric.distance(self.kernels, target, self.vectors.row(row))
    }

    #[inline]
    fn prefetch(self, row: u32) {
        prefetch(self.vectors.row(row));
    }
}

/// A checked query in every form that a search needs.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    vector: &'a [f32],
    code: Option<Code>,
}

/// Runs `$body` with `$space` bound to the space that the store walks in and `$target` to the query's form in it.
macro_rules! with_space {
    ($store:expr, $query:expr, |$space:ident, $target:ident| $body:expr) => {
        match ($store.code_space(), $query.code()) {
            (Some($space), Some($target)) => $body,
            _ => {
                let $space = $store.exact_space();
                let $target = $query.vector();
                $body
            }
        }
    };
}
/// Runs `$body` with `$space` bound to the space that the store walks in.
macro_rules! in_space {
    ($store:expr, |$space:ident| $body:expr) => {
        match $store.code_space() {
            Some($space) => $body,
            None => {
                let $space = $store.exact_space();
                $body
            }
        }
    };
}
pub(crate) use {in_space, with_space};

impl<'a> Query<'a> {
    pub(crate) fn vector(&self) -> &'a [f32] {
        self.vector
    }

    pub(crate) fn code(&self) -> Option<CodeRef<'_>> {
        self.code.as_ref().map(Code::as_ref)
    }
}

/// Whether vectors are coded: where the distance follows from the inner product and codes are fine enough. Squared
/// Euclidean distances are differences of large numbers when the data is off centre, and codes would drown them.
fn is_coded(metric: Metric, dim: usize) -> bool {
    metric.is_inner_product() && dim >= MIN_CODED_DIM
}

/// Checks a batch of row-major vectors and prepares them for the metric.
pub(crate) fn prepare_batch(metric: Metric, dim: usize, n_ids: usize, vectors: &[f32]) -> Result<Vec<f32>> {
    check_batch(dim, n_ids, vectors)?;
    prepare_rows(metric, dim, 0, vectors)
}

/// Checks that there is a vector for each id.
pub(crate) fn check_batch(dim: usize, n_ids: usize, vectors: &[f32]) -> Result<()> {
    if vectors.len() != n_ids * dim {
        return Err(if vectors.len().is_multiple_of(dim) {
            Error::LengthMismatch { n_ids, n_vectors: vectors.len() / dim }
        } else {
            Error::DimensionMismatch { expected: dim, received: vectors.len() / n_ids.max(1) }
        });
    }
    Ok(())
}

/// Vectors of a batch, from a position in it on, in the form that the metric needs.
pub(crate) fn prepare_rows(metric: Metric, dim: usize, position: usize, vectors: &[f32]) -> Result<Vec<f32>> {
    let mut prepared = vectors.to_vec();
    for (position, vector) in (position..).zip(prepared.chunks_exact_mut(dim)) {
        metric.prepare(vector, position)?;
    }
    Ok(prepared)
}

/// The vectors of all rows.
#[derive(Debug)]
pub(crate) struct Store {
    metric: Metric,
    kernels: Kernels,
    vectors: Arena<f32>,
    codes: Option<Codes>,
}

impl Store {
    pub(crate) fn new(dim: usize, metric: Metric, kernels: Kernels) -> Self {
        Self { metric, kernels, vectors: Arena::new(dim), codes: is_coded(metric, dim).then(|| Codes::new(dim)) }
    }

    /// A store without codes, for exact search.
    pub(crate) fn exact(dim: usize, metric: Metric, kernels: Kernels) -> Self {
        Self { metric, kernels, vectors: Arena::new(dim), codes: None }
    }

    /// A prepared vector as a query.
    pub(crate) fn query<'a>(&self, vector: &'a [f32]) -> Query<'a> {
        Query { vector, code: self.codes.is_some().then(|| Code::of(vector)) }
    }

    #[inline]
    pub(crate) fn vector(&self, row: u32) -> &[f32] {
        self.vectors.row(row)
    }

    /// The vectors of some ids, row-major.
    pub(crate) fn gather(&self, rows: &Rows, ids: &[u64]) -> Result<Vec<f32>> {
        let mut gathered = Vec::with_capacity(ids.len() * self.vectors.stride());
        for &id in ids {
            self.read(rows.row_of(id).ok_or(Error::UnknownId { id })?, &mut gathered);
        }
        Ok(gathered)
    }

    pub(crate) fn code_space(&self) -> Option<CodeSpace<'_>> {
        self.codes.as_ref().map(|codes| CodeSpace { codes, metric: self.metric, kernels: &self.kernels })
    }

    pub(crate) fn exact_space(&self) -> ExactSpace<'_> {
        ExactSpace { vectors: &self.vectors, metric: self.metric, kernels: &self.kernels }
    }

    /// The `k` nearest of some rows, exactly, as hits ordered by (distance, id).
    pub(crate) fn rank(&self, query: &Query<'_>, rows: impl Iterator<Item = u32>, ids: &Rows, k: usize) -> Vec<Hit> {
        let space = self.exact_space();
        let mut hits: Vec<Hit> =
            rows.map(|row| Hit { id: ids.id_of(row), distance: space.distance(query.vector(), row) }).collect();
        let order = |a: &Hit, b: &Hit| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id));
        if k < hits.len() {
            hits.select_nth_unstable_by(k, order);
            hits.truncate(k);
        }
        hits.sort_unstable_by(order);
        hits
    }

    /// Offers rows with their distances in the walking space.
    pub(crate) fn scan(
        &self,
        query: &Query<'_>,
        rows: impl Iterator<Item = u32>,
        best: &mut crate::candidates::Nearest,
    ) {
        with_space!(self, query, |space, target| {
            for row in rows {
                best.offer(Candidate::new(space.distance(target, row), row));
            }
        });
    }
}

impl LiveStore for Store {
    type Encoded<'a> = &'a [f32];

    fn empty_like(&self) -> Self {
        Self::new(self.vectors.stride(), self.metric, self.kernels)
    }

    fn ensure(&mut self, n_rows: usize) {
        self.vectors.ensure(n_rows);
        if let Some(codes) = &mut self.codes {
            codes.ensure(n_rows);
        }
    }

    fn encode<'a>(&self, vector: &'a [f32]) -> &'a [f32] {
        vector
    }

    fn set(&mut self, row: u32, vector: &[f32]) {
        self.vectors.row_mut(row).copy_from_slice(vector);
        if let Some(codes) = &mut self.codes {
            codes.set(row, vector);
        }
    }

    fn copy(&mut self, row: u32, from: &Self, from_row: u32) {
        self.set(row, from.vector(from_row));
    }

    fn holds(&self, row: u32, vector: &&[f32]) -> bool {
        self.vector(row) == *vector
    }

    fn read(&self, row: u32, vectors: &mut Vec<f32>) {
        vectors.extend_from_slice(self.vector(row));
    }

    fn memory_bytes(&self) -> usize {
        self.vectors.memory_bytes() + self.codes.as_ref().map_or(0, Codes::memory_bytes)
    }
}

/// Checks a vector and prepares it for the metric.
pub(crate) fn prepare_vector(metric: Metric, dim: usize, vector: &[f32], position: usize) -> Result<Vec<f32>> {
    if vector.len() != dim {
        return Err(Error::DimensionMismatch { expected: dim, received: vector.len() });
    }
    let mut prepared = vector.to_vec();
    metric.prepare(&mut prepared, position)?;
    Ok(prepared)
}
