//! Format 2, of `qg`, `qg-compact`, `spiral` and `pq`: tables of rows that are mapped into memory, so that opening does not depend on their size.
//!
//! ```text
//! offset  bytes
//!      0     16  as every format
//!     16      1  kind: 2 qg, 3 qg-compact, 4 pq, 5 spiral
//!     17      1  metric: 0 cosine, 1 dot, 2 l2
//!     18      6  zero
//!     24      8  dim
//!     32      8  n_rows: rows in use or free for use
//!     40      8  sequence, the caller's
//!     48     32  ef_construction (of pq: subvector_dim), ef_search, scan_threshold, seed: 8 bytes each
//!     80      8  n_sections
//!     88  32 each  for each section: tag, length of a row, n_rows, offset: 8 bytes each
//!      …         zero
//!   4092      4  checksum of bytes 0..4092
//!   4096         sections, each from a multiple of 4,096 on, padded with zeros to the next
//!      …         for each section a checksum of 4 bytes for each 1,024 rows, the last with the padding; then theirs
//! ```
//!
//! Sections: 1 ids, 2 statuses (see `rows::Status`), 3 codes, 4 fine steps, 5 measures, 6 blocks, 7 entries, 8 centre,
//! 9 codebooks, 10 origin of what they code, 11 training, 12 sketches, 13 their centre.
//!
//! A block of rows is checked before its first use: at once in a small file and where the whole is needed at once, else
//! when a row of it is asked for, or by `maintain`. What does not match its checksum is noted in [`Damage`].

use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Pod;

use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::rows::MAX_ROWS;
use crate::spec::{IndexSpec, Kind, PqParams, QgParams};
use crate::vectors::Arena;

use super::map::{FileBytes, map};
use super::{Fields, MAGIC, PREFIX_LEN, Unpublished, corrupt, write_beside};

#[cfg(target_endian = "big")]
compile_error!("rows are mapped as they are in the file, which is little-endian");

pub(super) const VERSION: u32 = 2;
pub(super) const HEADER_LEN: usize = ALIGNMENT;
/// Where sections may begin: a multiple of the size of a page.
const ALIGNMENT: usize = 4096;
/// Rows with one checksum.
pub(crate) const BLOCK_ROWS: usize = 1024;
const CHECKSUM_LEN: usize = 4;
const MAX_SECTIONS: usize = 16;
/// The kinds of this format by their byte.
const KINDS: [(u8, Kind); 4] = [(2, Kind::Qg), (3, Kind::QgCompact), (4, Kind::Pq), (5, Kind::Spiral)];
/// A file up to this size is checked as a whole when it is opened.
pub(crate) const EAGER_LEN: usize = 1 << 26;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Tag {
    Ids = 1,
    Statuses = 2,
    Codes = 3,
    Fine = 4,
    Measures = 5,
    Blocks = 6,
    Entries = 7,
    Centre = 8,
    Codebooks = 9,
    Origin = 10,
    Training = 11,
    Sketches = 12,
    SketchCentre = 13,
}

impl Tag {
    const ALL: [Self; 13] = [
        Self::Ids,
        Self::Statuses,
        Self::Codes,
        Self::Fine,
        Self::Measures,
        Self::Blocks,
        Self::Entries,
        Self::Centre,
        Self::Codebooks,
        Self::Origin,
        Self::Training,
        Self::Sketches,
        Self::SketchCentre,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Statuses => "status",
            Self::Codes => "codes",
            Self::Fine => "fine",
            Self::Measures => "measures",
            Self::Blocks => "blocks",
            Self::Entries => "entries",
            Self::Centre => "centre",
            Self::Codebooks => "codebooks",
            Self::Origin => "origin",
            Self::Training => "training",
            Self::Sketches => "sketches",
            Self::SketchCentre => "sketch centre",
        }
    }
}

/// The form of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) tag: Tag,
    pub(crate) row_len: usize,
    pub(crate) n_rows: usize,
}

impl Section {
    fn len(&self) -> Option<u64> {
        (self.row_len as u64).checked_mul(self.n_rows as u64)
    }

    fn padded_len(&self) -> Option<u64> {
        self.len()?.checked_next_multiple_of(ALIGNMENT as u64)
    }

    fn n_blocks(&self) -> usize {
        self.n_rows.div_ceil(BLOCK_ROWS)
    }
}

