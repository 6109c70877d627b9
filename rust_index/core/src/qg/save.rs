//! Snapshots of the index. While one is written searches and mutations go on: rows that change are kept as they were when
//! it began.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::living::{LiveGraph, LivingIndex, State};
use crate::rows::{Rows, Status};
use crate::snapshot::sections::{self, Section, Sections, Tag};
use crate::snapshot::{Unpublished, invalid};
use crate::spec::IndexSpec;
use crate::vectors::Arena;

use super::store::QuantizedStore;

/// A graph over a quantised store, as it is written to a snapshot and read from it.
pub(crate) trait SavedGraph: LiveGraph<Store = QuantizedStore> {
    /// Rows of its sections that are the same for the whole of a save, kept when it begins.
    type Fixed;

    /// The sections, when there are `n_rows` rows.
    fn sections(&self, n_rows: usize) -> Vec<Section>;
    /// What does not belong to a row of the index.
    fn fixed(&self) -> Self::Fixed;
    /// Keeps what changes while a snapshot is written, until `forget_before`.
    fn keep_before(&mut self);
    /// Frees what `keep_before` keeps.
    fn forget_before(&mut self);
    /// Appends a row of a section as it was at `keep_before`.
    fn append(graph: Option<&Self>, fixed: &Self::Fixed, tag: Tag, row: usize, out: &mut Vec<u8>);
    /// The graph of a snapshot, which has nodes.
    fn restore(
        store: &QuantizedStore,
        spec: &IndexSpec,
        statuses: &[Status],
        from: &mut Sections,
    ) -> Result<Option<Self>>;
}

/// Writes a snapshot of the index as it is when this is called.
pub(crate) fn save<G: SavedGraph>(index: &LivingIndex<G>, path: &Path, sequence: u64) -> Result<Unpublished> {
    let (n_rows, sections, fixed) = {
        let mut upkeep = index.upkeep.lock();
        let mut state = index.write()?;
        upkeep.is_saving = true;
        keep_before(&mut state);
        let n_rows = state.rows.n_rows();
        (n_rows, all_sections(&state, n_rows), state.graph.as_ref().map(G::fixed))
    };
    let written = sections::write(path, sequence, &index.spec, n_rows, &sections, |tag, rows, out| {
        let state = index.read()?;
        for row in rows {
            append(&state, fixed.as_ref(), tag, row, out);
        }
        // A damaged file must not become a whole one.
        state.check()
    });
    index.upkeep.lock().is_saving = false;
    forget_before(&mut *index.write()?);
    written
}

fn all_sections<G: SavedGraph>(state: &State<G>, n_rows: usize) -> Vec<Section> {
    let mut sections = vec![
        Section { tag: Tag::Ids, row_len: size_of::<u64>(), n_rows },
        Section { tag: Tag::Statuses, row_len: 1, n_rows },
    ];
    sections.extend(state.store.sections(n_rows));
    if let Some(graph) = &state.graph {
        sections.extend(graph.sections(n_rows));
    }
    sections
}

fn append<G: SavedGraph>(state: &State<G>, fixed: Option<&G::Fixed>, tag: Tag, row: usize, out: &mut Vec<u8>) {
    match (tag, fixed) {
        (Tag::Ids, _) => out.extend(state.rows.id_before(row as u32).to_le_bytes()),
        (Tag::Statuses, _) => out.push(state.statuses.row_before(row as u32)[0].to_byte()),
        (Tag::Codes | Tag::Fine | Tag::Measures | Tag::Centre, _) => {
            out.extend(state.store.row_before(tag, row as u32));
        }
        (_, Some(fixed)) => G::append(state.graph.as_ref(), fixed, tag, row, out),
        _ => {}
    }
}

fn keep_before<G: SavedGraph>(state: &mut State<G>) {
    state.rows.keep_before();
    state.statuses.keep_before();
    state.store.keep_before();
    if let Some(graph) = &mut state.graph {
        graph.keep_before();
    }
}

fn forget_before<G: SavedGraph>(state: &mut State<G>) {
    state.rows.forget_before();
    state.statuses.forget_before();
    state.store.forget_before();
    if let Some(graph) = &mut state.graph {
        graph.forget_before();
    }
}

/// The index that a snapshot holds.
pub(crate) fn restore<G: SavedGraph>(spec: &IndexSpec, sections: &mut Sections, path: &Path) -> Result<LivingIndex<G>> {
    let n_rows = sections.n_rows;
    let ids: Arena<u64> = sections.take(Tag::Ids, 1, n_rows)?;
    while ids.check_next() {}
    sections.damage.check()?;
    let bytes: Vec<u8> = sections.take_all(Tag::Statuses)?;
    let statuses: Option<Vec<Status>> = bytes.iter().map(|&byte| Status::from_byte(byte)).collect();
    let statuses = statuses.ok_or_else(|| invalid(path, "status"))?;
    if statuses.len() != n_rows {
        return Err(invalid(path, "ids"));
    }
    let rows = Rows::restore(ids, &statuses).ok_or_else(|| invalid(path, "ids"))?;
    let store = QuantizedStore::restore(spec, sections)?;
    let graph = if statuses.iter().any(|status| status.is_in_graph()) {
        let graph = G::restore(&store, spec, &statuses, sections)?;
        Some(graph.ok_or_else(|| invalid(path, "graph"))?)
    } else {
        None
    };
    let mut state = State::restored(store, rows, &statuses, graph);
    // Where the change to a graph had not come to its end rows are scanned one by one until it has.
    state.store.set_scanned(state.graph.is_none());
    state.damage = Some(Arc::clone(&sections.damage));
    Ok(LivingIndex::with_state(spec, state))
}
