//! Sixteen directions that lie evenly on the sphere, by which three components have a code of four bits without training.
//!
//! Source: Keinert, Innmann, Saenger and Stamminger, "Spherical Fibonacci mapping" (2015), section 2, for the directions. Their
//! inverse in constant time does not pay for so few: all are compared.

use crate::kernels::N_POINTS;

use super::coding::PointSets;

/// Components of a direction.
const DIM: usize = 3;

/// The directions, the same for each three components of `padded` ones. Lengths are not coded: the factor of the whole
/// difference makes up for them.
pub(super) fn directions(padded: usize) -> PointSets {
    let turn = std::f64::consts::TAU * (3.0 - 5.0_f64.sqrt()) / 2.0;
    let mut values = vec![[0.0; N_POINTS]; DIM];
    for i in 0..N_POINTS {
        let height = 1.0 - (2 * i + 1) as f64 / N_POINTS as f64;
        let (sin, cos) = (i as f64 * turn).sin_cos();
        let radius = (1.0 - height * height).sqrt();
        for (values, x) in values.iter_mut().zip([radius * cos, radius * sin, height]) {
            values[i] = x as f32;
        }
    }
    PointSets::new(DIM, padded, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernels;

    #[test]
    fn directions_are_apart_and_near_to_all_others() {
        let points = directions(48);
        let of = |i: usize| [0, 1, 2].map(|j| points.values()[j][i]);
        let product = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        for i in 0..N_POINTS {
            assert!((product(of(i), of(i)) - 1.0).abs() < 1e-6);
            assert!((0..i).all(|j| product(of(i), of(j)) < 0.85), "{i}");
        }
        // Sixteen caps that cover the sphere alike would reach 34 degrees each.
        for i in 0..2_000 {
            let (height, turn) = (1.0 - (2 * i + 1) as f32 / 2_000.0, i as f32 * 1.7);
            let radius = (1.0 - height * height).sqrt();
            let direction = [radius * turn.cos(), radius * turn.sin(), height];
            let nearest = (0..N_POINTS).map(|i| product(of(i), direction)).fold(-1.0, f32::max);
            assert!(nearest > 0.7, "{direction:?}");
        }
    }

    #[test]
    fn every_three_components_have_four_bits() {
        let points = directions(192);
        let vector: Vec<f32> = (0..192).map(|i| ((i * i) as f32 * 0.7).sin()).collect();
        let mut code = [0; 32];
        let product = Kernels::detect().encode(&vector, points.as_points(), &mut code);
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        // 64 directions together have the length 8.
        assert!(product / (8.0 * norm) > 0.8, "{}", product / norm);
    }
}
