//! Recall floors with fixed seeds: fresh, after churn, under filters, and on each SIMD level.

mod common;

use adamem_index::{
    HnswParams, IdSet, IndexSpec, Kind, Metric, PqParams, QgParams, SearchOptions, SimdLevel, VectorIndex,
};
use common::{Random, clustered, drain, recall, with_ef};

const DIM: usize = 64;
const N: usize = 6_000;
const N_CLUSTERS: usize = 60;
const K: usize = 10;

fn build(kind: Kind, metric: Metric, simd: Option<SimdLevel>) -> Box<dyn VectorIndex> {
    let hnsw = HnswParams { scan_threshold: 1_000, ..HnswParams::default() };
    let pq = PqParams { scan_threshold: 1_000, ..PqParams::default() };
    let qg = QgParams { scan_threshold: 1_000, ..QgParams::default() };
    IndexSpec { hnsw, pq, qg, simd, ..IndexSpec::new(kind, DIM, metric) }.build().unwrap()
}

fn queries() -> Vec<f32> {
    // The same centres as the data, other points.
    clustered(1, N + 200, DIM, N_CLUSTERS).split_off(N * DIM)
}

fn data() -> Vec<f32> {
    let mut vectors = clustered(1, N + 200, DIM, N_CLUSTERS);
    vectors.truncate(N * DIM);
    vectors
}

#[test]
fn default_parameters_on_every_metric() {
    let ids: Vec<u64> = (0..N as u64).collect();
    for metric in Metric::ALL {
        let flat = build(Kind::Flat, metric, None);
        let hnsw = build(Kind::Hnsw, metric, None);
        flat.add(&ids, &data()).unwrap();
        hnsw.add(&ids, &data()).unwrap();
        let truth = flat.search_batch(&queries(), K, SearchOptions::default()).unwrap();
        let scanned = hnsw.search_batch(&queries(), K, SearchOptions::default()).unwrap();
        assert!(recall(&scanned, &truth) >= 0.999, "{metric:?} scanned {}", recall(&scanned, &truth));
        drain(hnsw.as_ref());
        assert_eq!(hnsw.stats().unwrap().n_unlinked, 0);
        let walked = hnsw.search_batch(&queries(), K, SearchOptions::default()).unwrap();
        let floor = if metric == Metric::Dot { 0.90 } else { 0.95 };
        assert!(recall(&walked, &truth) >= floor, "{metric:?} walked {}", recall(&walked, &truth));
    }
}

#[test]
fn every_simd_level_finds_the_same() {
    let ids: Vec<u64> = (0..N as u64).collect();
    let flat = build(Kind::Flat, Metric::Cosine, Some(SimdLevel::Scalar));
    flat.add(&ids, &data()).unwrap();
    let truth = flat.search_batch(&queries(), K, SearchOptions::default()).unwrap();
    for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
        let hnsw = build(Kind::Hnsw, Metric::Cosine, Some(level));
        hnsw.add(&ids, &data()).unwrap();
        drain(hnsw.as_ref());
        let found = hnsw.search_batch(&queries(), K, SearchOptions::default()).unwrap();
        assert!(recall(&found, &truth) >= 0.95, "{level:?} {}", recall(&found, &truth));
    }
}

#[test]
fn churn_does_not_wear_the_graph() {
    // hnswlib and usearch lose recall when rows are replaced.
    let flat = build(Kind::Flat, Metric::Cosine, None);
    let living = build(Kind::Hnsw, Metric::Cosine, None);
    let vectors = data();
    let mut live: Vec<u64> = (0..3_000).collect();
    let vector = |id: u64| &vectors[(id as usize % N) * DIM..][..DIM];
    let gather = |ids: &[u64]| ids.iter().flat_map(|&id| vector(id).to_vec()).collect::<Vec<f32>>();
    for index in [&flat, &living] {
        index.add(&live, &gather(&live)).unwrap();
    }
    drain(living.as_ref());
    let mut random = Random::new(3);
    let memory_before = living.stats().unwrap().memory_bytes;
    for round in 0..10_u64 {
        for i in (1..live.len()).rev() {
            live.swap(i, random.below(i + 1));
        }
        let dead = live.split_off(live.len() * 4 / 5);
        let new: Vec<u64> = (0..dead.len() as u64).map(|i| 10_000 * (round + 1) + i).collect();
        live.extend(&new);
        for index in [&flat, &living] {
            assert_eq!(index.remove(&dead).unwrap(), dead.len());
            drain(index.as_ref());
            index.add(&new, &gather(&new)).unwrap();
        }
        drain(living.as_ref());
    }
    let stats = living.stats().unwrap();
    assert!(stats.memory_bytes < memory_before * 115 / 100, "{stats:?} {memory_before}");
    let fresh = build(Kind::Hnsw, Metric::Cosine, None);
    fresh.add(&live, &gather(&live)).unwrap();
    drain(fresh.as_ref());
    let truth = flat.search_batch(&queries(), K, SearchOptions::default()).unwrap();
    let of =
        |index: &dyn VectorIndex| recall(&index.search_batch(&queries(), K, SearchOptions::default()).unwrap(), &truth);
    let (living, fresh) = (of(living.as_ref()), of(fresh.as_ref()));
    assert!(living >= fresh - 0.01, "living {living}, fresh {fresh}");
}

