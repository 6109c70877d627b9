//! Chunked row arena: rows of one width, in cache-line aligned chunks that never move once they are full size.
//!
//! Growing copies at most one small chunk, so an index of any size grows without a pause, and one of a few rows costs a
//! few rows. The first rows may lie in the file of a snapshot. While a snapshot is written, rows that change are kept as
//! they were. What the numbers mean is not known here.

use bytemuck::{Pod, Zeroable};

use crate::rows::IdMap;
use crate::snapshot::sections::MappedRows;

/// Rows in a full chunk, as a power of two.
const CHUNK_SHIFT: u32 = 10;
/// Rows in a full chunk.
const CHUNK_ROWS: usize = 1 << CHUNK_SHIFT;
/// Rows in the first allocation.
const FIRST_ROWS: usize = 4;

/// One cache line: the unit of allocation, for its alignment.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Rows of `stride` elements each.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    stride: usize,
    /// The first rows, where they come from a file.
    mapped: Option<MappedRows>,
    n_mapped: usize,
    /// The others. All chunks but the first have `CHUNK_ROWS` rows.
    chunks: Vec<Vec<Line>>,
    /// Rows in chunks.
    n_rows: usize,
    /// Rows as they were before they changed, while a snapshot is written.
    before: Option<IdMap<u32, Box<[T]>>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl<T: Pod> Arena<T> {
    /// An arena without rows.
    pub(crate) fn new(stride: usize) -> Self {
        Self { stride, mapped: None, n_mapped: 0, chunks: Vec::new(), n_rows: 0, before: None }
    }

    /// An arena whose first rows are those of a file.
    pub(crate) fn mapped(stride: usize, rows: MappedRows) -> Self {
        Self { n_mapped: rows.n_rows(), mapped: Some(rows), ..Self::new(stride) }
    }

    /// Makes rows `0..n_rows` usable; new ones are zero.
    pub(crate) fn ensure(&mut self, n_rows: usize) {
        let n_rows = n_rows.saturating_sub(self.n_mapped);
        while self.n_rows < n_rows {
            if self.n_rows < CHUNK_ROWS {
                let by_half = (self.n_rows + self.n_rows.div_ceil(2)).max(FIRST_ROWS);
                let grown = by_half.max(n_rows).min(CHUNK_ROWS);
                let first = self.chunks.pop().unwrap_or_default();
                let mut chunk = self.zeroed(grown);
                chunk[..first.len()].copy_from_slice(&first);
                self.chunks.push(chunk);
                self.n_rows = grown;
            } else {
                let chunk = self.zeroed(CHUNK_ROWS);
                self.chunks.push(chunk);
                self.n_rows += CHUNK_ROWS;
            }
        }
    }

    fn zeroed(&self, n_rows: usize) -> Vec<Line> {
        bytemuck::zeroed_vec((n_rows * self.stride * size_of::<T>()).div_ceil(size_of::<Line>()))
    }

    /// Rows that are usable.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_mapped + self.n_rows
    }

    /// Elements in a row.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// A row. The row must have been made usable by `ensure`.
    #[inline]
    pub(crate) fn row(&self, row: u32) -> &[T] {
        match &self.mapped {
            Some(mapped) if (row as usize) < self.n_mapped => bytemuck::cast_slice(mapped.row(row as usize)),
            _ => {
                let row = row as usize - self.n_mapped;
                let elements: &[T] = bytemuck::must_cast_slice(&self.chunks[row >> CHUNK_SHIFT]);
                &elements[row % CHUNK_ROWS * self.stride..][..self.stride]
            }
        }
    }

    /// A row to be changed.
    #[inline]
    pub(crate) fn row_mut(&mut self, row: u32) -> &mut [T] {
        if self.before.is_some() {
            let copy = self.row(row).into();
            self.before.get_or_insert_default().entry(row).or_insert(copy);
        }
        match &mut self.mapped {
            Some(mapped) if (row as usize) < self.n_mapped => bytemuck::cast_slice_mut(mapped.row_mut(row as usize)),
            _ => {
                let row = row as usize - self.n_mapped;
                let elements: &mut [T] = bytemuck::must_cast_slice_mut(&mut self.chunks[row >> CHUNK_SHIFT]);
                &mut elements[row % CHUNK_ROWS * self.stride..][..self.stride]
            }
        }
    }

    /// Keeps all rows as they are now for `row_before`, until `forget_before`.
    pub(crate) fn keep_before(&mut self) {
        self.before = Some(IdMap::default());
    }

    /// A row as it was at `keep_before`.
    pub(crate) fn row_before(&self, row: u32) -> &[T] {
        match self.before.as_ref().and_then(|before| before.get(&row)) {
            Some(kept) => kept,
            None => self.row(row),
        }
    }

    /// Frees what `keep_before` keeps.
    pub(crate) fn forget_before(&mut self) {
        self.before = None;
    }

    /// Checks the next rows of the file that were not, and tells whether there were any.
    pub(crate) fn check_next(&self) -> bool {
        self.mapped.as_ref().is_some_and(MappedRows::check_next)
    }

    /// The first element of a row.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> T {
        self.row(row)[0]
    }

    /// Sets the first element of a row.
    #[inline]
    pub(crate) fn set(&mut self, row: u32, value: T) {
        self.row_mut(row)[0] = value;
    }

    /// Bytes allocated, and those of the file that were mapped.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.n_mapped * self.stride * size_of::<T>()
            + self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<Line>()).sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<Line>>()
            + self.before.as_ref().map_or(0, |before| before.len() * self.stride * size_of::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_growth() {
        let mut arena = Arena::<u32>::new(3);
        for row in 0..5_000_u32 {
            arena.ensure(row as usize + 1);
            assert_eq!(arena.row(row), [0, 0, 0]);
            arena.row_mut(row).copy_from_slice(&[row, row + 1, row + 2]);
        }
        for row in 0..5_000_u32 {
            assert_eq!(arena.row(row), [row, row + 1, row + 2]);
        }
    }

    #[test]
    fn a_few_rows_cost_a_few_rows() {
        let mut arena = Arena::<f32>::new(384);
        for n in 1..=20 {
            arena.ensure(n);
        }
        assert!(arena.memory_bytes() < 25 * 384 * 4, "{}", arena.memory_bytes());
    }

    #[test]
    fn full_chunks_do_not_move() {
        let mut arena = Arena::<u8>::new(64);
        arena.ensure(CHUNK_ROWS + 1);
        let before = arena.row(0).as_ptr();
        arena.ensure(50 * CHUNK_ROWS);
        assert_eq!(before, arena.row(0).as_ptr());
        assert_eq!(before as usize % 64, 0);
    }
}
