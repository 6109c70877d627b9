//! What every kind promises, compared with `flat` under random interleavings of all calls.

mod common;

use adamem_index::{Error, IdSet, IndexSpec, Kind, Metric, PqParams, RESERVED_ID, SearchOptions, VectorIndex, open};
use common::{Random, assert_same, build, clustered, drain, spec, tolerance, with_ef};
use proptest::prelude::*;

/// One call of a random history. Ids are few, so that they collide.
#[derive(Clone, Debug)]
enum Call {
    Add { first: u64, n: usize, seed: u64 },
    Remove { first: u64, n: usize },
    Maintain { max_rows: usize },
    Search { seed: u64, k: usize },
    SearchAllowed { seed: u64, k: usize, step: usize },
    Reopen,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        4 => (0..150_u64, 1..30_usize, any::<u64>()).prop_map(|(first, n, seed)| Call::Add { first, n, seed }),
        2 => (0..150_u64, 1..40_usize).prop_map(|(first, n)| Call::Remove { first, n }),
        3 => (1..200_usize).prop_map(|max_rows| Call::Maintain { max_rows }),
        3 => (any::<u64>(), 1..30_usize).prop_map(|(seed, k)| Call::Search { seed, k }),
        2 => (any::<u64>(), 1..30_usize, 1..20_usize).prop_map(|(seed, k, step)| Call::SearchAllowed { seed, k, step }),
        1 => Just(Call::Reopen),
    ];
    prop::collection::vec(call, 1..60)
}

/// Runs a history on an index and on the oracle and compares all that can be seen.
fn run(kind: Kind, dim: usize, metric: Metric, scan_threshold: usize, calls: &[Call]) {
    let folder = tempfile::tempdir().unwrap();
    let mut index = build(kind, dim, metric, scan_threshold);
    let oracle = build(Kind::Flat, dim, metric, scan_threshold);
    for (step, call) in calls.iter().enumerate() {
        let context = format!("{kind:?} {metric:?} step {step} {call:?}");
        match *call {
            Call::Add { first, n, seed } => {
                let ids: Vec<u64> = (first..first + n as u64).collect();
                let mut random = Random::new(seed % 50);
                let vectors: Vec<f32> = ids.iter().flat_map(|_| random.vector(dim)).collect();
                index.add(&ids, &vectors).unwrap();
                oracle.add(&ids, &vectors).unwrap();
            }
            Call::Remove { first, n } => {
                let ids: Vec<u64> = (first..first + n as u64).collect();
                assert_eq!(index.remove(&ids).unwrap(), oracle.remove(&ids).unwrap(), "{context}");
            }
            Call::Maintain { max_rows } => {
                index.maintain(max_rows).unwrap();
            }
            Call::Search { seed, k } => {
                let query = Random::new(seed).vector(dim);
                let truth = oracle.search(&query, k, SearchOptions::default()).unwrap();
                let found = index.search(&query, k, with_ef(1000)).unwrap();
                assert_eq!(found.len(), truth.len(), "{context}");
                assert!(
                    index.contains(&found.iter().map(|hit| hit.id).collect::<Vec<_>>()).unwrap().iter().all(|&is| is)
                );
            }
            Call::SearchAllowed { seed, k, step } => {
                let query = Random::new(seed).vector(dim);
                let allowed: Vec<u64> = (0..200).step_by(step).collect();
                let set = IdSet::new(allowed.clone());
                let options = SearchOptions { ef_search: Some(1000), allowed: Some(&set) };
                let truth = oracle.search(&query, k, options).unwrap();
                let found = index.search(&query, k, options).unwrap();
                assert!(found.iter().all(|hit| allowed.contains(&hit.id)), "{context}");
                assert_same(&found, &truth, tolerance(kind), &context);
            }
            Call::Reopen => {
                let path = folder.path().join("index");
                index.save(&path, step as u64).unwrap();
                let (opened, sequence) = open(&path).unwrap();
                assert_eq!(sequence, step as u64);
                assert_eq!(opened.stats().unwrap().n_unlinked, index.stats().unwrap().n_unlinked);
                index = opened;
            }
        }
        assert_eq!(index.stats().unwrap().n_live, oracle.stats().unwrap().n_live, "{context}");
    }
    // With its work done and a pool for all rows an index finds all there is: every live row can be reached.
    drain(index.as_ref());
    let mut random = Random::new(9);
    for _ in 0..5 {
        let query = random.vector(dim);
        let truth = oracle.search(&query, 10, SearchOptions::default()).unwrap();
        assert_same(
            &index.search(&query, 10, with_ef(1000)).unwrap(),
            &truth,
            tolerance(kind),
            &format!("{kind:?} {metric:?} at the end"),
        );
    }
    let ids: Vec<u64> = (0..200).collect();
    let live: Vec<u64> = ids.iter().copied().zip(oracle.contains(&ids).unwrap()).filter(|x| x.1).map(|x| x.0).collect();
    assert_eq!(index.contains(&ids).unwrap(), oracle.contains(&ids).unwrap());
    let (kept, stored) = (index.vectors(&live).unwrap(), oracle.vectors(&live).unwrap());
    let size = stored.iter().fold(0.0_f32, |size, x| size.max(x.abs()));
    assert!(kept.iter().zip(&stored).all(|(x, y)| (x - y).abs() <= 4.0 * tolerance(kind) * size));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_agrees_with_flat(calls in calls(), metric in 0..3_usize, threshold in prop_oneof![Just(2_usize), Just(20), Just(1000)]) {
        for kind in Kind::ALL {
            run(kind, 40, Metric::ALL[metric], threshold, &calls);
        }
    }

    #[test]
    fn any_history_of_low_dimension_agrees_with_flat(calls in calls(), metric in 0..3_usize) {
        for kind in [Kind::Hnsw, Kind::Qg, Kind::QgCompact, Kind::Pq, Kind::Spiral] {
            run(kind, 3, Metric::ALL[metric], 8, &calls);
        }
    }
}

