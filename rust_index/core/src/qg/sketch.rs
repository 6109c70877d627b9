//! What a compact node is estimated by: one bit a component relative to a centre that all nodes share, in a stretch of memory
//! of its own, which is one cache line for up to 384 components.
//!
//! ```text
//! offset  bytes
//!      0    d/8  code, see `kernels::Kernels::relate`; d is the padded dimension
//!    d/8      4  slope, f32: of the inner product of the query with the signs
//!             4  offset, f32: what is added to that and to the distance of the centre
//!             4  scale of the node's own code, f32
//!             4  its squared norm, f32
//!                zero, to a multiple of 64
//! ```
//!
//! The estimate is that of `block`, with a centre that is farther off, so it is less exact. But it is the same from wherever a
//! walk comes: a node is estimated once.

use crate::kernels::{BLOCK, Kernels, prefetch};
use crate::metric::Metric;
use crate::vectors::Arena;

use super::block::{Neighbour, Neighbours};
use super::coding::Coding;
use super::query::Query;
use super::store::{Code, Measure, QuantizedStore, quantize};

/// Sketches begin at multiples of this.
const LINE: usize = 64;
/// Rows that the centre is the mean of, at most.
const MAX_CENTRED: usize = 16_384;

/// What all sketches are relative to.
#[derive(Clone, Debug)]
pub(super) struct Centre {
    pub(super) values: Vec<i8>,
    pub(super) measure: Measure,
}

/// The end of a sketch.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Factors {
    slope: f32,
    offset: f32,
    measure: Measure,
}

/// The sketches of all nodes.
#[derive(Debug)]
pub(super) struct Sketches {
    centre: Centre,
    lines: Arena<u8>,
}

impl Centre {
    /// The mean of some rows.
    pub(super) fn of(store: &QuantizedStore, rows: &[u32]) -> Self {
        let step = rows.len().div_ceil(MAX_CENTRED).max(1);
        let mut sums = vec![0.0_f32; store.padded()];
        let mut n = 0.0;
        for &row in rows.iter().step_by(step) {
            let Code { values, scale } = store.code(row);
            sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f32::from(value) * scale);
            n += 1.0;
        }
        let mean: Vec<f32> = sums.iter().map(|sum| sum / f32::max(n, 1.0)).collect();
        let mut values = vec![0; mean.len()];
        let measure = quantize(&mean, &mut values);
        Self::from_code(&store.kernels, values, measure.scale)
    }

    /// The centre of a snapshot.
    pub(super) fn from_code(kernels: &Kernels, values: Vec<i8>, scale: f32) -> Self {
        // Distances are to the code, not to what it was made from.
        let squared = kernels.dot_i8(&values, &values) as f32 * scale * scale;
        Self { values, measure: Measure { scale, squared } }
    }

    /// The sketch of a row.
    pub(super) fn sketch(&self, store: &QuantizedStore, row: u32) -> Vec<u8> {
        let centre = Code { values: &self.values, scale: self.measure.scale };
        let mut coded = Neighbours::new(store.padded() / 8, 1);
        coded.push(store, &Coding::Signs, centre, row);
        let Neighbour { code, slope, offset, .. } = coded.get(0);
        let mut line = vec![0; line_len(store.padded())];
        let (signs, rest) = line.split_at_mut(code.len());
        signs.copy_from_slice(code);
        let factors = Factors { slope, offset, measure: store.measure(row) };
        rest[..size_of::<Factors>()].copy_from_slice(bytemuck::bytes_of(&factors));
        line
    }
}

/// Bytes of a sketch.
pub(super) fn line_len(padded: usize) -> usize {
    (padded / 8 + size_of::<Factors>()).next_multiple_of(LINE)
}

impl Sketches {
    pub(super) fn around(centre: Centre) -> Self {
        let lines = Arena::new(line_len(centre.values.len()));
        Self { centre, lines }
    }

    /// The sketches of a snapshot.
    pub(super) fn restored(centre: Centre, lines: Arena<u8>) -> Self {
        Self { centre, lines }
    }

    pub(super) fn centre(&self) -> &Centre {
        &self.centre
    }

    pub(super) fn lines(&self) -> &Arena<u8> {
        &self.lines
    }

    pub(super) fn lines_mut(&mut self) -> &mut Arena<u8> {
        &mut self.lines
    }

    pub(super) fn put(&mut self, row: u32, line: &[u8]) {
        self.lines.ensure(row as usize + 1);
        self.lines.row_mut(row).copy_from_slice(line);
    }

    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        prefetch(self.lines.row(row));
    }

    /// The distance of the centre, as the metric has it.
    pub(super) fn base(&self, store: &QuantizedStore, query: &Query) -> f32 {
        let product = query.inner_product(&store.kernels, &self.centre.values, self.centre.measure.scale);
        match store.metric {
            Metric::Cosine => 1.0 - product,
            Metric::Dot => -product,
            Metric::L2 => query.squared() + self.centre.measure.squared - 2.0 * product,
        }
    }

    /// The estimated distances of up to [`BLOCK`] nodes, where the centre is `base` away.
    #[inline]
    pub(super) fn estimate(&self, kernels: &Kernels, query: &Query, base: f32, rows: &[u32]) -> [f32; BLOCK] {
        let n = query.n_components();
        let mut signs: [&[u8]; BLOCK] = [&[]; BLOCK];
        let mut rests: [&[u8]; BLOCK] = [&[]; BLOCK];
        for ((signs, rest), &row) in signs.iter_mut().zip(&mut rests).zip(rows) {
            (*signs, *rest) = self.lines.row(row).split_at(n / 8);
        }
        let mut estimates = [0.0; BLOCK];
        query.products_with_signs(kernels, &signs[..rows.len().min(BLOCK)], &mut estimates);
        for (estimate, rest) in estimates.iter_mut().zip(&rests[..rows.len().min(BLOCK)]) {
            let Factors { slope, offset, .. } = factors(rest);
            *estimate = base + offset + slope * *estimate;
        }
        estimates
    }

    /// Scale and norm of a node's own code.
    #[inline]
    pub(super) fn measure(&self, row: u32) -> Measure {
        factors(&self.lines.row(row)[self.centre.values.len() / 8..]).measure
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.memory_bytes() + self.centre.values.capacity()
    }
}

#[inline]
fn factors(rest: &[u8]) -> Factors {
    bytemuck::pod_read_unaligned(&rest[..size_of::<Factors>()])
}
