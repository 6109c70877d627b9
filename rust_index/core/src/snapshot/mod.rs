//! Snapshot files: one index, its sequence number and checksums. No other module knows a byte of them.
//!
//! All numbers are little-endian. A checksum is the CRC-32 (IEEE) of the bytes of its block. A file begins with
//!
//! ```text
//! offset  bytes
//!      0      8  magic "ADAMEMIX"
//!      8      4  format version
//!     12      4  length of the header with its checksum
//! ```
//!
//! and goes on as its format says: [`rows`] is format 1, [`sections`] is format 2. It is written beside its destination,
//! synced, renamed over it, and the folder is synced: `path` is always whole.

pub(crate) mod lexical;
mod map;
pub(crate) mod rows;
pub(crate) mod sections;

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"ADAMEMIX";
/// What every format begins with.
const PREFIX_LEN: usize = 16;

/// A snapshot, as its format gives it.
pub(crate) enum Snapshot {
    /// Format 1.
    Rows(rows::Content, u64),
    /// Format 2.
    Sections(sections::Sections),
}

/// Opens a snapshot.
pub(crate) fn load(path: &Path) -> Result<Snapshot> {
    let os_error = |source| Error::SnapshotIo { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(os_error)?;
    let length = file.metadata().map_err(os_error)?.len();
    let mut prefix = [0; PREFIX_LEN];
    if length < PREFIX_LEN as u64 {
        return Err(corrupt(path, "header", 0));
    }
    file.read_exact(&mut prefix).and_then(|()| file.rewind()).map_err(os_error)?;
    let mut fields = Fields(&prefix);
    let (magic, version) = (fields.take::<8>(), fields.u32().unwrap_or_default());
    let header_len = fields.u32().unwrap_or_default();
    if magic != Some(MAGIC) {
        return Err(corrupt(path, "header", 0));
    }
    match (version, header_len as usize) {
        (rows::VERSION, _) => {
            rows::load(path, file, length).map(|(content, sequence)| Snapshot::Rows(content, sequence))
        }
        (sections::VERSION, _) => sections::load(path, &file, length).map(Snapshot::Sections),
        // A flipped byte makes a version of ours with a header of ours; a true newer version has a header of its own.
        (_, rows::HEADER_LEN | sections::HEADER_LEN) => Err(corrupt(path, "header", 0)),
        _ => Err(Error::SnapshotVersion { path: path.to_owned(), found: version, supported: sections::VERSION }),
    }
}

/// A written file that is not in its place yet.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unpublished {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Unpublished {
    /// Makes the file durable and puts it in its place.
    pub(crate) fn publish(self) -> Result<()> {
        let sync = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            let folder = match self.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            File::open(folder)?.sync_all()
        };
        sync().map_err(|source| {
            // The rename may not have happened; what is left behind would only take room.
            let _ = fs::remove_file(&self.temporary);
            Error::SnapshotIo { path: self.path.clone(), source }
        })
    }
}

/// The error of a block that has the right checksum and the wrong content.
pub(crate) fn invalid(path: &Path, block: &'static str) -> Error {
    corrupt(path, block, 0)
}

fn corrupt(path: &Path, block: &'static str, offset: u64) -> Error {
    Error::SnapshotCorrupt { path: path.to_owned(), block, offset }
}

/// Writes a file beside `path`; it takes its place when it is published.
fn write_beside(path: &Path, write: impl FnOnce(File) -> std::result::Result<File, WriteError>) -> Result<Unpublished> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    match File::create(&temporary).map_err(WriteError::Io).and_then(write) {
        Ok(file) => Ok(Unpublished { file, temporary, path: path.to_owned() }),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(match error {
                WriteError::Io(source) => Error::SnapshotIo { path: path.to_owned(), source },
                WriteError::Index(error) => error,
            })
        }
    }
}

/// Why a file could not be written: the file, or what was to be written to it.
enum WriteError {
    Io(io::Error),
    Index(Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Index(error)
    }
}

/// Reads numbers off the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn size(&mut self) -> Option<usize> {
        self.u64().and_then(|value| usize::try_from(value).ok())
    }
}
