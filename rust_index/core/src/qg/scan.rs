//! Codes for a search without a graph: relative to a common centre, 32 rows a block, so that rows are estimated 32 at a time
//! and only the best are looked at closer.
//!
//! In a small index the centre is the mean of the rows, taken anew when they have become four times as many; or it is given.

use crate::candidates::Candidate;
use crate::kernels::{BLOCK, Kernels};
use crate::metric::Metric;
use crate::vectors::Arena;

use super::block::{self, Neighbour, Neighbours, first_bits};
use super::coding::Coding;
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
    coding: Coding,
    centre: Vec<i8>,
    measure: Measure,
    /// Rows that the centre is the mean of.
    n_centred: usize,
}

impl ScanCodes {
    pub(crate) fn new(coding: Coding, padded: usize) -> Self {
        Self {
            blocks: Arena::new(Self::block_len(&coding, padded)),
            coding,
            centre: vec![0; padded],
            measure: Measure { scale: 0.0, squared: 0.0 },
            n_centred: 0,
        }
    }

    /// Bytes of a block of vectors of `padded` components.
    pub(crate) fn block_len(coding: &Coding, padded: usize) -> usize {
        block::block_len(coding.code_len(padded))
    }

    /// Codes relative to a centre that stays.
    pub(crate) fn around(kernels: &Kernels, coding: Coding, centre: &[f32]) -> Self {
        let mut codes = Self::new(coding, centre.len());
        codes.take_centre(kernels, centre);
        codes
    }

    /// Codes of rows relative to their mean, in their order.
    pub(crate) fn of_rows(store: &QuantizedStore, rows: &[u32]) -> Self {
        let mean = mean(store, rows.iter().copied());
        let mut codes = Self::around(&store.kernels, store.coding.clone(), &mean);
        for (place, &row) in rows.iter().enumerate() {
            codes.put_at(store, place, row);
        }
        codes
    }

    /// Codes with the centre and the blocks of a snapshot.
    pub(crate) fn restored(coding: Coding, centre: Vec<i8>, measure: Measure, blocks: Arena<u8>) -> Self {
        Self { blocks, coding, centre, measure, n_centred: 0 }
    }

    pub(crate) fn coding(&self) -> &Coding {
        &self.coding
    }

    pub(crate) fn blocks(&self) -> &Arena<u8> {
        &self.blocks
    }

    pub(crate) fn blocks_mut(&mut self) -> &mut Arena<u8> {
        &mut self.blocks
    }

    /// The centre's own code, with its scale and squared norm.
    pub(crate) fn centre(&self) -> (&[i8], Measure) {
        (&self.centre, self.measure)
    }

    /// Takes a row of a store that has `n_rows`.
    pub(crate) fn set(&mut self, store: &QuantizedStore, row: u32, n_rows: usize) {
        if n_rows >= MIN_CENTRED.max(GROWTH * self.n_centred) {
            self.centre_at_mean(store, n_rows);
            return;
        }
        self.put_at(store, row as usize, row);
    }

    /// Puts the code of a row in a place.
    pub(crate) fn put_at(&mut self, store: &QuantizedStore, place: usize, row: u32) {
        let coded = self.code(store, std::iter::once(row));
        coded.iter().for_each(|one| self.write(place, one));
    }

    fn write(&mut self, place: usize, one: Neighbour<'_>) {
        let (number, slot) = (place / BLOCK, place % BLOCK);
        self.blocks.ensure(number + 1);
        block::put(self.blocks.row_mut(number as u32), slot, one);
    }

    /// The codes of rows, to be put in their places.
    pub(crate) fn code(&self, store: &QuantizedStore, rows: impl Iterator<Item = u32>) -> Neighbours {
        let centre = Code { values: &self.centre, scale: self.measure.scale };
        let mut coded = Neighbours::new(self.coding.code_len(store.padded()), rows.size_hint().0);
        rows.for_each(|row| coded.push(store, &self.coding, centre, row));
        coded
    }

