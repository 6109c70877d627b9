//! The layers of links, as arrays. Which links are good ones is not known here.

use crate::kernels::prefetch;
use crate::rows::{IdMap, Status};
use crate::snapshot::rows::GraphContent;
use crate::vectors::Arena;

/// Highest layer. With `m = 2` this is reached by one row in 2^15.
pub(super) const MAX_LEVEL: usize = 15;

/// A node is worn when it lost more than one link in so many.
const WORN_SHARE: usize = 4;

/// Links of all rows. A list holds up to half as many links again as are wanted, so that links back are pruned by
/// dozens and not one by one.
///
/// ```text
/// base row   [n, link, link, ...]                       2m + m wanted and spare, rounded up to a cache line
/// upper row  [n, link, ...] for each layer from 1 up    m + m/2 wanted and spare
/// ```
#[derive(Debug)]
pub(crate) struct Graph {
    m: usize,
    base: Arena<u32>,
    upper: IdMap<u32, Box<[u32]>>,
    upper_stride: usize,
    /// Links of the lowest layer that a node lost to removals since it was linked.
    wear: Arena<u8>,
    entry: Option<Entry>,
    n_nodes: usize,
}

/// Where walks start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) row: u32,
    pub(super) level: usize,
}

impl Graph {
    pub(super) fn with_m(m: usize) -> Self {
        let words_in_line = 16;
        Self {
            m,
            base: Arena::new((1 + 2 * m + m / 2).next_multiple_of(words_in_line)),
            upper: IdMap::default(),
            upper_stride: 1 + m + m / 2,
            wear: Arena::new(1),
            entry: None,
            n_nodes: 0,
        }
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        self.entry
    }

    /// Nodes, tombstones included.
    pub(super) fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// Links that a list of this layer is pruned to.
    pub(super) fn n_wanted(&self, level: usize) -> usize {
        if level == 0 { 2 * self.m } else { self.m }
    }

    /// Links that a list of this layer can hold.
    pub(super) fn capacity(&self, level: usize) -> usize {
        if level == 0 { self.base.stride() - 1 } else { self.upper_stride - 1 }
    }

    pub(super) fn level_of(&self, row: u32) -> usize {
        self.upper.get(&row).map_or(0, |lists| lists.len() / self.upper_stride)
    }

