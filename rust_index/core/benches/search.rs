//! How long do an addition, a link and a search take, by kind and size?

use std::hint::black_box;

use adamem_index::{HnswParams, IndexSpec, Kind, Metric, SearchOptions, VectorIndex};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const DIM: usize = 384;
const SEED: u64 = 1;
const K: usize = 10;
const SCANNED: usize = 2_000;
const WALKED: usize = 10_000;
const N_CENTRES: usize = 100;

/// Vectors around centres, from a linear congruential generator.
fn vectors(n: usize) -> Vec<f32> {
    let mut state = SEED;
    let mut float = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let centres: Vec<f32> = (0..N_CENTRES * DIM).map(|_| float()).collect();
    (0..n).flat_map(|i| centres[i % N_CENTRES * DIM..][..DIM].to_vec()).map(|x| x + 0.6 * float()).collect()
}

fn filled(kind: Kind, n: usize, scan_threshold: usize) -> Box<dyn VectorIndex> {
    filled_with(kind, &vectors(n), scan_threshold)
}

fn filled_with(kind: Kind, vectors: &[f32], scan_threshold: usize) -> Box<dyn VectorIndex> {
    let hnsw = HnswParams { scan_threshold, ..HnswParams::default() };
    let index =
        IndexSpec { hnsw, ..IndexSpec::new(kind, DIM, Metric::Cosine) }.build().expect("the parameters are valid");
    let ids: Vec<u64> = (0..(vectors.len() / DIM) as u64).collect();
    index.add(&ids, vectors).expect("the vectors are valid");
    index
}

fn search(criterion: &mut Criterion) {
    let walked = filled(Kind::Hnsw, WALKED, 2);
    while walked.maintain(WALKED).expect("the index is whole") > 0 {}
    let cases = [
        ("flat 2,000", filled(Kind::Flat, SCANNED, 2)),
        ("hnsw scanning 2,000", filled(Kind::Hnsw, SCANNED, usize::MAX)),
        ("hnsw walking 10,000", walked),
    ];
    let queries = vectors(N_CENTRES);
    for (name, index) in &cases {
        let mut next = queries.chunks_exact(DIM).cycle();
        criterion.bench_function(name, |bench| {
            bench.iter(|| {
                let query = next.next().unwrap_or_default();
                black_box(index.search(query, K, SearchOptions::default()))
            });
        });
    }
}

fn build(criterion: &mut Criterion) {
    let one = vectors(1);
    let index = filled(Kind::Hnsw, SCANNED, usize::MAX);
    let mut id = SCANNED as u64;
    criterion.bench_function("hnsw add", |bench| {
        bench.iter(|| {
            id = SCANNED as u64 + (id + 1) % 1_000;
            index.add(&[id], &one)
        });
    });
    let many = vectors(SCANNED);
    criterion.bench_function("hnsw link 2,000", |bench| {
        bench.iter_batched(
            || filled_with(Kind::Hnsw, &many, 2),
            |index| while index.maintain(SCANNED).expect("the index is whole") > 0 {},
            BatchSize::PerIteration,
        );
    });
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = search, build }
criterion_main!(benches);
