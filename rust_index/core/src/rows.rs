//! Which external id lives in which row: the id table, the rows' life, and the rows that are free.
//!
//! Ids are `u64` and chosen by the caller; rows are `u32`, dense, and used again. Vectors are not known here.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashTable;

use crate::error::{Error, Result};
use crate::kernels::prefetch;
use crate::vectors::Arena;

/// Most rows an index can have: a row number shares 32 bits with a mark (see `candidates`).
pub(crate) const MAX_ROWS: usize = (1 << 31) - 1;

/// The id that pads short results of a batch and can therefore not be stored.
pub const RESERVED_ID: u64 = u64::MAX;

/// Multiplicative hash: ids are often consecutive, and the table must not depend on a random state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }
}

/// A hash map whose order is the same in each run.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Mixes 64 bits. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014), `SplitMix64`.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct Status(u8);

impl Status {
    const LIVE: u8 = 1;
    const IN_GRAPH: u8 = 2;
    const PENDING: u8 = 4;
    const LEAVING: u8 = 8;

    /// Holds nothing.
    pub(crate) const FREE: Self = Self(0);
    /// Live, found by scanning.
    pub(crate) const UNLINKED: Self = Self(Self::LIVE | Self::PENDING);
    /// Live, found by walking.
    pub(crate) const LINKED: Self = Self(Self::LIVE | Self::IN_GRAPH);
    /// Live, a node of the graph that walks may not reach: found by scanning until it is linked again.
    pub(crate) const LOST: Self = Self(Self::LIVE | Self::IN_GRAPH | Self::PENDING);
    /// Removed, still a node that walks pass through.
    pub(crate) const TOMBSTONE: Self = Self(Self::IN_GRAPH);
    /// A tombstone that the running repair takes out of the graph.
    pub(crate) const DYING: Self = Self(Self::IN_GRAPH | Self::LEAVING);

    #[inline]
    pub(crate) fn is_live(self) -> bool {
        self.0 & Self::LIVE != 0
    }

    #[inline]
    pub(crate) fn is_in_graph(self) -> bool {
        self.0 & Self::IN_GRAPH != 0
    }

    #[inline]
    pub(crate) fn is_pending(self) -> bool {
        self.0 & Self::PENDING != 0
    }

    /// The byte of a snapshot. A repair does not outlive the process.
    pub(crate) fn to_byte(self) -> u8 {
        self.0 & !Self::LEAVING
    }

    /// The status that a snapshot's byte stands for.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        let status = Self(byte);
        [Self::FREE, Self::UNLINKED, Self::LINKED, Self::LOST, Self::TOMBSTONE].contains(&status).then_some(status)
    }
}

