//! How the difference of a row and a centre becomes a code that is looked up in a table of the query: by the signs of its
//! components, or by the nearest of sixteen points for each group of them. Either way a group takes four bits.

use std::sync::Arc;

use crate::kernels::{GROUP, Kernels, N_POINTS, Points, Relation, SCAN_DIM};
use crate::spec::Kind;

use super::spiral;
use super::store::Code;

/// A scan takes so many groups at a time.
const GROUPS_AT_A_TIME: usize = SCAN_DIM / GROUP;

/// A way to code differences.
#[derive(Clone, Debug)]
pub(crate) enum Coding {
    /// A bit a component. Source: Gao and Long, `RaBitQ` (SIGMOD 2024).
    Signs,
    /// A point a group.
    Points(Arc<PointSets>),
}

/// Sixteen points for each group of `dim` components.
#[derive(Debug)]
pub(crate) struct PointSets {
    dim: usize,
    n_groups: usize,
    /// Group after group, component after component.
    values: Vec<[f32; N_POINTS]>,
    /// Half the squared norms, for each group.
    halves: Vec<[f32; N_POINTS]>,
}

/// Groups of `dim` components that stand for `padded` ones, and further ones, empty, to fill a scan.
pub(crate) fn n_groups(dim: usize, padded: usize) -> usize {
    padded.div_ceil(dim).next_multiple_of(GROUPS_AT_A_TIME)
}

impl PointSets {
    /// Points for vectors of `padded` components, `dim` values for each group or for one that stands for all.
    pub(crate) fn new(dim: usize, padded: usize, values: Vec<[f32; N_POINTS]>) -> Self {
        let half = |group: &[[f32; N_POINTS]], i: usize| group.iter().map(|x| x[i] * x[i]).sum::<f32>() / 2.0;
        let halves = values.chunks(dim).map(|group| std::array::from_fn(|i| half(group, i))).collect();
        Self { dim, n_groups: n_groups(dim, padded), values, halves }
    }

    pub(super) fn n_groups(&self) -> usize {
        self.n_groups
    }

    pub(crate) fn values(&self) -> &[[f32; N_POINTS]] {
        &self.values
    }

    pub(crate) fn as_points(&self) -> Points<'_> {
        Points::new(self.dim, &self.values, &self.halves)
    }

    /// Inner product of what a code stands for with a vector.
    fn product_of(&self, code: &[u8], vector: &[f32]) -> f32 {
        let groups = vector.chunks(self.dim).enumerate();
        let product = |(number, group): (usize, &[f32])| {
            let at = usize::from(code[number / 2] >> (4 * (number % 2)) & 15);
            let number = if self.halves.len() == 1 { 0 } else { number };
            let values = &self.values[number * self.dim..][..self.dim];
            group.iter().zip(values).map(|(x, values)| x * values[at]).sum::<f32>()
        };
        groups.map(product).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        (self.values.capacity() + self.halves.capacity()) * size_of::<[f32; N_POINTS]>()
    }
}

impl Coding {
    /// The coding of a kind of index whose vectors have `padded` components.
    pub(super) fn of(kind: Kind, padded: usize) -> Self {
        match kind {
            Kind::Spiral => Self::Points(Arc::new(spiral::directions(padded))),
            _ => Self::Signs,
        }
    }

    /// Bytes of a code of a vector of `padded` components.
    pub(crate) fn code_len(&self, padded: usize) -> usize {
        match self {
            Self::Signs => padded / 8,
            Self::Points(points) => points.n_groups / 2,
        }
    }

    /// Relates a row to a centre and writes the code of their difference.
    pub(super) fn relate(&self, kernels: &Kernels, row: Code<'_>, centre: Code<'_>, code: &mut [u8]) -> Relation {
        let Self::Points(points) = self else {
            return kernels.relate((row.values, row.scale), (centre.values, centre.scale), code);
        };
        let mut relation = Relation::default();
        let of_centre: Vec<f32> = centre.values.iter().map(|&c| f32::from(c) * centre.scale).collect();
        let differences = row.values.iter().zip(&of_centre).map(|(&x, c)| {
            let r = f32::from(x) * row.scale - c;
            relation.squared += r * r;
            relation.offset_centre += r * c;
            r
        });
        let differences: Vec<f32> = differences.collect();
        relation.code_offset = kernels.encode(&differences, points.as_points(), code);
        relation.code_centre = points.product_of(code, &of_centre);
        relation
    }
}
