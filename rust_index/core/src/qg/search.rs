//! One search: the plan, the walk or the scan, and the ranking of what they found by finer codes.

use crate::candidates::{Candidate, Nearest};
use crate::filter::{Plan, RowFilter, plan};
use crate::index::Hit;

use super::State;
use super::graph::QuantizedGraph;
use super::walk::{Scratch, walk};

/// Candidates ranked by finer codes beyond one and a half times the wanted: what eight bits may put in the wrong order.
const RANKED_MORE: usize = 8;

/// The `min(k, passing)` nearest live rows, ordered by (distance, id).
pub(super) fn search(
    state: &State,
    vector: &[f32],
    k: usize,
    ef: usize,
    filter: Option<&RowFilter>,
    scratch: &mut Scratch,
) -> Vec<Hit> {
    let n_passing = filter.map_or(state.n_live(), |filter| filter.rows().len());
    let k = k.min(n_passing);
    if k == 0 {
        return Vec::new();
    }
    state.store.rotate(vector, &mut scratch.rotated);
    scratch.query.set(&scratch.rotated);
    let ef = ef.max(k);
    let mut best = Nearest::new(k + k / 2 + RANKED_MORE);
    let walked = match (&state.graph, plan(state.n_live(), n_passing, ef)) {
        (Some(graph), Plan::Walk { ef: widened }) => {
            // Tombstones take places in the pool that live rows should have.
            let widened = widened + widened * state.n_tombstones / graph.n_nodes().max(1);
            walk_graph(state, graph, (k, ef, widened), filter, scratch, &mut best)
        }
        _ => false,
    };
    if !walked {
        best = Nearest::new(k + k / 2 + RANKED_MORE);
        match filter {
            Some(filter) => scan(state, filter.rows().iter().copied(), scratch, &mut best),
            None if state.graph.is_none() => scan(state, state.pending.rows().iter().copied(), scratch, &mut best),
            None => {
                let live = (0..state.rows.n_rows() as u32).filter(|&row| state.status(row).is_live());
                scan(state, live, scratch, &mut best);
            }
        }
    }
    rank(state, &best, k, scratch)
}

/// Offers rows with their distances.
fn scan(state: &State, rows: impl Iterator<Item = u32>, scratch: &Scratch, best: &mut Nearest) {
    for row in rows {
        best.offer(Candidate::new(state.store.distance_to(&scratch.query, row), row));
    }
}

/// The best candidates by finer codes, as hits ordered by (distance, id).
fn rank(state: &State, best: &Nearest, k: usize, scratch: &mut Scratch) -> Vec<Hit> {
    let Scratch { query, fine, .. } = scratch;
    let hit = |row| Hit { id: state.rows.id_of(row), distance: state.store.fine_distance_to(query, row, fine) };
    let mut hits: Vec<Hit> = best.rows().map(hit).collect();
    hits.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
    hits.truncate(k);
    hits
}

/// Walks the graph and scans the pending rows. Returns false when too few rows passed to trust the walk: the filter
/// allows a region that the walk did not come to.
fn walk_graph(
    state: &State,
    graph: &QuantizedGraph,
    (k, ef, widened): (usize, usize, usize),
    filter: Option<&RowFilter>,
    scratch: &mut Scratch,
    best: &mut Nearest,
) -> bool {
    // Pending rows are scanned and lost ones among them may be met as well: they must not count twice.
    let passes = |row: u32| {
        let status = state.status(row);
        status.is_live() && !status.is_pending() && filter.is_none_or(|filter| filter.allows(row))
    };
    let mut n_pending = 0;
    let pending = state.pending.rows().iter().copied();
    let allowed = pending.filter(|&row| filter.is_none_or(|filter| filter.allows(row))).inspect(|_| n_pending += 1);
    scan(state, allowed, scratch, best);
    walk(&state.store, graph, widened, state.rows.n_rows(), scratch);
    let passing = scratch.visited.iter().filter(|met| passes(met.row()));
    let n_found = passing.map(|&met| best.offer(met)).count();
    let n_linked_passing = filter.map_or(state.n_live(), |filter| filter.rows().len()).saturating_sub(n_pending);
    // A filter that leaves out the query's surroundings leaves few among those met, and they may not be the nearest.
    let n_expected = if filter.is_some() { k.max(ef / 2) } else { k };
    n_found >= n_expected.min(n_linked_passing)
}
