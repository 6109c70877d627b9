//! Which of the near rows to link to (Malkov and Yashunin, algorithm 4): those that are nearer to the node than to any
//! row chosen before, so that links point in different directions.

use crate::candidates::Candidate;
use crate::store::Space;

/// Adds rows to `chosen` until there are `limit`. Candidates are ordered by their distance to the node.
pub(super) fn select<'a, S: Space<'a>>(
    space: S,
    candidates: impl IntoIterator<Item = Candidate>,
    limit: usize,
    chosen: &mut Vec<u32>,
) {
    for candidate in candidates {
        if chosen.len() >= limit {
            return;
        }
        let row = candidate.row();
        let target = space.target(row);
        let distance = candidate.distance();
        if chosen.iter().all(|&other| other != row && space.distance(target, other) >= distance) {
            chosen.push(row);
        }
    }
}