    /// Puts codes in their places.
    pub(crate) fn place(&mut self, coded: &Neighbours) {
        coded.iter().for_each(|one| self.write(one.row as usize, one));
    }

    /// Makes the mean of the rows the centre, and all codes anew.
    fn centre_at_mean(&mut self, store: &QuantizedStore, n_rows: usize) {
        let mean = mean(store, 0..n_rows as u32);
        self.take_centre(&store.kernels, &mean);
        self.n_centred = n_rows;
        self.blocks = Arena::new(self.blocks.stride());
        for row in 0..n_rows as u32 {
            self.put_at(store, row as usize, row);
        }
    }

    fn take_centre(&mut self, kernels: &Kernels, centre: &[f32]) {
        self.measure = super::store::quantize(centre, &mut self.centre);
        // Distances are to the code of the centre, not to the centre itself.
        let squared = kernels.dot_i8(&self.centre, &self.centre) as f32 * self.measure.scale * self.measure.scale;
        self.measure.squared = squared;
    }

    /// For each query the `limit` rows of those that pass with the least estimated distances, in no order. The queries go
    /// over the blocks together, so that each block is read from memory once.
    pub(crate) fn nearest<'a>(
        &self,
        (kernels, metric): (&Kernels, Metric),
        queries: impl Iterator<Item = (&'a Query, &'a mut Vec<Candidate>)>,
        n_rows: usize,
        limit: usize,
        passes: impl Fn(u32) -> bool,
    ) {
        let mut scans: Vec<Scan<'a>> = queries
            .map(|(query, best)| {
                best.clear();
                let product = query.inner_product(kernels, &self.centre, self.measure.scale);
                let base = match metric {
                    Metric::Cosine => 1.0 - product,
                    Metric::Dot => -product,
                    Metric::L2 => query.squared() + self.measure.squared - 2.0 * product,
                };
                Scan { query, best, base, worst: f32::INFINITY }
            })
            .collect();
        let mut estimates = [0.0; BLOCK];
        for number in 0..n_rows.div_ceil(BLOCK).min(self.blocks.n_rows()) {
            let first = number * BLOCK;
            let (head, codes) = block::parts(self.blocks.row(number as u32));
            for scan in &mut scans {
                let scale = scan.query.scale(scan.base, head.slope_unit, head.offset_unit);
                let block = head.scan_block(codes);
                let mut near = kernels.scan(scan.query.table(), block, &scale, scan.worst, &mut estimates);
                near &= first_bits(n_rows - first);
                while near != 0 {
                    let slot = near.trailing_zeros() as usize;
                    near &= near - 1;
                    let row = (first + slot) as u32;
                    if passes(row) {
                        scan.best.push(Candidate::new(estimates[slot], row));
                    }
                }
                if scan.best.len() >= 2 * limit {
                    scan.keep(limit);
                }
            }
        }
        for scan in &mut scans {
            if scan.best.len() > limit {
                scan.keep(limit);
            }
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.blocks.memory_bytes() + self.centre.capacity()
    }
}

/// Mean of rows, zero of none.
fn mean(store: &QuantizedStore, rows: impl ExactSizeIterator<Item = u32>) -> Vec<f32> {
    let n_rows = rows.len().max(1);
    let mut sums = vec![0.0_f32; store.padded()];
    for row in rows {
        let Code { values, scale } = store.code(row);
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += f32::from(value) * scale;
        }
    }
    sums.into_iter().map(|sum| sum / n_rows as f32).collect()
}

/// A query that goes over the blocks.
struct Scan<'a> {
    query: &'a Query,
    best: &'a mut Vec<Candidate>,
    /// Distance of the query to the centre, as the estimate wants it.
    base: f32,
    /// What is not below this is not among the best.
    worst: f32,
}

impl Scan<'_> {
    /// Keeps the best.
    fn keep(&mut self, limit: usize) {
        self.best.select_nth_unstable(limit - 1);
        self.best.truncate(limit);
        self.worst = self.best.last().map_or(self.worst, |candidate| candidate.distance());
    }
}
