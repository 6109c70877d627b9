//! The class `Index`.

use std::path::PathBuf;
use std::sync::Arc;

use adamem_index::{Error, Hit, IdSet as CoreIdSet, IndexSpec, RESERVED_ID, RecentIdSets, SearchOptions, VectorIndex};
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{array_error, to_python};

const IDS: &str = "a C-contiguous uint64 array of shape [n]";
const VECTORS: &str = "a C-contiguous float32 array of shape [n, dim]";
const QUERIES: &str = "a C-contiguous float32 array of shape [dim] or [n, dim]";

/// A set of vectors with ids, to be searched by nearness.
#[pyclass(frozen, module = "adamem_server._index")]
pub(crate) struct Index {
    inner: Box<dyn VectorIndex>,
    recent: RecentIdSets,
}

impl From<Box<dyn VectorIndex>> for Index {
    fn from(inner: Box<dyn VectorIndex>) -> Self {
        Self { inner, recent: RecentIdSets::default() }
    }
}

/// Ids that a search may return.
#[pyclass(frozen, module = "adamem_server._index")]
pub(crate) struct IdSet {
    inner: CoreIdSet,
}

#[pymethods]
impl IdSet {
    #[new]
    fn new(ids: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { inner: CoreIdSet::new(ids_of("ids", ids)?.as_slice()?.to_vec()) })
    }

    fn __len__(&self) -> usize {
        self.inner.ids().len()
    }
}

/// The set that an argument is, or stands for.
pub(crate) enum Allowed<'py> {
    Set(PyRef<'py, IdSet>),
    Ids(Arc<CoreIdSet>),
}

impl Allowed<'_> {
    pub(crate) fn of<'py>(argument: &Bound<'py, PyAny>, recent: &RecentIdSets) -> PyResult<Allowed<'py>> {
        match argument.extract() {
            Ok(set) => Ok(Allowed::Set(set)),
            Err(_) => Ok(Allowed::Ids(recent.set_of(ids_of("allowed", argument)?.as_slice()?))),
        }
    }

    pub(crate) fn set(&self) -> &CoreIdSet {
        match self {
            Self::Set(set) => &set.inner,
            Self::Ids(set) => set,
        }
    }
}

/// Runs the core without the interpreter's lock and translates its error.
pub(crate) fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    py.detach(call).map_err(|error| to_python(py, &error))
}

pub(crate) fn ids_of<'py>(argument: &'static str, array: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArray1<'py, u64>> {
    let ids: PyReadonlyArray1<'py, u64> = array.extract().map_err(|_| array_error(argument, IDS))?;
    if ids.is_c_contiguous() { Ok(ids) } else { Err(array_error(argument, IDS)) }
}

/// A matrix, or a vector as a matrix of one row, with its number of columns.
enum Floats<'py> {
    One(PyReadonlyArray1<'py, f32>),
    Many(PyReadonlyArray2<'py, f32>),
}

impl Floats<'_> {
    fn of<'py>(argument: &'static str, expected: &'static str, array: &Bound<'py, PyAny>) -> PyResult<Floats<'py>> {
        if let Ok(many) = array.extract::<PyReadonlyArray2<'py, f32>>() {
            if many.is_c_contiguous() {
                return Ok(Floats::Many(many));
            }
        } else if let Ok(one) = array.extract::<PyReadonlyArray1<'py, f32>>()
            && one.is_c_contiguous()
        {
            return Ok(Floats::One(one));
        }
        Err(array_error(argument, expected))
    }

    fn dim(&self) -> usize {
        match self {
            Self::One(array) => array.len(),
            Self::Many(array) => array.shape()[1],
        }
    }

    fn as_slice(&self) -> PyResult<&[f32]> {
        Ok(match self {
            Self::One(array) => array.as_slice()?,
            Self::Many(array) => array.as_slice()?,
        })
    }
}

impl Index {
    fn check_dim(&self, py: Python<'_>, received: usize) -> PyResult<()> {
        let expected = self.inner.dim();
        if received == expected {
            return Ok(());
        }
        Err(to_python(py, &Error::DimensionMismatch { expected, received }))
    }
}

