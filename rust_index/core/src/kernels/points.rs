//! Groups of components coded by the number of one of sixteen points, and the tables that a scan looks such codes up in.
//!
//! Each level compiles these loops with its own instructions. Where the points come from is not known here.

use super::{MAX_ENTRY, table_offset};

/// Points that four bits tell apart.
pub(crate) const N_POINTS: usize = 16;
/// Adding 2^23 to a float below it leaves its nearest integer in the low bits, ties to even.
const ROUND: f32 = 8_388_608.0;

/// Sixteen points for each group of components of a vector. Where the vector ends, groups are short or empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points<'a> {
    /// Components of a group.
    dim: usize,
    values: &'a [[f32; N_POINTS]],
    halves: &'a [[f32; N_POINTS]],
}

impl<'a> Points<'a> {
    /// `values` has, group after group and component after component, the component in all points; `halves` for each group
    /// half the squared norms of the points. One group alone stands for all.
    ///
    /// # Panics
    /// When the lengths do not go together.
    pub(crate) fn new(dim: usize, values: &'a [[f32; N_POINTS]], halves: &'a [[f32; N_POINTS]]) -> Self {
        assert!(!halves.is_empty() && values.len() == dim * halves.len());
        Self { dim, values, halves }
    }

    /// The points of a group: their components, and half their squared norms.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
    fn group(&self, number: usize) -> (&'a [[f32; N_POINTS]], &'a [f32; N_POINTS]) {
        let number = if self.halves.len() == 1 { 0 } else { number };
        (&self.values[number * self.dim..][..self.dim], &self.halves[number])
    }

    /// Whether there are points for this many groups.
    pub(super) fn are_for(&self, n_groups: usize) -> bool {
        self.halves.len() == 1 || self.halves.len() == n_groups
    }

    /// The inner products of a group of a vector with its points.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
    fn products(&self, vector: &[f32], number: usize) -> [f32; N_POINTS] {
        let start = (number * self.dim).min(vector.len());
        let end = (start + self.dim).min(vector.len());
        let mut products = [0.0; N_POINTS];
        for (x, values) in vector[start..end].iter().zip(self.group(number).0) {
            for (product, value) in products.iter_mut().zip(values) {
                *product += x * value;
            }
        }
        products
    }

    /// The number of the point nearest to a group of a vector, and its inner product with it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
    fn nearest(&self, vector: &[f32], number: usize) -> (u8, f32) {
        let products = self.products(vector, number);
        let halves = self.group(number).1;
        // |x - p|^2 is least where x . p - |p|^2 / 2 is greatest.
        let scores: [f32; N_POINTS] = std::array::from_fn(|i| products[i] - halves[i]);
        let mut greatest = scores;
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                let other = greatest[i + half];
                greatest[i] = if other > greatest[i] { other } else { greatest[i] };
            }
        }
        let is_greatest = (0..N_POINTS).fold(0_u32, |mask, i| mask | u32::from(scores[i] >= greatest[0]) << i);
        // Magnitudes near the end of f32 lead to NaN, which is never the greatest.
        let at = is_greatest.trailing_zeros().min(N_POINTS as u32 - 1);
        (at as u8, products[at as usize])
    }
}

/// Writes the code of a vector, two groups a byte, and returns the inner product of the vector with what it stands for.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
pub(super) fn encode(vector: &[f32], points: Points<'_>, code: &mut [u8]) -> f32 {
    let mut product = 0.0;
    for (pair, byte) in code.iter_mut().enumerate() {
        let (low, of_low) = points.nearest(vector, 2 * pair);
        let (high, of_high) = points.nearest(vector, 2 * pair + 1);
        *byte = low | high << 4;
        product += of_low + of_high;
    }
    product
}

/// Fills the table of a query, using `products` for as many groups, and returns what a step of a sum of entries is worth and
/// what a sum of zero stands for.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each level, with its instructions")]
pub(super) fn tabulate(
    vector: &[f32],
    points: Points<'_>,
    products: &mut [[f32; N_POINTS]],
    table: &mut [u8],
) -> (f32, f32) {
    let (mut widest, mut start) = (0.0_f32, 0.0);
    for (number, of_group) in products.iter_mut().enumerate() {
        let found = points.products(vector, number);
        let (mut least, mut greatest) = (found, found);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                least[i] = if least[i + half] < least[i] { least[i + half] } else { least[i] };
                greatest[i] = if greatest[i + half] > greatest[i] { greatest[i + half] } else { greatest[i] };
            }
        }
        start += least[0];
        let width = greatest[0] - least[0];
        widest = if width > widest { width } else { widest };
        for (to, product) in of_group.iter_mut().zip(found) {
            *to = product - least[0];
        }
    }
    // The entries of all groups together must fit 16 bits.
    let largest_entry = MAX_ENTRY.min(usize::from(u16::MAX) / products.len()) as f32;
    let inverse = if widest < f32::MIN_POSITIVE { 0.0 } else { largest_entry / widest };
    for (number, of_group) in products.iter().enumerate() {
        let at = table_offset(number);
        let entries: [u8; N_POINTS] = of_group.map(|above| (above * inverse + ROUND).to_bits() as u8);
        table[at..at + N_POINTS].copy_from_slice(&entries);
        table[at + N_POINTS..at + 2 * N_POINTS].copy_from_slice(&entries);
    }
    (widest / largest_entry, start)
}

