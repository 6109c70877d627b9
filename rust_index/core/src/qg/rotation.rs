//! The random rotation that spreads a vector's energy evenly over its components, so that one bit or eight a component
//! tell equally much of each. What is rotated is not known here.
//!
//! Rounds of random signs, a fast Hadamard transform of the largest power of two that fits (from the front, then from the
//! back), and a step that mixes the two halves. Sources: Ailon and Chazelle (2009), the fast Johnson-Lindenstrauss
//! transform; Kac's walk as analysed by Pillai and Smith (2017).

use crate::kernels::{Kernels, SCAN_DIM};
use crate::rows::mix;

const SQRT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// A rotation of `dim` components, padded with zeros, to [`Rotation::padded`] ones.
#[derive(Debug)]
pub(crate) struct Rotation {
    dim: usize,
    padded: usize,
    /// The power of two that is transformed at once.
    block: usize,
    /// For each round the signs, times the scale of the transform where it acts.
    factors: Vec<Vec<f32>>,
}

impl Rotation {
    pub(crate) fn new(dim: usize, seed: u64) -> Self {
        let padded = dim.next_multiple_of(SCAN_DIM);
        let block = 1 << padded.ilog2();
        let n_rounds = if block == padded { 3 } else { 4 };
        let mut rotation = Self { dim, padded, block, factors: Vec::new() };
        rotation.factors = (0..n_rounds)
            .map(|round| {
                let start = rotation.start(round);
                let scale = |i: usize| {
                    if (start..start + block).contains(&i) { 1.0 / (block as f32).sqrt() } else { 1.0 }
                };
                let is_positive = |i: usize| mix(seed ^ mix((round * padded + i) as u64)) & 1 == 0;
                (0..padded).map(|i| if is_positive(i) { scale(i) } else { -scale(i) }).collect()
            })
            .collect();
        rotation
    }

    /// Components of a vector.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Components of a rotated vector: `dim` rounded up to a multiple of [`SCAN_DIM`].
    pub(crate) fn padded(&self) -> usize {
        self.padded
    }

    /// Where the transform of a round begins: at the front and at the back by turns.
    fn start(&self, round: usize) -> usize {
        if round.is_multiple_of(2) { 0 } else { self.padded - self.block }
    }

    /// Rotates a vector into `rotated`, which has `padded` components.
    pub(crate) fn apply(&self, kernels: &Kernels, vector: &[f32], rotated: &mut [f32]) {
        rotated[..self.dim].copy_from_slice(vector);
        rotated[self.dim..].fill(0.0);
        for (round, factors) in self.factors.iter().enumerate() {
            for (x, factor) in rotated.iter_mut().zip(factors) {
                *x *= factor;
            }
            let start = self.start(round);
            kernels.hadamard(&mut rotated[start..start + self.block]);
            self.mix_halves(rotated);
        }
    }

    /// Rotates back, dropping the padding.
    pub(crate) fn invert(&self, kernels: &Kernels, rotated: &mut [f32], vector: &mut [f32]) {
        for (round, factors) in self.factors.iter().enumerate().rev() {
            self.mix_halves(rotated);
            let start = self.start(round);
            kernels.hadamard(&mut rotated[start..start + self.block]);
            // The factor holds the transform's scale, which its inverse wants as well; elsewhere it is a sign.
            for (x, factor) in rotated.iter_mut().zip(factors) {
                *x *= factor;
            }
        }
        vector.copy_from_slice(&rotated[..self.dim]);
    }

    /// Sums and differences of the halves: its own inverse. A transform of everything needs none.
    fn mix_halves(&self, vector: &mut [f32]) {
        if self.block < self.padded {
            let (low, high) = vector.split_at_mut(self.padded / 2);
            for (x, y) in low.iter_mut().zip(high) {
                (*x, *y) = ((*x + *y) * SQRT_HALF, (*x - *y) * SQRT_HALF);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_keeps_lengths_and_can_be_undone() {
        for dim in [1, 3, 63, 64, 65, 100, 384, 512, 768, 1000] {
            let rotation = Rotation::new(dim, 7);
            let vector: Vec<f32> = (0..dim).map(|i| ((i * i) as f32 * 0.37).cos()).collect();
            let mut rotated = vec![9.0; rotation.padded()];
            rotation.apply(&Kernels::detect(), &vector, &mut rotated);
            let squared = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
            assert!((squared(&vector) / squared(&rotated) - 1.0).abs() < 1e-4, "{dim}");
            let mut back = vec![0.0; dim];
            rotation.invert(&Kernels::detect(), &mut rotated, &mut back);
            assert!(vector.iter().zip(&back).all(|(x, y)| (x - y).abs() < 1e-5), "{dim}");
        }
    }

    #[test]
    fn one_component_is_spread_over_all() {
        for dim in [64, 384, 768] {
            let rotation = Rotation::new(dim, 1);
            let mut vector = vec![0.0; dim];
            vector[dim / 3] = 1.0;
            let mut rotated = vec![0.0; dim];
            rotation.apply(&Kernels::detect(), &vector, &mut rotated);
            let largest = rotated.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            assert!(largest < 8.0 / (dim as f32).sqrt(), "{dim}: {largest}");
        }
    }
}