/// Every kind, small enough to be scanned and with a graph.
fn each_index(dim: usize, metric: Metric, case: impl Fn(&dyn VectorIndex)) {
    case(build(Kind::Flat, dim, metric, 2).as_ref());
    for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Flat) {
        for threshold in [2, 100_000] {
            case(build(kind, dim, metric, threshold).as_ref());
        }
    }
}

fn rows(random: &mut Random, n: usize, dim: usize) -> Vec<f32> {
    (0..n).flat_map(|_| random.vector(dim)).collect()
}

#[test]
fn an_empty_index_finds_nothing() {
    each_index(8, Metric::Cosine, |index| {
        drain(index);
        assert!(index.search(&[1.0; 8], 5, SearchOptions::default()).unwrap().is_empty());
        assert_eq!(index.remove(&[1, 2]).unwrap(), 0);
        index.add(&[], &[]).unwrap();
        assert!(index.search_batch(&[], 5, SearchOptions::default()).unwrap().is_empty());
    });
}

#[test]
fn deleting_all_then_adding_again() {
    // hnswlib #4, usearch #399: ghosts and lost rows after everything was removed.
    each_index(40, Metric::Cosine, |index| {
        let mut random = Random::new(1);
        for round in 0..3 {
            let ids: Vec<u64> = (0..600).collect();
            let vectors = rows(&mut random, 600, 40);
            index.add(&ids, &vectors).unwrap();
            drain(index);
            for (id, vector) in ids.iter().zip(vectors.chunks(40)).step_by(37) {
                assert_eq!(index.search(vector, 1, SearchOptions::default()).unwrap()[0].id, *id, "round {round}");
            }
            assert_eq!(index.remove(&ids).unwrap(), 600);
            assert!(index.search(&vectors[..40], 10, SearchOptions::default()).unwrap().is_empty());
            if round == 1 {
                drain(index);
                let stats = index.stats().unwrap();
                assert_eq!((stats.n_live, stats.n_tombstones), (0, 0));
            }
        }
    });
}

