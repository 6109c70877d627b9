//! Snapshots: files of every released format open, and no damaged file does.
//!
//! `compat/v<version>-<kind>.idx` were written by `write_golden_files`, which is run by hand when the version is raised:
//! `cargo test --test snapshot_compat -- --ignored`.

mod common;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use adamem_index::{Error, Kind, Metric, SearchOptions, VectorIndex, open};
use common::{Random, assert_same, build, drain, tolerance};

const DIM: usize = 33;
const SEQUENCE: u64 = 0x0123_4567_89AB_CDEF;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat")
}

/// A small index with rows of every status: linked, unlinked, removed, free.
fn sample(kind: Kind) -> Box<dyn VectorIndex> {
    let index = build(kind, DIM, Metric::Cosine, 10);
    let mut random = Random::new(77);
    for id in 0..40 {
        index.add(&[id], &random.vector(DIM)).unwrap();
    }
    index.remove(&[3]).unwrap();
    index.maintain(35).unwrap();
    index.remove(&[0, 5, 6, 39]).unwrap();
    index.add(&[100, 7], &[random.vector(DIM), random.vector(DIM)].concat()).unwrap();
    index
}

/// The format that a kind is written in.
fn version(kind: Kind) -> u32 {
    if matches!(kind, Kind::Flat | Kind::Hnsw) { 1 } else { 2 }
}

#[test]
#[ignore = "writes the golden files of the current format"]
fn write_golden_files() {
    let is_new = |kind: &Kind| !folder().join(format!("v{}-{}.idx", version(*kind), kind.name())).exists();
    for kind in Kind::ALL.into_iter().filter(is_new) {
        sample(kind).save(&folder().join(format!("v{}-{}.idx", version(kind), kind.name())), SEQUENCE).unwrap();
    }
}

#[test]
fn files_of_every_version_open() {
    for version in 1..=2 {
        for kind in Kind::ALL.into_iter().filter(|&kind| self::version(kind) == version) {
            let (opened, sequence) = open(&folder().join(format!("v{version}-{}.idx", kind.name()))).unwrap();
            let expected = sample(Kind::Flat);
            assert_eq!(sequence, SEQUENCE);
            assert_eq!((opened.kind(), opened.dim(), opened.metric()), (kind.name(), DIM, Metric::Cosine));
            let ids: Vec<u64> = (0..110).collect();
            assert_eq!(opened.contains(&ids).unwrap(), expected.contains(&ids).unwrap());
            let query = Random::new(5).vector(DIM);
            for _ in 0..2 {
                // Few of the rows, so that a wrong distance of a walk is not mended by ranking all of them.
                for k in [1, 3, 20] {
                    let truth = expected.search(&query, k, SearchOptions::default()).unwrap();
                    let found = opened.search(&query, k, SearchOptions::default()).unwrap();
                    assert_same(&found, &truth, tolerance(kind), kind.name());
                }
                drain(opened.as_ref());
            }
        }
    }
}

fn is_refused(path: &Path, bytes: &[u8]) -> bool {
    fs::write(path, bytes).unwrap();
    matches!(open(path), Err(Error::SnapshotCorrupt { .. } | Error::SnapshotVersion { .. }))
}

