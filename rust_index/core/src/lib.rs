//! Vector index of `AdaMem`: updatable, filterable, with snapshots that tell when they are damaged.
//!
//! ```
//! use adamem_index::{IndexSpec, Kind, Metric, SearchOptions};
//!
//! # fn main() -> Result<(), adamem_index::Error> {
//! let index = IndexSpec::new(Kind::Hnsw, 2, Metric::Cosine).build()?;
//! index.add(&[7, 8], &[1.0, 0.0, 0.0, 1.0])?;
//! let hits = index.search(&[0.9, 0.1], 1, SearchOptions::default())?;
//! assert_eq!(hits[0].id, 7);
//! index.remove(&[7])?;
//! assert_eq!(index.search(&[0.9, 0.1], 1, SearchOptions::default())?[0].id, 8);
//! # Ok(())
//! # }
//! ```
//!
//! Kinds: `flat`; `hnsw`, `qg`, `qg-compact` and `spiral`, graphs that `living` keeps alive under insertions, updates and
//! deletions; `pq`, whose codes `living` keeps as if they were a graph. `flat` and `hnsw` keep their vectors in `store`, `qg` has
//! a store of its own, which `qg-compact`, `spiral` and `pq` share. All stand on `rows` (ids), `metric` and `filter`, those on
//! `kernels`. `lexical` finds texts by their words and shares ids, filters and the manner of snapshots with them. Slots, namespaces and Python are unknown here.

mod candidates;
mod codes;
mod error;
mod filter;
mod flat;
mod hnsw;
mod index;
mod kernels;
mod lexical;
mod living;
mod metric;
mod parallel;
mod pq;
mod qg;
mod rows;
mod snapshot;
mod spec;
mod store;
mod vectors;

pub use error::{Error, Result};
pub use filter::{IdSet, RecentIdSets};
pub use index::{Hit, SearchOptions, Stats, VectorIndex};
pub use kernels::SimdLevel;
pub use lexical::{LexicalHit, LexicalIndex, LexicalParams, LexicalStats, MAX_TEXT_BYTES, QueryTerm};
pub use metric::Metric;
pub use rows::RESERVED_ID;
pub use spec::{
    HnswParams, IndexSpec, Kind, MAX_DIM, MAX_EF, MAX_K, MAX_M, MAX_SUBVECTOR_DIM, MAX_THREADS, PqParams, QgParams,
    open, open_with,
};