#[test]
fn memory_comes_back() {
    // usearch #445, #726.
    for kind in [Kind::Hnsw, Kind::Qg, Kind::QgCompact, Kind::Pq, Kind::Spiral] {
        let index = build(kind, 64, Metric::Cosine, 100);
        let ids: Vec<u64> = (0..8000).collect();
        index.add(&ids, &rows(&mut Random::new(3), 8000, 64)).unwrap();
        let full = index.stats().unwrap().memory_bytes;
        index.remove(&ids[50..]).unwrap();
        drain(index.as_ref());
        let stats = index.stats().unwrap();
        assert_eq!((stats.n_live, stats.n_rows, stats.n_tombstones), (50, 50, 0));
        assert!(stats.memory_bytes < full / 20, "{kind:?}: {} of {full}", stats.memory_bytes);
    }
}

#[test]
fn the_first_id_again() {
    // hnswlib #321: updating the entry point.
    each_index(40, Metric::Cosine, |index| {
        let mut random = Random::new(2);
        index.add(&(0..300).collect::<Vec<_>>(), &rows(&mut random, 300, 40)).unwrap();
        drain(index);
        for _ in 0..50 {
            let vector = random.vector(40);
            index.add(&[0], &vector).unwrap();
            assert_eq!(index.search(&vector, 1, SearchOptions::default()).unwrap()[0].id, 0);
            drain(index);
            assert_eq!(index.search(&vector, 1, SearchOptions::default()).unwrap()[0].id, 0);
            assert_eq!(index.search(&vector, 400, SearchOptions::default()).unwrap().len(), 300);
        }
    });
}

#[test]
fn always_k_results_when_k_pass() {
    // hnswlib #487: fewer than k results.
    each_index(40, Metric::Cosine, |index| {
        let mut random = Random::new(4);
        let ids: Vec<u64> = (0..2000).collect();
        index.add(&ids, &rows(&mut random, 2000, 40)).unwrap();
        drain(index);
        index.remove(&ids[..1700]).unwrap();
        for k in [1, 10, 299, 300, 301, 5000] {
            let query = random.vector(40);
            for allowed in [None, Some(&ids[1690..1720]), Some(&ids[..1710]), Some(&ids[..100])] {
                let n_pass = allowed.map_or(300, |allowed| allowed.iter().filter(|&&id| id >= 1700).count());
                let set = allowed.map(|allowed| IdSet::new(allowed.to_vec()));
                let options = SearchOptions { ef_search: Some(10), allowed: set.as_ref() };
                let found = index.search(&query, k, options).unwrap();
                assert_eq!(found.len(), k.min(n_pass));
            }
        }
    });
}

#[test]
fn an_exact_copy_comes_first() {
    each_index(48, Metric::Cosine, |index| {
        let vectors = rows(&mut Random::new(5), 3000, 48);
        index.add(&(0..3000).collect::<Vec<_>>(), &vectors).unwrap();
        for _ in 0..2 {
            let found = index.search_batch(&vectors, 1, SearchOptions::default()).unwrap();
            let n_right =
                found.iter().zip(0..).filter(|(hits, id)| hits[0].id == *id && hits[0].distance < 5e-4).count();
            assert!(n_right >= 2997, "{n_right}");
            drain(index);
        }
    });
}

#[test]
fn many_equal_vectors() {
    each_index(40, Metric::Cosine, |index| {
        let mut random = Random::new(6);
        let same = random.vector(40);
        let vectors: Vec<f32> = (0..1500).flat_map(|_| same.clone()).chain(rows(&mut random, 500, 40)).collect();
        index.add(&(0..2000).collect::<Vec<_>>(), &vectors).unwrap();
        drain(index);
        let found = index.search(&same, 20, SearchOptions::default()).unwrap();
        assert!(found.iter().all(|hit| hit.distance < 5e-4 && hit.id < 1500));
        let all = index.search(&same, 2000, SearchOptions::default()).unwrap();
        assert_eq!(all.len(), 2000);
        let n_equal = all.iter().filter(|hit| hit.id < 1500).count();
        assert_eq!(n_equal, 1500);
    });
}

