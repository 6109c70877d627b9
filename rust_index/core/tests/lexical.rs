//! The lexical index against BM25 written down naively, beside a writer, and through damaged files.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use adamem_index::{Error, IdSet, LexicalIndex, LexicalParams};
use common::Random;
use proptest::prelude::*;

const NO_LANGUAGES: Option<&[&str]> = None;
/// Words that are their own stems and no stop words.
const WORDS: [&str; 12] = ["cat", "dog", "bird", "fish", "tree", "кот", "дом", "лес", "404", "rust", "map", "sun"];

fn new() -> LexicalIndex {
    LexicalIndex::new(LexicalParams::default()).unwrap()
}

fn text(words: &[usize]) -> String {
    words.iter().map(|&word| WORDS[word % WORDS.len()]).collect::<Vec<_>>().join(" ")
}

/// Words whose beginning is a term of its own: the others are shorter than four sounds.
const LONG_WORDS: [&str; 2] = ["bird", "rust"];

/// The score of all documents in double precision.
fn oracle(documents: &BTreeMap<u64, Vec<usize>>, query: &[usize]) -> HashMap<u64, f64> {
    let LexicalParams { k1, b } = LexicalParams::default();
    let (k1, b) = (f64::from(k1), f64::from(b));
    let n = documents.len() as f64;
    let average = documents.values().map(Vec::len).sum::<usize>() as f64 / n;
    let terms: BTreeSet<usize> = query.iter().map(|word| word % WORDS.len()).collect();
    let count = |words: &[usize], term: usize| words.iter().filter(|&&word| word % WORDS.len() == term).count() as f64;
    let mut scores = HashMap::new();
    for term in terms {
        let df = documents.values().filter(|words| count(words, term) > 0.0).count() as f64;
        // Rarity is judged among a hundred documents at least.
        let idf = (1.0 + (n.max(100.0) - df + 0.5) / (df + 0.5)).ln();
        for (&id, words) in documents {
            let tf = count(words, term);
            if tf > 0.0 {
                let norm = k1 * (1.0 - b + b * words.len() as f64 / average);
                let weight = if LONG_WORDS.contains(&WORDS[term]) { 1.6 } else { 1.2 };
                *scores.entry(id).or_default() += weight * idf * (tf / (tf + norm) + 0.2) / 1.2;
            }
        }
    }
    scores
}

