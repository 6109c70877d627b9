//! Snapshots of the index. While one is written searches and mutations go on: rows that change are kept as they were when
//! it began.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::rows::{Rows, Status};
use crate::snapshot::sections::{self, Section, Sections, Tag};
use crate::snapshot::{Unpublished, invalid};
use crate::spec::IndexSpec;

use super::graph::QuantizedGraph;
use super::store::QuantizedStore;
use super::{QuantizedGraphIndex, State};

/// Writes a snapshot of the index as it is when this is called.
pub(super) fn save(index: &QuantizedGraphIndex, path: &Path, sequence: u64) -> Result<Unpublished> {
    let (n_rows, sections, entries) = {
        let mut upkeep = index.upkeep.lock();
        let mut state = index.write()?;
        upkeep.is_saving = true;
        keep_before(&mut state);
        let n_rows = state.rows.n_rows();
        let entries = state.graph.as_ref().map_or_else(Vec::new, |graph| graph.entries().to_vec());
        (n_rows, all_sections(&state, n_rows), entries)
    };
    let written = sections::write(path, sequence, &index.spec, n_rows, &sections, |tag, rows, out| {
        let state = index.read()?;
        for row in rows {
            match tag {
                Tag::Entries => out.extend(entries[row].to_le_bytes()),
                _ => append(&state, tag, row as u32, out),
            }
        }
        // A damaged file must not become a whole one.
        state.check()
    });
    index.upkeep.lock().is_saving = false;
    forget_before(&mut *index.write()?);
    written
}

fn all_sections(state: &State, n_rows: usize) -> Vec<Section> {
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

fn append(state: &State, tag: Tag, row: u32, out: &mut Vec<u8>) {
    match tag {
        Tag::Ids => out.extend(state.rows.id_before(row).to_le_bytes()),
        Tag::Statuses => out.push(state.statuses.row_before(row)[0].to_byte()),
        Tag::Blocks => out.extend(state.graph.iter().flat_map(|graph| graph.block_before(row))),
        _ => out.extend(state.store.row_before(tag, row)),
    }
}

fn keep_before(state: &mut State) {
    state.rows.keep_before();
    state.statuses.keep_before();
    state.store.keep_before();
    if let Some(graph) = &mut state.graph {
        graph.keep_before();
    }
}

fn forget_before(state: &mut State) {
    state.rows.forget_before();
    state.statuses.forget_before();
    state.store.forget_before();
    if let Some(graph) = &mut state.graph {
        graph.forget_before();
    }
}

/// The index that a snapshot holds.
pub(super) fn restore(spec: &IndexSpec, sections: &mut Sections, path: &Path) -> Result<QuantizedGraphIndex> {
    let ids: Vec<u64> = sections.take_all(Tag::Ids)?;
    let bytes: Vec<u8> = sections.take_all(Tag::Statuses)?;
    let statuses: Option<Vec<Status>> = bytes.iter().map(|&byte| Status::from_byte(byte)).collect();
    let statuses = statuses.ok_or_else(|| invalid(path, "status"))?;
    if ids.len() != sections.n_rows || statuses.len() != sections.n_rows {
        return Err(invalid(path, "ids"));
    }
    let rows = Rows::restore(&ids, &statuses).ok_or_else(|| invalid(path, "ids"))?;
    let store = QuantizedStore::restore(spec, sections)?;
    let graph = if statuses.iter().any(|status| status.is_in_graph()) {
        let graph = QuantizedGraph::restore(store.padded(), &statuses, sections)?;
        Some(graph.ok_or_else(|| invalid(path, "entries"))?)
    } else {
        None
    };
    let mut state = State::restored(store, rows, &statuses, graph);
    // Where the change to a graph had not come to its end rows are scanned one by one until it has.
    state.store.set_scanned(state.graph.is_none());
    state.damage = Some(Arc::clone(&sections.damage));
    Ok(QuantizedGraphIndex::with_state(spec, state))
}
