//! Python face of `adamem-index`: checks arrays, lets other Python threads run, translates errors. No logic of its own.

mod error;
mod index;
mod lexical;

use pyo3::prelude::*;

/// The best SIMD level of this processor.
#[pyfunction]
fn simd_level() -> &'static str {
    adamem_index::SimdLevel::detect().name()
}

/// The compiled module `adamem_server._index`.
#[pymodule]
fn _index(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<index::Index>()?;
    module.add_class::<index::IdSet>()?;
    module.add_class::<lexical::LexicalIndex>()?;
    module.add_function(wrap_pyfunction!(simd_level, module)?)?;
    error::register(module)
}
