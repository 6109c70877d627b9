//! Codebooks: sixteen centroids for each sub-vector, by k-means over a sample of the rows.

use std::sync::Arc;

use crate::kernels::{Kernels, N_POINTS};
use crate::qg::coding::{PointSets, n_groups};
use crate::qg::store::{Code, QuantizedStore};
use crate::rows::mix;

/// Rows that codebooks are trained on, at most: 256 for each centroid.
pub(super) const MAX_SAMPLED: usize = 4_096;
/// Components of the sample at most: 64 MiB.
const MAX_COMPONENTS: usize = 1 << 24;
/// Rounds of k-means. Further ones hardly lower the error.
const N_ROUNDS: usize = 12;

/// What rows are coded by.
#[derive(Clone, Debug)]
pub(super) struct Trained {
    /// The mean of the sample.
    pub(super) origin: Vec<f32>,
    /// Centroids of the differences from the origin.
    pub(super) points: Arc<PointSets>,
    /// Rows that there were.
    pub(super) n_rows: usize,
}

/// Trains codebooks on some of these rows, of which there is one at least. The same rows and seed give the same.
///
/// `O(MAX_SAMPLED * N_ROUNDS * 16 * dim)`.
pub(super) fn train(store: &QuantizedStore, rows: &[u32], dim: usize, seed: u64) -> Trained {
    let padded = store.padded();
    let n = rows.len().min(MAX_SAMPLED).min((MAX_COMPONENTS / padded).max(N_POINTS));
    // A row of each of `n` equal runs, so that all times of insertion are seen.
    let sampled = (0..n).map(|i| {
        let (start, end) = (i * rows.len() / n, (i + 1) * rows.len() / n);
        rows[start + (mix(seed ^ mix(i as u64)) % (end - start) as u64) as usize]
    });
    let mut vectors = Vec::with_capacity(n * padded);
    for row in sampled {
        let Code { values, scale } = store.code(row);
        vectors.extend(values.iter().map(|&value| f32::from(value) * scale));
    }
    let mut origin = vec![0.0_f32; padded];
    for vector in vectors.chunks_exact(padded) {
        origin.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
    }
    for sum in &mut origin {
        *sum /= n as f32;
    }
    for vector in vectors.chunks_exact_mut(padded) {
        vector.iter_mut().zip(&origin).for_each(|(x, mean)| *x -= mean);
    }
    let points = centroids(&store.kernels, &vectors, padded, dim, seed);
    Trained { origin, points: Arc::new(points), n_rows: rows.len() }
}

/// Centroids of all groups by Lloyd's algorithm; they begin at random vectors, and one that nothing is nearest to goes to
/// another. Source: Lloyd, "Least squares quantization in PCM" (1982).
fn centroids(kernels: &Kernels, vectors: &[f32], padded: usize, dim: usize, seed: u64) -> PointSets {
    let n = vectors.len() / padded;
    let n_groups = n_groups(dim, padded);
    let at_random = |group: usize, point: usize, round: usize| {
        let chosen = mix(seed ^ mix((round * n_groups + group) as u64 * N_POINTS as u64 + point as u64));
        (chosen % n as u64) as usize
    };
    let component = |vector: usize, group: usize, i: usize| {
        let at = group * dim + i;
        if at < padded { vectors[vector * padded + at] } else { 0.0 }
    };
    let mut values = vec![[0.0; N_POINTS]; n_groups * dim];
    for (at, values) in values.iter_mut().enumerate() {
        let group = at / dim;
        *values = std::array::from_fn(|point| component(at_random(group, point, 0), group, at % dim));
    }
    let mut points = PointSets::new(dim, padded, values);
    let mut code = vec![0; n_groups / 2];
    for round in 1..=N_ROUNDS {
        let mut sums = vec![[0.0_f32; N_POINTS]; n_groups * dim];
        let mut counts = vec![[0_u32; N_POINTS]; n_groups];
        for vector in vectors.chunks_exact(padded) {
            kernels.encode(vector, points.as_points(), &mut code);
            for (group, components) in vector.chunks(dim).enumerate() {
                let point = usize::from(code[group / 2] >> (4 * (group % 2)) & 15);
                counts[group][point] += 1;
                for (sum, x) in sums[group * dim..].iter_mut().zip(components) {
                    sum[point] += x;
                }
            }
        }
        for (at, sums) in sums.iter_mut().enumerate() {
            let group = at / dim;
            for (point, sum) in sums.iter_mut().enumerate() {
                *sum = match counts[group][point] {
                    0 => component(at_random(group, point, round), group, at % dim),
                    count => *sum / count as f32,
                };
            }
        }
        points = PointSets::new(dim, padded, sums);
    }
    points
}
