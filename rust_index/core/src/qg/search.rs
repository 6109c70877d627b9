//! Searches: the plan, the walks or the scans, and the ranking of what they found by finer codes.

use crate::candidates::{Candidate, Nearest};
use crate::filter::{Plan, RowFilter, plan};
use crate::index::Hit;
use crate::living::{self, LiveGraph};

use super::State;
use super::graph::QuantizedGraph;
use super::query::Query;
use super::store::QuantizedStore;
use super::walk::{Course, Region, Scratch, walk_all};
use super::wanted::Wanted;

/// Candidates ranked by finer codes beyond one and a quarter times the wanted: what eight bits may put in the wrong order.
const RANKED_MORE: usize = 4;
/// Or one in so many of a large pool, where vectors are far from the origin and near each other.
const EF_PER_RANKED: usize = 8;

/// A walk costs about this many times more a place of its pool than a look at a row: 330 and 14 ns at 384 dimensions.
const WALK_COST: f64 = 24.0;
/// A scan is worth so many times the work of a walk within a filter, which finds some nine in ten.
const SCAN_GAIN: f64 = 2.0;
/// Rows asked for ahead of the one that is looked at.
const LOOK_AHEAD: usize = 12;
/// Rows that several queries look at by turns.
const ROWS_AT_A_TIME: usize = 32;
/// Rows that a scan of one-bit codes estimates in the time of a look at one row's own code.
pub(crate) const ROWS_PER_LOOK: usize = 16;
/// Rows looked at for each wanted one, and beyond: what one bit may put in the wrong order. Recall@10 of 10,000 sentence
/// embeddings is .9995.
const LOOKED_AT_PER_HIT: usize = 8;
const LOOKED_AT_MORE: usize = 64;

/// For each vector the `min(k, passing)` nearest live rows, ordered by (distance, id).
pub(super) fn search(
    state: &State,
    vectors: &[Vec<f32>],
    k: usize,
    ef: usize,
    filter: Option<&RowFilter>,
    scratches: &mut [Scratch],
) -> Vec<Vec<Hit>> {
    let n_passing = filter.map_or(state.n_live(), |filter| filter.rows().len());
    let k = k.min(n_passing);
    if k == 0 {
        return vec![Vec::new(); vectors.len()];
    }
    let scratches = &mut scratches[..vectors.len()];
    for (vector, scratch) in vectors.iter().zip(&mut *scratches) {
        state.store.rotate(vector, &mut scratch.rotated);
        scratch.query.set(&state.store.kernels, &state.store.coding, &scratch.rotated);
    }
    let ef = ef.max(k);
    let share = n_passing as f64 / state.n_live() as f64;
    let wanted = filter.filter(|_| n_passing < state.n_live()).map(|filter| Wanted { filter, k, ef, share });
    let widened = wanted.map_or(ef as f64, |wanted| wanted.ef_at_first());
    let is_walked = match (&state.graph, plan(state.n_live(), n_passing, ef, widened, WALK_COST)) {
        // As long as rows can be scanned by their codes not all of them are in the graph.
        (Some(graph), Plan::Walk { ef: widened }) if state.store.scan_codes().is_none() => {
            // Tombstones take places in the pool that live rows should have.
            let widened = widened + widened * state.n_tombstones / graph.n_nodes().max(1);
            walk(state, graph, widened, wanted, scratches);
            true
        }
        _ => false,
    };
    let found = |scratch: &mut Scratch| is_walked.then(|| walked(state, (k, ef), filter, scratch)).flatten();
    let mut found: Vec<Option<Nearest>> = scratches.iter_mut().map(found).collect();
    match filter {
        Some(filter) if is_looked_through(state, filter) => {
            let mut queries: Vec<(&Query, Nearest)> = scratches
                .iter()
                .zip(&found)
                .filter(|(_, found)| found.is_none())
                .map(|(s, _)| (&s.query, room_for(k, ef)))
                .collect();
            look(state, filter.rows(), &mut queries);
            let mut looked = queries.into_iter().map(|(_, best)| best);
            found.iter_mut().filter(|found| found.is_none()).for_each(|found| *found = looked.next());
        }
        _ => {
            for (scratch, found) in scratches.iter_mut().zip(&mut found).filter(|(_, found)| found.is_none()) {
                *found = Some(scanned(state, (k, ef), filter, scratch));
            }
        }
    }
    let best: Vec<Nearest> = found.into_iter().map(|found| found.unwrap_or_else(|| Nearest::new(0))).collect();
    rank_all(state, &best, k, scratches)
}

