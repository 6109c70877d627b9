//! The deferred work of an index, in steps: what is to be done next, and doing it.

use parking_lot::MutexGuard;

use crate::error::Result;
use crate::rows::Status;

use super::state::State;
use super::{LiveGraph, LiveStore, LivingIndex};

/// A repair begins when one node in so many is a tombstone: it goes over all nodes, so it should find some.
const NODES_PER_TOMBSTONE: usize = 25;
/// Tombstones that are left alone in the smallest graph.
const MIN_TOMBSTONES: usize = 32;
/// A sweep begins when one node in so many was linked since the last.
const NODES_PER_LINKED: usize = 64;
/// Nodes looked at for the price of one linked row.
const NODES_PER_ROW: usize = 64;
/// Nodes that a step of a repair goes over: many of them may have to choose their links anew.
const NODES_PER_REPAIR: usize = 16;
/// Sweeps in a row, with nothing but their own links between them. Links made for one lost row can lose another; this many
/// sweeps settle that, and the bound makes sure that `maintain` comes to an end.
const MAX_SWEEPS: usize = 8;
/// Rows are copied to a smaller place when there are more than this many for each live one.
const ROWS_PER_LIVE: usize = 4;
/// Spare rows that are not worth copying.
const SPARE_ROWS: usize = 1024;

/// New rows whose memory is worth asking for ahead.
const WORTH_PROVIDING: usize = 2048;

/// What mutations know about work to be done.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Tombstones that no repair has begun to take out.
    tombstones: Vec<u32>,
    repair: Option<Repair>,
    sweep: Option<Sweep>,
    /// Nodes that lost many links and are to be linked again.
    worn: Vec<u32>,
    /// Rows linked since the last sweep began.
    n_linked: usize,
    sweep_is_due: bool,
    /// Sweeps since the last mutation.
    n_sweeps: usize,
    /// Whether a snapshot is being written, which needs the rows where they are.
    pub(crate) is_saving: bool,
    /// Whether all rows that lie in a file have been checked.
    is_checked: bool,
}

/// A pass over all nodes.
#[derive(Debug)]
struct Repair {
    dying: Vec<u32>,
    next: u32,
}

/// A step of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Compact,
    Repair,
    Link,
    LinkWorn,
    Renew,
    Sweep,
    Check,
}

impl Upkeep {
    pub(super) fn with_tombstones(tombstones: Vec<u32>) -> Self {
        Self { tombstones, ..Self::default() }
    }

    /// Notes tombstones, if any, of a mutation.
    pub(super) fn note_mutation(&mut self, tombstones: impl IntoIterator<Item = u32>) {
        self.tombstones.extend(tombstones);
        self.n_sweeps = 0;
    }

    fn next_task<G: LiveGraph>(&self, state: &State<G>, scan_threshold: usize) -> Option<Task> {
        let n_live = state.n_live();
        let is_sparse = state.rows.n_rows() > ROWS_PER_LIVE * n_live + SPARE_ROWS;
        if !self.is_saving && (is_sparse || (state.graph.is_some() && n_live < scan_threshold / 2)) {
            return Some(Task::Compact);
        }
        let check = (!self.is_checked && state.damage.is_some()).then_some(Task::Check);
        let Some(graph) = &state.graph else {
            return (n_live >= scan_threshold).then_some(Task::Link).or(check);
        };
        if self.repair.is_some() || self.tombstones.len() >= MIN_TOMBSTONES.max(graph.n_nodes() / NODES_PER_TOMBSTONE) {
            return Some(Task::Repair);
        }
        if !state.pending.rows().is_empty() {
            return Some(Task::Link);
        }
        if !self.worn.is_empty() {
            return Some(Task::LinkWorn);
        }
        // A snapshot that is being written has one part of the old and would get another of the new.
        if !self.is_saving && graph.is_outgrown(n_live) {
            return Some(Task::Renew);
        }
        let was_changed = self.sweep_is_due || self.n_linked > graph.n_nodes() / NODES_PER_LINKED;
        let is_due = self.sweep.is_some() || (was_changed && self.n_sweeps < MAX_SWEEPS);
        is_due.then_some(Task::Sweep).or(check)
    }

    fn n_remaining<G: LiveGraph>(&self, state: &State<G>) -> usize {
        let n_nodes = state.graph.as_ref().map_or(0, G::n_nodes);
        let n_to_repair = if self.repair.is_some() { n_nodes / NODES_PER_ROW } else { 0 };
        (state.pending.rows().len() + self.tombstones.len() + self.worn.len() + n_to_repair).max(1)
    }
}

