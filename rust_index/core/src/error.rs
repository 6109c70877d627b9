//! Everything that can go wrong, as data. This module knows no language binding and no transport.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. Each variant is something else that the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A vector or query has another dimension than the index.
    #[error("the vector has {received} components, the index has {expected}")]
    DimensionMismatch {
        /// Dimension of the index.
        expected: usize,
        /// Dimension that came.
        received: usize,
    },
    /// The number of ids and the number of vectors differ.
    #[error("{n_ids} ids came with {n_vectors} vectors")]
    LengthMismatch {
        /// How many ids came.
        n_ids: usize,
        /// How many vectors came.
        n_vectors: usize,
    },
    /// A component is NaN or infinite.
    #[error("vector {position} of the batch has a component that is not finite")]
    NonFiniteVector {
        /// Position of the vector in the batch.
        position: usize,
    },
    /// The vector has no direction, which the cosine metric needs.
    #[error("vector {position} of the batch is all zero, which has no cosine")]
    ZeroVector {
        /// Position of the vector in the batch.
        position: usize,
    },
    /// A parameter is out of its range.
    #[error("{name} is {received}, outside {minimum}..={maximum}")]
    InvalidParameter {
        /// Name of the parameter.
        name: &'static str,
        /// Value that came.
        received: u64,
        /// Least allowed value.
        minimum: u64,
        /// Greatest allowed value.
        maximum: u64,
    },
    /// A name stands for no metric, kind or SIMD level.
    #[error("unknown {what}: {received:?}")]
    UnknownName {
        /// What the name should be of: `metric`, `kind`, `simd`.
        what: &'static str,
        /// Name that came.
        received: String,
    },
    /// The processor lacks the SIMD level that was asked for.
    #[error("this processor does not have the SIMD level {level}")]
    UnsupportedSimd {
        /// Level that was asked for.
        level: &'static str,
    },
    /// The id is the one that pads short results.
    #[error("the id {id} is reserved")]
    ReservedId {
        /// The reserved id.
        id: u64,
    },
    /// No live vector has this id.
    #[error("there is no vector with the id {id}")]
    UnknownId {
        /// The missing id.
        id: u64,
    },
    /// The index holds as many rows as it can number.
    #[error("the index is full at {limit} rows")]
    IndexFull {
        /// Most rows an index can have.
        limit: usize,
    },
    /// A thread panicked while it changed the index, which can no longer be trusted.
    #[error("the index was left half changed by a panic and must be rebuilt")]
    Poisoned,
    /// A snapshot is damaged: a checksum or an invariant does not hold.
    #[error("snapshot {path} is damaged in its {block} block at byte {offset}")]
    SnapshotCorrupt {
        /// The file.
        path: PathBuf,
        /// Name of the block.
        block: &'static str,
        /// Where the block starts.
        offset: u64,
    },
    /// A snapshot has a format version that this build does not read.
    #[error("snapshot {path} has format version {found}, this build reads up to {supported}")]
    SnapshotVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Newest version that this build reads.
        supported: u32,
    },
    /// A snapshot of a lexical index was made by another analysis of texts: build the index anew.
    #[error("snapshot {path} has terms of analysis {found}, this build has analysis {expected}")]
    SnapshotAnalysis {
        /// The file.
        path: PathBuf,
        /// Version of the analysis in the file.
        found: u32,
        /// Version of the analysis of this build.
        expected: u32,
    },
    /// The operating system refused to read or write a snapshot.
    #[error("snapshot {path}: {source}")]
    SnapshotIo {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