#[test]
fn filters_of_every_width_keep_recall_of_hnsw() {
    filters_keep_recall(Kind::Hnsw, DIM, None);
}

#[test]
fn filters_of_every_width_keep_recall_of_qg() {
    // Within a cluster all are as far from each other as can be: one-bit codes are at their worst.
    filters_keep_recall(Kind::Qg, 256, Some(400));
    filters_keep_recall(Kind::QgCompact, 256, Some(400));
}

fn filters_keep_recall(kind: Kind, dim: usize, ef_search: Option<usize>) {
    let n = 20_000;
    let mut vectors = clustered(2, n + 100, dim, N_CLUSTERS);
    let queries = vectors.split_off(n * dim);
    let ids: Vec<u64> = (0..n as u64).collect();
    let [flat, graph] = [Kind::Flat, kind].map(|kind| IndexSpec::new(kind, dim, Metric::Cosine).build().unwrap());
    for index in [&flat, &graph] {
        index.add(&ids, &vectors).unwrap();
        drain(index.as_ref());
    }
    // Random subsets, and regions: the rows on one side of a plane.
    let mut filters: Vec<Vec<u64>> =
        [1, 2, 3, 10, 100, 1000].iter().map(|step| ids.iter().copied().step_by(*step).collect()).collect();
    for least in [0.0, 0.15, 0.3] {
        filters.push(ids.iter().copied().filter(|&id| vectors[id as usize * dim] > least).collect());
    }
    for allowed in &filters {
        let allowed = IdSet::new(allowed.clone());
        let options = SearchOptions { ef_search, allowed: Some(&allowed) };
        let truth = flat.search_batch(&queries, K, options).unwrap();
        let found = graph.search_batch(&queries, K, options).unwrap();
        assert!(recall(&found, &truth) >= 0.95, "{} allowed: {}", allowed.ids().len(), recall(&found, &truth));
    }
}

#[test]
fn product_codes_find_the_nearest_on_every_metric_and_level() {
    let ids: Vec<u64> = (0..N as u64).collect();
    for metric in Metric::ALL {
        let flat = build(Kind::Flat, metric, None);
        flat.add(&ids, &data()).unwrap();
        let truth = flat.search_batch(&queries(), K, SearchOptions::default()).unwrap();
        for level in SimdLevel::ALL.into_iter().filter(|level| level.is_supported()) {
            let pq = build(Kind::Pq, metric, Some(level));
            pq.add(&ids, &data()).unwrap();
            drain(pq.as_ref());
            assert_eq!(pq.stats().unwrap().n_unlinked, 0);
            let found = pq.search_batch(&queries(), K, SearchOptions::default()).unwrap();
            // Eight bytes a vector, and clusters of a hundred rows that are nearly as far as one another.
            assert!(recall(&found, &truth) >= 0.92, "{metric:?} {level:?} {}", recall(&found, &truth));
            // What is looked at closer decides: all is as good as exact.
            let found = pq.search_batch(&queries(), K, with_ef(N)).unwrap();
            assert!(recall(&found, &truth) >= 0.99, "{metric:?} {level:?} {}", recall(&found, &truth));
        }
    }
}

