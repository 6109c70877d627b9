//! What an index is made from: kind, dimension, metric, parameters with their defaults and limits.

use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::flat::FlatIndex;
use crate::hnsw::{self, HnswIndex};
use crate::index::{VectorIndex, check_range};
use crate::kernels::{Kernels, SimdLevel};
use crate::metric::Metric;
use crate::pq::{self, ProductIndex};
use crate::qg::{self, QuantizedGraphIndex};
use crate::snapshot::{self, Snapshot};

/// Largest dimension.
pub const MAX_DIM: usize = 65_536;
/// Largest `m`.
pub const MAX_M: usize = 256;
/// Largest `ef_construction` and `ef_search`.
pub const MAX_EF: usize = 65_536;
/// Largest `k` of a search.
pub const MAX_K: usize = 65_536;

/// Largest `subvector_dim`.
pub const MAX_SUBVECTOR_DIM: usize = 16;

/// Most threads that link rows.
pub const MAX_THREADS: usize = 256;

/// Kinds of index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exact search.
    Flat,
    /// Hierarchical navigable small world graph.
    Hnsw,
    /// Quantised graph: nodes keep the codes of their neighbours.
    Qg,
    /// The same with a third of the memory: nodes keep their neighbours' numbers, and a sketch of themselves.
    QgCompact,
    /// Product quantisation: codes of all vectors, scanned and looked at closer.
    Pq,
    /// Quantised graph whose nodes keep directions on a spherical Fibonacci lattice instead of signs.
    Spiral,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Flat, Self::Hnsw, Self::Qg, Self::QgCompact, Self::Pq, Self::Spiral];

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Hnsw => "hnsw",
            Self::Qg => "qg",
            Self::QgCompact => "qg-compact",
            Self::Pq => "pq",
            Self::Spiral => "spiral",
        }
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::UnknownName { what: "kind", received: name.to_owned() })
    }
}

/// Parameters of `hnsw`, named as Malkov and Yashunin name them. Defaults were measured on 100,000 sentence embeddings of
/// 384 dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HnswParams {
    /// Links that a new node asks for; twice as many are kept on the lowest layer. 2 to [`MAX_M`].
    pub m: usize,
    /// Size of the candidate pool while linking. 1 to [`MAX_EF`].
    pub ef_construction: usize,
    /// Size of the candidate pool of a search, never less than `k`. 1 to [`MAX_EF`].
    pub ef_search: usize,
    /// Live vectors from which on a graph is kept; below they are scanned. It is dropped below half of this.
    pub scan_threshold: usize,
    /// Seed of the levels.
    pub seed: u64,
}

impl Default for HnswParams {
    fn default() -> Self {
        Self { m: 16, ef_construction: 100, ef_search: 96, scan_threshold: 4_000, seed: 0 }
    }
}

impl HnswParams {
    pub(crate) fn check(&self) -> Result<()> {
        check_range("m", self.m, 2, MAX_M)?;
        check_range("ef_construction", self.ef_construction, 1, MAX_EF)?;
        check_range("ef_search", self.ef_search, 1, MAX_EF)?;
        check_range("scan_threshold", self.scan_threshold, 2, usize::MAX)
    }
}

/// Parameters of `qg` and `spiral`. Defaults were measured on 100,000 sentence embeddings of 384 dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QgParams {
    /// Size of the candidate pool while linking. 1 to [`MAX_EF`].
    pub ef_construction: usize,
    /// Size of the candidate pool of a search, never less than `k`. 1 to [`MAX_EF`].
    pub ef_search: usize,
    /// Live vectors from which on a graph is kept; below they are scanned. It is dropped below half of this.
    pub scan_threshold: usize,
    /// Seed of the rotation.
    pub seed: u64,
}

impl Default for QgParams {
    fn default() -> Self {
        Self { ef_construction: 300, ef_search: 96, scan_threshold: 20_000, seed: 0 }
    }
}

impl QgParams {
    pub(crate) fn check(&self) -> Result<()> {
        check_range("ef_construction", self.ef_construction, 1, MAX_EF)?;
        check_range("ef_search", self.ef_search, 1, MAX_EF)?;
        check_range("scan_threshold", self.scan_threshold, 2, usize::MAX)
    }
}

/// Parameters of `pq`. Defaults were measured on 100,000 sentence embeddings of 384 dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PqParams {
    /// Components that four bits stand for. 2 to [`MAX_SUBVECTOR_DIM`].
    pub subvector_dim: usize,
    /// Vectors that a search looks at closer, never less than four times `k`. 1 to [`MAX_EF`].
    pub ef_search: usize,
    /// Live vectors from which on codebooks are trained and used; they are dropped below half of this.
    pub scan_threshold: usize,
    /// Seed of the rotation and of the training.
    pub seed: u64,
}

