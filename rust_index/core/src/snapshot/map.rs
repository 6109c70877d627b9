//! A part of a file as bytes that may be changed in memory, not in the file.

use std::fs::File;
use std::io;

#[cfg(not(miri))]
pub(super) type FileBytes = memmap2::MmapMut;

/// Bytes of a file from a multiple of the size of a page on.
///
/// # Errors
/// The operating system's.
#[cfg(not(miri))]
pub(super) fn map(file: &File, offset: u64, len: usize) -> io::Result<FileBytes> {
    // SAFETY: the file is private to this process by contract: a snapshot is only ever replaced as a whole, never written
    // in place, so that the pages do not change under the map. The map itself is private.
    unsafe { memmap2::MmapOptions::new().offset(offset).len(len).map_copy(file) }
}

/// What a map would show. Miri maps no files.
#[cfg(miri)]
#[derive(Debug)]
pub(super) struct FileBytes(crate::vectors::Memory);

#[cfg(miri)]
impl std::ops::Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

#[cfg(miri)]
impl std::ops::DerefMut for FileBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

/// Reads what would be mapped; `len` is a multiple of 64.
#[cfg(miri)]
pub(super) fn map(mut file: &File, offset: u64, len: usize) -> io::Result<FileBytes> {
    use std::io::{Read, Seek, SeekFrom};

    let mut bytes = FileBytes(crate::vectors::Memory::zeroed(len));
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
