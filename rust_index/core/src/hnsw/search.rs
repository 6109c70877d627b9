//! One search: the plan, the walk, the scan of what is not linked, and the exact ranking of what they found.

use crate::candidates::Nearest;
use crate::filter::{Plan, RowFilter, plan};
use crate::index::Hit;
use crate::store::{Query, with_space};

use super::State;
use super::graph::Graph;
use super::walk::{Scratch, descend, walk};

/// Candidates ranked exactly beyond twice the wanted: what codes may put in the wrong order.
const RANKED_MORE: usize = 32;

/// A walk costs about this many times more a place of its pool than a scan costs a row: 1.3 us and 13 ns at 384 dimensions.
const WALK_COST: f64 = 96.0;

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
    let query = &state.store.query(vector);
    let ef = ef.max(k);
    let mut best = Nearest::new(k.saturating_mul(2).saturating_add(RANKED_MORE));
    // The rows that pass are among `ef / share`.
    let widened = ef as f64 * state.n_live() as f64 / n_passing as f64;
    let walked = match (&state.graph, plan(state.n_live(), n_passing, ef, widened, WALK_COST)) {
        (Some(graph), Plan::Walk { ef: widened }) => {
            // Tombstones take places in the pool that live rows should have.
            let widened = widened + widened * state.n_tombstones / graph.n_nodes().max(1);
            walk_graph(state, graph, query, (k, ef, widened), filter, scratch, &mut best)
        }
        _ => false,
    };
    if !walked {
        best = Nearest::new(k.saturating_mul(2).saturating_add(RANKED_MORE));
        match filter {
            Some(filter) => state.store.scan(query, filter.rows().iter().copied(), &mut best),
            None if state.graph.is_none() => state.store.scan(query, state.pending.rows().iter().copied(), &mut best),
            None => {
                let live = (0..state.rows.n_rows() as u32).filter(|&row| state.status(row).is_live());
                state.store.scan(query, live, &mut best);
            }
        }
    }
    state.store.rank(query, best.rows(), &state.rows, k)
}

/// Walks the graph and scans the pending rows. Returns false when too few rows passed to trust the walk: the filter
/// allows a region that the walk did not come to.
fn walk_graph(
    state: &State,
    graph: &Graph,
    query: &Query<'_>,
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
    let pending = state.pending.rows().iter().copied();
    let n_pending = match filter {
        None => {
            state.store.scan(query, pending, best);
            state.pending.rows().len()
        }
        Some(filter) => {
            let mut n_pending = 0;
            let allowed = pending.filter(|&row| filter.allows(row)).inspect(|_| n_pending += 1);
            state.store.scan(query, allowed, best);
            n_pending
        }
    };
    let n_rows = state.rows.n_rows();
    let n_found = with_space!(state.store, query, |space, target| {
        let Some(start) = descend(space, graph, target, 0) else { return false };
        walk(space, graph, target, &[start], (0, widened), scratch, n_rows);
        let passing = scratch.found().iter().filter(|found| passes(found.row()));
        passing.map(|found| best.offer(found.unexpanded())).count()
    });
    let n_linked_passing = filter.map_or(state.n_live(), |filter| filter.rows().len()).saturating_sub(n_pending);
    // A filter that leaves out the query's surroundings leaves few in the pool, and those may not be the nearest.
    let n_expected = if filter.is_some() { k.max(ef / 2) } else { k };
    n_found >= n_expected.min(n_linked_passing)
}
