//! A rotated vector in the forms that distances to codes are taken from.

use crate::kernels::{GROUP, Kernels, PreparedQuery, ScanScale};

/// What a search or a plan compares rows with. Kept and filled again.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The vector in sixteen bits.
    words: Vec<i16>,
    /// See [`Kernels::scan`].
    table: Vec<u8>,
    prepared: PreparedQuery,
}

impl Query {
    /// Takes a rotated vector.
    pub(crate) fn set(&mut self, kernels: &Kernels, rotated: &[f32]) {
        self.words.resize(rotated.len(), 0);
        self.table.resize(rotated.len() / GROUP * 32, 0);
        self.prepared = kernels.prepare(rotated, &mut self.words, &mut self.table);
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
        self.words.capacity() * 2 + self.table.capacity()
    }
}
