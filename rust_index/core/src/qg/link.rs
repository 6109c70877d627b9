//! Putting rows into the graph, in two steps: a plan that only reads, made by several threads, and its application.
//!
//! A row is linked to what a walk for it meets, as far as the selection rule wants it; what is left of the block is filled
//! with the nearest others, which cost a walk nothing. Each neighbour takes the row in turn where its own rule or a free
//! place allows it. Sources: Malkov and Yashunin (2018), algorithm 4, for the rule; Subramanya et al., `DiskANN` (2019), for
//! the single layer; Dobson et al., `ParlayANN` (2024), for linking in batches.

use parking_lot::Mutex;

use crate::candidates::Candidate;
use crate::kernels::prefetch;
use crate::living::{Lent, ScratchPool};
use crate::parallel::Team;
use crate::vectors::RowsMut;

use super::block::Form;
use super::block::{DEGREE, NO_ROW, Neighbours, first_bits};
use super::graph::QuantizedGraph;
use super::sketch::{Centre, Sketches};
use super::store::QuantizedStore;
use super::walk::{Course, Scratch, walk_all};
use super::{N_TOGETHER, State};

/// A neighbour hides another one only where it is nearer to it than the node is by this factor, of distances as the metric
/// has them: 1.06 finds 2 to 6 % more at the same speed than 1, with 300 candidates.
const ALPHA: f32 = 1.06;

/// Parts of the nodes for each of several threads: one has more links back than another.
const PARTS_PER_THREAD: usize = 16;
/// Blocks asked for ahead of the one that is changed.
const BLOCKS_AHEAD: usize = 4;

/// A row's own block.
#[derive(Debug)]
struct NewBlock {
    row: u32,
    links: Vec<u32>,
    block: Vec<u32>,
    /// Of a compact node.
    sketch: Option<Vec<u8>>,
}

/// Changes to the blocks of a part of the nodes.
#[derive(Debug)]
struct BackLinks {
    /// The part begins with this row, and ends where the next begins.
    first: u32,
    /// Each with what is chosen now, and how many of the slots are its.
    nodes: Vec<(u32, u32, usize)>,
    slots: Vec<usize>,
    /// What comes into the slots.
    neighbours: Neighbours,
}

/// How rows are to be linked.
#[derive(Debug)]
pub(crate) struct LinkPlan {
    /// For the first compact nodes.
    centre: Option<Centre>,
    blocks: Vec<NewBlock>,
    back: Vec<BackLinks>,
}

/// Plans how to link rows.
pub(super) fn plan_links(
    state: &State,
    graph: &QuantizedGraph,
    rows: &[u32],
    ef: usize,
    scratches: &ScratchPool<Scratch>,
    team: &Team,
) -> LinkPlan {
    let is_first = graph.form == Form::Compact && graph.sketches().is_none();
    let new_centre = is_first.then(|| Centre::of(&state.store, state.pending.rows()));
    let centre = new_centre.as_ref().or(graph.sketches().map(Sketches::centre));
    let together: Vec<&[u32]> = rows.chunks(N_TOGETHER).collect();
    let lend = || scratches.lend(N_TOGETHER);
    let plan = |lent: &mut Lent<'_, Scratch>, rows: &&[u32]| {
        plan_rows(state, graph, rows, ef, centre, &mut lent.scratches[..rows.len()])
    };
    let blocks = team.map_with(&together, lend, plan);
    let blocks: Vec<NewBlock> = blocks.into_iter().flatten().collect();
    // (neighbour, whether it must take the row, row).
    // A node that is linked again gets a new block, whose slots are others.
    let relinked: Vec<u32> = rows.iter().copied().filter(|&row| state.status(row).is_in_graph()).collect();
    let links: Vec<(u32, bool, u32)> = blocks
        .iter()
        // The nearest neighbour never drops the link back: so each row has a way in when it is linked.
        .flat_map(|new| {
            let kept = new.links.iter().filter(|link| !relinked.contains(link));
            kept.enumerate().map(|(i, &link)| (link, i == 0, new.row))
        })
        .collect();
    let n_parts = if rows.len() == 1 || team.n_threads() == 1 { 1 } else { team.n_threads() * PARTS_PER_THREAD };
    let end = links.iter().map(|(node, ..)| *node as usize + 1).max().unwrap_or(0);
    let bound = |part: usize| (end * part / n_parts) as u32;
    let parts: Vec<(u32, u32)> = (0..n_parts).map(|part| (bound(part), bound(part + 1))).collect();
    let back = team.map(&parts, |&part| plan_back(&state.store, graph, part, &links));
    LinkPlan { blocks, centre: new_centre, back }
}

