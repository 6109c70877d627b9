//! Format 1, of `flat` and `hnsw`: vectors and links one after the other, read as a whole.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "ADAMEMIX"
//!      8      4  format version (1)
//!     12      4  length of the header with its checksum (104)
//!     16      1  kind: 0 flat, 1 hnsw
//!     17      1  metric: 0 cosine, 1 dot, 2 l2
//!     18      1  1 when there is a graph, else 0
//!     19      5  zero
//!     24      8  dim
//!     32      8  n_rows: rows in use or free for use
//!     40      8  sequence, the caller's
//!     48      8  m
//!     56      8  ef_construction
//!     64      8  ef_search
//!     72      8  scan_threshold
//!     80      8  seed
//!     88      4  entry row of the graph, else 0
//!     92      8  n_words: length of the links in 4-byte words
//!    100      4  checksum of bytes 0..100
//!    104         blocks, each followed by its checksum of 4 bytes, one after the other:
//!                  ids       n_rows x u64
//!                  status    n_rows x u8, see `rows::Status`
//!                  vectors   one block for each 1,024 rows (the last may be shorter): rows x dim x f32
//!                  links     n_words x u32; for each row that is in the graph, ascending:
//!                              level, then for each layer 0..=level: n, then n rows
//! ```
//!
//! The header tells the length of the file, so a cut or padded one is refused before anything is read or allocated.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::metric::Metric;
use crate::rows::{MAX_ROWS, Rows, Status};
use crate::spec::{HnswParams, IndexSpec, Kind};
use crate::store::Store;

use super::{Fields, MAGIC, Unpublished, corrupt, write_beside};

pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 104;
const CHECKSUM_LEN: u64 = 4;
/// Rows in a block of vectors.
const BLOCK_ROWS: usize = 1024;

/// The graph as it is stored.
#[derive(Debug)]
pub(crate) struct GraphContent {
    /// Row of the entry point.
    pub(crate) entry: u32,
    /// The words of the links block.
    pub(crate) words: Vec<u32>,
}

/// What a snapshot holds.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) spec: IndexSpec,
    pub(crate) ids: Vec<u64>,
    pub(crate) statuses: Vec<Status>,
    /// Row-major.
    pub(crate) vectors: Vec<f32>,
    pub(crate) graph: Option<GraphContent>,
}

/// Writes a snapshot beside `path`; it takes its place when it is published.
pub(crate) fn write(
    path: &Path,
    sequence: u64,
    spec: &IndexSpec,
    rows: &Rows,
    store: &Store,
    statuses: &[Status],
    graph: Option<&GraphContent>,
) -> Result<Unpublished> {
    write_beside(path, |file| {
        let mut blocks = BlockWriter(BufWriter::with_capacity(1 << 18, file));
        blocks.block(|out| out.write_all(&header(sequence, spec, statuses.len(), graph)))?;
        blocks.block(|out| {
            (0..statuses.len() as u32).try_for_each(|row| out.write_all(&rows.id_of(row).to_le_bytes()))
        })?;
        blocks.block(|out| statuses.iter().try_for_each(|status| out.write_all(&[status.to_byte()])))?;
        for start in (0..statuses.len()).step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(statuses.len());
            blocks.block(|out| {
                (start as u32..end as u32)
                    .try_for_each(|row| store.vector(row).iter().try_for_each(|x| out.write_all(&x.to_le_bytes())))
            })?;
        }
        if let Some(graph) = graph {
            blocks.block(|out| graph.words.iter().try_for_each(|word| out.write_all(&word.to_le_bytes())))?;
        }
        Ok(blocks.0.into_inner().map_err(io::IntoInnerError::into_error)?)
    })
}

struct BlockWriter(BufWriter<File>);

impl BlockWriter {
    fn block(&mut self, fill: impl FnOnce(&mut Summing<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut out =
            Summing { out: &mut self.0, buffer: Vec::with_capacity(SUMMED_BYTES), sum: crc32fast::Hasher::new() };
        fill(&mut out)?;
        out.flush()?;
        let sum = out.sum.finalize();
        self.0.write_all(&sum.to_le_bytes())
    }
}

/// Bytes that are summed at once.
const SUMMED_BYTES: usize = 1 << 14;

/// Writes through a checksum.
struct Summing<'a> {
    out: &'a mut BufWriter<File>,
    buffer: Vec<u8>,
    sum: crc32fast::Hasher,
}

impl Write for Summing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > SUMMED_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sum.update(&self.buffer);
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The header without its checksum.
fn header(sequence: u64, spec: &IndexSpec, n_rows: usize, graph: Option<&GraphContent>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((HEADER_LEN as u32).to_le_bytes());
    bytes.push(match spec.kind {
        Kind::Flat => 0,
        _ => 1,
    });
    bytes.push(match spec.metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::L2 => 2,
    });
    bytes.push(u8::from(graph.is_some()));
    bytes.extend([0; 5]);
    let HnswParams { m, ef_construction, ef_search, scan_threshold, seed } = spec.hnsw;
    let numbers = [spec.dim as u64, n_rows as u64, sequence];
    let params = [m as u64, ef_construction as u64, ef_search as u64, scan_threshold as u64, seed];
    for number in numbers.into_iter().chain(params) {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(graph.map_or(0, |graph| graph.entry).to_le_bytes());
    bytes.extend(graph.map_or(0, |graph| graph.words.len() as u64).to_le_bytes());
    debug_assert_eq!(bytes.len() + 4, HEADER_LEN);
    bytes
}