#[test]
fn a_flipped_byte_anywhere_is_refused() {
    // chroma #7090, #7238, #7069: crash or silent loss on a damaged segment.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for kind in Kind::ALL {
        sample(kind).save(&path, 1).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            // Format 2 is mostly padding: one flip a byte will do.
            let flips = [0x01, 0x80, 0xFF];
            for flip in if version(kind) == 1 { &flips[..] } else { &flips[at % 3..][..1] } {
                bytes[at] = whole[at] ^ flip;
                assert!(is_refused(&path, &bytes), "{kind:?}: byte {at} xor {flip:#x}");
                if at > 200 {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_cut_or_padded_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for kind in Kind::ALL {
        sample(kind).save(&path, 1).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in (0..whole.len()).step_by(version(kind) as usize * 5 - 4) {
            assert!(is_refused(&path, &whole[..length]), "{kind:?}: cut to {length}");
        }
        assert!(is_refused(&path, &[&whole[..], &[0]].concat()));
    }
}

/// A file that is too large to be checked when it is opened, of each kind that has a graph in it.
#[test]
fn a_flipped_or_missing_byte_of_a_large_file_is_found_at_the_latest_by_maintain() {
    const LARGE_DIM: usize = 2048;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for (kind, n) in [(Kind::Qg, 6_000), (Kind::QgCompact, 21_000)] {
        let spec = common::spec(kind, LARGE_DIM, Metric::Cosine, 100);
        let qg = adamem_index::QgParams { ef_construction: 8, ..spec.qg };
        let index = adamem_index::IndexSpec { qg, ..spec }.build().unwrap();
        let mut random = Random::new(3);
        for first in (0..n).step_by(1000) {
            let ids: Vec<u64> = (first..first + 1000).collect();
            let vectors: Vec<f32> = (0..1000 * LARGE_DIM).map(|_| random.float()).collect();
            index.add(&ids, &vectors).unwrap();
        }
        drain(index.as_ref());
        index.save(&path, 1).unwrap();
        let whole = fs::read(&path).unwrap();
        assert!(whole.len() > 1 << 26, "{kind:?}: {} bytes are checked at once", whole.len());
        let is_found = |bytes_changed: &str| {
            let Ok((opened, _)) = open(&path) else { return true };
            let query = Random::new(8).vector(LARGE_DIM);
            let _ = opened.search(&query, 10, SearchOptions::default());
            loop {
                match opened.maintain(100_000) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(Error::SnapshotCorrupt { .. }) => {
                        let after = opened.search(&query, 10, SearchOptions::default());
                        assert!(after.is_err(), "{kind:?} {bytes_changed}: damage that is known is not searched");
                        return true;
                    }
                    Err(error) => panic!("{kind:?} {bytes_changed}: {error}"),
                }
            }
        };
        assert!(!is_found("nothing"));
        let positions = (0..350).step_by(7).chain((0..60).map(|_| random.below(whole.len()))).chain([whole.len() - 1]);
        for at in positions {
            let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            let mut put = |byte: u8| {
                file.seek(SeekFrom::Start(at as u64)).unwrap();
                file.write_all(&[byte]).unwrap();
            };
            put(whole[at] ^ 0x10);
            let was_found = is_found(&format!("byte {at}"));
            put(whole[at]);
            assert!(was_found, "{kind:?}: byte {at} of {}", whole.len());
        }
        for length in [whole.len() - 1, whole.len() / 2, 5_000, 100] {
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
            assert!(open(&path).is_err(), "{kind:?}: cut to {length}");
        }
    }
}

/// Puts a right checksum behind a header of this length.
fn with_header_sum(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    let sum = crc32fast::hash(&bytes[..length - 4]).to_le_bytes();
    bytes[length - 4..length].copy_from_slice(&sum);
    bytes
}

#[test]
fn a_header_that_asks_for_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    // For each kind the header's length, and its sizes and parameters.
    for (kind, length, fields) in [
        (Kind::Hnsw, 104, 24..100),
        (Kind::Qg, 4096, 24..344),
        (Kind::QgCompact, 4096, 24..440),
        (Kind::Pq, 4096, 24..440),
        (Kind::Spiral, 4096, 24..344),
    ] {
        sample(kind).save(&path, 1).unwrap();
        let whole = fs::read(&path).unwrap();
        // The sequence and the seed may be anything.
        for at in fields.filter(|at| !(40..48).contains(at) && !(72..92).contains(at)) {
            for value in [0x00, 0x01, 0x7F, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                fs::write(&path, with_header_sum(bytes, length)).unwrap();
                // Parameters may be valid though changed; nothing may crash or allocate without bound.
                if let Ok((index, _)) = open(&path) {
                    assert!(at >= 32 || version(kind) == 2 || value == whole[at], "byte {at}");
                    drain(index.as_ref());
                }
            }
        }
    }
}

#[test]
fn a_newer_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    sample(Kind::Flat).save(&path, 1).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 3;
    bytes[12] = 99;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(open(&path), Err(Error::SnapshotVersion { found: 3, supported: 2, .. })));
}

#[test]
fn a_missing_file_and_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none").join("index");
    assert!(matches!(open(&path), Err(Error::SnapshotIo { .. })));
    assert!(matches!(sample(Kind::Flat).save(&path, 1), Err(Error::SnapshotIo { .. })));
}

#[test]
fn saving_again_replaces_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let index = sample(Kind::Hnsw);
    index.save(&path, 1).unwrap();
    index.remove(&[100]).unwrap();
    index.save(&path, 2).unwrap();
    let (opened, sequence) = open(&path).unwrap();
    assert_eq!((sequence, opened.contains(&[100]).unwrap()), (2, vec![false]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}
