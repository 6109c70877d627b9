//! Candidates ordered by (distance, row) as one integer, and a bounded collection of the best of them.

use std::collections::BinaryHeap;

use crate::kernels::Kernels;

/// A row with its distance, as an integer that orders as (distance, row) does.
///
/// ```text
/// bit 63..32  distance, mapped so that unsigned order is the order of floats (NaN beyond infinity)
/// bit 31..1   row
/// bit 0       expanded: a mark of the graph walk, 0 elsewhere
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct Candidate(u64);

impl Candidate {
    const SIGN: u32 = 1 << 31;
    /// Comes after all others, and is none.
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline]
    pub(crate) fn new(distance: f32, row: u32) -> Self {
        // Adding zero turns -0.0 into 0.0, so that equal distances have equal bits.
        let bits = (distance + 0.0).to_bits();
        let ordered = if bits & Self::SIGN == 0 { bits | Self::SIGN } else { !bits };
        Self((u64::from(ordered) << 32) | (u64::from(row) << 1))
    }

    #[inline]
    pub(crate) fn row(self) -> u32 {
        (self.0 as u32) >> 1
    }

    #[inline]
    pub(crate) fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered & Self::SIGN == 0 { !ordered } else { ordered ^ Self::SIGN })
    }

    #[inline]
    pub(crate) fn is_expanded(self) -> bool {
        self.0 & 1 == 1
    }

    #[inline]
    pub(crate) fn unexpanded(self) -> Self {
        Self(self.0 & !1)
    }

    #[inline]
    pub(crate) fn expanded(self) -> Self {
        Self(self.0 | 1)
    }
}

/// Puts a candidate in its place among candidates in order, of which those after it move up by one and the last is lost.
/// Returns the place.
#[inline]
pub(crate) fn insert(kernels: &Kernels, sorted: &mut [Candidate], candidate: Candidate) -> usize {
    kernels.insert(bytemuck::must_cast_slice_mut(sorted), candidate.0)
}

/// The `limit` best candidates seen.
#[derive(Debug)]
pub(crate) struct Nearest {
    limit: usize,
    heap: BinaryHeap<Candidate>,
}

impl Nearest {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    #[inline]
    pub(crate) fn offer(&mut self, candidate: Candidate) {
        if self.heap.len() < self.limit {
            self.heap.push(candidate);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }

    /// What is farther than this is not kept.
    #[inline]
    pub(crate) fn worst(&self) -> f32 {
        if self.heap.len() < self.limit {
            return f32::INFINITY;
        }
        self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.distance())
    }

    /// The rows, in no order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.heap.iter().map(|candidate| candidate.row())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_distance_then_row() {
        let distances = [f32::MIN, -1.5, -1e-40, -0.0, 0.0, 1e-40, 0.5, 1.5, f32::MAX, f32::INFINITY];
        for (i, &a) in distances.iter().enumerate() {
            assert_eq!(Candidate::new(a, 9).distance(), a);
            for &b in &distances[i..] {
                if a < b {
                    assert!(Candidate::new(a, 9) < Candidate::new(b, 1));
                }
            }
        }
        assert!(Candidate::new(0.0, 1) < Candidate::new(-0.0, 2));
        assert_eq!(Candidate::new(1.0, 77).expanded().row(), 77);
        assert!(Candidate::new(f32::NAN, 0) > Candidate::new(f32::INFINITY, 0));
    }

    #[test]
    fn nearest_keeps_the_best() {
        let mut nearest = Nearest::new(3);
        for row in [5, 1, 9, 0, 7, 3] {
            nearest.offer(Candidate::new(row as f32, row));
        }
        let mut rows: Vec<u32> = nearest.rows().collect();
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 3]);
        let mut none = Nearest::new(0);
        none.offer(Candidate::new(0.0, 0));
        assert_eq!(none.rows().count(), 0);
    }
}
