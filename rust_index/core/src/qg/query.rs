//! A rotated vector in the forms that distances to codes are taken from.

use crate::kernels::{GROUP, Kernels, MAX_ENTRY, ScanScale, table_offset};

const ROUND: f32 = 12_582_912.0;
/// Entries of a lookup table: one for each sign pattern of a group of components.
const PATTERNS: usize = 1 << GROUP;

/// What a search or a plan compares rows with. Kept and filled again.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The vector in sixteen bits, times `1 / unit`.
    words: Vec<i16>,
    unit: f32,
    /// Squared norm.
    pub(crate) squared: f32,
    /// See [`Kernels::scan`].
    table: Vec<u8>,
    /// A sum of entries `s` stands for the inner product `table_unit * s + table_start` of the vector with signs.
    table_unit: f32,
    table_start: f32,
}

impl Query {
    /// Takes a rotated vector.
    pub(crate) fn set(&mut self, rotated: &[f32]) {
        let largest = rotated.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        self.squared = rotated.iter().map(|x| x * x).sum();
        self.set_words(rotated, largest);
        self.set_table(rotated);
    }

    fn set_words(&mut self, rotated: &[f32], largest: f32) {
        // So bounded, the sum of all products with codes fits 32 bits.
        let limit = (i32::MAX as f32 / (128.0 * rotated.len() as f32)).min(f32::from(i16::MAX)).floor();
        let inverse = if largest < f32::MIN_POSITIVE { 0.0 } else { limit / largest };
        self.unit = largest / limit;
        self.words.clear();
        // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, in any vector unit.
        self.words.extend(rotated.iter().map(|x| ((x * inverse + ROUND) - ROUND) as i16));
    }

    fn set_table(&mut self, rotated: &[f32]) {
        let groups = rotated.as_chunks::<GROUP>().0;
        let reach = |group: &[f32; GROUP]| group.iter().map(|x| x.abs()).sum::<f32>();
        let (widest, total) =
            groups.iter().map(reach).fold((0.0_f32, 0.0), |(widest, total), reach| (widest.max(reach), total + reach));
        // The entries of all groups together must fit 16 bits.
        let largest_entry = MAX_ENTRY.min(usize::from(u16::MAX) / groups.len()) as f32;
        let inverse = if widest < f32::MIN_POSITIVE { 0.0 } else { largest_entry / (2.0 * widest) };
        self.table_unit = 2.0 * widest / largest_entry;
        self.table_start = -total;
        self.table.resize(groups.len() * 2 * PATTERNS, 0);
        for (number, group) in groups.iter().enumerate() {
            let reach = reach(group);
            let mut sums = [reach; PATTERNS];
            for (i, x) in group.iter().enumerate() {
                for (pattern, sum) in sums.iter_mut().enumerate() {
                    *sum += if pattern >> i & 1 == 1 { *x } else { -*x };
                }
            }
            let at = table_offset(number);
            let (first, second) = self.table[at..at + 2 * PATTERNS].split_at_mut(PATTERNS);
            for ((first, second), sum) in first.iter_mut().zip(second).zip(sums) {
                *first = (sum * inverse + 0.5) as u8;
                *second = *first;
            }
        }
    }

    /// Inner product with a code of a scale.
    #[inline]
    pub(crate) fn inner_product(&self, kernels: &Kernels, code: &[i8], scale: f32) -> f32 {
        kernels.dot_i16_i8(&self.words, code) as f32 * (self.unit * scale)
    }

    #[inline]
    pub(crate) fn table(&self) -> &[u8] {
        &self.table
    }

    /// How a scan's sums become distances where the centre is `base` away and factors have these units.
    #[inline]
    pub(crate) fn scale(&self, base: f32, slope_unit: f32, offset_unit: f32) -> ScanScale {
        ScanScale { base, offset_unit, unit: self.table_unit * slope_unit, start: self.table_start * slope_unit }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.capacity() * 2 + self.table.capacity()
    }
}
