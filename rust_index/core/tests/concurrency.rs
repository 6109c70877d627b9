//! Readers beside a writer and beside maintenance: results are always live, exact and enough.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use adamem_index::{IdSet, Kind, Metric, SearchOptions, VectorIndex, open};
use common::{Random, build, drain};

const DIM: usize = 40;
/// Ids below this are never removed.
const STABLE: u64 = 500;

fn vector_of(id: u64, version: u64) -> Vec<f32> {
    Random::new(id.wrapping_mul(31) + version).vector(DIM)
}

fn read(index: &dyn VectorIndex, seed: u64) {
    let id = seed % STABLE;
    let found = index.search(&vector_of(id, 0), 10, SearchOptions { ef_search: Some(200), allowed: None }).unwrap();
    assert_eq!(found.len(), 10);
    assert_eq!((found[0].id, found[0].distance < 1e-3), (id, true));
    let allowed = IdSet::new((0..STABLE).step_by(7).collect());
    let found =
        index.search(&vector_of(id, 0), 10, SearchOptions { ef_search: None, allowed: Some(&allowed) }).unwrap();
    assert!(found.len() == 10 && found.iter().all(|hit| hit.id % 7 == 0 && hit.id < STABLE));
    assert!(index.vectors(&[id]).is_ok());
}

#[test]
fn readers_beside_writers_and_maintenance() {
    for kind in Kind::ALL {
        let index = build(kind, DIM, Metric::Cosine, 100);
        for id in 0..STABLE {
            index.add(&[id], &vector_of(id, 0)).unwrap();
        }
        let done = AtomicBool::new(false);
        let n_reads = AtomicU64::new(0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        thread::scope(|scope| {
            for reader in 0..2 {
                let (index, done, n_reads) = (&index, &done, &n_reads);
                scope.spawn(move || {
                    let mut seed = reader;
                    while !done.load(Ordering::Relaxed) || n_reads.load(Ordering::Relaxed) < 100 {
                        read(index.as_ref(), seed);
                        seed += 13;
                        n_reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let writers: Vec<_> = (0..2_u64)
                .map(|writer| {
                    let index = &index;
                    scope.spawn(move || {
                        for round in 0..60_u64 {
                            let first = STABLE + writer * 1000 + (round % 5) * 100;
                            let ids: Vec<u64> = (first..first + 100).collect();
                            let vectors: Vec<f32> = ids.iter().flat_map(|&id| vector_of(id, round)).collect();
                            index.add(&ids, &vectors).unwrap();
                            let found = index.search(&vectors[..DIM], 1, SearchOptions::default()).unwrap();
                            assert_eq!(found[0].id, first, "an added vector is found at once");
                            index.remove(&ids[..70]).unwrap();
                            let found = index.search(&vectors[..DIM], 20, SearchOptions::default()).unwrap();
                            assert!(found.iter().all(|hit| hit.id != first), "a removed vector is not found again");
                        }
                    })
                })
                .collect();
            let keeper = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    index.maintain(50).unwrap();
                }
            });
            let saver = scope.spawn(|| {
                for sequence in 0..5 {
                    index.save(&path, sequence).unwrap();
                    assert_eq!(open(&path).unwrap().1, sequence);
                }
            });
            let outcomes: Vec<bool> = writers.into_iter().map(|writer| writer.join().is_ok()).collect();
            let is_saved = saver.join().is_ok();
            done.store(true, Ordering::Relaxed);
            assert!(keeper.join().is_ok() && is_saved && outcomes.iter().all(|&is_ok| is_ok));
        });
        drain(index.as_ref());
        assert!(index.stats().unwrap().n_tombstones <= 100);
        for seed in 0..50 {
            read(index.as_ref(), seed);
        }
    }
}
