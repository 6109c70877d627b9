//! What a node keeps of its neighbours, in one stretch of memory: their rows, and their codes relative to the node, so that
//! one look at it estimates the distances of all of them.
//!
//! ```text
//! offset  bytes
//!      0      4  slope_unit, f32: what a step of `slopes` is worth
//!      4      4  offset_unit, f32
//!      8      4  chosen: a bit for each neighbour that the selection rule chose; the others fill the block
//!     12      4  n: neighbours
//!     16      4  n_lost: neighbours lost to removals since the node was linked
//!     20      4  scale of the node's own code, f32
//!     24      4  its squared norm, f32
//!     28     36  zero
//!     64    128  links: 32 rows, u32; beyond n no row
//!    192     64  slopes, i16
//!    256     64  offsets, i16
//!    320    32n  codes of n bytes, see `kernels::ScanBlock` and `coding`
//! ```
//!
//! With `r = x - c` for a neighbour `x` of the node `c`, and `s` what the code of `r` stands for, the inner product of a query `q` with `r`
//! is estimated as `f (s . q - s . c) + c . r`, `f = (r . r) / (s . r)`. Sources: Gao and Long, `RaBitQ` (SIGMOD 2024), for
//! the estimate; Gou et al., `SymphonyQG` (SIGMOD 2025), for keeping it with the node.

use crate::kernels::{BLOCK, ScanBlock};
use crate::metric::Metric;
use crate::spec::Kind;

use super::coding::Coding;
use super::store::{Code, Measure, QuantizedStore, rounded};

/// Most neighbours of a node.
pub(super) const DEGREE: usize = BLOCK;
/// Most neighbours of a compact node: with one more, 384 components would take more than 800 bytes in all.
const COMPACT_DEGREE: usize = 27;
/// No row.
pub(super) const NO_ROW: u32 = u32::MAX;

/// All of a block but the codes.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Head {
    pub(super) slope_unit: f32,
    pub(super) offset_unit: f32,
    pub(super) chosen: u32,
    pub(super) n: u32,
    pub(super) n_lost: u32,
    /// Of the node's own code, which lies elsewhere.
    pub(super) measure: Measure,
    zero: [u32; 9],
    pub(super) links: [u32; DEGREE],
    pub(super) slopes: [i16; DEGREE],
    pub(super) offsets: [i16; DEGREE],
}

/// All that a compact node keeps of its neighbours.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Links {
    chosen: u32,
    n: u16,
    n_lost: u16,
    rows: [u32; COMPACT_DEGREE],
}

/// What a node is as to its neighbours, whatever its form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) links: &'a [u32],
    /// A bit for each link that the selection rule chose.
    pub(super) chosen: u32,
    pub(super) n_lost: u32,
}

/// The form of all nodes of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// With the codes of the neighbours: a [`Head`] and what it is the head of.
    Fast,
    /// With [`Links`] alone. Nodes have a sketch each, elsewhere.
    Compact,
}

impl Form {
    pub(super) fn of(kind: Kind) -> Self {
        if kind == Kind::QgCompact { Self::Compact } else { Self::Fast }
    }

    /// Most neighbours.
    pub(super) fn degree(self) -> usize {
        match self {
            Self::Fast => DEGREE,
            Self::Compact => COMPACT_DEGREE,
        }
    }

    /// Bytes of a block.
    pub(super) fn block_len(self, code_len: usize) -> usize {
        match self {
            Self::Fast => block_len(code_len),
            Self::Compact => size_of::<Links>(),
        }
    }