fn check(
    index: &LexicalIndex,
    documents: &BTreeMap<u64, Vec<usize>>,
    query: &[usize],
    allowed: Option<&[u64]>,
    k: usize,
) {
    let set = allowed.map(|ids| IdSet::new(ids.to_vec()));
    let hits = index.search(&text(query), k, "", set.as_ref()).unwrap();
    let expected: HashMap<u64, f64> = oracle(documents, query)
        .into_iter()
        .filter(|(id, _)| allowed.is_none_or(|allowed| allowed.contains(id)))
        .collect();
    assert_eq!(hits.len(), expected.len().min(k));
    for hit in &hits {
        assert!((f64::from(hit.score) - expected[&hit.id]).abs() < 1e-4, "{hit:?}: {}", expected[&hit.id]);
    }
    assert!(
        hits.windows(2)
            .all(|pair| pair[0].score > pair[1].score || (pair[0].score == pair[1].score && pair[0].id < pair[1].id))
    );
    let found: BTreeSet<u64> = hits.iter().map(|hit| hit.id).collect();
    assert_eq!(found.len(), hits.len());
    if let Some(last) = hits.last() {
        for (id, score) in &expected {
            assert!(found.contains(id) || *score < f64::from(last.score) + 1e-4);
        }
    }
    let ids: Vec<u64> = hits.iter().map(|hit| hit.id).chain([1_000_000]).collect();
    let mut scores = index.score(&text(query), &ids, "").unwrap();
    assert_eq!(scores.pop(), Some(0.0));
    assert_eq!(scores, hits.iter().map(|hit| hit.score).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_ranks_as_the_oracle(
        steps in prop::collection::vec((0_u64..40, prop::collection::vec(0_usize..144, 0..14), 0_u8..4), 1..120),
        query in prop::collection::vec(0_usize..144, 1..6),
        allowed in prop::collection::vec(0_u64..50, 0..20),
        k in 1_usize..12,
    ) {
        let index = new();
        let mut documents = BTreeMap::new();
        // Squared, so that some words are common and some are rare.
        let skew = |word: &usize| word * word / 144 / 12;
        for (id, words, action) in steps {
            let words: Vec<usize> = words.iter().map(skew).collect();
            if action == 0 {
                let was_there = documents.remove(&id).is_some();
                prop_assert_eq!(index.remove(&[id]).unwrap(), usize::from(was_there));
            } else {
                index.add(&[id], &[text(&words)], NO_LANGUAGES).unwrap();
                documents.insert(id, words);
            }
        }
        let query: Vec<usize> = query.iter().map(skew).collect();
        check(&index, &documents, &query, None, k);
        check(&index, &documents, &query, Some(&allowed), k);
        check(&index, &documents, &query, Some(&allowed[..allowed.len().min(1)]), k);
        let stats = index.stats().unwrap();
        prop_assert_eq!(stats.n_documents, documents.len());
        prop_assert_eq!(stats.n_words, documents.values().map(Vec::len).sum::<usize>() as u64);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lex");
        index.save(&path, 7).unwrap();
        let (opened, sequence) = LexicalIndex::open(&path).unwrap();
        prop_assert_eq!(sequence, 7);
        check(&opened, &documents, &query, None, k);
        let again = opened.stats().unwrap();
        prop_assert_eq!((again.n_terms, again.n_words), (stats.n_terms, stats.n_words));
        let ids: Vec<u64> = documents.keys().copied().collect();
        opened.remove(&ids).unwrap();
        prop_assert_eq!(opened.stats().unwrap(), new().stats().unwrap());
    }
}

#[test]
fn a_large_filtered_index_ranks_as_the_oracle() {
    let index = new();
    let mut random = Random::new(3);
    let mut documents = BTreeMap::new();
    for id in 0..3000_u64 {
        let words: Vec<usize> = (0..=random.below(8)).map(|_| random.below(12) * random.below(12) / 12).collect();
        index.add(&[id], &[text(&words)], NO_LANGUAGES).unwrap();
        documents.insert(id, words);
    }
    for n in [1, 3, 30, 300, 2999] {
        let allowed: Vec<u64> = (0..n).map(|i| i * 3000 / n).collect();
        check(&index, &documents, &[0, 1, 2, 5], Some(&allowed), 10);
    }
    check(&index, &documents, &[0, 7, 9], None, 500);
}

#[test]
fn languages_agree_between_texts_and_queries() {
    let index = new();
    let texts = ["die Häuser der Stadt", "the houses of the city", "кошки спят"];
    index.add(&[1, 2, 3], &texts, Some(&["de", "", "ru-RU"])).unwrap();
    let find = |query: &str, language: &str| -> Vec<u64> {
        index.search(query, 10, language, None).unwrap().into_iter().map(|hit| hit.id).collect()
    };
    for language in ["", "en", "de", "fr", "xx", "ru"] {
        assert_eq!(find("house", language), [2], "{language}");
        assert_eq!(find("Häuser", language), [1], "{language}");
        assert_eq!(find("кошка", language), [3], "{language}");
    }
    assert_eq!(find("who is it", ""), []);
    assert_eq!(find("the", ""), [2]);
    assert_eq!(new().terms("which city the", "").unwrap()[0].term, "citi");
}

fn filled(texts: &[&str]) -> LexicalIndex {
    let index = new();
    let ids: Vec<u64> = (0..texts.len() as u64).collect();
    index.add(&ids, texts, NO_LANGUAGES).unwrap();
    index
}

fn found(index: &LexicalIndex, query: &str) -> Vec<u64> {
    index.search(query, 10, "", None).unwrap().into_iter().map(|hit| hit.id).collect()
}

#[test]
fn the_form_that_is_asked_for_comes_first_and_a_beginning_last() {
    let index = filled(&["he connected it", "a connection", "connecting now", "in Connecticut", "her cat"]);
    assert_eq!(found(&index, "connecting"), [2, 0, 1, 3]);
    assert_eq!(found(&index, "connection"), [1, 0, 2, 3]);
    assert_eq!(found(&index, "cats"), [4]);
}

#[test]
fn names_find_each_other_across_scripts() {
    let texts = ["Washington crossed the river", "Shakespeare wrote plays", "Гугеноты бежали из Франции", "Η Αφρική"];
    let index = filled(&texts);
    assert_eq!(found(&index, "Где жил Вашингтон?"), [0]);
    assert_eq!(found(&index, "пьесы Шекспира"), []);
    assert_eq!(found(&index, "франки"), [2]);
    assert_eq!(found(&index, "Franz"), [2]);
    assert_eq!(found(&index, "Африке"), [3]);
}

#[test]
fn a_misspelt_word_is_found_by_its_beginning() {
    let index = filled(&["the accommodation was fine", "accurate numbers", "окрестности города"]);
    assert_eq!(found(&index, "acommodatoin"), [0]);
    assert_eq!(found(&index, "окресности"), [2]);
}

#[test]
fn weights_of_terms_bound_the_score() {
    let index = filled(&["running dogs", "a dog ran", "dogma", "Running Dogs RUNNING dogs running"]);
    for query in ["running dogs", "runs doggedly", "dogs dog running", "догма"] {
        let terms = index.terms(query, "").unwrap();
        let most: f32 = terms.iter().map(|term| term.weight).sum();
        let hits = index.search(query, 10, "", None).unwrap();
        assert!(!hits.is_empty(), "{query}");
        assert!(hits.iter().all(|hit| 0.0 < hit.score && hit.score <= most), "{query}: {hits:?} of {terms:?}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    let index = new();
    assert!(matches!(
        index.add(&[1], &["a", "b"], NO_LANGUAGES),
        Err(Error::LengthMismatch { n_ids: 1, n_vectors: 2 })
    ));
    assert!(matches!(index.add(&[1], &["a"], Some(&["en", "ru"])), Err(Error::LengthMismatch { .. })));
    assert!(matches!(index.add(&[u64::MAX], &["a"], NO_LANGUAGES), Err(Error::ReservedId { .. })));
    assert!(matches!(index.search("a", 0, "", None), Err(Error::InvalidParameter { name: "k", .. })));
    let long = "a ".repeat(adamem_index::MAX_TEXT_BYTES / 2 + 1);
    for error in [index.add(&[1], &[&long], NO_LANGUAGES).unwrap_err(), index.score(&long, &[], "").unwrap_err()] {
        assert!(matches!(error, Error::InvalidParameter { name: "text bytes", .. }));
    }
    for (k1, b) in [(-1.0, 0.5), (1.0, 1.5), (f32::NAN, 0.5)] {
        assert!(matches!(LexicalIndex::new(LexicalParams { k1, b }), Err(Error::InvalidParameter { .. })));
    }
    assert!(index.is_empty().unwrap());
    assert!(index.search("", 5, "", None).unwrap().is_empty());
}

#[test]
fn readers_beside_a_writer_see_whole_documents() {
    let index = new();
    let stop = AtomicBool::new(false);
    index.add(&[u64::MAX - 1], &["anchor stone"], NO_LANGUAGES).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut n_searches = 0;
                    while !stop.load(Ordering::Relaxed) || n_searches == 0 {
                        let hits = index.search("left right anchor", 5000, "", None).unwrap();
                        assert!(hits.iter().any(|hit| hit.id == u64::MAX - 1));
                        let n_found = index.search("left", 5000, "", None).unwrap().len();
                        assert!(n_found <= 2000);
                        n_searches += 1;
                    }
                })
            })
            .collect();
        for round in 0..3_u64 {
            for id in 0..2000 {
                index.add(&[id], &[format!("left w{id} right r{round}")], NO_LANGUAGES).unwrap();
                assert_eq!(index.search(&format!("w{id}"), 1, "", None).unwrap()[0].id, id);
            }
            index.remove(&(0..1000).collect::<Vec<u64>>()).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(index.len().unwrap(), 1001);
}