impl Default for PqParams {
    fn default() -> Self {
        Self { subvector_dim: 4, ef_search: 64, scan_threshold: 5_000, seed: 0 }
    }
}

impl PqParams {
    pub(crate) fn check(&self) -> Result<()> {
        check_range("subvector_dim", self.subvector_dim, 2, MAX_SUBVECTOR_DIM)?;
        check_range("ef_search", self.ef_search, 1, MAX_EF)?;
        check_range("scan_threshold", self.scan_threshold, 2, usize::MAX)
    }
}

/// All that defines an empty index.
#[derive(Clone, Copy, Debug)]
pub struct IndexSpec {
    /// Kind.
    pub kind: Kind,
    /// Components of each vector, 1 to [`MAX_DIM`].
    pub dim: usize,
    /// Metric.
    pub metric: Metric,
    /// Parameters of `hnsw`.
    pub hnsw: HnswParams,
    /// Parameters of `qg` and `spiral`.
    pub qg: QgParams,
    /// Parameters of `pq`.
    pub pq: PqParams,
    /// Threads that link rows, 1 to [`MAX_THREADS`].
    pub n_threads: usize,
    /// Whether linking is left to `maintain`: rows that are added are scanned until then.
    pub deferred: bool,
    /// SIMD level; the best of this processor when absent.
    pub simd: Option<SimdLevel>,
}

impl IndexSpec {
    /// A specification with default parameters.
    pub fn new(kind: Kind, dim: usize, metric: Metric) -> Self {
        Self {
            kind,
            dim,
            metric,
            hnsw: HnswParams::default(),
            qg: QgParams::default(),
            pq: PqParams::default(),
            n_threads: 1,
            deferred: false,
            simd: None,
        }
    }

    /// Makes the empty index.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::UnsupportedSimd`].
    pub fn build(&self) -> Result<Box<dyn VectorIndex>> {
        Ok(match self.kind {
            Kind::Flat => Box::new(FlatIndex::new(self)?),
            Kind::Hnsw => Box::new(HnswIndex::new(self)?),
            Kind::Qg | Kind::QgCompact | Kind::Spiral => Box::new(QuantizedGraphIndex::new(self)?),
            Kind::Pq => Box::new(ProductIndex::new(self)?),
        })
    }

    pub(crate) fn kernels(&self) -> Result<Kernels> {
        check_range("dim", self.dim, 1, MAX_DIM)?;
        check_range("n_threads", self.n_threads, 1, MAX_THREADS)?;
        self.simd.map_or_else(|| Ok(Kernels::detect()), Kernels::new)
    }
}

/// Opens a snapshot and returns the index with the sequence number that it was saved with. `n_threads` and `deferred` are as
/// in [`IndexSpec`].
///
/// # Errors
/// [`Error::InvalidParameter`], [`Error::SnapshotIo`], [`Error::SnapshotCorrupt`], [`Error::SnapshotVersion`]. Never panics
/// on a damaged file and never allocates more than a small multiple of the file's length. Of a large file only the ids are
/// checked at once; a search that meets a damaged part of the rest fails with [`Error::SnapshotCorrupt`], and so does
/// `maintain`.
pub fn open_with(path: &Path, n_threads: usize, deferred: bool) -> Result<(Box<dyn VectorIndex>, u64)> {
    check_range("n_threads", n_threads, 1, MAX_THREADS)?;
    Ok(match snapshot::load(path)? {
        Snapshot::Rows(content, sequence) => {
            let spec = IndexSpec { n_threads, deferred, ..content.spec };
            let index: Box<dyn VectorIndex> = match spec.kind {
                Kind::Flat => Box::new(FlatIndex::restore(&spec, &content, path)?),
                _ => Box::new(hnsw::restore(&spec, &content, path)?),
            };
            (index, sequence)
        }
        Snapshot::Sections(mut sections) => {
            let spec = IndexSpec { n_threads, deferred, ..sections.spec };
            let index: Box<dyn VectorIndex> = match spec.kind {
                Kind::Pq => Box::new(pq::restore(&spec, &mut sections, path)?),
                _ => Box::new(qg::restore(&spec, &mut sections, path)?),
            };
            (index, sections.sequence)
        }
    })
}

/// Opens a snapshot as [`open_with`] does, to link by one thread and at once.
///
/// # Errors
/// As [`open_with`].
pub fn open(path: &Path) -> Result<(Box<dyn VectorIndex>, u64)> {
    open_with(path, 1, false)
}
