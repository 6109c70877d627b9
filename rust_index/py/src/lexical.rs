//! The class `LexicalIndex`.

use std::path::PathBuf;

use adamem_index::{LexicalIndex as CoreIndex, LexicalParams, RecentIdSets};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyDict;

use crate::error::to_python;
use crate::index::{Allowed, detached, ids_of};

/// Ids and their scores.
type Scored<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<f32>>);

/// A set of texts with ids, to be searched by their words.
#[pyclass(frozen, module = "adamem_server._index")]
pub(crate) struct LexicalIndex {
    inner: CoreIndex,
    recent: RecentIdSets,
}

impl From<CoreIndex> for LexicalIndex {
    fn from(inner: CoreIndex) -> Self {
        Self { inner, recent: RecentIdSets::default() }
    }
}

#[pymethods]
impl LexicalIndex {
    #[new]
    #[pyo3(signature = (*, k1 = None, b = None))]
    fn new(py: Python<'_>, k1: Option<f32>, b: Option<f32>) -> PyResult<Self> {
        let defaults = LexicalParams::default();
        let params = LexicalParams { k1: k1.unwrap_or(defaults.k1), b: b.unwrap_or(defaults.b) };
        CoreIndex::new(params).map(Self::from).map_err(|error| to_python(py, &error))
    }

    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (params, core) = (PyDict::new(py), self.inner.params());
        params.set_item("k1", core.k1)?;
        params.set_item("b", core.b)?;
        Ok(params)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || self.inner.len())
    }

    #[pyo3(signature = (ids, texts, languages = None))]
    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn add(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        texts: Vec<PyBackedStr>,
        languages: Option<Vec<PyBackedStr>>,
    ) -> PyResult<()> {
        let ids = ids_of("ids", ids)?;
        let ids = ids.as_slice()?;
        detached(py, || self.inner.add(ids, &texts, languages.as_deref()))
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

    #[pyo3(signature = (query, k, language = "", allowed = None))]
    fn search<'py>(
        &self,
        py: Python<'py>,
        query: &str,
        k: usize,
        language: &str,
        allowed: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Scored<'py>> {
        let allowed = allowed.map(|allowed| Allowed::of(allowed, &self.recent)).transpose()?;
        let allowed = allowed.as_ref().map(Allowed::set);
        let hits = detached(py, || self.inner.search(query, k, language, allowed))?;
        let ids: Vec<u64> = hits.iter().map(|hit| hit.id).collect();
        let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
        Ok((ids.into_pyarray(py), scores.into_pyarray(py)))
    }

    #[pyo3(signature = (query, ids, language = ""))]
    fn score<'py>(
        &self,
        py: Python<'py>,
        query: &str,
        ids: &Bound<'py, PyAny>,
        language: &str,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let ids = ids_of("ids", ids)?;
        let ids = ids.as_slice()?;
        Ok(detached(py, || self.inner.score(query, ids, language))?.into_pyarray(py))
    }

    #[pyo3(signature = (query, language = ""))]
    fn terms(&self, py: Python<'_>, query: &str, language: &str) -> PyResult<Vec<(String, f32)>> {
        let terms = detached(py, || self.inner.terms(query, language))?;
        Ok(terms.into_iter().map(|term| (term.term, term.weight)).collect())
    }

    fn memory_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(detached(py, || self.inner.stats())?.memory_bytes + self.recent.memory_bytes())
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = detached(py, || self.inner.stats())?;
        let sizes = PyDict::new(py);
        sizes.set_item("n_documents", stats.n_documents)?;
        sizes.set_item("n_terms", stats.n_terms)?;
        sizes.set_item("n_words", stats.n_words)?;
        sizes.set_item("memory_bytes", stats.memory_bytes + self.recent.memory_bytes())?;
        Ok(sizes)
    }

    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn save(&self, py: Python<'_>, path: PathBuf, sequence: u64) -> PyResult<()> {
        detached(py, || self.inner.save(&path, sequence))
    }

    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "arguments from Python are owned")]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<(Self, u64)> {
        let (inner, sequence) = detached(py, || CoreIndex::open(&path))?;
        Ok((inner.into(), sequence))
    }
}
