//! The blocks of all nodes, and where walks begin. Which links are good ones is not known here.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::prefetch;
use crate::parallel::Team;
use crate::rows::Status;
use crate::snapshot::sections::{EAGER_LEN, Section, Sections, Tag};
use crate::spec::IndexSpec;
use crate::vectors::Arena;

use super::block::{self, Form, Head, Node};
use super::entries::Entries;
use super::save::SavedGraph;
use super::sketch::{Centre, Sketches, line_len};
use super::store::QuantizedStore;

/// Graph of one layer whose nodes know their neighbours' codes.
#[derive(Debug)]
pub(crate) struct QuantizedGraph {
    pub(super) form: Form,
    blocks: Arena<u8>,
    /// Of compact nodes, when the first is linked.
    sketches: Option<Sketches>,
    entries: Entries,
    n_nodes: usize,
}

impl QuantizedGraph {
    pub(super) fn with_code_len(form: Form, code_len: usize) -> Self {
        Self {
            form,
            blocks: Arena::new(form.block_len(code_len)),
            sketches: None,
            entries: Entries::default(),
            n_nodes: 0,
        }
    }

    pub(super) fn check_next(&self) -> bool {
        self.blocks.check_next() || self.sketches.as_ref().is_some_and(|sketches| sketches.lines().check_next())
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    pub(super) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Whether a row can be asked for: one that was never a node has no neighbours.
    pub(super) fn reaches(&self, row: u32) -> bool {
        (row as usize) < self.blocks.n_rows()
    }

    #[inline]
    pub(super) fn parts(&self, row: u32) -> (&Head, &[u8]) {
        block::parts(self.blocks.row(row))
    }

    #[inline]
    pub(super) fn node(&self, row: u32) -> Node<'_> {
        self.form.node(self.blocks.row(row))
    }

    /// What compact nodes are estimated by.
    #[inline]
    pub(super) fn sketches(&self) -> Option<&Sketches> {
        self.sketches.as_ref()
    }

    /// Makes the sketches of a graph without nodes relative to a centre.
    pub(super) fn take_centre(&mut self, centre: Centre) {
        self.sketches = Some(Sketches::around(centre));
    }

    pub(super) fn put_sketch(&mut self, row: u32, sketch: &[u8]) {
        if let Some(sketches) = &mut self.sketches {
            sketches.put(row, sketch);
        }
    }

    pub(super) fn blocks_mut(&mut self) -> &mut Arena<u8> {
        &mut self.blocks
    }

    pub(super) fn set_lost(&mut self, row: u32, n_lost: u32) {
        self.form.set_lost(self.blocks.row_mut(row), n_lost);
    }

    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        prefetch(self.blocks.row(row));
    }

    /// Asks for all of a block but the codes.
    #[inline]
    pub(super) fn prefetch_head(&self, row: u32) {
        let block = self.blocks.row(row);
        prefetch(&block[..size_of::<Head>().min(block.len())]);
    }

    pub(super) fn block_len(&self) -> usize {
        self.blocks.stride()
    }

    /// Makes a row of the store a node, whose block comes next.
    pub(super) fn insert(&mut self, store: &QuantizedStore, row: u32) {
        self.blocks.ensure(row as usize + 1);
        self.n_nodes += 1;
        self.entries.sample(store, row);
    }

    /// Gives a node another block.
    pub(super) fn replace(&mut self, row: u32, block: &[u8]) {
        self.blocks.row_mut(row).copy_from_slice(block);
    }

    /// Makes room for this many rows.
    pub(super) fn ensure(&mut self, n_rows: usize) {
        self.blocks.ensure(n_rows);
    }

    /// As [`Arena::provide`].
    pub(super) fn provide(&self, rows: Range<usize>, team: &Team) {
        self.blocks.provide(rows, team);
    }

    /// Lets walks begin at a node.
    pub(super) fn enter_at(&mut self, store: &QuantizedStore, row: u32) {
        self.entries.add(store, row);
    }

    /// Forgets nodes that no other node links to.
    pub(super) fn remove(&mut self, rows: &[u32], status: &dyn Fn(u32) -> Status, n_rows: usize) {
        for &row in rows {
            self.blocks.row_mut(row).fill(0);
        }
        self.n_nodes -= rows.len();
        self.entries.retain(status, self.n_nodes, n_rows);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.blocks.memory_bytes()
            + self.sketches.as_ref().map_or(0, Sketches::memory_bytes)
            + self.entries.memory_bytes()
    }
}

impl SavedGraph for QuantizedGraph {
    /// The entries, and the centre of the sketches.
    type Fixed = (Vec<u32>, Vec<u8>);

