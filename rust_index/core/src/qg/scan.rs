//! Codes for a search without a graph: one bit a component relative to a common centre, 32 rows a block, so that the rows of
//! a small index are estimated 32 at a time and only the best are looked at closer.
//!
//! The centre is the mean of the rows, taken anew when they have become four times as many.

use crate::candidates::Candidate;
use crate::kernels::{BLOCK, Kernels};
use crate::metric::Metric;
use crate::vectors::Arena;

use super::block::{self, Neighbour, first_bits};
use super::query::Query;
use super::store::{Code, Measure, QuantizedStore};

/// Rows from which on the centre is their mean; before it is the origin.
const MIN_CENTRED: usize = 64;
/// The centre is taken anew when there are so many times the rows.
const GROWTH: usize = 4;

/// The codes of all rows.
#[derive(Debug)]
pub(crate) struct ScanCodes {
    /// Blocks as nodes have them; row `r` is in slot `r % 32` of block `r / 32`.
    blocks: Arena<u8>,
    centre: Vec<i8>,
    measure: Measure,
    /// Rows that the centre is the mean of.
    n_centred: usize,
}

impl ScanCodes {
    pub(super) fn new(padded: usize) -> Self {
        Self {
            blocks: Arena::new(block::block_len(padded)),
            centre: vec![0; padded],
            measure: Measure { scale: 0.0, squared: 0.0 },
            n_centred: 0,
        }
    }

    /// Takes a row of a store that has `n_rows`.
    pub(super) fn set(&mut self, store: &QuantizedStore, row: u32, n_rows: usize) {
        if n_rows >= MIN_CENTRED.max(GROWTH * self.n_centred) {
            self.centre(store, n_rows);
            return;
        }
        self.put(store, row);
    }

    fn put(&mut self, store: &QuantizedStore, row: u32) {
        let centre = Code { values: &self.centre, scale: self.measure.scale };
        let neighbour = Neighbour::of(store, centre, row);
        let (number, slot) = (row as usize / BLOCK, row as usize % BLOCK);
        self.blocks.ensure(number + 1);
        block::put(self.blocks.row_mut(number as u32), slot, &neighbour);
    }

    /// Makes the mean of the rows the centre, and all codes anew.
    fn centre(&mut self, store: &QuantizedStore, n_rows: usize) {
        let mut sums = vec![0.0_f32; self.centre.len()];
        for row in 0..n_rows as u32 {
            let Code { values, scale } = store.code(row);
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += f32::from(value) * scale;
            }
        }
        let mean: Vec<f32> = sums.iter().map(|sum| sum / n_rows as f32).collect();
        self.measure = super::store::quantize(&mean, &mut self.centre);
        // Distances are to the code of the centre, not to the mean itself.
        let squared = store.kernels.dot_i8(&self.centre, &self.centre) as f32 * self.measure.scale * self.measure.scale;
        self.measure.squared = squared;
        self.n_centred = n_rows;
        self.blocks = Arena::new(self.blocks.stride());
        for row in 0..n_rows as u32 {
            self.put(store, row);
        }
    }

    /// The `limit` rows of those that pass with the least estimated distances, in no order.
    pub(super) fn nearest(
        &self,
        (kernels, metric): (&Kernels, Metric),
        query: &Query,
        n_rows: usize,
        limit: usize,
        passes: impl Fn(u32) -> bool,
        best: &mut Vec<Candidate>,
    ) {
        best.clear();
        let product = query.inner_product(kernels, &self.centre, self.measure.scale);
        let base = match metric {
            Metric::Cosine => 1.0 - product,
            Metric::Dot => -product,
            Metric::L2 => query.squared() + self.measure.squared - 2.0 * product,
        };
        let mut worst = f32::INFINITY;
        let mut estimates = [0.0; BLOCK];
        for number in 0..n_rows.div_ceil(BLOCK) {
            let first = number * BLOCK;
            let (head, codes) = block::parts(self.blocks.row(number as u32));
            let scale = query.scale(base, head.slope_unit, head.offset_unit);
            let near = kernels.scan(query.table(), head.scan_block(codes), &scale, worst, &mut estimates);
            let mut near = near & first_bits(n_rows - first);
            while near != 0 {
                let slot = near.trailing_zeros() as usize;
                near &= near - 1;
                let row = (first + slot) as u32;
                if passes(row) {
                    best.push(Candidate::new(estimates[slot], row));
                }
            }
            if best.len() >= 2 * limit {
                best.select_nth_unstable(limit - 1);
                best.truncate(limit);
                worst = best.last().map_or(worst, |candidate| candidate.distance());
            }
        }
        if best.len() > limit {
            best.select_nth_unstable(limit - 1);
            best.truncate(limit);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.memory_bytes() + self.centre.capacity()
    }
}
