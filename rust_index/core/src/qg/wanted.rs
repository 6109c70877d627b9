//! What a filtered walk is for, and how far it has to go.

use crate::candidates::Candidate;
use crate::filter::RowFilter;

use super::walk::Region;

/// Places of the pool for each row that has to be passed over on the way to a row that passes.
const WIDENING: f64 = 1.1;
/// Room in a pool beyond what the share of the whole index asks for: fewer may pass near the query.
const ROOM: f64 = 1.05;
/// A walk within the rows that pass has so many times the pool of one without a filter: it has fewer ways
/// to go.
const WITHIN: usize = 4;
/// The same for one that begins with rows that pass and are near.
const WITHIN_FROM_BORDER: usize = 2;
/// A region where less than this part of the share of the whole index passes is left at once.
const OUTSIDE_SHARE: f64 = 0.15;
/// A region where this part of the share of the whole index passes is left for a walk within the filter.
const FAR_SHARE: f64 = 0.65;
/// The share of the whole index counts as much as so many nodes met.
const SHARE_WEIGHT: f64 = 32.0;
/// What may happen by chance.
const CHANCE: f64 = 0.02;
/// Rows kept by estimate for each wanted one, and beyond.
const KEPT_PER_HIT: usize = 4;
const KEPT_MORE: usize = 60;

/// The nearest rows that pass are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) filter: &'a RowFilter,
    /// So many.
    pub(super) k: usize,
    /// Pool of a walk without a filter.
    pub(super) ef: usize,
    /// Of all rows, how many pass.
    pub(super) share: f64,
}

impl Wanted<'_> {
    /// The pool with which a walk sees the `k` nearest that pass where `share` of the rows do: they are among the
    /// `k / share` nearest of all. Source: the widening of `DiskANN` (RFC 01128).
    fn ef_for(&self, share: f64) -> f64 {
        self.ef as f64 + WIDENING * self.k as f64 * (1.0 / share - 1.0)
    }

    /// The pool to begin with.
    pub(super) fn ef_at_first(&self) -> f64 {
        ROOM * self.ef_for(self.share)
    }

    /// The pool for the region that a walk came to; nothing where too few of its rows pass.
    pub(super) fn ef_among(&self, visited: &[Candidate]) -> Option<usize> {
        let n_passing = self.n_passing(visited) as f64 + SHARE_WEIGHT * self.share;
        let share = n_passing / (visited.len() as f64 + SHARE_WEIGHT);
        (share > self.share * FAR_SHARE).then(|| self.ef_for(share).ceil() as usize)
    }

    /// Whether so few of the rows seen pass that those wanted are elsewhere.
    pub(super) fn is_outside(&self, n_passing: usize, n_seen: usize) -> bool {
        (n_passing as f64) < OUTSIDE_SHARE * self.share * n_seen as f64
    }

    /// The pool of a walk within the rows that pass.
    pub(super) fn ef_within(&self, region: Region) -> usize {
        self.ef.saturating_mul(if region == Region::Border { WITHIN_FROM_BORDER } else { WITHIN })
    }

    /// Nodes of which only by chance none passes, where the share of the whole index holds.
    pub(super) fn n_telling(&self) -> usize {
        (CHANCE.ln() / (1.0 - self.share).ln()).ceil() as usize
    }

    pub(super) fn n_passing(&self, visited: &[Candidate]) -> usize {
        visited.iter().filter(|visited| self.filter.allows(visited.row())).count()
    }

    /// Rows to be kept by estimate, for a closer look.
    pub(super) fn n_kept(&self) -> usize {
        KEPT_PER_HIT.saturating_mul(self.k).saturating_add(KEPT_MORE)
    }
}