    fn sections(&self, n_rows: usize) -> Vec<Section> {
        let mut sections = vec![
            Section { tag: Tag::Blocks, row_len: self.block_len(), n_rows: self.blocks.n_rows().min(n_rows) },
            Section { tag: Tag::Entries, row_len: size_of::<u32>(), n_rows: self.entries.rows().len() },
        ];
        if let Some(sketches) = &self.sketches {
            let lines = sketches.lines();
            let n_lines = lines.n_rows().min(n_rows);
            sections.push(Section { tag: Tag::Sketches, row_len: lines.stride(), n_rows: n_lines });
            let centre_len = size_of::<f32>() + sketches.centre().values.len();
            sections.push(Section { tag: Tag::SketchCentre, row_len: 1, n_rows: centre_len });
        }
        sections
    }

    fn fixed(&self) -> (Vec<u32>, Vec<u8>) {
        let bytes = |centre: &Centre| {
            let mut bytes = centre.measure.scale.to_le_bytes().to_vec();
            bytes.extend_from_slice(bytemuck::cast_slice(&centre.values));
            bytes
        };
        let centre = self.sketches.as_ref().map(|sketches| bytes(sketches.centre()));
        (self.entries.rows().to_vec(), centre.unwrap_or_default())
    }

    fn keep_before(&mut self) {
        self.blocks.keep_before();
        if let Some(sketches) = &mut self.sketches {
            sketches.lines_mut().keep_before();
        }
    }

    fn forget_before(&mut self) {
        self.blocks.forget_before();
        if let Some(sketches) = &mut self.sketches {
            sketches.lines_mut().forget_before();
        }
    }

    fn append(graph: Option<&Self>, (entries, centre): &Self::Fixed, tag: Tag, row: usize, out: &mut Vec<u8>) {
        match tag {
            Tag::Entries => out.extend(entries[row].to_le_bytes()),
            Tag::SketchCentre => out.push(centre[row]),
            Tag::Sketches => {
                let sketches = graph.and_then(Self::sketches);
                out.extend(sketches.iter().flat_map(|sketches| sketches.lines().row_before(row as u32)));
            }
            _ => out.extend(graph.iter().flat_map(|graph| graph.blocks.row_before(row as u32))),
        }
    }

    fn restore(
        store: &QuantizedStore,
        spec: &IndexSpec,
        statuses: &[Status],
        from: &mut Sections,
    ) -> Result<Option<Self>> {
        let n_nodes = statuses.iter().filter(|status| status.is_in_graph()).count();
        let form = Form::of(spec.kind);
        let stride = form.block_len(store.coding.code_len(store.padded()));
        let n_blocks = from.n_rows_of(Tag::Blocks);
        let mut blocks = from.take(Tag::Blocks, stride, n_blocks)?;
        blocks.ensure(statuses.len());
        let entries: Vec<u32> = from.take_all(Tag::Entries)?;
        let is_node = |row: u32| statuses.get(row as usize).is_some_and(|status| status.is_in_graph());
        let is_whole = n_blocks <= statuses.len() && !entries.is_empty() && entries.iter().all(|&row| is_node(row));
        if !is_whole {
            return Ok(None);
        }
        let sketches = match form {
            Form::Fast => None,
            Form::Compact => {
                let n_lines = from.n_rows_of(Tag::Sketches);
                let mut lines = from.take(Tag::Sketches, line_len(store.padded()), n_lines)?;
                lines.ensure(statuses.len());
                let centre: Vec<u8> = from.take_all(Tag::SketchCentre)?;
                let Some((scale, values)) = centre.split_first_chunk() else { return Ok(None) };
                if n_lines > statuses.len() || values.len() != store.padded() {
                    return Ok(None);
                }
                let values = bytemuck::cast_slice(values).to_vec();
                let centre = Centre::from_code(&store.kernels, values, f32::from_le_bytes(*scale));
                Some(Sketches::restored(centre, lines))
            }
        };
        let mut graph = Self { form, blocks, sketches, entries: Entries::restored(entries, n_nodes), n_nodes };
        let nodes = || (0..n_blocks as u32).filter(|&row| is_node(row));
        // The first files of format 2 have zeros there. What is damaged has zeros everywhere.
        let lacks_measure = |row: u32| {
            let head = graph.parts(row).0;
            head.n > 0 && head.measure.squared == 0.0 && store.measure(row).squared != 0.0
        };
        if form == Form::Fast && nodes().find(|&row| store.measure(row).squared != 0.0).is_some_and(lacks_measure) {
            nodes().for_each(|row| form.set_measure(graph.blocks.row_mut(row), store.measure(row)));
        }
        // A large file is not read here. Its checksums are right or its rows are not used.
        let is_linked = |row: u32| graph.node(row).links.iter().all(|&link| is_node(link));
        let is_small = n_blocks * stride <= EAGER_LEN;
        let is_whole = !is_small || nodes().all(is_linked);
        Ok(is_whole.then_some(graph))
    }
}