impl<G: LiveGraph> LivingIndex<G> {
    /// Works until `max_rows` are done or nothing is left; returns an estimate of what is left.
    pub(super) fn work(&self, upkeep: &mut MutexGuard<'_, Upkeep>, max_rows: usize) -> Result<usize> {
        let mut n_done = 0;
        loop {
            let task = {
                let state = self.read()?;
                state.check()?;
                match upkeep.next_task(&state, G::scan_threshold(&self.spec)) {
                    None => return Ok(0),
                    Some(_) if n_done >= max_rows => return Ok(upkeep.n_remaining(&state)),
                    Some(task) => task,
                }
            };
            n_done += match task {
                Task::Compact => self.compact(upkeep)?,
                Task::Repair => self.repair(upkeep)?,
                Task::Link => self.link(upkeep, max_rows - n_done)?,
                Task::LinkWorn => self.link_worn(upkeep)?,
                Task::Renew => self.renew()?,
                Task::Sweep => self.sweep(upkeep)?,
                Task::Check => self.check(upkeep)?,
            };
            // Whoever waits to mutate goes first.
            MutexGuard::bump(upkeep);
        }
    }

    /// Links what was added just now, so that it need not be scanned, and does as much work again that has come up.
    pub(super) fn settle(&self, upkeep: &mut MutexGuard<'_, Upkeep>, n_added: usize) -> Result<()> {
        self.provide()?;
        loop {
            let state = self.read()?;
            if !self.has_graph(&state) || state.pending.rows().is_empty() {
                break;
            }
            drop(state);
            self.link(upkeep, usize::MAX)?;
        }
        self.work(upkeep, n_added).map(drop)
    }

    /// Whether there is a graph, or is to be one.
    fn has_graph(&self, state: &State<G>) -> bool {
        state.graph.is_some() || state.n_live() >= G::scan_threshold(&self.spec)
    }

    /// Has several threads get the memory of a graph's new nodes, for which one would wait.
    fn provide(&self) -> Result<()> {
        let state = self.read()?;
        let (n_rows, n_pending) = (state.rows.n_rows(), state.pending.rows().len());
        if self.team.n_threads() == 1 || n_pending < WORTH_PROVIDING || !self.has_graph(&state) {
            return Ok(());
        }
        drop(state);
        self.write()?.graph.get_or_insert_with(|| G::new(&self.spec)).ensure(n_rows);
        if let Some(graph) = &self.read()?.graph {
            // Where rows were free, others come first: then this is less than it could be.
            graph.provide(n_rows - n_pending..n_rows, &self.team);
        }
        Ok(())
    }

    /// Copies the live rows to a new place without a graph.
    fn compact(&self, upkeep: &mut Upkeep) -> Result<usize> {
        let compacted = self.read()?.compacted()?;
        let n_rows = compacted.n_live();
        let old = std::mem::replace(&mut *self.write()?, compacted);
        drop(old);
        *upkeep = Upkeep::default();
        self.scratches.idle.lock().clear();
        Ok(1 + n_rows / NODES_PER_ROW)
    }

    /// Links the first pending rows.
    fn link(&self, upkeep: &mut Upkeep, max_rows: usize) -> Result<usize> {
        if self.read()?.graph.is_none() {
            self.write()?.graph = Some(G::new(&self.spec));
        }
        let rows: Vec<u32> = {
            let state = self.read()?;
            let n = state.graph.as_ref().map_or(0, |graph| graph.batch_size(&self.spec)).min(max_rows);
            state.pending.rows().iter().take(n).copied().collect()
        };
        self.link_rows(&rows, upkeep)
    }

    /// Links a worn node again, if it is still one.
    fn link_worn(&self, upkeep: &mut Upkeep) -> Result<usize> {
        match upkeep.worn.pop() {
            Some(row) if self.read()?.status(row) == Status::LINKED => self.link_rows(&[row], upkeep),
            _ => Ok(1),
        }
    }

    fn link_rows(&self, rows: &[u32], upkeep: &mut Upkeep) -> Result<usize> {
        let plan = {
            let state = self.read()?;
            let Some(graph) = &state.graph else { return Ok(1) };
            G::plan_links(&state, graph, rows, &self.spec, &self.scratches, &self.team)
        };
        let mut state = self.write()?;
        G::apply_links(&mut state, &plan, &self.team);
        if state.pending.rows().is_empty() {
            state.store.all_linked();
        }
        drop(state);
        upkeep.n_linked += rows.len();
        if let Some(sweep) = &mut upkeep.sweep {
            for &row in rows {
                sweep.note_linked(row);
            }
        }
        Ok(rows.len().max(1))
    }