#[test]
fn codebooks_are_trained_anew_when_they_are_old() {
    // Trained on rows that are nothing like those that come after, codebooks are of little use until they are trained anew.
    let ids: Vec<u64> = (0..N as u64).collect();
    let n_first = 200;
    let first = (0..n_first).flat_map(|_| (0..DIM).map(|i| 0.01 + i as f32 * 0.1));
    let vectors: Vec<f32> = first.chain(data().split_off(n_first * DIM)).collect();
    let flat = build(Kind::Flat, Metric::Cosine, None);
    flat.add(&ids, &vectors).unwrap();
    let truth = flat.search_batch(&queries(), K, SearchOptions::default()).unwrap();
    let pq = PqParams { scan_threshold: 100, ..PqParams::default() };
    let index = IndexSpec { pq, deferred: true, ..IndexSpec::new(Kind::Pq, DIM, Metric::Cosine) }.build().unwrap();
    let of = |index: &dyn VectorIndex| recall(&index.search_batch(&queries(), K, with_ef(20)).unwrap(), &truth);
    index.add(&ids[..n_first], &vectors[..n_first * DIM]).unwrap();
    drain(index.as_ref());
    index.add(&ids[n_first..], &vectors[n_first * DIM..]).unwrap();
    // Rows are coded first; then a step of the renewal at a time, between which rows come, go and are found.
    while index.stats().unwrap().n_unlinked > 0 {
        index.maintain(200).unwrap();
    }
    let old = of(index.as_ref());
    for step in 0..200 {
        let id = (n_first + 7 * step) as u64;
        let vector = &vectors[id as usize * DIM..][..DIM];
        assert_eq!(index.remove(&[id]).unwrap(), 1);
        index.add(&[id], vector).unwrap();
        assert_eq!(index.search(vector, 1, SearchOptions::default()).unwrap()[0].id, id);
        index.maintain(100).unwrap();
    }
    drain(index.as_ref());
    let new = of(index.as_ref());
    let fresh = build(Kind::Pq, Metric::Cosine, None);
    fresh.add(&ids, &vectors).unwrap();
    drain(fresh.as_ref());
    let fresh = of(fresh.as_ref());
    assert!(new > old + 0.1 && new >= fresh - 0.03, "old {old}, new {new}, fresh {fresh}");
}

#[test]
fn product_codes_keep_recall_under_filters() {
    let ids: Vec<u64> = (0..N as u64).collect();
    let vectors = data();
    let (flat, pq) = (build(Kind::Flat, Metric::Cosine, None), build(Kind::Pq, Metric::Cosine, None));
    for index in [&flat, &pq] {
        index.add(&ids, &vectors).unwrap();
    }
    drain(pq.as_ref());
    let mut filters: Vec<Vec<u64>> =
        [2, 3, 10, 100, 1000].iter().map(|&step| ids.iter().copied().step_by(step).collect()).collect();
    filters.push(ids.iter().copied().filter(|&id| vectors[id as usize * DIM] > 0.3).collect());
    for allowed in &filters {
        let options = SearchOptions { ef_search: None, allowed: Some(&IdSet::new(allowed.clone())) };
        let truth = flat.search_batch(&queries(), K, options).unwrap();
        let found = pq.search_batch(&queries(), K, options).unwrap();
        assert!(recall(&found, &truth) >= 0.92, "{} allowed: {}", allowed.len(), recall(&found, &truth));
    }
}

#[test]
fn graphs_of_codes_find_the_nearest_on_every_metric_and_level() {
    let ids: Vec<u64> = (0..N as u64).collect();
    for metric in Metric::ALL {
        let flat = build(Kind::Flat, metric, None);
        flat.add(&ids, &data()).unwrap();
        let truth = flat.search_batch(&queries(), K, SearchOptions::default()).unwrap();
        for kind in [Kind::Qg, Kind::Spiral] {
            // One metric tells the levels apart; walks by plain loops take long.
            let levels = SimdLevel::ALL.into_iter().filter(|level| level.is_supported());
            for level in levels.filter(|&level| metric == Metric::Cosine || level == SimdLevel::detect()) {
                let index = build(kind, metric, Some(level));
                index.add(&ids, &data()).unwrap();
                drain(index.as_ref());
                assert_eq!(index.stats().unwrap().n_unlinked, 0);
                let found = index.search_batch(&queries(), K, SearchOptions::default()).unwrap();
                assert!(recall(&found, &truth) >= 0.93, "{kind:?} {metric:?} {level:?} {}", recall(&found, &truth));
            }
        }
    }
}
