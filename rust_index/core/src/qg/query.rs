//! A rotated vector in the forms that distances to codes are taken from.

use crate::kernels::{BLOCK, GROUP, Kernels, N_POINTS, PreparedQuery, ScanScale};

use super::coding::Coding;
use super::store::rounded;

/// What a search or a plan compares rows with. Kept and filled again.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The vector in sixteen bits.
    words: Vec<i16>,
    /// See [`Kernels::scan`].
    table: Vec<u8>,
    /// What the table is made from where codes are of points.
    products: Vec<[f32; N_POINTS]>,
    prepared: PreparedQuery,
    /// The vector in eight bits, where asked for.
    bytes: Vec<i8>,
    byte_unit: f32,
    byte_sum: i32,
}

impl Query {
    /// Takes a rotated vector, to be compared with codes of this coding.
    pub(crate) fn set(&mut self, kernels: &Kernels, coding: &Coding, rotated: &[f32]) {
        self.words.resize(rotated.len(), 0);
        self.table.resize(rotated.len() / GROUP * 32, 0);
        // The words come with a table of signs.
        self.prepared = kernels.prepare(rotated, &mut self.words, &mut self.table);
        if let Coding::Points(points) = coding {
            let n_groups = points.n_groups();
            self.table.resize(n_groups * 2 * N_POINTS, 0);
            self.products.resize(n_groups, [0.0; N_POINTS]);
            let found = kernels.tabulate(rotated, points.as_points(), &mut self.products, &mut self.table);
            (self.prepared.table_unit, self.prepared.table_start) = found;
        }
    }

    /// Makes what [`Query::product_with_signs`] takes, of the rotated vector that was set.
    pub(crate) fn set_bytes(&mut self, rotated: &[f32]) {
        let largest = rotated.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let inverse = if largest >= f32::MIN_POSITIVE { f32::from(i8::MAX) / largest } else { 0.0 };
        self.bytes.clear();
        self.bytes.extend(rotated.iter().map(|x| rounded(x * inverse) as i8));
        self.byte_unit = largest / f32::from(i8::MAX);
        self.byte_sum = self.bytes.iter().map(|&x| i32::from(x)).sum();
    }

    /// Inner products with up to [`BLOCK`] rows of signs, of which a bit that is set is positive.
    #[inline]
    pub(crate) fn products_with_signs(&self, kernels: &Kernels, rows: &[&[u8]], products: &mut [f32; BLOCK]) {
        let mut sums = [0; BLOCK];
        kernels.sums_where(&self.bytes, rows, &mut sums);
        for (product, sum) in products.iter_mut().zip(sums) {
            *product = (2 * sum - self.byte_sum) as f32 * self.byte_unit;
        }
    }

    /// Components, with those that fill up.
    #[inline]
    pub(crate) fn n_components(&self) -> usize {
        self.words.len()
    }

    /// Squared norm.
    pub(crate) fn squared(&self) -> f32 {
        self.prepared.squared
    }

    /// Inner product with a code of a scale.
    #[inline]
    pub(crate) fn inner_product(&self, kernels: &Kernels, code: &[i8], scale: f32) -> f32 {
        kernels.dot_i16_i8(&self.words, code) as f32 * (self.prepared.word_unit * scale)
    }

    /// Inner product with the fine steps of a code.
    #[inline]
    pub(crate) fn fine_product(&self, kernels: &Kernels, packed: &[u8], unit: f32) -> f32 {
        kernels.dot_i16_i4(&self.words, packed) as f32 * (self.prepared.word_unit * unit)
    }

    #[inline]
    pub(crate) fn table(&self) -> &[u8] {
        &self.table
    }

    /// How a scan's sums become distances where the centre is `base` away and factors have these units.
    #[inline]
    pub(crate) fn scale(&self, base: f32, slope_unit: f32, offset_unit: f32) -> ScanScale {
        let PreparedQuery { table_unit, table_start, .. } = self.prepared;
        ScanScale { base, offset_unit, unit: table_unit * slope_unit, start: table_start * slope_unit }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.capacity() * 2
            + self.table.capacity()
            + self.bytes.capacity()
            + self.products.capacity() * size_of::<[f32; N_POINTS]>()
    }
}
