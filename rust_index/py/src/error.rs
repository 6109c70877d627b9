//! The one translation of the core's errors to Python exceptions, with their fields as attributes.

use adamem_index::Error;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyType;

create_exception!(_index, VectorIndexError, PyException, "Parent of all errors of this module.");

macro_rules! exceptions {
    ($($name:ident: $doc:literal,)*) => {
        $(create_exception!(_index, $name, VectorIndexError, $doc);)*

        /// Adds the exception classes to the module.
        pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let py = module.py();
            module.add("VectorIndexError", py.get_type::<VectorIndexError>())?;
            $(module.add(stringify!($name), py.get_type::<$name>())?;)*
            Ok(())
        }
    };
}

exceptions! {
    ArrayError: "An array has the wrong type, number of dimensions or memory order.",
    DimensionMismatchError: "A vector has another dimension than the index.",
    LengthMismatchError: "The numbers of ids and of vectors differ.",
    NonFiniteVectorError: "A component is NaN or infinite.",
    ZeroVectorError: "An all-zero vector has no cosine.",
    InvalidParameterError: "A parameter is out of its range.",
    UnknownNameError: "No metric, kind or SIMD level has this name.",
    UnsupportedSimdError: "The processor lacks a SIMD level.",
    ReservedIdError: "The id pads short results and cannot be stored.",
    UnknownIdError: "No live vector has this id.",
    IndexFullError: "The index has as many rows as it can number.",
    PoisonedError: "The index was left half changed by a panic and must be rebuilt.",
    SnapshotCorruptError: "A snapshot is damaged.",
    SnapshotVersionError: "A snapshot has a format that this build does not read.",
    SnapshotAnalysisError: "A snapshot of a lexical index has terms that this build would not make.",
    SnapshotIoError: "The operating system refused to read or write a snapshot.",
}

/// An exception whose attributes are the error's fields.
fn exception<'py>(
    class: &Bound<'py, PyType>,
    error: &Error,
    fields: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<()>,
) -> PyErr {
    let made = class.call1((error.to_string(),)).and_then(|value| fields(&value).map(|()| value));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Translates an error.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::DimensionMismatch { expected, received } => {
            exception(&py.get_type::<DimensionMismatchError>(), error, |value| {
                value.setattr("expected", expected)?;
                value.setattr("received", received)
            })
        }
        Error::LengthMismatch { n_ids, n_vectors } => {
            exception(&py.get_type::<LengthMismatchError>(), error, |value| {
                value.setattr("n_ids", n_ids)?;
                value.setattr("n_vectors", n_vectors)
            })
        }
        Error::NonFiniteVector { position } => {
            exception(&py.get_type::<NonFiniteVectorError>(), error, |value| value.setattr("position", position))
        }
        Error::ZeroVector { position } => {
            exception(&py.get_type::<ZeroVectorError>(), error, |value| value.setattr("position", position))
        }
        Error::InvalidParameter { name, received, minimum, maximum } => {
            exception(&py.get_type::<InvalidParameterError>(), error, |value| {
                value.setattr("name", name)?;
                value.setattr("received", received)?;
                value.setattr("minimum", minimum)?;
                value.setattr("maximum", maximum)
            })
        }
        Error::UnknownName { what, received } => exception(&py.get_type::<UnknownNameError>(), error, |value| {
            value.setattr("what", what)?;
            value.setattr("received", received)
        }),
        Error::UnsupportedSimd { level } => {
            exception(&py.get_type::<UnsupportedSimdError>(), error, |value| value.setattr("level", level))
        }
        Error::ReservedId { id } => {
            exception(&py.get_type::<ReservedIdError>(), error, |value| value.setattr("id", id))
        }
        Error::UnknownId { id } => exception(&py.get_type::<UnknownIdError>(), error, |value| value.setattr("id", id)),
        Error::IndexFull { limit } => {
            exception(&py.get_type::<IndexFullError>(), error, |value| value.setattr("limit", limit))
        }
        Error::Poisoned => exception(&py.get_type::<PoisonedError>(), error, |_| Ok(())),
        Error::SnapshotCorrupt { path, block, offset } => {
            exception(&py.get_type::<SnapshotCorruptError>(), error, |value| {
                value.setattr("path", path.to_string_lossy())?;
                value.setattr("block", block)?;
                value.setattr("offset", offset)
            })
        }
        Error::SnapshotVersion { path, found, supported } => {
            exception(&py.get_type::<SnapshotVersionError>(), error, |value| {
                value.setattr("path", path.to_string_lossy())?;
                value.setattr("found", found)?;
                value.setattr("supported", supported)
            })
        }
        Error::SnapshotAnalysis { path, found, expected } => {
            exception(&py.get_type::<SnapshotAnalysisError>(), error, |value| {
                value.setattr("path", path.to_string_lossy())?;
                value.setattr("found", found)?;
                value.setattr("expected", expected)
            })
        }
        Error::SnapshotIo { path, source } => exception(&py.get_type::<SnapshotIoError>(), error, |value| {
            value.setattr("path", path.to_string_lossy())?;
            value.setattr("errno", source.raw_os_error())
        }),
        _ => exception(&py.get_type::<VectorIndexError>(), error, |_| Ok(())),
    }
}

/// The exception for an array that cannot be taken as it is.
pub(crate) fn array_error(argument: &'static str, expected: &'static str) -> PyErr {
    Python::attach(|py| {
        let made = py.get_type::<ArrayError>().call1((format!("{argument} must be {expected}"),)).and_then(|value| {
            value.setattr("argument", argument)?;
            value.setattr("expected", expected)?;
            Ok(value)
        });
        made.map_or_else(|error| error, PyErr::from_value)
    })
}