#[test]
fn a_bad_batch_changes_nothing() {
    each_index(4, Metric::Cosine, |index| {
        index.add(&[1], &[1.0, 0.0, 0.0, 0.0]).unwrap();
        let good = [1.0, 2.0, 3.0, 4.0];
        let with = |bad: [f32; 4]| [good, bad].concat();
        let nan = index.add(&[2, 3], &with([0.0, f32::NAN, 0.0, 0.0]));
        assert!(matches!(nan, Err(Error::NonFiniteVector { position: 1 })));
        let infinite = index.add(&[2, 3], &with([0.0, f32::INFINITY, 0.0, 0.0]));
        assert!(matches!(infinite, Err(Error::NonFiniteVector { position: 1 })));
        assert!(matches!(index.add(&[2, 3], &with([0.0; 4])), Err(Error::ZeroVector { position: 1 })));
        assert!(matches!(index.add(&[2, 3, 4], &with(good)), Err(Error::LengthMismatch { n_ids: 3, n_vectors: 2 })));
        assert!(matches!(index.add(&[2], &good[..3]), Err(Error::DimensionMismatch { expected: 4, received: 3 })));
        assert!(matches!(index.add(&[2, RESERVED_ID], &with(good)), Err(Error::ReservedId { .. })));
        assert_eq!(index.contains(&[1, 2, 3]).unwrap(), [true, false, false]);
        assert!(matches!(index.search(&good[..3], 1, SearchOptions::default()), Err(Error::DimensionMismatch { .. })));
        assert!(matches!(index.search(&[0.0; 4], 1, SearchOptions::default()), Err(Error::ZeroVector { position: 0 })));
        let zero_k = index.search(&good, 0, SearchOptions::default());
        assert!(matches!(zero_k, Err(Error::InvalidParameter { name: "k", .. })));
        assert!(matches!(index.search(&good, 1, with_ef(0)), Err(Error::InvalidParameter { name: "ef_search", .. })));
        assert!(matches!(index.vectors(&[1, 9]), Err(Error::UnknownId { id: 9 })));
    });
}

#[test]
fn the_last_of_equal_ids_wins() {
    each_index(2, Metric::L2, |index| {
        index.add(&[5, 5, 5], &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]).unwrap();
        assert!(index.vectors(&[5]).unwrap().iter().all(|x| (x - 3.0).abs() < 2e-3));
        assert_eq!(index.remove(&[5, 5]).unwrap(), 1);
    });
}

#[test]
fn extreme_magnitudes_give_finite_results() {
    for metric in Metric::ALL {
        each_index(33, metric, |index| {
            let scales = [1e30_f32, 1e-30, f32::MAX, 1e-45, 1.0, -1e30];
            let vectors: Vec<f32> = scales
                .iter()
                .flat_map(|scale| (0..33).map(move |i| if i % 2 == 0 { *scale } else { -scale }))
                .collect();
            let ids: Vec<u64> = (0..scales.len() as u64).collect();
            index.add(&ids, &vectors).unwrap();
            drain(index);
            for query in vectors.chunks(33) {
                let found = index.search(query, 6, SearchOptions::default()).unwrap();
                assert_eq!(found.len(), 6);
                assert!(found.iter().all(|hit| hit.distance.is_finite()), "{found:?}");
            }
        });
    }
}

#[test]
fn parameters_are_checked() {
    let mut spec = common::spec(Kind::Hnsw, 0, Metric::Cosine, 100);
    assert!(matches!(spec.build(), Err(Error::InvalidParameter { name: "dim", .. })));
    spec.dim = 65_537;
    assert!(matches!(spec.build(), Err(Error::InvalidParameter { name: "dim", .. })));
    spec.dim = 3;
    spec.hnsw.m = 1;
    assert!(matches!(spec.build(), Err(Error::InvalidParameter { name: "m", .. })));
    spec.hnsw.m = 2;
    spec.hnsw.ef_search = 0;
    assert!(matches!(spec.build(), Err(Error::InvalidParameter { name: "ef_search", .. })));
    for subvector_dim in [0, 1, 17] {
        let pq = PqParams { subvector_dim, ..PqParams::default() };
        let spec = IndexSpec { pq, ..common::spec(Kind::Pq, 8, Metric::Cosine, 100) };
        assert!(matches!(spec.build(), Err(Error::InvalidParameter { name: "subvector_dim", .. })));
    }
}