/// Whether a filter's rows are looked at one by one where they are not walked to.
fn is_looked_through(state: &State, filter: &RowFilter) -> bool {
    state.store.scan_codes().is_none() || filter.rows().len() * ROWS_PER_LOOK < state.rows.n_rows()
}

/// Rows that are looked at closer after a scan of one-bit codes.
pub(crate) fn looked_at(k: usize, ef: usize) -> usize {
    LOOKED_AT_PER_HIT.saturating_mul(k).saturating_add(LOOKED_AT_MORE).max(ef)
}

/// Room for what is ranked by finer codes.
pub(crate) fn room_for(k: usize, ef: usize) -> Nearest {
    Nearest::new(k.saturating_add((k / 4 + RANKED_MORE).max(ef / EF_PER_RANKED)))
}

/// The best of all rows that pass.
fn scanned(state: &State, (k, ef): (usize, usize), filter: Option<&RowFilter>, scratch: &mut Scratch) -> Nearest {
    let mut best = room_for(k, ef);
    let n_rows = state.rows.n_rows();
    let is_live = |row: u32| state.status(row).is_live();
    match (filter, state.store.scan_codes()) {
        (filter, Some(codes)) => {
            let passes = |row: u32| is_live(row) && filter.is_none_or(|filter| filter.allows(row));
            let limit = looked_at(k, ef);
            let store = &state.store;
            let Scratch { query, met, .. } = &mut *scratch;
            let queries = std::iter::once((&*query, &mut *met));
            codes.nearest((&store.kernels, store.metric), queries, n_rows, limit, passes);
            let n_passing = filter.map_or(state.n_live(), |filter| filter.rows().len());
            if met.len() < limit.min(n_passing) {
                // Magnitudes near the end of f32 have no estimate.
                scan(state, (0..n_rows as u32).filter(|&row| passes(row)), &scratch.query, &mut best);
                return best;
            }
            for candidate in &*met {
                store.prefetch(candidate.row());
            }
            scan(state, scratch.met.iter().map(|candidate| candidate.row()), &scratch.query, &mut best);
        }
        (_, None) => scan(state, (0..n_rows as u32).filter(|&row| is_live(row)), &scratch.query, &mut best),
    }
    best
}

/// Offers rows that lie apart to several queries, a few at a time: these are in the nearest cache for all but the first.
pub(crate) fn look<G>(state: &living::State<G>, rows: &[u32], queries: &mut [(&Query, Nearest)])
where
    G: LiveGraph<Store = QuantizedStore>,
{
    let mut ahead = rows.iter().skip(LOOK_AHEAD);
    for rows in rows.chunks(ROWS_AT_A_TIME) {
        let mut is_first = true;
        for (query, best) in &mut *queries {
            let asked = rows.iter().inspect(|_| {
                if is_first && let Some(&ahead) = ahead.next() {
                    state.store.prefetch(ahead);
                }
            });
            scan(state, asked.copied(), query, best);
            is_first = false;
        }
    }
}