/// Plans the blocks of a few rows, whose walks take turns.
fn plan_rows(
    state: &State,
    graph: &QuantizedGraph,
    rows: &[u32],
    ef: usize,
    centre: Option<&Centre>,
    scratches: &mut [Scratch],
) -> Vec<NewBlock> {
    let store = &state.store;
    for (&row, scratch) in rows.iter().zip(scratches.iter_mut()) {
        store.query_of_row(row, &mut scratch.rotated, &mut scratch.query);
    }
    walk_all(store, graph, (ef, Course::Free), state.rows.n_rows(), scratches.iter_mut());
    let plan = |(&row, scratch): (&u32, &Scratch)| {
        let had: &[u32] = if state.status(row).is_in_graph() { graph.node(row).links } else { &[] };
        let usable = |&other: &u32| other != row && state.status(other).is_live();
        let met = scratch.visited.iter().map(|candidate| candidate.row());
        let candidates = measure(store, row, met.chain(had.iter().copied()).filter(usable));
        let (links, n_chosen) = select(store, graph.form.degree(), &candidates);
        let sketch = centre.map(|centre| centre.sketch(store, row));
        NewBlock { row, block: new_block(store, graph, row, &links, n_chosen), links, sketch }
    };
    rows.iter().zip(&*scratches).map(plan).collect()
}

/// Rows with their distances to a node, in order, each once.
pub(super) fn measure(store: &QuantizedStore, node: u32, rows: impl Iterator<Item = u32>) -> Vec<Candidate> {
    let node = store.hold(node);
    let mut candidates: Vec<Candidate> = Vec::with_capacity(rows.size_hint().1.unwrap_or(0));
    candidates.extend(rows.map(|row| Candidate::new(store.distance(node, store.hold(row)), row)));
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}

/// A distance between neighbours as the selection rule takes it. Those of `dot` below zero are no lengths to be stretched.
fn relaxed(distance: f32) -> f32 {
    if distance > 0.0 { ALPHA * distance } else { distance }
}

/// The rows to link to, of candidates in order, and how many of them the rule chose; these come first.
pub(super) fn select(store: &QuantizedStore, degree: usize, candidates: &[Candidate]) -> (Vec<u32>, usize) {
    let mut chosen: Vec<u32> = Vec::with_capacity(degree);
    let mut held = Vec::with_capacity(degree);
    let mut others: Vec<u32> = Vec::with_capacity(degree);
    for candidate in candidates {
        if chosen.len() == degree {
            break;
        }
        let (row, distance) = (candidate.row(), candidate.distance());
        let this = store.hold(row);
        if held.iter().all(|&other| relaxed(store.distance(this, other)) >= distance) {
            chosen.push(row);
            held.push(this);
        } else if others.len() < degree {
            others.push(row);
        }
    }
    let n_chosen = chosen.len();
    chosen.extend(others.into_iter().take(degree - n_chosen));
    (chosen, n_chosen)
}

/// A block with these links.
pub(super) fn new_block(
    store: &QuantizedStore,
    graph: &QuantizedGraph,
    row: u32,
    links: &[u32],
    n_chosen: usize,
) -> Vec<u32> {
    let mut neighbours = graph.form.neighbours(store, links.len());
    for &link in links {
        graph.form.add_neighbour(&mut neighbours, store, row, link);
    }
    let mut block = bytemuck::allocation::zeroed_vec::<u32>(graph.block_len() / 4);
    graph.form.fill(bytemuck::cast_slice_mut(&mut block), store.measure(row), &neighbours, n_chosen);
    block
}

/// Plans which rows the nodes of a part take as neighbours, of those that link to them now.
fn plan_back(
    store: &QuantizedStore,
    graph: &QuantizedGraph,
    (first, end): (u32, u32),
    links: &[(u32, bool, u32)],
) -> BackLinks {
    let in_part = links.iter().filter(|(node, ..)| (first..end).contains(node));
    let mut links: Vec<(u32, bool, u32)> = in_part.copied().collect();
    links.sort_unstable();
    let groups: Vec<&[(u32, bool, u32)]> = links.chunk_by(|a, b| a.0 == b.0).collect();
    for group in &groups {
        graph.prefetch_head(group[0].0);
    }
    let neighbours = graph.form.neighbours(store, groups.len());
    let (nodes, slots) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
    let mut back = BackLinks { first, nodes, slots, neighbours };
    for group in groups {
        plan_node(store, graph, group, &mut back);
    }
    back
}

