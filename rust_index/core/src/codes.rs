//! Eight-bit codes of vectors: `x ~ scale * code` with one scale a vector. They order candidates, never results.

use crate::kernels::{Kernels, prefetch};
use crate::vectors::Arena;

/// Largest magnitude of a code. -128 is left out, so that codes are symmetric.
const CODE_MAX: f32 = 127.0;

/// The code of one vector.
#[derive(Debug, Default)]
pub(crate) struct Code {
    values: Vec<i8>,
    scale: f32,
}

impl Code {
    /// Quantises a vector. One that is all zero, or too small to have a normal scale, gets the zero code.
    pub(crate) fn of(vector: &[f32]) -> Self {
        let mut values = vec![0; vector.len()];
        let scale = quantize(vector, &mut values);
        Self { values, scale }
    }

    pub(crate) fn as_ref(&self) -> CodeRef<'_> {
        CodeRef { values: &self.values, scale: self.scale }
    }
}

/// A code that lives elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRef<'a> {
    values: &'a [i8],
    scale: f32,
}

impl CodeRef<'_> {
    /// Estimated inner product. Never NaN: a zero scale comes with a zero code, and the first product is then zero.
    #[inline]
    pub(crate) fn inner_product(self, kernels: &Kernels, other: CodeRef<'_>) -> f32 {
        self.scale * kernels.dot_i8(self.values, other.values) as f32 * other.scale
    }
}

/// The codes of all rows.
#[derive(Debug)]
pub(crate) struct Codes {
    values: Arena<i8>,
    scales: Arena<f32>,
}

impl Codes {
    pub(crate) fn new(dim: usize) -> Self {
        Self { values: Arena::new(dim), scales: Arena::new(1) }
    }

    pub(crate) fn ensure(&mut self, n_rows: usize) {
        self.values.ensure(n_rows);
        self.scales.ensure(n_rows);
    }

    pub(crate) fn set(&mut self, row: u32, vector: &[f32]) {
        let scale = quantize(vector, self.values.row_mut(row));
        self.scales.set(row, scale);
    }

    #[inline]
    pub(crate) fn get(&self, row: u32) -> CodeRef<'_> {
        CodeRef { values: self.values.row(row), scale: self.scales.get(row) }
    }

    #[inline]
    pub(crate) fn prefetch(&self, row: u32) {
        prefetch(self.values.row(row));
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.scales.memory_bytes()
    }
}

/// Writes the code of a vector and returns its scale.
fn quantize(vector: &[f32], values: &mut [i8]) -> f32 {
    let largest = vector.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = largest / CODE_MAX;
    if scale < f32::MIN_POSITIVE {
        values.fill(0);
        return 0.0;
    }
    let inverse = CODE_MAX / largest;
    for (value, &x) in values.iter_mut().zip(vector) {
        // Adding 1.5 * 2^23 rounds to the nearest integer, ties to even, in any vector unit.
        const ROUND: f32 = 12_582_912.0;
        *value = ((x * inverse + ROUND) - ROUND) as i8;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_estimate_inner_products() {
        let kernels = Kernels::detect();
        let a: Vec<f32> = (0..384).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..384).map(|i| (i as f32 * 0.11).cos()).collect();
        let norm = (kernels.dot_f32(&a, &a) * kernels.dot_f32(&b, &b)).sqrt();
        let estimate = Code::of(&a).as_ref().inner_product(&kernels, Code::of(&b).as_ref());
        assert!((estimate - kernels.dot_f32(&a, &b)).abs() / norm < 1e-3);
    }

    #[test]
    fn extreme_vectors_have_codes_and_no_nan() {
        let kernels = Kernels::detect();
        let vectors = [vec![0.0; 4], vec![1e-45; 4], vec![f32::MIN_POSITIVE; 4], vec![f32::MAX; 4], vec![-1e30; 4]];
        for a in &vectors {
            for b in &vectors {
                let estimate = Code::of(a).as_ref().inner_product(&kernels, Code::of(b).as_ref());
                assert!(!estimate.is_nan(), "{a:?} {b:?}");
            }
        }
    }
}
