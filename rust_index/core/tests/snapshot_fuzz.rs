//! Damaged snapshots whose checksums are right: they open and work, or are refused; nothing panics, hangs or allocates without
//! bound. `ADAMEM_FUZZ_ROUNDS` sets the damaged files of each kind, 150 unless given.

mod common;

use std::fs;
use std::ops::Range;

use adamem_index::{IdSet, Kind, Metric, SearchOptions, VectorIndex, open};
use common::{Random, build};

const DIM: usize = 33;
const N: u64 = 300;
const N_ROUNDS: usize = 150;
const BLOCK_ROWS: usize = 1024;

fn sample(kind: Kind) -> Box<dyn VectorIndex> {
    let index = build(kind, DIM, Metric::Cosine, 100);
    let mut random = Random::new(7);
    for id in 0..N {
        index.add(&[id], &random.vector(DIM)).unwrap();
    }
    index.maintain(250).unwrap();
    index.remove(&(0..N).step_by(9).collect::<Vec<u64>>()).unwrap();
    index
}

fn number(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

fn put_sum(bytes: &mut [u8], of: Range<usize>, at: usize) {
    let Some(content) = bytes.get(of) else { return };
    let sum = crc32fast::hash(content).to_le_bytes();
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&sum);
    }
}

/// Puts right checksums over what the undamaged file says of its layout.
fn seal(bytes: &mut [u8], whole: &[u8]) {
    let n_rows = number(whole, 32);
    if whole[8] == 1 {
        put_sum(bytes, 0..100, 100);
        let n_words = u64::from_le_bytes(whole[92..100].try_into().unwrap()) as usize;
        let vectors = (0..n_rows).step_by(BLOCK_ROWS).map(|row| BLOCK_ROWS.min(n_rows - row) * DIM * 4);
        let mut at = 104;
        for length in [n_rows * 8, n_rows].into_iter().chain(vectors).chain([n_words * 4]) {
            put_sum(bytes, at..at + length, at + length);
            at += length + 4;
        }
        return;
    }
    put_sum(bytes, 0..4092, 4092);
    let sections: Vec<[usize; 4]> =
        (0..number(whole, 80)).map(|i| [0, 1, 2, 3].map(|field| number(whole, 88 + 32 * i + 8 * field))).collect();
    let n_blocks: usize = sections.iter().map(|[_, _, n_rows, _]| n_rows.div_ceil(BLOCK_ROWS)).sum();
    let start = whole.len() - 4 - 4 * n_blocks;
    let mut at = start;
    for [_, row_len, n_rows, offset] in sections {
        for row in (0..n_rows).step_by(BLOCK_ROWS) {
            let end = (row + BLOCK_ROWS) * row_len;
            let end = if row + BLOCK_ROWS >= n_rows { (n_rows * row_len).next_multiple_of(4096) } else { end };
            put_sum(bytes, offset + row * row_len..offset + end, at);
            at += 4;
        }
    }
    put_sum(bytes, start..at, at);
}

/// Everything that can be done with an index. Errors are answers.
fn exercise(index: &dyn VectorIndex) {
    let dim = index.dim();
    let mut random = Random::new(1);
    let allowed = IdSet::new((0..N).step_by(2).collect());
    for allowed in [None, Some(&allowed)] {
        for ef_search in [None, Some(500)] {
            let queries = [random.vector(dim), random.vector(dim)].concat();
            let _ = index.search_batch(&queries, 10, SearchOptions { ef_search, allowed });
        }
    }
    let _ = index.vectors(&[1, 2, 77]);
    let _ = index.remove(&[1, 2, 3]);
    for id in [5, 2, 1000] {
        let _ = index.add(&[id], &random.vector(dim));
    }
    let _ = index.n_unreachable();
    for _ in 0..50 {
        if !index.maintain(100).is_ok_and(|n_left| n_left > 0) {
            break;
        }
    }
    let _ = index.search(&random.vector(dim), 10, SearchOptions::default());
}

#[test]
fn sealed_damage_does_no_harm() {
    let n_rounds = std::env::var("ADAMEM_FUZZ_ROUNDS").map_or(N_ROUNDS, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for kind in Kind::ALL {
        sample(kind).save(&path, 1).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut sealed = whole.clone();
        seal(&mut sealed, &whole);
        assert!(sealed == whole, "{kind:?}: the checksums of the test are not those of the format");
        // What is not padding.
        let used: Vec<usize> =
            (16..whole.len()).filter(|&at| whole[at.saturating_sub(8)..].iter().take(16).any(|&b| b != 0)).collect();
        let mut n_opened = 0;
        for round in 0..n_rounds {
            let mut random = Random::new(round as u64);
            let mut bytes = whole.clone();
            for _ in 0..=random.below(6) {
                let at = if random.below(4) == 0 { 16 + random.below(300) } else { used[random.below(used.len())] };
                let length = [1, 4, 8][random.below(3)].min(bytes.len() - at);
                let value = [0, 1, 0x7F, 0x80, 0xFF, random.next() as u8][random.below(6)];
                bytes[at..at + length].fill(value);
            }
            if random.below(10) == 0 {
                bytes.truncate(random.below(whole.len()));
            }
            seal(&mut bytes, &whole);
            fs::write(&path, bytes).unwrap();
            println!("{kind:?} round {round}");
            if let Ok((index, _)) = open(&path) {
                n_opened += 1;
                exercise(index.as_ref());
                let _ = index.save(&folder.path().join("again"), 2);
            }
        }
        assert!(
            n_opened > n_rounds / 20,
            "{kind:?}: {n_opened} of {n_rounds} opened: the damage is too coarse to tell"
        );
    }
}