/// Plans which rows a node takes as neighbours, of those that link to it now.
fn plan_node(store: &QuantizedStore, graph: &QuantizedGraph, group: &[(u32, bool, u32)], back: &mut BackLinks) {
    let node = group[0].0;
    let known = graph.node(node);
    let degree = graph.form.degree();
    let mut n = known.links.len();
    let mut chosen = known.chosen;
    let mut taken = 0_u32;
    for &link in known.links {
        store.prefetch(link);
    }
    // Not on the heap: threads would wait for each other there.
    let this = store.hold(node);
    let (mut links, mut held, mut distances) = ([NO_ROW; DEGREE], [this; DEGREE], [0.0; DEGREE]);
    for (slot, &link) in known.links.iter().enumerate() {
        links[slot] = link;
        held[slot] = store.hold(link);
    }
    // When all codes are on their way.
    for (distance, &link) in distances.iter_mut().zip(&held[..n]) {
        *distance = store.distance(this, link);
    }
    for &(_, must, row) in group {
        if links[..n].contains(&row) {
            continue;
        }
        let new = store.hold(row);
        let distance = store.distance(this, new);
        let is_near = |slot: usize, limit: f32| relaxed(store.distance(new, held[slot])) < limit;
        let is_chosen = |slot: &usize| chosen >> slot & 1 == 1;
        let hides = |slot: usize| distances[slot] < distance && is_near(slot, distance);
        let is_hidden = (0..n).filter(is_chosen).any(hides);
        if !is_hidden {
            // What the new neighbour hides is not chosen any more, and may be replaced.
            let hidden =
                (0..n).filter(is_chosen).filter(|&slot| distances[slot] >= distance && is_near(slot, distances[slot]));
            chosen = hidden.fold(chosen, |chosen, slot| chosen & !(1 << slot));
        }
        let Some(slot) = free_slot(&distances[..n], chosen, distance, (is_hidden, must, degree)) else { continue };
        n = n.max(slot + 1);
        (links[slot], held[slot], distances[slot]) = (row, new, distance);
        taken |= 1 << slot;
        chosen = if is_hidden { chosen & !(1 << slot) } else { chosen | 1 << slot };
    }
    if taken == 0 {
        return;
    }
    for slot in (0..n).filter(|slot| taken >> slot & 1 == 1) {
        back.slots.push(slot);
        graph.form.add_neighbour(&mut back.neighbours, store, node, links[slot]);
    }
    back.nodes.push((node, chosen, taken.count_ones() as usize));
}

/// The slot for a new neighbour: a free one, else that of the farthest which the rule did not choose, else of the farthest.
fn free_slot(
    distances: &[f32],
    chosen: u32,
    distance: f32,
    (is_hidden, must, degree): (bool, bool, usize),
) -> Option<usize> {
    if distances.len() < degree {
        return Some(distances.len());
    }
    let farthest = |among: u32| {
        (0..degree).filter(|slot| among >> slot & 1 == 1).max_by(|&a, &b| distances[a].total_cmp(&distances[b]))
    };
    match farthest(!chosen & first_bits(degree)) {
        Some(slot) => (must || !is_hidden || distance < distances[slot]).then_some(slot),
        None => farthest(chosen).filter(|&slot| must || (!is_hidden && distance < distances[slot])),
    }
}

/// Carries out a plan.
pub(super) fn apply_links(state: &mut State, plan: &LinkPlan, team: &Team) {
    if let (Some(centre), Some(graph)) = (&plan.centre, &mut state.graph) {
        graph.take_centre(centre.clone());
    }
    for new in &plan.blocks {
        let is_new = !state.status(new.row).is_in_graph();
        let State { graph: Some(graph), store, .. } = state else { return };
        if is_new {
            graph.insert(store, new.row);
        }
        if let Some(sketch) = &new.sketch {
            graph.put_sketch(new.row, sketch);
        }
        if new.links.is_empty() {
            // Among tombstones alone nothing leads to the row.
            graph.enter_at(store, new.row);
        }
        state.settle(new.row);
    }
    let Some(graph) = &mut state.graph else { return };
    let (form, blocks) = (graph.form, graph.blocks_mut());
    let mut bounds: Vec<u32> = plan.back.iter().map(|back| back.first).collect();
    bounds.push(u32::MAX);
    let parts = if plan.back.len() > 1 { blocks.parts_mut(&bounds) } else { None };
    if let Some(parts) = parts {
        // Rows that were added just now are in the last part: so the longest work comes first.
        let work: Vec<_> =
            plan.back.iter().zip(bounds.windows(2)).zip(parts.into_iter().map(Mutex::new)).rev().collect();
        team.map(&work, |((back, bounds), part)| {
            let new = plan.blocks.iter().filter(|new| (bounds[0]..bounds[1]).contains(&new.row));
            put(form, &mut *part.lock(), new, back);
        });
    } else {
        let mut new = plan.blocks.iter();
        plan.back.iter().for_each(|back| put(form, blocks, new.by_ref(), back));
    }
}

/// Puts new blocks among some nodes, and changes others there.
fn put<'a>(form: Form, blocks: &mut impl RowsMut<u8>, new: impl Iterator<Item = &'a NewBlock>, back: &BackLinks) {
    for NewBlock { row, block, .. } in new {
        blocks.row_mut(*row).copy_from_slice(bytemuck::cast_slice(block));
    }
    let BackLinks { nodes, slots, neighbours, .. } = back;
    let mut changes = slots.iter().zip(neighbours.iter());
    for (i, &(row, chosen, n)) in nodes.iter().enumerate() {
        if let Some(&(ahead, ..)) = nodes.get(i + BLOCKS_AHEAD) {
            prefetch(blocks.row_mut(ahead));
        }
        let block = blocks.row_mut(row);
        for (&slot, neighbour) in changes.by_ref().take(n) {
            form.put(block, slot, neighbour);
        }
        form.set_chosen(block, chosen);
    }
}
