//! The file of a lexical index.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "ADAMELEX"
//!      8      4  format version: 1
//!     12      4  version of the analysis
//!     16      8  sequence, the caller's
//!     24      4  k1, a float
//!     28      4  b, a float
//!     32      8  languages that documents were stemmed by, a bit each (see `stemming`)
//!     40      8  n_terms
//!     48      8  n_documents
//!     56      8  length of the documents
//!     64      4  checksum of bytes 0..64
//!     68  8 each  keys of the terms (see `analysis`)
//!      …      4  checksum of the keys
//!      …         documents: id, 8 bytes; length; number of terms; for each term, ascending, the difference of its place to the
//!                one before, doubled, plus 1 if the count is not 1, and then the count. Numbers are in base 128, low digits first
//!      …      4  checksum of the documents
//! ```
//!
//! Later formats keep the first 68 bytes, so that a newer file and a damaged one are told apart.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::lexical::LexicalParams;
use crate::lexical::analysis::{ANALYSIS_VERSION, Document};
use crate::lexical::postings::{MAX_COUNT, MAX_DOCUMENTS};
use crate::lexical::state::{State, push_number, take_number};
use crate::lexical::stemming::Languages;
use crate::rows::RESERVED_ID;

use super::{Fields, Unpublished, corrupt, write_beside};

const MAGIC: [u8; 8] = *b"ADAMELEX";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const CHECKSUM_LEN: usize = 4;

/// The bytes of the file. Some 0.2 s and 7 MB for 100,000 documents of 100 bytes.
pub(crate) fn encode(state: &State, params: LexicalParams, sequence: u64) -> Vec<u8> {
    let keys = state.keys();
    let (mut documents, mut n_documents) = (Vec::new(), 0_u64);
    state.documents(|id, length, terms| {
        n_documents += 1;
        documents.extend(id.to_le_bytes());
        push_number(&mut documents, length);
        push_number(&mut documents, terms.len() as u32);
        let mut last = 0;
        for &(place, count) in terms {
            push_number(&mut documents, (place - last) << 1 | u32::from(count != 1));
            if count != 1 {
                push_number(&mut documents, count);
            }
            last = place;
        }
    });
    let mut bytes = Vec::with_capacity(HEADER_LEN + keys.len() * 8 + documents.len() + 3 * CHECKSUM_LEN);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(ANALYSIS_VERSION.to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(params.k1.to_le_bytes());
    bytes.extend(params.b.to_le_bytes());
    for number in [state.languages.bits(), keys.len() as u64, n_documents, documents.len() as u64] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    let start = bytes.len();
    bytes.extend(keys.iter().flat_map(|key| key.to_le_bytes()));
    bytes.extend(crc32fast::hash(&bytes[start..]).to_le_bytes());
    bytes.extend(&documents);
    bytes.extend(crc32fast::hash(&documents).to_le_bytes());
    bytes
}

/// Writes the bytes beside `path`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<Unpublished> {
    write_beside(path, |mut file| {
        file.write_all(bytes)?;
        Ok(file)
    })
}

/// Splits a block off the front of a slice, if its checksum is right.
fn take_block<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (block, rest) = bytes.split_at_checked(len)?;
    let (sum, rest) = rest.split_at_checked(CHECKSUM_LEN)?;
    *bytes = rest;
    (crc32fast::hash(block).to_le_bytes() == sum).then_some(block)
}

/// Reads a file.
pub(crate) fn load(path: &Path) -> Result<(State, LexicalParams, u64)> {
    let bytes = fs::read(path).map_err(|source| Error::SnapshotIo { path: path.to_owned(), source })?;
    let mut rest = bytes.as_slice();
    let wrong_header = || corrupt(path, "header", 0);
    let header = take_block(&mut rest, HEADER_LEN).ok_or_else(wrong_header)?;
    let mut fields = Fields(header);
    if fields.take() != Some(MAGIC) {
        return Err(wrong_header());
    }
    let (version, analysis) = (fields.u32().unwrap_or_default(), fields.u32().unwrap_or_default());
    if version != VERSION {
        return Err(Error::SnapshotVersion { path: path.to_owned(), found: version, supported: VERSION });
    }
    if analysis != ANALYSIS_VERSION {
        let path = path.to_owned();
        return Err(Error::SnapshotAnalysis { path, found: analysis, expected: ANALYSIS_VERSION });
    }
    let mut parse = || {
        let sequence = fields.u64()?;
        let params = LexicalParams { k1: f32::from_bits(fields.u32()?), b: f32::from_bits(fields.u32()?) };
        params.check().ok()?;
        let languages = Languages::from_bits(fields.u64()?)?;
        let n_keys = fields.size()?.checked_mul(8)?;
        let n_documents = fields.size().filter(|&n| n <= MAX_DOCUMENTS)?;
        Some((sequence, params, languages, n_keys, n_documents, fields.size()?))
    };
    let (sequence, params, languages, keys_len, n_documents, documents_len) = parse().ok_or_else(wrong_header)?;
    let keys = take_block(&mut rest, keys_len).ok_or_else(|| corrupt(path, "terms", (HEADER_LEN + 4) as u64))?;
    let keys: Vec<u64> = keys.as_chunks().0.iter().map(|key| u64::from_le_bytes(*key)).collect();
    let is_unique = keys.iter().collect::<HashSet<_>>().len() == keys.len();
    let offset = (bytes.len() - rest.len()) as u64;
    let wrong_documents = || corrupt(path, "documents", offset);
    let documents = take_block(&mut rest, documents_len).ok_or_else(wrong_documents)?;
    if !rest.is_empty() {
        return Err(corrupt(path, "length", (bytes.len() - rest.len()) as u64));
    }
    let mut state = State::new();
    state.languages = languages;
    let is_whole = is_unique && fill(&mut state, &keys, n_documents, documents).is_some();
    if is_whole { Ok((state, params, sequence)) } else { Err(wrong_documents()) }
}

/// Puts the documents of a file into an empty state, unless they contradict each other.
fn fill(state: &mut State, keys: &[u64], n_documents: usize, mut bytes: &[u8]) -> Option<()> {
    for n_before in 0..n_documents {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        bytes = rest;
        let id = u64::from_le_bytes(*id);
        let length = take_number(&mut bytes)?;
        let n_terms = take_number(&mut bytes)? as usize;
        // Each term takes a byte at least, so that a wrong number cannot ask for memory that the file does not justify.
        let mut terms = Vec::with_capacity(n_terms.min(bytes.len()));
        let mut place = 0_u32;
        for nth in 0..n_terms {
            let number = take_number(&mut bytes)?;
            if nth > 0 && number >> 1 == 0 {
                return None;
            }
            place = place.checked_add(number >> 1)?;
            let count = if number & 1 == 1 { take_number(&mut bytes)? } else { 1 };
            if count == 0 || count > MAX_COUNT {
                return None;
            }
            terms.push((*keys.get(place as usize)?, count));
        }
        if id == RESERVED_ID {
            return None;
        }
        state.put(id, &Document { terms, length }).ok()?;
        // An id that is there already was replaced and did not add one.
        if state.n_documents() != n_before + 1 {
            return None;
        }
    }
    bytes.is_empty().then_some(())
}