#[pymethods]
impl Index {
    #[new]
    #[pyo3(signature = (*, dim, metric = "cosine", kind = "hnsw", m = None, ef_construction = None, ef_search = None,
        scan_threshold = None, subvector_dim = None, seed = 0, n_threads = 1, deferred = false, simd = None))]
    #[allow(clippy::too_many_arguments, reason = "keywords of the Python constructor")]
    fn new(
        py: Python<'_>,
        dim: usize,
        metric: &str,
        kind: &str,
        m: Option<usize>,
        ef_construction: Option<usize>,
        ef_search: Option<usize>,
        scan_threshold: Option<usize>,
        subvector_dim: Option<usize>,
        seed: u64,
        n_threads: usize,
        deferred: bool,
        simd: Option<&str>,
    ) -> PyResult<Self> {
        let build = || -> Result<Box<dyn VectorIndex>, Error> {
            let mut spec = IndexSpec::new(kind.parse()?, dim, metric.parse()?);
            spec.hnsw.m = m.unwrap_or(spec.hnsw.m);
            spec.hnsw.ef_construction = ef_construction.unwrap_or(spec.hnsw.ef_construction);
            spec.hnsw.ef_search = ef_search.unwrap_or(spec.hnsw.ef_search);
            spec.hnsw.scan_threshold = scan_threshold.unwrap_or(spec.hnsw.scan_threshold);
            spec.hnsw.seed = seed;
            spec.qg.ef_construction = ef_construction.unwrap_or(spec.qg.ef_construction);
            spec.qg.ef_search = ef_search.unwrap_or(spec.qg.ef_search);
            spec.qg.scan_threshold = scan_threshold.unwrap_or(spec.qg.scan_threshold);
            spec.qg.seed = seed;
            spec.pq.subvector_dim = subvector_dim.unwrap_or(spec.pq.subvector_dim);
            spec.pq.ef_search = ef_search.unwrap_or(spec.pq.ef_search);
            spec.pq.scan_threshold = scan_threshold.unwrap_or(spec.pq.scan_threshold);
            spec.pq.seed = seed;
            spec.n_threads = n_threads;
            spec.deferred = deferred;
            spec.simd = simd.map(str::parse).transpose()?;
            spec.build()
        };
        build().map(Self::from).map_err(|error| to_python(py, &error))
    }

    #[getter]
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    #[getter]
    fn metric(&self) -> &'static str {
        self.inner.metric().name()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let params = PyDict::new(py);
        for (name, value) in self.inner.params() {
            params.set_item(name, value)?;
        }
        Ok(params)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || self.inner.stats()).map(|stats| stats.n_live)
    }

    fn add(&self, py: Python<'_>, ids: &Bound<'_, PyAny>, vectors: &Bound<'_, PyAny>) -> PyResult<()> {
        let ids = ids_of("ids", ids)?;
        let Floats::Many(vectors) = Floats::of("vectors", VECTORS, vectors)? else {
            return Err(array_error("vectors", VECTORS));
        };
        let (n_ids, n_vectors) = (ids.len(), vectors.shape()[0]);
        if n_ids != n_vectors {
            return Err(to_python(py, &Error::LengthMismatch { n_ids, n_vectors }));
        }
        self.check_dim(py, vectors.shape()[1])?;
        let (ids, vectors) = (ids.as_slice()?, vectors.as_slice()?);
        detached(py, || self.inner.add(ids, vectors))
    }

    fn remove(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<usize> {
        let ids = ids_of("ids", ids)?;
        let ids = ids.as_slice()?;
        detached(py, || self.inner.remove(ids))
    }

    fn contains<'py>(&self, py: Python<'py>, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<bool>>> {
        let ids = ids_of("ids", ids)?;
        let ids = ids.as_slice()?;
        Ok(detached(py, || self.inner.contains(ids))?.into_pyarray(py))
    }

    fn vectors<'py>(&self, py: Python<'py>, ids: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let ids = ids_of("ids", ids)?;
        let ids = ids.as_slice()?;
        detached(py, || self.inner.vectors(ids))?.into_pyarray(py).reshape([ids.len(), self.inner.dim()])
    }

    #[pyo3(signature = (queries, k, *, ef_search = None, allowed = None))]
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        k: usize,
        ef_search: Option<usize>,
        allowed: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let queries = Floats::of("queries", QUERIES, queries)?;
        self.check_dim(py, queries.dim())?;
        let allowed = allowed.map(|allowed| Allowed::of(allowed, &self.recent)).transpose()?;
        let options = SearchOptions { ef_search, allowed: allowed.as_ref().map(Allowed::set) };
        let flat = queries.as_slice()?;
        if let Floats::Many(array) = &queries {
            let found = detached(py, || self.inner.search_batch(flat, k, options))?;
            let shape = [array.shape()[0], k];
            let pad = Hit { id: RESERVED_ID, distance: f32::INFINITY };
            let padded = || found.iter().flat_map(|hits| hits.iter().copied().chain(std::iter::repeat(pad)).take(k));
            let ids: Vec<u64> = padded().map(|hit| hit.id).collect();
            let distances: Vec<f32> = padded().map(|hit| hit.distance).collect();
            return Ok((
                ids.into_pyarray(py).reshape(shape)?.into_any(),
                distances.into_pyarray(py).reshape(shape)?.into_any(),
            ));
        }
        let hits = detached(py, || self.inner.search(flat, k, options))?;
        let ids: Vec<u64> = hits.iter().map(|hit| hit.id).collect();
        let distances: Vec<f32> = hits.iter().map(|hit| hit.distance).collect();
        Ok((ids.into_pyarray(py).into_any(), distances.into_pyarray(py).into_any()))
    }

    fn maintain(&self, py: Python<'_>, max_rows: usize) -> PyResult<usize> {
        detached(py, || self.inner.maintain(max_rows))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = detached(py, || self.inner.stats())?;
        let sizes = PyDict::new(py);
        sizes.set_item("n_live", stats.n_live)?;
        sizes.set_item("n_unlinked", stats.n_unlinked)?;
        sizes.set_item("n_tombstones", stats.n_tombstones)?;
        sizes.set_item("n_rows", stats.n_rows)?;
        sizes.set_item("memory_bytes", stats.memory_bytes + self.recent.memory_bytes())?;
        Ok(sizes)
    }

    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn save(&self, py: Python<'_>, path: PathBuf, sequence: u64) -> PyResult<()> {
        detached(py, || self.inner.save(&path, sequence))
    }

    #[staticmethod]
    #[pyo3(signature = (path, *, n_threads = 1, deferred = false))]
    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn open(py: Python<'_>, path: PathBuf, n_threads: usize, deferred: bool) -> PyResult<(Self, u64)> {
        let (inner, sequence) = detached(py, || adamem_index::open_with(&path, n_threads, deferred))?;
        Ok((inner.into(), sequence))
    }
}