    #[inline]
    pub(super) fn node(self, block: &[u8]) -> Node<'_> {
        match self {
            Self::Fast => {
                let head = parts(block).0;
                Node { links: head.links(), chosen: head.chosen, n_lost: head.n_lost }
            }
            Self::Compact => {
                let Links { chosen, n, n_lost, rows } = bytemuck::from_bytes(block);
                let links = &rows[..usize::from(*n).min(COMPACT_DEGREE)];
                Node { links, chosen: *chosen, n_lost: u32::from(*n_lost) }
            }
        }
    }

    /// Writes a whole block of a node with this measure.
    pub(super) fn fill(self, block: &mut [u8], measure: Measure, neighbours: &Neighbours, n_chosen: usize) {
        match self {
            Self::Fast => fill(block, measure, neighbours, n_chosen),
            Self::Compact => {
                let head: &mut Links = bytemuck::from_bytes_mut(block);
                head.rows = [NO_ROW; COMPACT_DEGREE];
                head.rows.iter_mut().zip(neighbours.iter()).for_each(|(link, neighbour)| *link = neighbour.row);
                head.n = neighbours.len() as u16;
                head.chosen = first_bits(n_chosen);
                head.n_lost = 0;
            }
        }
    }

    /// Puts a neighbour in a slot of a block, the next one or one in use.
    pub(super) fn put(self, block: &mut [u8], slot: usize, neighbour: Neighbour<'_>) {
        match self {
            Self::Fast => put(block, slot, neighbour),
            Self::Compact => {
                let head: &mut Links = bytemuck::from_bytes_mut(block);
                head.n = head.n.max(slot as u16 + 1);
                head.rows[slot] = neighbour.row;
            }
        }
    }

    /// Notes which neighbours the selection rule chose.
    pub(super) fn set_chosen(self, block: &mut [u8], chosen: u32) {
        match self {
            Self::Fast => parts_mut(block).0.chosen = chosen,
            Self::Compact => bytemuck::from_bytes_mut::<Links>(block).chosen = chosen,
        }
    }

    /// Notes the measure of a node that keeps it.
    pub(super) fn set_measure(self, block: &mut [u8], measure: Measure) {
        if self == Self::Fast {
            parts_mut(block).0.measure = measure;
        }
    }

    /// Notes how many neighbours were lost.
    pub(super) fn set_lost(self, block: &mut [u8], n_lost: u32) {
        match self {
            Self::Fast => parts_mut(block).0.n_lost = n_lost,
            Self::Compact => bytemuck::from_bytes_mut::<Links>(block).n_lost = n_lost.min(u32::from(u16::MAX)) as u16,
        }
    }

    /// No neighbours, as nodes of this form keep them.
    pub(super) fn neighbours(self, store: &QuantizedStore, capacity: usize) -> Neighbours {
        let code_len = match self {
            Self::Fast => store.coding.code_len(store.padded()),
            Self::Compact => 0,
        };
        Neighbours::new(code_len, capacity)
    }

    /// Adds a neighbour of a node.
    pub(super) fn add_neighbour(self, neighbours: &mut Neighbours, store: &QuantizedStore, node: u32, row: u32) {
        match self {
            Self::Fast => neighbours.push(store, &store.coding, store.code(node), row),
            Self::Compact => neighbours.factors.push((row, 0.0, 0.0)),
        }
    }
}

/// Bytes of a [`Head`].
const HEAD_LEN: usize = size_of::<Head>();

/// Bytes of a block with codes of this length.
pub(super) fn block_len(code_len: usize) -> usize {
    HEAD_LEN + code_len * BLOCK
}

/// The parts of a block.
#[inline]
pub(super) fn parts(block: &[u8]) -> (&Head, &[u8]) {
    let (head, codes) = block.split_at(HEAD_LEN);
    (bytemuck::from_bytes(head), codes)
}

fn parts_mut(block: &mut [u8]) -> (&mut Head, &mut [u8]) {
    let (head, codes) = block.split_at_mut(HEAD_LEN);
    (bytemuck::from_bytes_mut(head), codes)
}

impl Head {
    #[inline]
    pub(super) fn links(&self) -> &[u32] {
        &self.links[..(self.n as usize).min(DEGREE)]
    }

    /// The codes with their factors, as a scan takes them.
    #[inline]
    pub(super) fn scan_block<'a>(&'a self, codes: &'a [u8]) -> ScanBlock<'a> {
        ScanBlock { codes, slopes: &self.slopes, offsets: &self.offsets }
    }
}

/// A neighbour as its node keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbour<'a> {
    pub(crate) row: u32,
    pub(crate) code: &'a [u8],
    pub(crate) slope: f32,
    pub(crate) offset: f32,
}