/// Offers rows with their distances.
pub(crate) fn scan<G>(state: &living::State<G>, rows: impl Iterator<Item = u32>, query: &Query, best: &mut Nearest)
where
    G: LiveGraph<Store = QuantizedStore>,
{
    let mut worst = best.worst();
    for row in rows {
        let distance = state.store.distance_to(query, row);
        // Most are farther. What is not a number is kept for the finer codes to tell.
        if distance > worst {
            continue;
        }
        best.offer(Candidate::new(distance, row));
        worst = best.worst();
    }
}

/// Walks for some queries, and within the filter for those whose surroundings it leaves out; of these nothing is kept where
/// a scan of all rows that pass is better.
fn walk(state: &State, graph: &QuantizedGraph, ef: usize, wanted: Option<Wanted<'_>>, scratches: &mut [Scratch]) {
    let (store, n_rows) = (&state.store, state.rows.n_rows());
    let Some(wanted) = wanted else {
        walk_all(store, graph, (ef, Course::Free), n_rows, scratches.iter_mut());
        return;
    };
    walk_all(store, graph, (ef, Course::Through(wanted)), n_rows, scratches.iter_mut());
    for region in [Region::Border, Region::Outside] {
        let there = scratches.iter_mut().filter(|scratch| scratch.region == region);
        let ef = wanted.ef_within(region);
        if region == Region::Outside && (wanted.filter.rows().len() as f64) < SCAN_GAIN * WALK_COST * ef as f64 {
            there.for_each(|scratch| scratch.met.clear());
        } else {
            let there: Vec<&mut Scratch> = there.collect();
            walk_all(store, graph, (ef, Course::Within(wanted)), n_rows, there.into_iter());
        }
    }
}

/// The best of what a walk met and of the pending rows; nothing when that is not enough.
fn walked(
    state: &State,
    (k, ef): (usize, usize),
    filter: Option<&RowFilter>,
    scratch: &mut Scratch,
) -> Option<Nearest> {
    let mut best = room_for(k, ef);
    let passes = |row: u32| filter.is_none_or(|filter| filter.allows(row));
    let mut n_pending = 0;
    let pending = state.pending.rows().iter().copied().filter(|&row| passes(row)).inspect(|_| n_pending += 1);
    scan(state, pending, &scratch.query, &mut best);
    // Lost rows among the pending may be met as well: they must not count twice.
    let counts = |row: u32| {
        let status = state.status(row);
        status.is_live() && !status.is_pending()
    };
    let n_passing = filter.map_or(state.n_live(), |filter| filter.rows().len());
    let n_found = if n_passing < state.n_live() {
        let mut rows: Vec<u32> = scratch.met.iter().map(|met| met.row()).filter(|&row| counts(row)).collect();
        rows.sort_unstable();
        rows.dedup();
        let mut queries = [(&scratch.query, best)];
        look(state, &rows, &mut queries);
        [(_, best)] = queries;
        rows.len()
    } else {
        let visited = scratch.visited.iter().filter(|visited| counts(visited.row()));
        visited.map(|&visited| best.offer(visited)).count()
    };
    (n_found >= k.min(n_passing - n_pending)).then_some(best)
}

/// The best candidates of each query by finer codes, as hits ordered by (distance, id).
pub(crate) fn rank_all<G>(state: &living::State<G>, best: &[Nearest], k: usize, scratches: &[Scratch]) -> Vec<Vec<Hit>>
where
    G: LiveGraph<Store = QuantizedStore>,
{
    let prefetch = |best: &Nearest| {
        for row in best.rows() {
            state.store.prefetch_fine(row);
            state.rows.prefetch_id(row);
        }
    };
    best.first().into_iter().for_each(prefetch);
    let rank = |(i, scratch): (usize, &Scratch)| {
        best.get(i + 1).into_iter().for_each(prefetch);
        let hit = |row| Hit { id: state.rows.id_of(row), distance: state.store.fine_distance_to(&scratch.query, row) };
        let mut hits: Vec<Hit> = best[i].rows().map(hit).collect();
        hits.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
        hits.truncate(k);
        hits
    };
    scratches.iter().enumerate().map(rank).collect()
}