#[cfg(test)]
mod tests {
    use super::super::{Kernels, SimdLevel};
    use super::*;

    /// Points and a vector that are the same everywhere.
    fn numbers(seed: u32, n: usize) -> Vec<f32> {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        std::iter::successors(next(&seed), next).take(n).map(|x| (x >> 8) as f32 / 8_388_608.0 - 1.0).collect()
    }

    fn points_of(dim: usize, n_groups: usize) -> (Vec<[f32; N_POINTS]>, Vec<[f32; N_POINTS]>) {
        let values = numbers(5, dim * n_groups * N_POINTS);
        let values: Vec<[f32; N_POINTS]> = values.as_chunks::<N_POINTS>().0.to_vec();
        let half = |group: &[[f32; N_POINTS]], i: usize| group.iter().map(|x| x[i] * x[i]).sum::<f32>() / 2.0;
        let halves = values.chunks(dim).map(|group| std::array::from_fn(|i| half(group, i))).collect();
        (values, halves)
    }

    #[test]
    fn every_level_finds_the_nearest_points() {
        // The last groups are short and empty.
        for (dim, n_groups, len) in [(4, 16, 64), (3, 32, 64), (2, 48, 96), (8, 16, 64), (16, 16, 192)] {
            let vector = numbers(9, len);
            for n_kept in [n_groups, 1] {
                let (values, halves) = points_of(dim, n_kept);
                let points = Points::new(dim, &values, &halves);
                for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
                    let mut code = vec![0; n_groups / 2];
                    let product = Kernels::new(level).unwrap().encode(&vector, points, &mut code);
                    let mut expected = 0.0;
                    for number in 0..n_groups {
                        let group: Vec<f32> = vector.iter().skip(number * dim).take(dim).copied().collect();
                        let at = usize::from(code[number / 2] >> (4 * (number % 2)) & 15);
                        let of = |i: usize| {
                            values[number % n_kept * dim..][..dim].iter().map(|x| x[i]).collect::<Vec<f32>>()
                        };
                        let score = |i: usize| {
                            let products = group.iter().zip(&of(i)).map(|(x, p)| x * p).sum::<f32>();
                            products - of(i).iter().map(|p| p * p).sum::<f32>() / 2.0
                        };
                        assert!((0..N_POINTS).all(|i| score(i) <= score(at) + 1e-5), "{level:?} {dim} {number}");
                        expected += group.iter().zip(&of(at)).map(|(x, p)| x * p).sum::<f32>();
                    }
                    assert!((product - expected).abs() < 1e-3, "{level:?} {dim}");
                }
            }
        }
    }

    #[test]
    fn sums_of_every_level_stand_for_inner_products() {
        for (dim, n_groups, len) in [(4, 16, 64), (3, 32, 64), (4, 96, 384), (2, 2_048, 4_096)] {
            let (vector, query) = (numbers(1, len), numbers(2, len));
            let (values, halves) = points_of(dim, n_groups);
            let points = Points::new(dim, &values, &halves);
            for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
                let kernels = Kernels::new(level).unwrap();
                let mut code = vec![0; n_groups / 2];
                kernels.encode(&vector, points, &mut code);
                let (mut products, mut table) = (vec![[0.0; N_POINTS]; n_groups], vec![0; n_groups * 32]);
                let (unit, start) = kernels.tabulate(&query, points, &mut products, &mut table);
                let code_of = |number: usize| usize::from(code[number / 2] >> (4 * (number % 2)) & 15);
                let sum: u32 =
                    (0..n_groups).map(|number| u32::from(table[table_offset(number) + code_of(number)])).sum();
                let exact = query.iter().enumerate().map(|(i, x)| x * values[i][code_of(i / dim)]).sum::<f32>();
                let found = unit * sum as f32 + start;
                assert!(u16::try_from(sum).is_ok() && table.iter().all(|&entry| usize::from(entry) <= MAX_ENTRY));
                // Each entry is rounded by up to half a step.
                assert!((found - exact).abs() <= unit * n_groups as f32 / 2.0 + 1e-3, "{level:?} {found} {exact}");
            }
        }
    }

    #[test]
    fn extreme_magnitudes_have_codes() {
        let (values, halves) = points_of(4, 16);
        let points = Points::new(4, &values, &halves);
        for scale in [0.0, 1e-45, f32::MAX, f32::INFINITY, f32::NAN] {
            let mut code = vec![0xFF; 8];
            encode(&[scale; 64], points, &mut code);
            let (mut products, mut table) = (vec![[0.0; N_POINTS]; 16], vec![0; 512]);
            tabulate(&[scale; 64], points, &mut products, &mut table);
        }
    }
}