    /// Takes the next step of making the graph anew.
    fn renew(&self) -> Result<usize> {
        let plan = {
            let state = self.read()?;
            state.graph.as_ref().and_then(|graph| G::plan_renewal(&state, graph, &self.spec))
        };
        if let Some(plan) = plan {
            G::apply_links(&mut *self.write()?, &plan, &self.team);
        }
        Ok(NODES_PER_ROW)
    }

    /// Checks the next rows that lie in a file.
    fn check(&self, upkeep: &mut Upkeep) -> Result<usize> {
        let state = self.read()?;
        upkeep.is_checked = !state.store.check_next() && !state.graph.as_ref().is_some_and(G::check_next);
        state.check()?;
        Ok(NODES_PER_ROW)
    }

    /// Takes the next step of a repair, or begins one.
    fn repair(&self, upkeep: &mut Upkeep) -> Result<usize> {
        let Some(repair) = &mut upkeep.repair else {
            let dying = std::mem::take(&mut upkeep.tombstones);
            let mut state = self.write()?;
            for &row in &dying {
                state.statuses.set(row, Status::DYING);
            }
            upkeep.repair = Some(Repair { dying, next: 0 });
            return Ok(1);
        };
        let mut plans = Vec::new();
        let is_done = {
            let state = self.read()?;
            let end = (repair.next as usize + NODES_PER_REPAIR).min(state.rows.n_rows()) as u32;
            if let Some(graph) = &state.graph {
                let nodes = (repair.next..end).filter(|&row| {
                    let status = state.status(row);
                    status.is_in_graph() && status != Status::DYING
                });
                plans.extend(nodes.filter_map(|row| G::plan_repair(&state, graph, row)));
            }
            repair.next = end;
            end as usize == state.rows.n_rows()
        };
        let n_repaired = plans.len();
        let mut state = self.write()?;
        if let Some(graph) = &mut state.graph {
            upkeep.worn.extend(plans.iter().filter_map(|plan| graph.apply_repair(plan)));
        }
        if is_done {
            state.free(&repair.dying);
            upkeep.repair = None;
            upkeep.sweep = None;
            upkeep.sweep_is_due = true;
        }
        Ok(1 + n_repaired / 4)
    }

    /// Takes the next step of a sweep, or begins one.
    fn sweep(&self, upkeep: &mut Upkeep) -> Result<usize> {
        let lost = {
            let state = self.read()?;
            let Some(graph) = &state.graph else { return Ok(1) };
            if upkeep.sweep.is_none() {
                upkeep.sweep_is_due = false;
                upkeep.n_linked = 0;
                upkeep.n_sweeps += 1;
            }
            let sweep = upkeep.sweep.get_or_insert_with(|| Sweep::start(&state, graph));
            sweep.advance(graph, NODES_PER_ROW);
            if !sweep.is_done() {
                return Ok(1);
            }
            sweep.lost(&state)
        };
        upkeep.sweep = None;
        // What they are linked by may lose others.
        upkeep.sweep_is_due |= !lost.is_empty();
        let mut state = self.write()?;
        for row in lost {
            state.lose(row);
        }
        Ok(1)
    }
}

/// A search of the whole graph from where walks begin, in steps between which it may change. A row that it misses
/// for such a change is linked once more than it needed, no worse.
#[derive(Debug)]
pub(super) struct Sweep {
    reached: Vec<bool>,
    open: Vec<u32>,
}

impl Sweep {
    pub(super) fn start<G: LiveGraph>(state: &State<G>, graph: &G) -> Self {
        let mut sweep = Self { reached: vec![false; state.rows.n_rows()], open: Vec::new() };
        graph.starts().into_iter().for_each(|row| sweep.reach(row));
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
    pub(super) fn advance(&mut self, graph: &impl LiveGraph, n_nodes: usize) {
        for _ in 0..n_nodes {
            let Some(row) = self.open.pop() else { return };
            for &link in graph.links(row) {
                self.reach(link);
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Linked rows that were not reached.
    pub(super) fn lost<G: LiveGraph>(&self, state: &State<G>) -> Vec<u32> {
        (0_u32..)
            .zip(&self.reached)
            .filter(|&(row, &reached)| !reached && state.status(row) == Status::LINKED)
            .map(|(row, _)| row)
            .collect()
    }
}
