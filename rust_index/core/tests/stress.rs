//! Writers, readers, maintenance and snapshots beside each other for minutes: `make stress`, `ADAMEM_STRESS_MINUTES`.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adamem_index::{IdSet, Kind, Metric, SearchOptions, VectorIndex, open};
use common::{Random, build, drain, with_ef};

const DIM: usize = 64;
/// Ids of each writer; no other touches them.
const N_IDS: u64 = 6_000;
const N_WRITERS: u64 = 2;
/// Ids below `N_WRITERS * N_IDS` change; these never do.
const STABLE: std::ops::Range<u64> = 100_000..102_000;

fn vector_of(id: u64, version: u64) -> Vec<f32> {
    Random::new(id.wrapping_mul(31).wrapping_add(version << 32)).vector(DIM)
}

/// Found and looked for, of copies of live vectors.
#[derive(Default)]
struct Copies {
    n_found: AtomicU64,
    n_sought: AtomicU64,
}

impl Copies {
    fn seek(&self, index: &dyn VectorIndex, id: u64, version: u64) {
        let found = index.search(&vector_of(id, version), 1, with_ef(300)).unwrap();
        self.n_sought.fetch_add(1, Ordering::Relaxed);
        self.n_found.fetch_add(u64::from(found[0].id == id), Ordering::Relaxed);
    }
}

/// Adds, updates and removes its own ids; knows what is live of them.
fn write(index: &dyn VectorIndex, writer: u64, copies: &Copies, until: Instant) -> HashMap<u64, u64> {
    let mut random = Random::new(writer);
    let mut live: HashMap<u64, u64> = HashMap::new();
    let mut version = 0;
    while Instant::now() < until {
        version += 1;
        let first = writer * N_IDS + random.below(N_IDS as usize) as u64;
        let ids: Vec<u64> = (first..(writer + 1) * N_IDS).take(1 + random.below(64)).collect();
        if random.below(5) < 3 {
            let vectors: Vec<f32> = ids.iter().flat_map(|&id| vector_of(id, version)).collect();
            index.add(&ids, &vectors).unwrap();
            live.extend(ids.iter().map(|&id| (id, version)));
        } else {
            let n_live = ids.iter().filter(|id| live.remove(id).is_some()).count();
            assert_eq!(index.remove(&ids).unwrap(), n_live);
            let found = index.search(&vector_of(ids[0], version), 20, SearchOptions::default()).unwrap();
            assert!(found.iter().all(|hit| !ids.contains(&hit.id)), "a removed id is not returned");
        }
        let contained = index.contains(&ids).unwrap();
        assert!(ids.iter().zip(contained).all(|(id, is_in)| live.contains_key(id) == is_in));
        if let Some(&version) = live.get(&first) {
            copies.seek(index, first, version);
        }
    }
    live
}

fn read(index: &dyn VectorIndex, copies: &Copies, until: Instant) {
    let allowed = IdSet::new(STABLE.step_by(7).collect());
    let mut random = Random::new(99);
    while Instant::now() < until {
        let id = STABLE.start + random.next() % (STABLE.end - STABLE.start);
        copies.seek(index, id, 0);
        let options = SearchOptions { ef_search: None, allowed: Some(&allowed) };
        let found = index.search(&vector_of(id, 1), 25, options).unwrap();
        assert!(found.len() == 25 && found.iter().all(|hit| allowed.ids().contains(&hit.id)));
        let many: Vec<f32> = (0..9).flat_map(|i| vector_of(id, i)).collect();
        assert!(index.search_batch(&many, 10, SearchOptions::default()).unwrap().iter().all(|hits| hits.len() == 10));
    }
}

fn stress(kind: Kind, lasting: Duration) {
    let index = build(kind, DIM, Metric::Cosine, 3_000);
    let stable: Vec<u64> = STABLE.collect();
    index.add(&stable, &stable.iter().flat_map(|&id| vector_of(id, 0)).collect::<Vec<f32>>()).unwrap();
    let until = Instant::now() + lasting;
    let copies = Copies::default();
    let is_done = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let mut n_saved = 0;
    let live = thread::scope(|scope| {
        let (index, copies, is_done) = (index.as_ref(), &copies, &is_done);
        let writers: Vec<_> =
            (0..N_WRITERS).map(|writer| scope.spawn(move || write(index, writer, copies, until))).collect();
        scope.spawn(move || read(index, copies, until));
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                index.maintain(64).unwrap();
            }
        });
        while Instant::now() < until {
            index.save(&path, n_saved).unwrap();
            let (opened, sequence) = open(&path).unwrap();
            assert_eq!(sequence, n_saved);
            assert!(opened.contains(&stable).unwrap().iter().all(|&is_in| is_in), "a save loses nothing");
            let hit = opened.search(&vector_of(STABLE.start, 0), 1, with_ef(300)).unwrap()[0];
            assert!(hit.distance < 0.5);
            n_saved += 1;
        }
        let live: HashMap<u64, u64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        is_done.store(true, Ordering::Relaxed);
        live
    });
    drain(index.as_ref());
    assert_eq!(index.n_unreachable().unwrap(), 0);
    assert_eq!(index.stats().unwrap().n_live, live.len() + stable.len());
    let (n_found, n_sought) = (copies.n_found.into_inner(), copies.n_sought.into_inner());
    println!("{}: {n_sought} copies sought, {n_found} found, {n_saved} snapshots", kind.name());
    assert!(n_saved > 0 && n_found as f64 >= 0.99 * n_sought as f64, "{kind:?}: {n_found} of {n_sought} copies found");
    for (&id, &version) in live.iter().take(2_000) {
        let stored = index.vectors(&[id]).unwrap();
        let expected = vector_of(id, version);
        let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(stored.iter().zip(&expected).all(|(x, y)| (x - y / norm).abs() < 2e-3), "the last version is stored");
    }
    index.remove(&live.into_keys().chain(stable).collect::<Vec<u64>>()).unwrap();
    drain(index.as_ref());
    let stats = index.stats().unwrap();
    assert!(stats.n_live == 0 && stats.memory_bytes < 8 << 20, "memory is given back: {stats:?}");
}

#[test]
#[ignore = "takes minutes: make stress"]
fn hours_in_minutes() {
    let minutes: f64 = std::env::var("ADAMEM_STRESS_MINUTES").map_or(1.0, |minutes| minutes.parse().unwrap());
    let kinds = [Kind::Hnsw, Kind::Qg, Kind::QgCompact, Kind::Spiral, Kind::Pq];
    let lasting = Duration::from_secs_f64(60.0 * minutes);
    thread::scope(|scope| {
        let stressed: Vec<_> = kinds.into_iter().map(|kind| scope.spawn(move || stress(kind, lasting))).collect();
        assert!(stressed.into_iter().all(|stressed| stressed.join().is_ok()));
    });
}
