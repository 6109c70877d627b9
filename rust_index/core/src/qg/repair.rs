//! Taking removed rows out of the graph: a node that links to dying ones chooses anew among what it has left and what the
//! dying ones linked to. Sources: Singh et al., `FreshDiskANN` (2021), section 5.2; Xu et al., IP-DiskANN (2025).

use super::State;
use super::graph::QuantizedGraph;
use super::link::{measure, new_block, select};
use crate::rows::Status;

/// Most rows reached through the dying that a node chooses among.
const MAX_REACHED: usize = 128;
/// A node is linked again when it lost more than one link in so many.
const WORN_SHARE: u32 = 2;

/// The new block of a node.
#[derive(Debug)]
pub(crate) struct RepairPlan {
    row: u32,
    block: Vec<u32>,
    n_lost: u32,
}

/// Plans the repair of a node; nothing when none of its links is dying.
pub(super) fn plan_repair(state: &State, graph: &QuantizedGraph, row: u32) -> Option<RepairPlan> {
    let node = graph.node(row);
    let is_live = |&link: &u32| state.status(link).is_live();
    if !node.links.iter().any(|&link| state.status(link) == Status::DYING) {
        return None;
    }
    let mut candidates: Vec<u32> = node.links.iter().copied().filter(is_live).collect();
    let n_lost = node.links.len() - candidates.len();
    // What the dead linked to, through the dead that they linked to when a whole neighbourhood is gone.
    let mut frontier: Vec<u32> = node.links.iter().copied().filter(|link| !is_live(link)).collect();
    let mut passed = frontier.clone();
    let mut n_reached = 0;
    while let Some(dead) = frontier.pop() {
        for &next in graph.node(dead).links {
            if next == row || candidates.contains(&next) || passed.contains(&next) {
                continue;
            }
            if is_live(&next) {
                state.store.prefetch(next);
                candidates.push(next);
                n_reached += 1;
            } else if passed.len() < MAX_REACHED {
                passed.push(next);
                frontier.push(next);
            }
        }
        if n_reached >= MAX_REACHED {
            break;
        }
    }
    let (links, n_chosen) =
        select(&state.store, graph.form.degree(), &measure(&state.store, row, candidates.into_iter()));
    let block = new_block(&state.store, graph, row, &links, n_chosen);
    Some(RepairPlan { row, block, n_lost: node.n_lost + n_lost as u32 })
}

/// Carries out a repair; returns the node when it is worn.
pub(super) fn apply_repair(graph: &mut QuantizedGraph, plan: &RepairPlan) -> Option<u32> {
    graph.replace(plan.row, bytemuck::cast_slice(&plan.block));
    graph.set_lost(plan.row, plan.n_lost);
    (plan.n_lost * WORN_SHARE > graph.form.degree() as u32).then_some(plan.row)
}