fn golden() -> LexicalIndex {
    let index = new();
    let texts = ["The cat's café", "Ёлки в лесу", "getUserName() v1.2.3", "東京タワー", "die Häuser die", "gone"];
    index.add(&[1, 2, 30, 400, 5000, 6], &texts, Some(&["", "", "", "", "de", ""])).unwrap();
    index.remove(&[6]).unwrap();
    index
}

fn golden_path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/v1-lexical.idx")
}

/// Run by hand when the format or the analysis is raised: `cargo test --test lexical -- --ignored`.
#[test]
#[ignore = "writes the golden file"]
fn write_golden_file() {
    golden().save(&golden_path(), 0x0123_4567).unwrap();
}

#[test]
fn the_golden_file_opens_and_is_written_the_same() {
    let (index, sequence) = LexicalIndex::open(&golden_path()).unwrap();
    assert_eq!(sequence, 0x0123_4567);
    for query in ["cafe", "лес", "getusername", "東京", "Häuser", "gone"] {
        let expected = golden().search(query, 9, "", None).unwrap();
        assert_eq!(index.search(query, 9, "", None).unwrap(), expected);
        assert_eq!(expected.len(), usize::from(query != "gone"), "{query}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.lex");
    index.save(&path, sequence).unwrap();
    let again = LexicalIndex::open(&path).unwrap().0;
    assert_eq!(again.stats().unwrap().n_terms, index.stats().unwrap().n_terms);
}

#[test]
fn every_damaged_byte_and_every_other_length_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.lex");
    let whole = fs::read(golden_path()).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        matches!(LexicalIndex::open(&path), Err(Error::SnapshotCorrupt { .. }))
    };
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(refused(&bytes), "byte {at} bit {bit}");
        }
        assert!(refused(&whole[..at]), "length {at}");
    }
    assert!(refused(&[whole.as_slice(), &[0]].concat()));
}