/// What a header says.
struct Header {
    spec: IndexSpec,
    n_rows: usize,
    sequence: u64,
    entry: Option<u32>,
    n_words: usize,
}

/// Reads what follows the length field of a header of this version.
fn parse_header(fields: &mut Fields<'_>) -> Option<Header> {
    let [kind, metric, has_graph] = fields.take()?;
    fields.take::<5>()?;
    let kind = [Kind::Flat, Kind::Hnsw].get(usize::from(kind)).copied()?;
    let metric = [Metric::Cosine, Metric::Dot, Metric::L2].get(usize::from(metric)).copied()?;
    let dim = fields.size()?;
    let n_rows = fields.size().filter(|&n| n <= MAX_ROWS)?;
    let sequence = fields.u64()?;
    let hnsw = HnswParams {
        m: fields.size()?,
        ef_construction: fields.size()?,
        ef_search: fields.size()?,
        scan_threshold: fields.size()?,
        seed: fields.u64()?,
    };
    let entry = fields.u32()?;
    let n_words = fields.size()?;
    let spec = IndexSpec { hnsw, ..IndexSpec::new(kind, dim, metric) };
    Some(Header { spec, n_rows, sequence, entry: (has_graph == 1).then_some(entry), n_words })
}

/// Length of the whole file, or nothing when no file is that long.
fn expected_len(header: &Header) -> Option<u64> {
    let n_rows = header.n_rows as u64;
    let n_vector_blocks = n_rows.div_ceil(BLOCK_ROWS as u64);
    let vectors =
        n_rows.checked_mul(header.spec.dim as u64)?.checked_mul(4)?.checked_add(n_vector_blocks * CHECKSUM_LEN)?;
    let links =
        if header.entry.is_some() { (header.n_words as u64).checked_mul(4)?.checked_add(CHECKSUM_LEN)? } else { 0 };
    (HEADER_LEN as u64 + n_rows * 9 + 2 * CHECKSUM_LEN).checked_add(vectors)?.checked_add(links)
}

struct BlockReader<'a> {
    input: BufReader<File>,
    offset: u64,
    path: &'a Path,
}

impl BlockReader<'_> {
    fn io(&self, source: io::Error, block: &'static str) -> Error {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return corrupt(self.path, block, self.offset);
        }
        Error::SnapshotIo { path: self.path.to_owned(), source }
    }

    /// Reads a block into `bytes` and checks its sum. The caller has compared its length with the file's.
    fn read(&mut self, bytes: &mut [u8], block: &'static str) -> Result<()> {
        let mut sum = [0; 4];
        self.input
            .read_exact(bytes)
            .and_then(|()| self.input.read_exact(&mut sum))
            .map_err(|source| self.io(source, block))?;
        if crc32fast::hash(bytes) != u32::from_le_bytes(sum) {
            return Err(corrupt(self.path, block, self.offset));
        }
        self.offset += bytes.len() as u64 + CHECKSUM_LEN;
        Ok(())
    }

    fn header(&mut self) -> Result<Header> {
        let mut bytes = [0; HEADER_LEN];
        self.input.read_exact(&mut bytes).map_err(|source| self.io(source, "header"))?;
        let damaged = || corrupt(self.path, "header", 0);
        let mut fields = Fields(&bytes[..HEADER_LEN - 4]);
        fields.take::<16>().ok_or_else(damaged)?;
        let sum = crc32fast::hash(&bytes[..HEADER_LEN - 4]).to_le_bytes();
        if bytes[HEADER_LEN - 4..] != sum {
            return Err(damaged());
        }
        let header = parse_header(&mut fields).ok_or_else(damaged)?;
        self.offset = HEADER_LEN as u64;
        Ok(header)
    }
}

/// Reads a snapshot: its content and sequence number.
pub(super) fn load(path: &Path, file: File, length: u64) -> Result<(Content, u64)> {
    let mut reader = BlockReader { input: BufReader::with_capacity(1 << 18, file), offset: 0, path };
    let header = reader.header()?;
    let spec = header.spec;
    spec.kernels().and_then(|_| spec.hnsw.check()).map_err(|_| corrupt(path, "header", 0))?;
    if expected_len(&header) != Some(length) {
        return Err(corrupt(path, "length", length));
    }

    let mut ids = vec![0_u64; header.n_rows];
    reader.read(bytemuck::cast_slice_mut(&mut ids), "ids")?;
    for id in &mut ids {
        *id = u64::from_le(*id);
    }
    let mut bytes = vec![0_u8; header.n_rows];
    reader.read(&mut bytes, "status")?;
    let statuses = bytes.iter().map(|&byte| Status::from_byte(byte)).collect::<Option<Vec<_>>>();
    let statuses = statuses.ok_or_else(|| corrupt(path, "status", reader.offset))?;
    let mut vectors = vec![0_f32; header.n_rows * spec.dim];
    for block in vectors.chunks_mut(BLOCK_ROWS * spec.dim) {
        reader.read(bytemuck::cast_slice_mut(block), "vectors")?;
        for x in block {
            *x = f32::from_bits(u32::from_le(x.to_bits()));
        }
    }
    let graph = match header.entry {
        None => None,
        Some(entry) => {
            let mut words = vec![0_u32; header.n_words];
            reader.read(bytemuck::cast_slice_mut(&mut words), "links")?;
            for word in &mut words {
                *word = u32::from_le(*word);
            }
            Some(GraphContent { entry, words })
        }
    };
    Ok((Content { spec, ids, statuses, vectors, graph }, header.sequence))
}
