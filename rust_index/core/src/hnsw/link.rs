//! Putting a row into the graph (Malkov and Yashunin, algorithm 1), in two steps: a plan that only reads, and its
//! application, which takes microseconds.

use crate::candidates::Candidate;
use crate::rows::mix;
use crate::store::{Space, in_space};

use super::State;
use super::graph::{Graph, MAX_LEVEL};
use super::select_neighbors::select;
use super::walk::{Scratch, descend, walk};

/// Changes to the links of one node.
#[derive(Debug)]
struct LinkBack {
    row: u32,
    level: usize,
    /// The whole new list, or nothing when there is room to append.
    pruned: Option<Vec<u32>>,
}

/// How a row is to be linked.
#[derive(Debug)]
struct RowPlan {
    row: u32,
    level: usize,
    /// Links of the row by layer, from 0 up.
    links: Vec<Vec<u32>>,
    back: Vec<LinkBack>,
}

/// How rows are to be linked.
#[derive(Debug)]
pub(crate) struct LinkPlan(Vec<RowPlan>);

/// Level of a row: geometric with ratio `1 / m`, from its id and the seed alone.
fn draw_level(seed: u64, id: u64, m: usize) -> usize {
    // 53 random bits make a float in (0, 1].
    let uniform = ((mix(seed ^ mix(id)) >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    ((-uniform.ln() / (m as f64).ln()) as usize).min(MAX_LEVEL)
}

/// Plans how to link rows, reading the state only.
pub(super) fn plan_links(
    state: &State,
    graph: &Graph,
    rows: &[u32],
    seed: u64,
    ef: usize,
    scratch: &mut Scratch,
) -> LinkPlan {
    LinkPlan(rows.iter().map(|&row| plan_link(state, graph, row, seed, ef, scratch)).collect())
}

fn plan_link(state: &State, graph: &Graph, row: u32, seed: u64, ef: usize, scratch: &mut Scratch) -> RowPlan {
    let level = if state.status(row).is_in_graph() {
        graph.level_of(row)
    } else {
        draw_level(seed, state.rows.id_of(row), graph.n_wanted(1))
    };
    in_space!(state.store, |space| plan_in(space, state, graph, (row, level), ef, scratch))
}

fn plan_in<'a, S: Space<'a>>(
    space: S,
    state: &State,
    graph: &Graph,
    (row, level): (u32, usize),
    ef: usize,
    scratch: &mut Scratch,
) -> RowPlan {
    let mut plan = RowPlan { row, level, links: vec![Vec::new(); level + 1], back: Vec::new() };
    let target = space.target(row);
    let Some(entry) = graph.entry() else { return plan };
    let top = level.min(entry.level);
    let is_node = state.status(row).is_in_graph();
    let Some(nearest) = descend(space, graph, target, top) else { return plan };
    let mut start = vec![nearest];
    for layer in (0..=top).rev() {
        walk(space, graph, target, &start, (layer, ef), scratch, state.rows.n_rows());
        let usable = |candidate: &&Candidate| candidate.row() != row && state.status(candidate.row()).is_live();
        let links = &mut plan.links[layer];
        let found = scratch.found().iter().filter(usable).map(|found| found.unexpanded());
        if is_node {
            // A node that is linked again chooses among what it has as well, and may keep as many as a pruned list.
            let had = graph.links(row, layer).iter().map(|&link| Candidate::new(space.distance(target, link), link));
            let mut candidates: Vec<Candidate> = found.chain(had.filter(|had| usable(&had))).collect();
            candidates.sort_unstable();
            select(space, candidates, graph.n_wanted(layer), links);
        } else {
            select(space, found, graph.n_wanted(1), links);
        }
        for (i, &other) in links.iter().enumerate() {
            // The nearest neighbour never drops the link back: so each row has a way in when it is linked.
            let keep = i == 0;
            plan.back.extend(plan_back(space, graph, (other, row), layer, keep));
        }
        start.clear();
        start.extend(scratch.found().iter().map(|found| found.unexpanded()));
    }
    plan
}

/// Plans the link from `from` back to `to`; nothing when it is there.
fn plan_back<'a, S: Space<'a>>(
    space: S,
    graph: &Graph,
    (from, to): (u32, u32),
    level: usize,
    keep: bool,
) -> Option<LinkBack> {
    let links = graph.links(from, level);
    if links.contains(&to) {
        return None;
    }
    if links.len() < graph.capacity(level) {
        return Some(LinkBack { row: from, level, pruned: None });
    }
    let target = space.target(from);
    let mut candidates: Vec<Candidate> =
        links.iter().chain([&to]).map(|&link| Candidate::new(space.distance(target, link), link)).collect();
    candidates.sort_unstable();
    let mut pruned = Vec::with_capacity(graph.capacity(level));
    if keep {
        pruned.push(to);
    }
    select(space, candidates, graph.n_wanted(level), &mut pruned);
    Some(LinkBack { row: from, level, pruned: Some(pruned) })
}

/// Carries out a plan.
pub(super) fn apply_links(state: &mut State, plan: &LinkPlan) {
    plan.0.iter().for_each(|plan| apply_link(state, plan));
}

fn apply_link(state: &mut State, plan: &RowPlan) {
    let is_new = !state.status(plan.row).is_in_graph();
    let Some(graph) = &mut state.graph else { return };
    graph.insert(plan.row, plan.level, is_new);
    for (level, links) in plan.links.iter().enumerate() {
        graph.set_links(plan.row, level, links);
    }
    if plan.links[0].is_empty() {
        // Among tombstones alone nothing leads to the row.
        graph.enter_at(plan.row);
    }
    for back in &plan.back {
        match &back.pruned {
            None => graph.push_link(back.row, back.level, plan.row),
            Some(links) => graph.set_links(back.row, back.level, links),
        }
    }
    state.settle(plan.row);
}
