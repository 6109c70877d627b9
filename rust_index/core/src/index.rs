//! The contract that every index meets.

use std::path::Path;

use crate::error::{Error, Result};
use crate::filter::IdSet;
use crate::metric::Metric;
use crate::rows::RESERVED_ID;
use crate::spec::{MAX_EF, MAX_K};

/// One result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Id that the caller gave the vector.
    pub id: u64,
    /// Exact distance by the metric of the index; smaller is closer.
    pub distance: f32,
}

/// What a search may be told beside the query.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchOptions<'a> {
    /// Size of the candidate pool of a graph walk; the index's own when absent. Exact kinds ignore it.
    pub ef_search: Option<usize>,
    /// Ids that may be returned; all when absent. Unknown ids are ignored.
    pub allowed: Option<&'a IdSet>,
}

/// Sizes of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live vectors.
    pub n_live: usize,
    /// Live vectors that the graph does not hold yet (or again): they are scanned.
    pub n_unlinked: usize,
    /// Deleted vectors that the graph still walks through.
    pub n_tombstones: usize,
    /// Rows in use or free for use.
    pub n_rows: usize,
    /// Bytes allocated.
    pub memory_bytes: usize,
}

/// A set of vectors with ids, to be searched by nearness.
///
/// All methods take `&self` and may be called from any thread. Searches run beside everything; mutations wait for each
/// other. A vector is found by each search that begins after its `add` returned, and never after its `remove` returned.
pub trait VectorIndex: Send + Sync + std::fmt::Debug {
    /// Number of components of each vector.
    fn dim(&self) -> usize;

    /// Metric of all distances.
    fn metric(&self) -> Metric;

    /// Name of the kind, see [`crate::Kind`].
    fn kind(&self) -> &'static str;

    /// Parameters by name.
    fn params(&self) -> Vec<(&'static str, u64)>;

    /// Adds vectors (`ids.len()` rows of `dim`, row-major), replacing those whose ids are there already. The last of
    /// equal ids in a batch wins. All or nothing.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`], [`Error::DimensionMismatch`], [`Error::NonFiniteVector`], [`Error::ZeroVector`] (cosine),
    /// [`Error::ReservedId`], [`Error::IndexFull`].
    fn add(&self, ids: &[u64], vectors: &[f32]) -> Result<()>;

    /// Removes vectors and tells how many were there.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    fn remove(&self, ids: &[u64]) -> Result<usize>;

    /// Which ids are live.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    fn contains(&self, ids: &[u64]) -> Result<Vec<bool>>;

    /// The stored vectors, row-major: of unit norm for cosine, as they came otherwise.
    ///
    /// # Errors
    /// [`Error::UnknownId`].
    fn vectors(&self, ids: &[u64]) -> Result<Vec<f32>>;

    /// Searches for several queries (row-major); for each the `min(k, passing)` nearest, ordered by (distance, id).
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::DimensionMismatch`], [`Error::NonFiniteVector`], [`Error::ZeroVector`].
    fn search_batch(&self, queries: &[f32], k: usize, options: SearchOptions<'_>) -> Result<Vec<Vec<Hit>>>;

    /// Searches for one query; see [`VectorIndex::search_batch`].
    ///
    /// # Errors
    /// As [`VectorIndex::search_batch`].
    fn search(&self, query: &[f32], k: usize, options: SearchOptions<'_>) -> Result<Vec<Hit>> {
        if query.len() != self.dim() {
            return Err(Error::DimensionMismatch { expected: self.dim(), received: query.len() });
        }
        Ok(self.search_batch(query, k, options)?.pop().unwrap_or_default())
    }

    /// Does up to about `max_rows` rows of deferred work and returns an estimate of what remains; 0 means nothing.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    fn maintain(&self, max_rows: usize) -> Result<usize>;

    /// Live vectors that neither a walk can reach nor a scan looks at: always none when `maintain` has nothing to do.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    fn n_unreachable(&self) -> Result<usize> {
        Ok(0)
    }

    /// Sizes.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    fn stats(&self) -> Result<Stats>;

    /// Writes a snapshot and replaces `path` by it at once. The caller's `sequence` comes back on opening.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`].
    fn save(&self, path: &Path, sequence: u64) -> Result<()>;
}

/// Refuses ids that cannot be stored.
pub(crate) fn check_ids(ids: &[u64]) -> Result<()> {
    if ids.contains(&RESERVED_ID) {
        return Err(Error::ReservedId { id: RESERVED_ID });
    }
    Ok(())
}

/// Refuses a parameter outside its range.
pub(crate) fn check_range(name: &'static str, value: usize, minimum: usize, maximum: usize) -> Result<()> {
    if (minimum..=maximum).contains(&value) {
        return Ok(());
    }
    Err(Error::InvalidParameter { name, received: value as u64, minimum: minimum as u64, maximum: maximum as u64 })
}

/// Refuses a search that no index can do.
pub(crate) fn check_search(dim: usize, queries: &[f32], k: usize, ef_search: Option<usize>) -> Result<()> {
    check_range("k", k, 1, MAX_K)?;
    if let Some(ef_search) = ef_search {
        check_range("ef_search", ef_search, 1, MAX_EF)?;
    }
    if !queries.len().is_multiple_of(dim) {
        return Err(Error::DimensionMismatch { expected: dim, received: queries.len() % dim });
    }
    Ok(())
}