/// The ids of the live rows and the list of free ones.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The live rows by the hash of their ids: a third of what a map of both would take.
    table: HashTable<u32>,
    ids: Arena<u64>,
    n_used: usize,
    free: Vec<u32>,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self { table: HashTable::new(), ids: Arena::new(1), n_used: 0, free: Vec::new() }
    }

    /// How many ids are live.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many row numbers have ever been in use; all rows are below this.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_used
    }

    pub(crate) fn row_of(&self, id: u64) -> Option<u32> {
        self.table.find(mix(id), |&row| self.id_of(row) == id).copied()
    }

    /// The id that was last bound to the row.
    #[inline]
    pub(crate) fn id_of(&self, row: u32) -> u64 {
        self.ids.get(row)
    }

    /// Asks for what `id_of` reads.
    #[inline]
    pub(crate) fn prefetch_id(&self, row: u32) {
        prefetch(self.ids.row(row));
    }

    /// Live rows with their ids, in no useful order.
    pub(crate) fn live(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.table.iter().map(|&row| (self.id_of(row), row))
    }

    /// A row for a new vector: a free one, or one past the end.
    pub(crate) fn allocate(&mut self) -> Result<u32> {
        if let Some(row) = self.free.pop() {
            return Ok(row);
        }
        if self.n_used >= MAX_ROWS {
            return Err(Error::IndexFull { limit: MAX_ROWS });
        }
        self.n_used += 1;
        self.ids.ensure(self.n_used);
        Ok((self.n_used - 1) as u32)
    }

    /// Binds an id to a row and returns the row that it had before.
    pub(crate) fn bind(&mut self, id: u64, row: u32) -> Option<u32> {
        let Self { table, ids, .. } = self;
        let old = table.find_mut(mix(id), |&row| ids.get(row) == id).map(|old| std::mem::replace(old, row));
        ids.set(row, id);
        if old.is_none() {
            table.insert_unique(mix(id), row, |&row| mix(ids.get(row)));
        }
        old
    }

    /// Unbinds an id and returns its row, which is not free yet.
    pub(crate) fn unbind(&mut self, id: u64) -> Option<u32> {
        let Self { table, ids, .. } = self;
        let entry = table.find_entry(mix(id), |&row| ids.get(row) == id).ok()?;
        Some(entry.remove().0)
    }

    /// Gives a row back.
    pub(crate) fn release(&mut self, row: u32) {
        self.free.push(row);
    }

    /// A larger copy of the id table when `additional` more ids would make it grow, else nothing.
    ///
    /// Made without a lock that readers need, and put in place by [`Rows::replace_table`], so that nobody waits for it.
    pub(crate) fn grown_table(&self, additional: usize) -> Option<HashTable<u32>> {
        let wanted = self.table.len() + additional;
        (wanted > self.table.capacity() && self.table.len() > 1024).then(|| {
            let mut grown = HashTable::with_capacity(wanted.max(2 * self.table.len()));
            for &row in &self.table {
                grown.insert_unique(mix(self.id_of(row)), row, |&row| mix(self.id_of(row)));
            }
            grown
        })
    }

    /// Puts a table made by [`Rows::grown_table`] in place and returns the old one, to be dropped at leisure.
    pub(crate) fn replace_table(&mut self, grown: HashTable<u32>) -> HashTable<u32> {
        debug_assert_eq!(grown.len(), self.table.len());
        std::mem::replace(&mut self.table, grown)
    }

    /// Restores a table from the ids and statuses of all rows. Refuses an id that occurs twice or is reserved. Some 20 ns a
    /// row, 10 where ids ascend.
    pub(crate) fn restore(ids: Arena<u64>, statuses: &[Status]) -> Option<Self> {
        // Sized at once: to grow it would take as long as to fill it.
        let n_live = statuses.iter().filter(|status| status.is_live()).count();
        let mut rows = Self { table: HashTable::with_capacity(n_live), ids, n_used: statuses.len(), free: Vec::new() };
        let mut last = None;
        let mut is_ascending = true;
        for (row, &status) in (0_u32..).zip(statuses) {
            if status.is_live() {
                let id = rows.ids.get(row);
                is_ascending &= last.is_none_or(|last| last < id);
                last = Some(id);
                if id == RESERVED_ID || (!is_ascending && rows.row_of(id).is_some()) {
                    return None;
                }
                let Self { table, ids, .. } = &mut rows;
                table.insert_unique(mix(id), row, |&row| mix(ids.get(row)));
            } else if !status.is_in_graph() {
                rows.free.push(row);
            }
        }
        Some(rows)
    }

    /// Keeps the ids of all rows as they are now for `id_before`, until `forget_before`.
    pub(crate) fn keep_before(&mut self) {
        self.ids.keep_before();
    }

    /// The id of a row at `keep_before`.
    pub(crate) fn id_before(&self, row: u32) -> u64 {
        self.ids.row_before(row)[0]
    }

    /// Frees what `keep_before` keeps.
    pub(crate) fn forget_before(&mut self) {
        self.ids.forget_before();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.allocation_size() + self.ids.memory_bytes() + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_rows_are_used_again() {
        let mut rows = Rows::new();
        for id in 0..10 {
            let row = rows.allocate().unwrap();
            assert_eq!(rows.bind(id, row), None);
        }
        let row = rows.unbind(3).unwrap();
        rows.release(row);
        assert_eq!(rows.row_of(3), None);
        assert_eq!(rows.allocate().unwrap(), row);
        assert_eq!((rows.len(), rows.n_rows()), (9, 10));
    }

    #[test]
    fn a_restored_table_refuses_duplicates() {
        let unlinked = Status::UNLINKED;
        let restore = |ids: &[u64], statuses: &[Status]| Rows::restore(Arena::of(ids), statuses);
        assert!(restore(&[1, 5, 1], &[unlinked, Status::FREE, unlinked]).is_none());
        assert!(restore(&[1, 5, 5], &[unlinked; 3]).is_none());
        assert!(restore(&[3, 9, 5, 9], &[unlinked; 4]).is_none());
        assert!(restore(&[RESERVED_ID], &[unlinked]).is_none());
        let mut rows = restore(&[1, 2, 2], &[unlinked, Status::FREE, unlinked]).unwrap();
        assert_eq!(rows.allocate().unwrap(), 1);
        assert_eq!(rows.row_of(2), Some(2));
    }

    #[test]
    fn statuses_survive_a_snapshot() {
        for byte in 0..=u8::MAX {
            if let Some(status) = Status::from_byte(byte) {
                assert_eq!(status.to_byte(), byte);
            }
        }
        assert_eq!(Status::from_byte(Status::DYING.to_byte()), Some(Status::TOMBSTONE));
    }
}
