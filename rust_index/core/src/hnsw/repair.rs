//! Taking removed rows out of the graph.
//!
//! A repair goes over all nodes once. Where it meets a link to a dying row it puts in its place links to what the dying row
//! linked to, as far as the selection rule wants them. Afterwards nothing links to the dying rows and they are freed.
//! Sources: Singh et al., `FreshDiskANN` (2021), section 5.2; Xu et al., IP-DiskANN (2025).

use crate::candidates::Candidate;
use crate::rows::Status;
use crate::store::{Space, in_space};

use super::State;
use super::graph::Graph;
use super::select_neighbors::select;

/// Most candidates that replace the dead links of a node.
const MAX_REPLACEMENTS: usize = 64;

/// The new links of a node at one layer.
#[derive(Debug)]
pub(crate) struct RepairedList {
    pub(super) level: usize,
    pub(super) links: Vec<u32>,
    /// How many of the old links were dead.
    pub(super) n_dead: usize,
}

/// The new links of a node, layer by layer.
#[derive(Debug)]
pub(crate) struct RepairPlan {
    pub(super) row: u32,
    pub(super) lists: Vec<RepairedList>,
}

/// Plans the repair of a node; nothing when none of its links is dying.
pub(super) fn plan_repair(state: &State, graph: &Graph, row: u32) -> Option<RepairPlan> {
    let lists: Vec<RepairedList> = (0..=graph.level_of(row))
        .filter(|&level| graph.links(row, level).iter().any(|&link| state.status(link) == Status::DYING))
        .map(|level| RepairedList {
            level,
            links: in_space!(state.store, |space| replace_dead(space, state, graph, row, level)),
            n_dead: graph.links(row, level).iter().filter(|&&link| !state.status(link).is_live()).count(),
        })
        .collect();
    (!lists.is_empty()).then_some(RepairPlan { row, lists })
}

fn replace_dead<'a, S: Space<'a>>(space: S, state: &State, graph: &Graph, row: u32, level: usize) -> Vec<u32> {
    let links = graph.links(row, level);
    let is_live = |link: &u32| state.status(*link).is_live();
    let mut kept: Vec<u32> = links.iter().copied().filter(is_live).collect();
    // What the dead linked to, through the dead that they linked to when a whole neighbourhood is gone.
    let mut reached: Vec<u32> = Vec::new();
    let mut frontier: Vec<u32> = links.iter().copied().filter(|link| !is_live(link)).collect();
    let mut passed = frontier.clone();
    while let Some(dead) = frontier.pop() {
        for &next in graph.links(dead, level) {
            if next == row || kept.contains(&next) || reached.contains(&next) || passed.contains(&next) {
                continue;
            }
            if is_live(&next) {
                reached.push(next);
            } else if passed.len() < MAX_REPLACEMENTS {
                passed.push(next);
                frontier.push(next);
            }
        }
        if reached.len() >= MAX_REPLACEMENTS {
            break;
        }
    }
    let target = space.target(row);
    for &candidate in &reached {
        space.prefetch(candidate);
    }
    let mut candidates: Vec<Candidate> =
        reached.iter().map(|&other| Candidate::new(space.distance(target, other), other)).collect();
    candidates.sort_unstable();
    let limit = graph.n_wanted(level);
    if kept.len() < limit {
        select(space, candidates, limit, &mut kept);
    }
    kept
}
