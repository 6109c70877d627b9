//! What a living index holds, and the changes that take microseconds: storing, removing, marking.

use std::sync::Arc;

use crate::error::Result;
use crate::filter::Generation;
use crate::rows::{Rows, Status};
use crate::snapshot::sections::Damage;
use crate::vectors::Arena;

use super::{LiveGraph, LiveStore};

/// A row that is in no list.
const NOWHERE: u32 = u32::MAX;

/// Live rows that walks may not reach, with each row's place in the list.
#[derive(Debug)]
pub(crate) struct Pending {
    rows: Vec<u32>,
    place: Arena<u32>,
}

impl Pending {
    fn new() -> Self {
        Self { rows: Vec::new(), place: Arena::new(1) }
    }

    pub(crate) fn rows(&self) -> &[u32] {
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
pub(crate) enum Removal {
    /// The id was not there.
    Absent,
    /// The row is free.
    Freed,
    /// The row is still a node.
    Tombstone(u32),
}

/// All of an index that searches read.
#[derive(Debug)]
pub(crate) struct State<G: LiveGraph> {
    pub(crate) rows: Rows,
    pub(crate) store: G::Store,
    pub(crate) statuses: Arena<Status>,
    pub(crate) pending: Pending,
    pub(crate) graph: Option<G>,
    /// Removed rows that are still nodes.
    pub(crate) n_tombstones: usize,
    /// Changes when a row comes to hold another vector.
    pub(crate) generation: Generation,
    /// Where the file that rows lie in is found to be damaged.
    pub(crate) damage: Option<Arc<Damage>>,
}

impl<G: LiveGraph> State<G> {
    pub(crate) fn new(store: G::Store) -> Self {
        Self {
            rows: Rows::new(),
            store,
            statuses: Arena::new(1),
            pending: Pending::new(),
            graph: None,
            n_tombstones: 0,
            generation: Generation::next(),
            damage: None,
        }
    }

    /// A state with the rows and statuses of a snapshot. Where the store has no vectors yet they are to be set.
    pub(crate) fn restored(store: G::Store, rows: Rows, statuses: &[Status], graph: Option<G>) -> Self {
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
    pub(crate) fn status(&self, row: u32) -> Status {
        self.statuses.get(row)
    }

    /// # Errors
    /// [`crate::Error::SnapshotCorrupt`] when rows that were used lie in a damaged part of a file.
    pub(crate) fn check(&self) -> Result<()> {
        self.damage.as_ref().map_or(Ok(()), |damage| damage.check())
    }

    /// The live rows of ids. Ids that follow each other are often in rows that do: so the table is asked for few of them.
    pub(crate) fn rows_of<'a>(&'a self, ids: &'a [u64]) -> impl Iterator<Item = u32> + 'a {
        let mut offset = 0_u64;
        ids.iter().filter_map(move |&id| {
            let guess = id.wrapping_sub(offset);
            if guess < self.rows.n_rows() as u64 {
                let row = guess as u32;
                if self.rows.id_of(row) == id && self.status(row).is_live() {
                    return Some(row);
                }
            }
            let row = self.rows.row_of(id)?;
            offset = id.wrapping_sub(u64::from(row));
            Some(row)
        })
    }

    pub(crate) fn n_live(&self) -> usize {
        self.rows.len()
    }

    /// Stores an encoded vector under an id, to be scanned until it is linked. Returns the row that became a tombstone.
    pub(crate) fn put(&mut self, id: u64, vector: <G::Store as LiveStore>::Encoded<'_>) -> Result<Option<u32>> {
        let old = self.rows.row_of(id);
        if let Some(row) = old {
            if self.store.holds(row, &vector) {
                return Ok(None);
            }
            if !self.status(row).is_in_graph() {
                self.generation = Generation::next();
                self.store.set(row, vector);
                return Ok(None);
            }
        }
        let row = self.allocate()?;
        self.generation = Generation::next();
        self.store.set(row, vector);
        self.rows.bind(id, row);
        if let Some(old) = old {
            self.bury(old);
        }
        Ok(old)
    }

    /// A row for a vector and an id that come next, to be scanned until it is linked.
    fn allocate(&mut self) -> Result<u32> {
        let row = self.rows.allocate()?;
        let n_rows = self.rows.n_rows();
        self.store.ensure(n_rows);
        self.statuses.ensure(n_rows);
        self.statuses.set(row, Status::UNLINKED);
        self.pending.insert(row);
        Ok(row)
    }

    /// Removes an id.
    pub(crate) fn remove(&mut self, id: u64) -> Removal {
        let Some(row) = self.rows.unbind(id) else { return Removal::Absent };
        self.generation = Generation::next();
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
    pub(crate) fn settle(&mut self, row: u32) {
        if self.status(row).is_pending() {
            self.pending.remove(row);
        }
        self.statuses.set(row, Status::LINKED);
    }

    /// Marks a linked row as lost to walks.
    pub(crate) fn lose(&mut self, row: u32) {
        if self.status(row) == Status::LINKED {
            self.statuses.set(row, Status::LOST);
            self.pending.insert(row);
        }
    }

    /// Frees tombstones that no node links to.
    pub(crate) fn free(&mut self, rows: &[u32]) {
        let n_rows = self.rows.n_rows();
        for &row in rows {
            self.statuses.set(row, Status::FREE);
            self.rows.release(row);
        }
        self.n_tombstones -= rows.len();
        let Self { graph, statuses, .. } = self;
        if let Some(graph) = graph {
            graph.forget(rows, &|row| statuses.get(row), n_rows);
        }
    }

    /// A copy of the live rows alone, without a graph and without room to spare.
    pub(crate) fn compacted(&self) -> Result<Self> {
        let mut compact = Self::new(self.store.empty_like());
        let live = (0..self.rows.n_rows() as u32).filter(|&row| self.status(row).is_live());
        for from in live {
            let row = compact.allocate()?;
            compact.store.copy(row, &self.store, from);
            compact.rows.bind(self.rows.id_of(from), row);
        }
        Ok(compact)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
            + self.store.memory_bytes()
            + self.statuses.memory_bytes()
            + self.pending.place.memory_bytes()
            + self.pending.rows.capacity() * size_of::<u32>()
            + self.graph.as_ref().map_or(0, LiveGraph::memory_bytes)
    }
}
