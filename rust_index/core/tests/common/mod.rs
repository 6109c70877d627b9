//! Data and checks that several test files share.
#![allow(dead_code, reason = "each test file uses its part")]

use adamem_index::{Hit, HnswParams, IndexSpec, Kind, Metric, PqParams, QgParams, SearchOptions, VectorIndex};

/// A small deterministic generator of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ (self.0 >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 16
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Uniform in -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() % 2_000_001) as f32 / 1_000_000.0 - 1.0
    }

    /// About normal: a sum of uniform numbers.
    pub fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.float()).sum::<f32>() / 1.41
    }

    pub fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.normal()).collect()
    }
}

/// Vectors around centres, as embeddings are.
pub fn clustered(seed: u64, n: usize, dim: usize, n_clusters: usize) -> Vec<f32> {
    let mut random = Random::new(seed);
    let centres: Vec<Vec<f32>> = (0..n_clusters).map(|_| random.vector(dim)).collect();
    let mut vectors = Vec::with_capacity(n * dim);
    for _ in 0..n {
        let centre = &centres[random.below(n_clusters)];
        vectors.extend(centre.iter().map(|x| x + 0.6 * random.normal()));
    }
    vectors
}

pub fn spec(kind: Kind, dim: usize, metric: Metric, scan_threshold: usize) -> IndexSpec {
    let hnsw = HnswParams { m: 8, ef_construction: 64, scan_threshold, ..HnswParams::default() };
    let qg = QgParams { ef_construction: 64, scan_threshold, ..QgParams::default() };
    let pq = PqParams { scan_threshold, ..PqParams::default() };
    IndexSpec { hnsw, qg, pq, deferred: true, ..IndexSpec::new(kind, dim, metric) }
}

pub fn build(kind: Kind, dim: usize, metric: Metric, scan_threshold: usize) -> Box<dyn VectorIndex> {
    spec(kind, dim, metric, scan_threshold).build().unwrap()
}

pub fn drain(index: &dyn VectorIndex) {
    for _ in 0..1_000_000 {
        if index.maintain(1000).unwrap() == 0 {
            return;
        }
    }
    panic!("maintain never came to an end");
}

pub fn with_ef<'a>(ef_search: usize) -> SearchOptions<'a> {
    SearchOptions { ef_search: Some(ef_search), allowed: None }
}

/// Share of the oracle's results that were found.
pub fn recall(found: &[Vec<Hit>], truth: &[Vec<Hit>]) -> f64 {
    let mut n_hits = 0;
    let mut n_wanted = 0;
    for (found, truth) in found.iter().zip(truth) {
        assert_eq!(found.len(), truth.len(), "as many results as there are rows that pass");
        n_wanted += truth.len();
        n_hits += truth.iter().filter(|hit| found.iter().any(|other| other.id == hit.id)).count();
    }
    n_hits as f64 / n_wanted as f64
}

/// How far off the distances and vectors of a kind may be, relative to the size of what they come from: twelve bits of the
/// largest component, over a few components that do not even out.
pub fn tolerance(kind: Kind) -> f32 {
    if matches!(kind, Kind::Flat | Kind::Hnsw) { 1e-5 } else { 4e-3 }
}

/// Results must agree with the oracle's up to rows at the same distance.
pub fn assert_same(found: &[Hit], truth: &[Hit], tolerance: f32, context: &str) {
    assert_eq!(found.len(), truth.len(), "{context}: {found:?} {truth:?}");
    let size = truth.iter().fold(4.0_f32, |size, hit| size.max(hit.distance.abs()));
    for (found, truth) in found.iter().zip(truth) {
        let tolerance = tolerance * truth.distance.abs().max(size);
        assert!((found.distance - truth.distance).abs() <= tolerance, "{context}: {found:?} {truth:?}");
    }
    for pair in found.windows(2) {
        assert!((pair[0].distance, pair[0].id) < (pair[1].distance, pair[1].id), "{context}: order of {found:?}");
    }
}