/// Writes a snapshot beside `path`. `read` appends rows of a section to a buffer.
pub(crate) fn write(
    path: &Path,
    sequence: u64,
    spec: &IndexSpec,
    n_rows: usize,
    sections: &[Section],
    mut read: impl FnMut(Tag, std::ops::Range<usize>, &mut Vec<u8>) -> Result<()>,
) -> Result<Unpublished> {
    write_beside(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(&header(sequence, spec, n_rows, sections))?;
        let (mut sums, mut buffer) = (Vec::new(), Vec::new());
        for section in sections {
            for start in (0..section.n_rows).step_by(BLOCK_ROWS) {
                let end = (start + BLOCK_ROWS).min(section.n_rows);
                buffer.clear();
                read(section.tag, start..end, &mut buffer)?;
                debug_assert_eq!(buffer.len(), (end - start) * section.row_len);
                if end == section.n_rows {
                    let padding = (end * section.row_len).next_multiple_of(ALIGNMENT) - end * section.row_len;
                    buffer.resize(buffer.len() + padding, 0);
                }
                sums.extend(crc32fast::hash(&buffer).to_le_bytes());
                out.write_all(&buffer)?;
            }
        }
        sums.extend(crc32fast::hash(&sums).to_le_bytes());
        out.write_all(&sums)?;
        Ok(out.into_inner().map_err(IntoInnerError::into_error)?)
    })
}