    /// The links of a node of the lowest layer.
    #[inline]
    pub(super) fn base_links(&self, row: u32) -> &[u32] {
        let list = self.base.row(row);
        &list[1..][..list[0] as usize]
    }

    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        prefetch(self.base.row(row));
    }

    /// The links of a node; none where it does not reach the layer.
    #[inline]
    pub(super) fn links(&self, row: u32, level: usize) -> &[u32] {
        if level == 0 {
            return self.base_links(row);
        }
        match self.upper.get(&row) {
            Some(lists) if lists.len() >= level * self.upper_stride => {
                let list = &lists[(level - 1) * self.upper_stride..][..self.upper_stride];
                &list[1..][..list[0] as usize]
            }
            _ => &[],
        }
    }

    fn list_mut(&mut self, row: u32, level: usize) -> Option<&mut [u32]> {
        if level == 0 {
            return Some(self.base.row_mut(row));
        }
        let lists = self.upper.get_mut(&row)?;
        lists.chunks_exact_mut(self.upper_stride).nth(level - 1)
    }

    /// Makes a row a node up to `level`, with empty lists. A row that is one keeps its level and links.
    pub(super) fn insert(&mut self, row: u32, level: usize, is_new: bool) {
        self.base.ensure(row as usize + 1);
        self.wear.ensure(row as usize + 1);
        self.wear.set(row, 0);
        if is_new {
            self.n_nodes += 1;
            self.base.set(row, 0);
            if level > 0 {
                self.upper.insert(row, vec![0; level * self.upper_stride].into_boxed_slice());
            }
        }
        if self.entry.is_none_or(|entry| level > entry.level) {
            self.entry = Some(Entry { row, level });
        }
    }

    /// Lets walks begin at a node.
    pub(super) fn enter_at(&mut self, row: u32) {
        self.entry = Some(Entry { row, level: self.level_of(row) });
    }

    /// Notes that a node lost links, and tells whether it has lost so many that it should be linked again.
    pub(super) fn wear(&mut self, row: u32, n_lost: usize) -> bool {
        let wear = usize::from(self.wear.get(row)) + n_lost;
        self.wear.set(row, u8::try_from(wear).unwrap_or(u8::MAX));
        wear * WORN_SHARE > self.base_links(row).len()
    }

    /// Replaces the links of a node, of which no more than the capacity are taken.
    pub(super) fn set_links(&mut self, row: u32, level: usize, links: &[u32]) {
        if let Some(list) = self.list_mut(row, level) {
            let n = links.len().min(list.len() - 1);
            list[0] = n as u32;
            list[1..=n].copy_from_slice(&links[..n]);
        }
    }

    /// Appends a link; the caller has seen that there is room.
    pub(super) fn push_link(&mut self, row: u32, level: usize, link: u32) {
        if let Some(list) = self.list_mut(row, level) {
            let n = list[0] as usize + 1;
            debug_assert!(n < list.len());
            if let Some(slot) = list.get_mut(n) {
                *slot = link;
                list[0] = n as u32;
            }
        }
    }

    /// Forgets nodes that no other node links to, and moves the entry point off them.
    pub(super) fn remove(&mut self, rows: &[u32], status: impl Fn(u32) -> Status, n_rows: usize) {
        for row in rows {
            self.base.set(*row, 0);
            self.upper.remove(row);
        }
        self.n_nodes -= rows.len();
        if self.entry.is_some_and(|entry| rows.contains(&entry.row)) {
            let stride = self.upper_stride;
            let highest = self
                .upper
                .iter()
                .filter(|&(&row, _)| status(row).is_live())
                .map(|(&row, lists)| Entry { row, level: lists.len() / stride })
                .max_by_key(|entry| (entry.level, std::cmp::Reverse(entry.row)));
            let any_node = |wanted: fn(Status) -> bool| {
                let row = (0..n_rows as u32).find(|&row| status(row).is_in_graph() && wanted(status(row)))?;
                Some(Entry { row, level: self.level_of(row) })
            };
            self.entry = highest.or_else(|| any_node(Status::is_live)).or_else(|| any_node(|_| true));
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let list_bytes: usize = self.upper.values().map(|lists| size_of_val(&**lists)).sum();
        self.base.memory_bytes()
            + self.wear.memory_bytes()
            + list_bytes
            + self.upper.capacity() * size_of::<(u32, Box<[u32]>)>()
    }

    /// The form in which a snapshot keeps the graph.
    pub(super) fn to_content(&self, statuses: &[Status]) -> GraphContent {
        let mut words = Vec::with_capacity(self.n_nodes * (self.n_wanted(0) + 2));
        for (row, _) in (0_u32..).zip(statuses).filter(|(_, status)| status.is_in_graph()) {
            let level = self.level_of(row);
            words.push(level as u32);
            for layer in 0..=level {
                let links = self.links(row, layer);
                words.push(links.len() as u32);
                words.extend_from_slice(links);
            }
        }
        GraphContent { entry: self.entry.map_or(0, |entry| entry.row), words }
    }

    /// The graph of a snapshot, or nothing when an invariant does not hold: links lead to nodes of their layer, lists fit,
    /// the entry point is a node of the top layer.
    pub(super) fn from_content(m: usize, content: &GraphContent, statuses: &[Status]) -> Option<Self> {
        let mut graph = Self::with_m(m);
        let mut words = content.words.iter().copied();
        for (row, _) in (0_u32..).zip(statuses).filter(|(_, status)| status.is_in_graph()) {
            let level = words.next()? as usize;
            if level > MAX_LEVEL {
                return None;
            }
            graph.insert(row, level, true);
            for layer in 0..=level {
                let n = words.next()? as usize;
                if n > graph.capacity(layer) {
                    return None;
                }
                let links: Vec<u32> = words.by_ref().take(n).collect();
                if links.len() < n {
                    return None;
                }
                graph.set_links(row, layer, &links);
            }
        }
        let entry = Entry { row: content.entry, level: graph.level_of(content.entry) };
        let is_node = |row: u32| statuses.get(row as usize).is_some_and(|status| status.is_in_graph());
        let is_whole = words.next().is_none()
            && is_node(entry.row)
            && (0_u32..).zip(statuses).all(|(row, status)| {
                !status.is_in_graph()
                    || (0..=graph.level_of(row)).all(|layer| {
                        graph
                            .links(row, layer)
                            .iter()
                            .all(|&link| link != row && is_node(link) && (layer == 0 || graph.level_of(link) >= layer))
                    })
            });
        graph.entry = Some(entry);
        is_whole.then_some(graph)
    }
}