#[test]
fn a_few_vectors_cost_little() {
    // qdrant #2001, #4689: memory of many small collections.
    let index = IndexOf20::build();
    let bytes = index.stats().unwrap().memory_bytes;
    let of_vectors = 20 * 384 * 4;
    assert!(bytes < of_vectors * 3 / 2, "{bytes} for {of_vectors} bytes of vectors");
}

struct IndexOf20;

impl IndexOf20 {
    fn build() -> Box<dyn VectorIndex> {
        let index = adamem_index::IndexSpec::new(Kind::Hnsw, 384, Metric::Cosine).build().unwrap();
        let mut random = Random::new(8);
        for id in 0..20 {
            index.add(&[id], &random.vector(384)).unwrap();
            index.search(&random.vector(384), 4, SearchOptions::default()).unwrap();
        }
        index
    }
}

#[test]
fn the_same_calls_give_the_same_index() {
    let folder = tempfile::tempdir().unwrap();
    for kind in Kind::ALL {
        let files = [0, 1].map(|run| {
            let index = build(kind, 40, Metric::Cosine, 50);
            let mut random = Random::new(12);
            for round in 0..10_u64 {
                index.add(&(round * 50..round * 50 + 100).collect::<Vec<_>>(), &rows(&mut random, 100, 40)).unwrap();
                index.remove(&(round * 40..round * 40 + 20).collect::<Vec<_>>()).unwrap();
                index.maintain(120).unwrap();
            }
            let path = folder.path().join(run.to_string());
            index.save(&path, 0).unwrap();
            std::fs::read(path).unwrap()
        });
        assert!(files[0] == files[1], "{kind:?}");
    }
}

/// Whichever thread does what, and whenever: the file is the same, all rows can be reached, and what is nearest is found.
#[test]
fn several_threads_build_the_same_index() {
    const N: usize = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let vectors = clustered(5, N, 40, 50);
    let ids: Vec<u64> = (0..N as u64).collect();
    let oracle = build(Kind::Flat, 40, Metric::Cosine, 2);
    oracle.add(&ids, &vectors).unwrap();
    for kind in [Kind::Qg, Kind::QgCompact, Kind::Spiral] {
        let files = [0, 1].map(|run| {
            let spec = IndexSpec { n_threads: 3, deferred: false, ..spec(kind, 40, Metric::Cosine, 50) };
            let index = spec.build().unwrap();
            let (first, others) = (&ids[..3_000], &ids[3_000..]);
            // Others at first, to be replaced: linked rows are then linked again, and nodes repaired.
            index.add(&ids[..1_000], &vectors[1_000 * 40..2_000 * 40]).unwrap();
            index.add(first, &vectors[..3_000 * 40]).unwrap();
            index.add(others, &vectors[3_000 * 40..]).unwrap();
            drain(index.as_ref());
            assert_eq!(index.n_unreachable().unwrap(), 0, "{kind:?}");
            let mut n_found = 0;
            for query in vectors.chunks(40).step_by(40) {
                let truth = oracle.search(query, 10, SearchOptions::default()).unwrap();
                let found = index.search(query, 10, with_ef(200)).unwrap();
                n_found += truth.iter().filter(|hit| found.iter().any(|other| other.id == hit.id)).count();
            }
            assert!(n_found >= 970, "{kind:?} {n_found}");
            let path = folder.path().join(run.to_string());
            index.save(&path, 0).unwrap();
            std::fs::read(path).unwrap()
        });
        assert!(files[0] == files[1], "{kind:?}");
    }
}