fn header(sequence: u64, spec: &IndexSpec, n_rows: usize, sections: &[Section]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((HEADER_LEN as u32).to_le_bytes());
    bytes.push(KINDS.iter().find(|(_, kind)| *kind == spec.kind).map_or(0, |(byte, _)| *byte));
    bytes.push(match spec.metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::L2 => 2,
    });
    bytes.extend([0; 6]);
    let [first, ef_search, scan_threshold] = match spec.kind {
        Kind::Pq => [spec.pq.subvector_dim, spec.pq.ef_search, spec.pq.scan_threshold],
        _ => [spec.qg.ef_construction, spec.qg.ef_search, spec.qg.scan_threshold],
    };
    let seed = if spec.kind == Kind::Pq { spec.pq.seed } else { spec.qg.seed };
    let numbers = [spec.dim as u64, n_rows as u64, sequence];
    let params = [first as u64, ef_search as u64, scan_threshold as u64, seed, sections.len() as u64];
    let mut offset = HEADER_LEN as u64;
    let entries = sections.iter().flat_map(|section| {
        let entry = [section.tag as u64, section.row_len as u64, section.n_rows as u64, offset];
        offset += section.padded_len().unwrap_or_default();
        entry
    });
    for number in numbers.into_iter().chain(params).chain(entries) {
        bytes.extend(number.to_le_bytes());
    }
    bytes.resize(HEADER_LEN - CHECKSUM_LEN, 0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Where the first damage was met in an open file, if any was.
#[derive(Debug)]
pub(crate) struct Damage {
    path: PathBuf,
    /// Tag and offset of a block that does not match its checksum, or zero.
    found: AtomicU64,
}

impl Damage {
    fn note(&self, tag: Tag, offset: u64) {
        // Sections are aligned, so the low bits of an offset are free for the tag.
        let _ = self.found.compare_exchange(0, offset << 8 | tag as u64, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// # Errors
    /// [`Error::SnapshotCorrupt`] when a block in use does not match its checksum.
    pub(crate) fn check(&self) -> Result<()> {
        match self.found.load(Ordering::Relaxed) {
            0 => Ok(()),
            found => {
                let tag = Tag::ALL.into_iter().find(|&tag| tag as u64 == found & 0xFF).unwrap_or(Tag::Ids);
                Err(corrupt(&self.path, tag.name(), found >> 8))
            }
        }
    }
}

/// The rows of a section, as they are in the file. Changes stay in memory.
#[derive(Debug)]
pub(crate) struct MappedRows {
    map: FileBytes,
    section: Section,
    offset: u64,
    sums: Vec<u32>,
    /// A bit for each block that was checked and is as it was written.
    whole: Vec<AtomicU64>,
    /// A bit for each block that was checked and is not.
    damaged: Vec<AtomicU64>,
    /// What stands for each row of a damaged block, until the damage is reported: links to rows that are not there must not be
    /// followed.
    zeros: Vec<u64>,
    damage: Arc<Damage>,
}

fn has_bit(bits: &[AtomicU64], at: usize) -> bool {
    bits[at / 64].load(Ordering::Relaxed) >> (at % 64) & 1 == 1
}

impl MappedRows {
    pub(crate) fn n_rows(&self) -> usize {
        self.section.n_rows
    }

    /// The bytes of a row.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let block = row / BLOCK_ROWS;
        if !has_bit(&self.whole, block) && !self.check(block) {
            return &bytemuck::cast_slice(&self.zeros)[..self.section.row_len];
        }
        &self.map[row * self.section.row_len..][..self.section.row_len]
    }

    /// The bytes of a row, to be changed.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [u8] {
        self.row(row);
        &mut self.map[row * self.section.row_len..][..self.section.row_len]
    }

    /// Checks the next block that was not, and tells whether there was one.
    pub(crate) fn check_next(&self) -> bool {
        let next = (0..self.sums.len()).find(|&block| !has_bit(&self.whole, block) && !has_bit(&self.damaged, block));
        next.map(|block| self.check(block)).is_some()
    }

    /// Whether a block is as it was written.
    #[cold]
    fn check(&self, block: usize) -> bool {
        if has_bit(&self.damaged, block) {
            return false;
        }
        let start = block * BLOCK_ROWS * self.section.row_len;
        let end =
            if block + 1 == self.sums.len() { self.map.len() } else { (block + 1) * BLOCK_ROWS * self.section.row_len };
        let is_whole = crc32fast::hash(&self.map[start..end]) == self.sums[block];
        if !is_whole {
            self.damage.note(self.section.tag, self.offset + start as u64);
        }
        let bits = if is_whole { &self.whole } else { &self.damaged };
        bits[block / 64].fetch_or(1 << (block % 64), Ordering::Relaxed);
        is_whole
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Sections {
    pub(crate) spec: IndexSpec,
    pub(crate) sequence: u64,
    pub(crate) n_rows: usize,
    pub(crate) damage: Arc<Damage>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    tag: Tag,
    rows: Option<MappedRows>,
}

impl Sections {
    /// The rows of a section, which must have this form.
    ///
    /// # Errors
    /// [`Error::SnapshotCorrupt`] when the section is missing or has another form.
    pub(crate) fn take<T: Pod>(&mut self, tag: Tag, stride: usize, n_rows: usize) -> Result<Arena<T>> {
        let wrong = corrupt(&self.damage.path, tag.name(), 0);
        let part = self.parts.iter_mut().find(|part| part.tag == tag);
        match part.and_then(|part| part.rows.take()) {
            Some(rows) if rows.section.row_len == stride * size_of::<T>() && rows.n_rows() == n_rows => {
                Ok(Arena::mapped(stride, rows))
            }
            None if n_rows == 0 => Ok(Arena::new(stride)),
            _ => Err(wrong),
        }
    }

    /// All elements of a section of rows of one element, checked.
    ///
    /// # Errors
    /// [`Error::SnapshotCorrupt`] when the section has another form or does not match its checksums.
    pub(crate) fn take_all<T: Pod>(&mut self, tag: Tag) -> Result<Vec<T>> {
        let wrong = corrupt(&self.damage.path, tag.name(), 0);
        let part = self.parts.iter_mut().find(|part| part.tag == tag);
        let Some(rows) = part.and_then(|part| part.rows.take()) else { return Ok(Vec::new()) };
        if rows.section.row_len != size_of::<T>() {
            return Err(wrong);
        }
        while rows.check_next() {}
        self.damage.check()?;
        let bytes = &rows.map[..rows.section.n_rows * rows.section.row_len];
        bytemuck::try_cast_slice(bytes).map(<[T]>::to_vec).map_err(|_| wrong)
    }

    /// Rows that a section has.
    pub(crate) fn n_rows_of(&self, tag: Tag) -> usize {
        self.parts
            .iter()
            .filter(|part| part.tag == tag)
            .filter_map(|part| part.rows.as_ref())
            .map(MappedRows::n_rows)
            .sum()
    }
}

/// What a header says.
struct Header {
    spec: IndexSpec,
    sequence: u64,
    n_rows: usize,
    sections: Vec<(Section, u64)>,
}

fn parse_header(bytes: &[u8]) -> Option<Header> {
    let mut fields = Fields(bytes);
    fields.take::<PREFIX_LEN>()?;
    let [kind, metric] = fields.take()?;
    let kind = KINDS.iter().find(|(byte, _)| *byte == kind)?.1;
    let metric = [Metric::Cosine, Metric::Dot, Metric::L2].get(usize::from(metric)).copied()?;
    fields.take::<6>()?;
    let dim = fields.size()?;
    let n_rows = fields.size().filter(|&n| n <= MAX_ROWS)?;
    let sequence = fields.u64()?;
    let (first, ef_search, scan_threshold) = (fields.size()?, fields.size()?, fields.size()?);
    let seed = fields.u64()?;
    let mut spec = IndexSpec::new(kind, dim, metric);
    if kind == Kind::Pq {
        spec.pq = PqParams { subvector_dim: first, ef_search, scan_threshold, seed };
        spec.pq.check().ok()?;
    } else {
        spec.qg = QgParams { ef_construction: first, ef_search, scan_threshold, seed };
        spec.qg.check().ok()?;
    }
    let n_sections = fields.size().filter(|&n| n <= MAX_SECTIONS)?;
    let mut expected = HEADER_LEN as u64;
    let sections = (0..n_sections).map(|_| {
        let tag = fields.u64()?;
        let tag = Tag::ALL.into_iter().find(|&known| known as u64 == tag)?;
        let section = Section { tag, row_len: fields.size()?, n_rows: fields.size().filter(|&n| n <= MAX_ROWS)? };
        let offset = fields.u64().filter(|&offset| offset == expected)?;
        expected = expected.checked_add(section.padded_len()?)?;
        Some((section, offset))
    });
    let sections = sections.collect::<Option<_>>()?;
    spec.kernels().ok()?;
    Some(Header { spec, sequence, n_rows, sections })
}

/// Opens a snapshot: checks its header, its length and its checksums' own checksum, and maps the rest.
pub(super) fn load(path: &Path, file: &File, length: u64) -> Result<Sections> {
    let os_error = |source| Error::SnapshotIo { path: path.to_owned(), source };
    if length < HEADER_LEN as u64 {
        return Err(corrupt(path, "header", 0));
    }
    let mut bytes = vec![0; HEADER_LEN];
    let mut reader = file;
    reader.read_exact(&mut bytes).map_err(os_error)?;
    let (content, sum) = bytes.split_at(HEADER_LEN - CHECKSUM_LEN);
    if crc32fast::hash(content).to_le_bytes() != sum {
        return Err(corrupt(path, "header", 0));
    }
    let header = parse_header(content).ok_or_else(|| corrupt(path, "header", 0))?;
    let sums_offset = header
        .sections
        .last()
        .map_or(HEADER_LEN as u64, |(section, offset)| offset + section.padded_len().unwrap_or_default());
    let n_sums: usize = header.sections.iter().map(|(section, _)| section.n_blocks()).sum();
    let sums_len = (n_sums + 1) * CHECKSUM_LEN;
    if sums_offset.checked_add(sums_len as u64) != Some(length) {
        return Err(corrupt(path, "length", length));
    }
    let mut sums = vec![0; sums_len];
    reader.seek(SeekFrom::Start(sums_offset)).and_then(|_| reader.read_exact(&mut sums)).map_err(os_error)?;
    let (sums, sum) = sums.split_at(n_sums * CHECKSUM_LEN);
    if crc32fast::hash(sums).to_le_bytes() != sum {
        return Err(corrupt(path, "checksums", sums_offset));
    }
    let mut sums = sums.as_chunks::<CHECKSUM_LEN>().0.iter().map(|sum| u32::from_le_bytes(*sum));
    let damage = Arc::new(Damage { path: path.to_owned(), found: AtomicU64::new(0) });
    let mut parts = Vec::with_capacity(header.sections.len());
    for (section, offset) in header.sections {
        let sums: Vec<u32> = sums.by_ref().take(section.n_blocks()).collect();
        let rows = if section.n_rows == 0 || section.row_len == 0 {
            None
        } else {
            let len = section.padded_len().unwrap_or_default() as usize;
            let map = map(file, offset, len).map_err(os_error)?;
            let bits = || (0..sums.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
            let zeros = vec![0; section.row_len.div_ceil(size_of::<u64>())];
            let (whole, damaged) = (bits(), bits());
            Some(MappedRows { map, section, offset, sums, whole, damaged, zeros, damage: Arc::clone(&damage) })
        };
        parts.push(Part { tag: section.tag, rows });
    }
    if length <= EAGER_LEN as u64 {
        parts.iter().filter_map(|part| part.rows.as_ref()).for_each(|rows| while rows.check_next() {});
        damage.check()?;
    }
    Ok(Sections { spec: header.spec, sequence: header.sequence, n_rows: header.n_rows, damage, parts })
}