fn seal(bytes: &mut [u8]) {
    let header = crc32fast::hash(&bytes[..64]).to_le_bytes();
    bytes[64..68].copy_from_slice(&header);
    let n_keys = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    if n_keys > bytes.len() / 8 || 68 + 8 * n_keys + 8 > bytes.len() {
        return;
    }
    let keys_end = 68 + 8 * n_keys;
    let keys = crc32fast::hash(&bytes[68..keys_end]).to_le_bytes();
    bytes[keys_end..keys_end + 4].copy_from_slice(&keys);
    let end = bytes.len() - 4;
    let documents = crc32fast::hash(&bytes[keys_end + 4..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&documents);
}

#[test]
fn texts_removed_together_leave_what_others_leave() {
    let mut random = Random::new(11);
    let mut documents = BTreeMap::new();
    let (together, apart) = (new(), new());
    for id in 0..20_000_u64 {
        // Common words, rare ones, and one that no other text has.
        let words: Vec<usize> = (0..=random.below(8)).map(|_| random.below(12) * random.below(12) / 12).collect();
        let text = format!("{} n{} u{id}", text(&words), random.below(300));
        for index in [&together, &apart] {
            index.add(&[id], &[&text], NO_LANGUAGES).unwrap();
        }
        documents.insert(id, text);
    }
    for n_left in [15_000, 9_000, 70, 3, 0] {
        let mut gone: Vec<u64> = documents.keys().copied().collect();
        for i in 0..gone.len() {
            let other = random.below(gone.len());
            gone.swap(i, other);
        }
        gone.truncate(documents.len() - n_left);
        for id in &gone {
            documents.remove(id);
        }
        let n_gone = gone.len();
        // Unknown and repeated ids do no harm.
        gone.extend([1 << 40, gone[0]]);
        assert_eq!(together.remove(&gone).unwrap(), n_gone);
        assert_eq!(gone.chunks(50).map(|ids| apart.remove(ids).unwrap()).sum::<usize>(), n_gone);
        let (stats, other) = (together.stats().unwrap(), apart.stats().unwrap());
        assert_eq!((stats.n_documents, stats.n_terms, stats.n_words), (n_left, other.n_terms, other.n_words));
        let some = documents.keys().next().copied().unwrap_or_default();
        for query in ["cat dog", "n7 bird", "404 map sun n9 n10", &format!("u{some} u{}", gone[0])] {
            assert_eq!(together.search(query, 50, "", None).unwrap(), apart.search(query, 50, "", None).unwrap());
        }
        assert!(together.search(&format!("u{}", gone[0]), 50, "", None).unwrap().is_empty());
    }
    assert_eq!(together.stats().unwrap(), new().stats().unwrap());
}

#[test]
fn a_filter_that_was_used_before_a_removal_allows_no_text_that_came_after() {
    let index = new();
    let n = 2000;
    let ids: Vec<u64> = (0..n).collect();
    index.add(&ids, &vec!["cat"; ids.len()], NO_LANGUAGES).unwrap();
    let allowed = IdSet::new((0..500).collect());
    let found = |allowed: &IdSet| {
        let hits = index.search("cat", 2 * n as usize, "", Some(allowed)).unwrap();
        hits.iter().map(|hit| hit.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(found(&allowed), (0..500).collect());
    index.remove(&(100..1000).collect::<Vec<_>>()).unwrap();
    assert_eq!(found(&allowed), (0..100).collect());
    index.remove(&[7]).unwrap();
    assert_eq!(found(&allowed), (0..100).filter(|&id| id != 7).collect());
    // They take the rows that are free.
    index.add(&(5000..5500).collect::<Vec<_>>(), &vec!["cat"; 500], NO_LANGUAGES).unwrap();
    assert_eq!(found(&allowed), (0..100).filter(|&id| id != 7).collect());
    index.add(&[7], &["cat"], NO_LANGUAGES).unwrap();
    assert_eq!(found(&allowed), (0..100).collect());
}

#[test]
fn searches_beside_a_large_removal_find_what_stays() {
    let index = new();
    let n = 30_000_u64;
    let ids: Vec<u64> = (0..n).collect();
    let texts: Vec<String> = ids.iter().map(|id| format!("cat n{} u{id}", id % 100)).collect();
    index.add(&ids, &texts, NO_LANGUAGES).unwrap();
    let is_over = AtomicBool::new(false);
    let kept: Vec<u64> = (0..n).filter(|id| id % 10 == 0).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            index.remove(&ids.iter().copied().filter(|id| id % 10 != 0).collect::<Vec<_>>()).unwrap();
            is_over.store(true, Ordering::Release);
        });
        let allowed = IdSet::new(kept.clone());
        loop {
            let was_over = is_over.load(Ordering::Acquire);
            assert_eq!(index.search("cat", n as usize, "", Some(&allowed)).unwrap().len(), kept.len());
            assert_eq!(index.search("u29990", 5, "", None).unwrap()[0].id, 29_990);
            if was_over {
                break;
            }
        }
    });
    assert_eq!(index.search("cat", n as usize, "", None).unwrap().len(), kept.len());
}

