//! Taking removed rows out of the graph, and finding live rows that walks cannot reach.
//!
//! A repair goes over all nodes once. Where it meets a link to a dying row it puts in its place links to what the dying row
//! linked to, as far as the selection rule wants them. Afterwards nothing links to the dying rows and they are freed.
//! Sources: Singh et al., `FreshDiskANN` (2021), section 5.2; Xu et al., IP-DiskANN (2025).

use crate::candidates::Candidate;
use crate::rows::Status;
use crate::store::{Space, in_space};

use super::graph::Graph;
use super::select_neighbors::select;
use super::state::State;

/// Most candidates that replace the dead links of a node.
const MAX_REPLACEMENTS: usize = 64;

/// The new links of a node at one layer.
#[derive(Debug)]
pub(super) struct RepairedList {
    pub(super) row: u32,
    pub(super) level: usize,
    pub(super) links: Vec<u32>,
    /// How many of the old links were dead.
    pub(super) n_dead: usize,
}

/// Plans the repair of a node; empty when none of its links is dying.
pub(super) fn plan_repair(state: &State, graph: &Graph, row: u32) -> Vec<RepairedList> {
    (0..=graph.level_of(row))
        .filter(|&level| graph.links(row, level).iter().any(|&link| state.status(link) == Status::DYING))
        .map(|level| RepairedList {
            row,
            level,
            links: in_space!(state.store, |space| replace_dead(space, state, graph, row, level)),
            n_dead: graph.links(row, level).iter().filter(|&&link| !state.status(link).is_live()).count(),
        })
        .collect()
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

/// A search of the lowest layer from the entry point, in steps between which the graph may change. A row that it misses
/// for such a change is linked once more than it needed, no worse.
#[derive(Debug)]
pub(super) struct Sweep {
    reached: Vec<bool>,
    open: Vec<u32>,
}

impl Sweep {
    pub(super) fn start(state: &State, graph: &Graph) -> Self {
        let mut sweep = Self { reached: vec![false; state.rows.n_rows()], open: Vec::new() };
        if let Some(entry) = graph.entry() {
            sweep.reach(entry.row);
        }
        sweep
    }

    fn reach(&mut self, row: u32) {
        if let Some(reached) = self.reached.get_mut(row as usize)
            && !*reached
        {
            *reached = true;
            self.open.push(row);
        }
    }

    /// Notes that a row was linked meanwhile.
    pub(super) fn note_linked(&mut self, row: u32) {
        self.reach(row);
    }

    /// Follows the links of up to `n_nodes` nodes.
    pub(super) fn advance(&mut self, graph: &Graph, n_nodes: usize) {
        for _ in 0..n_nodes {
            let Some(row) = self.open.pop() else { return };
            for &link in graph.base_links(row) {
                self.reach(link);
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Linked rows that were not reached.
    pub(super) fn lost(&self, state: &State) -> Vec<u32> {
        (0_u32..)
            .zip(&self.reached)
            .filter(|&(row, &reached)| !reached && state.status(row) == Status::LINKED)
            .map(|(row, _)| row)
            .collect()
    }
}
