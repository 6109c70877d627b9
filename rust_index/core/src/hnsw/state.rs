//! What an HNSW index holds, and the changes that take microseconds: storing, removing, marking.

use crate::error::Result;
use crate::rows::{Rows, Status};
use crate::store::Store;
use crate::vectors::Arena;

use super::graph::Graph;

/// A row that is in no list.
const NOWHERE: u32 = u32::MAX;

/// Live rows that walks may not reach, with each row's place in the list.
#[derive(Debug)]
pub(super) struct Pending {
    rows: Vec<u32>,
    place: Arena<u32>,
}

impl Pending {
    fn new() -> Self {
        Self { rows: Vec::new(), place: Arena::new(1) }
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    fn insert(&mut self, row: u32) {
        self.place.ensure(row as usize + 1);
        self.place.set(row, self.rows.len() as u32);
        self.rows.push(row);
    }

    fn remove(&mut self, row: u32) {
        let place = std::mem::replace(&mut self.place.row_mut(row)[0], NOWHERE) as usize;
        if place < self.rows.len() {
            self.rows.swap_remove(place);
            if let Some(&moved) = self.rows.get(place) {
                self.place.set(moved, place as u32);
            }
        }
    }
}

/// What became of the row of a removed id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// The id was not there.
    Absent,
    /// The row is free.
    Freed,
    /// The row is still a node.
    Tombstone(u32),
}

/// All of an index that searches read.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rows: Rows,
    pub(super) store: Store,
    pub(super) statuses: Arena<Status>,
    pub(super) pending: Pending,
    pub(super) graph: Option<Graph>,
    /// Removed rows that are still nodes.
    pub(super) n_tombstones: usize,
    /// Changes when a row comes to hold another vector.
    pub(super) generation: u64,
}

impl State {
    pub(super) fn new(store: Store) -> Self {
        Self {
            rows: Rows::new(),
            store,
            statuses: Arena::new(1),
            pending: Pending::new(),
            graph: None,
            n_tombstones: 0,
            generation: 0,
        }
    }

    /// A state with the rows and statuses of a snapshot, whose vectors are still to be set.
    pub(super) fn restored(store: Store, rows: Rows, statuses: &[Status], graph: Option<Graph>) -> Self {
        let mut state = Self { rows, graph, ..Self::new(store) };
        state.store.ensure(statuses.len());
        state.statuses.ensure(statuses.len());
        for (row, &status) in (0_u32..).zip(statuses) {
            state.statuses.set(row, status);
            if status.is_pending() {
                state.pending.insert(row);
            }
            if status == Status::TOMBSTONE {
                state.n_tombstones += 1;
            }
        }
        state
    }

    #[inline]
    pub(super) fn status(&self, row: u32) -> Status {
        self.statuses.get(row)
    }

    pub(super) fn n_live(&self) -> usize {
        self.rows.len()
    }

    /// Stores a prepared vector under an id, to be scanned until it is linked. Returns the row that became a tombstone.
    pub(super) fn put(&mut self, id: u64, vector: &[f32]) -> Result<Option<u32>> {
        let old = self.rows.row_of(id);
        if let Some(row) = old {
            if self.store.vector(row) == vector {
                return Ok(None);
            }
            if !self.status(row).is_in_graph() {
                self.generation += 1;
                self.store.set(row, vector);
                return Ok(None);
            }
        }
        let row = self.rows.allocate()?;
        self.generation += 1;
        let n_rows = self.rows.n_rows();
        self.store.ensure(n_rows);
        self.statuses.ensure(n_rows);
        self.store.set(row, vector);
        self.statuses.set(row, Status::UNLINKED);
        self.pending.insert(row);
        self.rows.bind(id, row);
        if let Some(old) = old {
            self.bury(old);
        }
        Ok(old)
    }

    /// Removes an id.
    pub(super) fn remove(&mut self, id: u64) -> Removal {
        let Some(row) = self.rows.unbind(id) else { return Removal::Absent };
        self.generation += 1;
        if self.status(row).is_in_graph() {
            self.bury(row);
            return Removal::Tombstone(row);
        }
        self.pending.remove(row);
        self.statuses.set(row, Status::FREE);
        self.rows.release(row);
        Removal::Freed
    }

    fn bury(&mut self, row: u32) {
        if self.status(row).is_pending() {
            self.pending.remove(row);
        }
        self.statuses.set(row, Status::TOMBSTONE);
        self.n_tombstones += 1;
    }

    /// Marks a row as reachable by walks.
    pub(super) fn settle(&mut self, row: u32) {
        if self.status(row).is_pending() {
            self.pending.remove(row);
        }
        self.statuses.set(row, Status::LINKED);
    }

    /// Marks a linked row as lost to walks.
    pub(super) fn lose(&mut self, row: u32) {
        if self.status(row) == Status::LINKED {
            self.statuses.set(row, Status::LOST);
            self.pending.insert(row);
        }
    }

    /// Frees tombstones that no node links to.
    pub(super) fn free(&mut self, rows: &[u32]) {
        let n_rows = self.rows.n_rows();
        for &row in rows {
            self.statuses.set(row, Status::FREE);
            self.rows.release(row);
        }
        self.n_tombstones -= rows.len();
        let Self { graph, statuses, .. } = self;
        if let Some(graph) = graph {
            graph.remove(rows, |row| statuses.get(row), n_rows);
        }
    }

    /// A copy of the live rows alone, without a graph and without room to spare.
    pub(super) fn compacted(&self) -> Result<Self> {
        let mut compact = Self::new(self.store.empty_like());
        compact.generation = self.generation + 1;
        let live = (0..self.rows.n_rows() as u32).filter(|&row| self.status(row).is_live());
        for row in live {
            compact.put(self.rows.id_of(row), self.store.vector(row))?;
        }
        Ok(compact)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
            + self.store.memory_bytes()
            + self.statuses.memory_bytes()
            + self.pending.place.memory_bytes()
            + self.pending.rows.capacity() * size_of::<u32>()
            + self.graph.as_ref().map_or(0, Graph::memory_bytes)
    }
}