/// Neighbours in one piece of memory: threads that allocate each of them wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    code_len: usize,
    codes: Vec<u8>,
    /// Row, slope, offset.
    factors: Vec<(u32, f32, f32)>,
}

impl Neighbours {
    /// No neighbours, whose codes are of this length.
    pub(crate) fn new(code_len: usize, capacity: usize) -> Self {
        let codes = Vec::with_capacity(capacity * code_len);
        Self { code_len, codes, factors: Vec::with_capacity(capacity) }
    }

    /// Relates a row to a centre.
    pub(crate) fn push(&mut self, store: &QuantizedStore, coding: &Coding, centre: Code<'_>, row: u32) {
        let start = self.codes.len();
        self.codes.resize(start + self.code_len, 0);
        let relation = coding.relate(&store.kernels, store.code(row), centre, &mut self.codes[start..]);
        let f = if relation.code_offset > 0.0 { relation.squared / relation.code_offset } else { 0.0 };
        let (slope, offset) = match store.metric {
            Metric::Cosine | Metric::Dot => (-f, f * relation.code_centre - relation.offset_centre),
            Metric::L2 => (-2.0 * f, relation.squared + 2.0 * f * relation.code_centre),
        };
        self.factors.push((row, slope, offset));
    }

    /// The neighbour that came at this place.
    pub(crate) fn get(&self, i: usize) -> Neighbour<'_> {
        let (row, slope, offset) = self.factors[i];
        Neighbour { row, code: &self.codes[i * self.code_len..][..self.code_len], slope, offset }
    }

    pub(crate) fn len(&self) -> usize {
        self.factors.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Neighbour<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }
}

/// Writes a whole block of a node with this measure.
fn fill(block: &mut [u8], measure: Measure, neighbours: &Neighbours, n_chosen: usize) {
    block.fill(0);
    let (head, codes) = parts_mut(block);
    head.measure = measure;
    head.links = [NO_ROW; DEGREE];
    head.n = neighbours.len() as u32;
    head.chosen = first_bits(n_chosen);
    let largest = |factor: fn(Neighbour<'_>) -> f32| neighbours.iter().map(factor).fold(0.0_f32, |m, x| m.max(x.abs()));
    head.slope_unit = largest(|neighbour| neighbour.slope) / f32::from(i16::MAX);
    head.offset_unit = largest(|neighbour| neighbour.offset) / f32::from(i16::MAX);
    for (slot, neighbour) in neighbours.iter().enumerate() {
        write(head, codes, slot, neighbour);
    }
}

/// Puts a neighbour in a slot of a block, the next one or one in use.
pub(super) fn put(block: &mut [u8], slot: usize, neighbour: Neighbour<'_>) {
    let (head, codes) = parts_mut(block);
    head.n = head.n.max(slot as u32 + 1);
    widen(&mut head.slope_unit, &mut head.slopes, neighbour.slope);
    widen(&mut head.offset_unit, &mut head.offsets, neighbour.offset);
    write(head, codes, slot, neighbour);
}

fn write(head: &mut Head, codes: &mut [u8], slot: usize, neighbour: Neighbour<'_>) {
    head.links[slot] = neighbour.row;
    head.slopes[slot] = steps(neighbour.slope, head.slope_unit);
    head.offsets[slot] = steps(neighbour.offset, head.offset_unit);
    for (to, byte) in codes.iter_mut().skip(slot).step_by(BLOCK).zip(neighbour.code) {
        *to = *byte;
    }
}

fn steps(value: f32, unit: f32) -> i16 {
    // Saturates, and is zero where nothing has a size.
    if unit > 0.0 { rounded(value / unit) as i16 } else { 0 }
}

/// Makes room for a value in factors that share a unit.
fn widen(unit: &mut f32, factors: &mut [i16; DEGREE], value: f32) {
    let needed = value.abs() / f32::from(i16::MAX);
    if needed > *unit {
        let shrink = *unit / needed;
        for factor in factors {
            *factor = rounded(f32::from(*factor) * shrink) as i16;
        }
        *unit = needed;
    }
}

/// A mask of the first `n` slots.
pub(super) fn first_bits(n: usize) -> u32 {
    if n >= DEGREE { u32::MAX } else { (1 << n) - 1 }
}