#[test]
fn other_versions_are_told_apart_and_false_checksums_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.lex");
    let whole = fs::read(golden_path()).unwrap();
    let open = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        seal(&mut bytes);
        fs::write(&path, bytes).unwrap();
        LexicalIndex::open(&path)
    };
    assert!(open(&|_| ()).is_ok());
    assert!(matches!(open(&|bytes| bytes[8] = 2), Err(Error::SnapshotVersion { found: 2, supported: 1, .. })));
    assert!(matches!(open(&|bytes| bytes[12] ^= 0x80), Err(Error::SnapshotAnalysis { .. })));
    let mut random = Random::new(9);
    let (mut n_open, mut n_refused) = (0, 0);
    for _ in 0..4000 {
        let (at, bit) = (16 + random.below(whole.len() - 16), random.below(8));
        match open(&|bytes| bytes[at] ^= 1 << bit) {
            Ok((index, _)) => {
                n_open += 1;
                index.search("cat лес 東京", 5, "", None).unwrap();
                index.add(&[1], &["cat"], NO_LANGUAGES).unwrap();
                index.remove(&[2, 30]).unwrap();
            }
            Err(error) => {
                n_refused += 1;
                assert!(matches!(error, Error::SnapshotCorrupt { .. }), "{error}");
            }
        }
    }
    assert!(n_open > 100 && n_refused > 100, "{n_open} {n_refused}");
    assert!(matches!(LexicalIndex::open(&folder.path().join("none")), Err(Error::SnapshotIo { .. })));
}
