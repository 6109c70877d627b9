//! Searches: a scan of codes and a closer look at the best, or at all that pass where these are few.

use crate::candidates::Nearest;
use crate::filter::RowFilter;
use crate::index::Hit;
use crate::living::State;
use crate::qg::query::Query;
use crate::qg::scan::ScanCodes;
use crate::qg::search::{ROWS_PER_LOOK, look, looked_at, rank_all, room_for, scan};
use crate::qg::walk::Scratch;

use super::codes::ProductCodes;

/// The least that a search looks at closer for each wanted row.
const LOOKED_AT_PER_HIT: usize = 4;

/// For each vector the `min(k, passing)` nearest live rows, ordered by (distance, id).
pub(super) fn search(
    state: &State<ProductCodes>,
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
    let store = &state.store;
    let n_rows = state.rows.n_rows();
    let scratches = &mut scratches[..vectors.len()];
    // As long as there are codes of a small index not all rows have one by the codebooks.
    let product_codes = state.graph.as_ref().and_then(ProductCodes::codes).filter(|_| store.scan_codes().is_none());
    let codes = product_codes.or(store.scan_codes());
    let coding = codes.map_or(&store.coding, ScanCodes::coding);
    for (vector, scratch) in vectors.iter().zip(&mut *scratches) {
        store.rotate(vector, &mut scratch.rotated);
        scratch.query.set(&store.kernels, coding, &scratch.rotated);
    }
    let allows = |row: u32| filter.is_none_or(|filter| filter.allows(row));
    let few = filter.map(RowFilter::rows).filter(|rows| rows.len() * ROWS_PER_LOOK < n_rows);
    let pending = if product_codes.is_some() { state.pending.rows() } else { &[] };
    let is_scanned = |row: u32| {
        let status = state.status(row);
        status.is_live() && (product_codes.is_none() || !status.is_pending()) && allows(row)
    };
    let limit = match product_codes {
        Some(_) => ef.max(LOOKED_AT_PER_HIT.saturating_mul(k)),
        None => looked_at(k, ef),
    };
    if let Some(rows) = few {
        let mut queries: Vec<(&Query, Nearest)> =
            scratches.iter().map(|scratch| (&scratch.query, room_for(k, ef))).collect();
        look(state, rows, &mut queries);
        let best: Vec<Nearest> = queries.into_iter().map(|(_, best)| best).collect();
        return rank_all(state, &best, k, scratches);
    }
    if let Some(codes) = codes {
        let queries = scratches.iter_mut().map(|scratch| (&scratch.query, &mut scratch.met));
        codes.nearest((&store.kernels, store.metric), queries, n_rows, limit, is_scanned);
    }
    let finish = |scratch: &mut Scratch| {
        let mut best: Nearest = room_for(k, ef);
        let mut n_pending = 0;
        let pending = pending.iter().copied().filter(|&row| allows(row)).inspect(|_| n_pending += 1);
        scan(state, pending, &scratch.query, &mut best);
        if codes.is_none() || scratch.met.len() < limit.min(n_passing - n_pending) {
            // Magnitudes near the end of f32 have no estimate.
            scan(state, (0..n_rows as u32).filter(|&row| is_scanned(row)), &scratch.query, &mut best);
        } else {
            for candidate in &scratch.met {
                store.prefetch(candidate.row());
            }
            scan(state, scratch.met.iter().map(|candidate| candidate.row()), &scratch.query, &mut best);
        }
        best
    };
    let best: Vec<Nearest> = scratches.iter_mut().map(finish).collect();
    rank_all(state, &best, k, scratches)
}
