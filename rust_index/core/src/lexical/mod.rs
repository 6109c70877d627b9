//! Lexical index: texts with ids, found by their words, ranked by BM25.
//!
//! Our own and not tantivy: ten thousand small indexes are open at once in one process, each write is searchable when it
//! returns and durable elsewhere, which per-index writer threads, arenas and segment files do not fit.
//!
//! `words` splits, `stemming` and `stop_words` know languages, `sounds` how words begin, `analysis` makes terms of these;
//! `state` keeps `postings`, `search` ranks. One mutex puts mutations in order; texts are analysed before it, and the
//! exclusive lock that searches wait for is held for some microseconds a document.

pub(crate) mod analysis;
pub(crate) mod postings;
mod search;
mod sounds;
pub(crate) mod state;
pub(crate) mod stemming;
mod stop_words;
mod words;

use std::path::Path;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::sleep;
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::filter::IdSet;
use crate::index::{check_ids, check_range};
use crate::snapshot::lexical as snapshot;
use crate::spec::MAX_K;

use analysis::{Document, Terms};
use search::{Query, Scratch, idf};
use state::State;
use stemming::Languages;

/// Longest text and query, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 1 << 24;
/// Documents that are stored under one exclusive lock.
const PUT_DOCUMENTS: usize = 16;
/// Documents of which more are removed together, so many at once.
const REMOVED_ONE_BY_ONE: usize = 64;
const REMOVED_DOCUMENTS: usize = 8192;
/// Postings that are gone over under one exclusive lock, but for longer lists; and what a list costs besides.
const PASSED_POSTINGS: usize = 32_768;
const LIST_COST: usize = 128;
/// What searches get between two exclusive locks: one who waits for a lock needs some time to wake up and take it.
const BREATH: Duration = Duration::from_micros(20);
/// Documents that are analysed before any of them is stored.
const ANALYSED_DOCUMENTS: usize = 1024;
/// Scratch memories that are kept for the next search, of indexes with more rows than `SMALL`.
const MAX_IDLE_SCRATCH: usize = 4;
/// An index up to this many rows keeps no scratch memory.
const SMALL: usize = 1024;

/// The parameters of BM25.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LexicalParams {
    /// How soon repetitions of a term count no more, 0 to 100: at 0 only that it occurs counts.
    pub k1: f32,
    /// How much longer documents are held back, 0 (not) to 1.
    pub b: f32,
}

impl Default for LexicalParams {
    fn default() -> Self {
        // The middle of 0.6 to 1.2 and of 0.2 to 0.5: on LoCoMo and XQuAD these differ by less than a hundredth, and are
        // better than Lucene's 1.2 and 0.75.
        Self { k1: 0.9, b: 0.3 }
    }
}

impl LexicalParams {
    pub(crate) fn check(self) -> Result<()> {
        let check = |name, value: f32, maximum: u64| {
            if value >= 0.0 && value <= maximum as f32 {
                return Ok(());
            }
            // A value is a real number; its ceiling tells on which side it is out of range.
            let received = if value < 0.0 { u64::MAX } else { value.ceil() as u64 };
            Err(Error::InvalidParameter { name, received, minimum: 0, maximum })
        };
        check("k1", self.k1, 100)?;
        check("b", self.b, 1)
    }
}

/// One result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LexicalHit {
    /// Id that the caller gave the text.
    pub id: u64,
    /// BM25; larger is better, above 0.
    pub score: f32,
}

/// A term that a query asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryTerm {
    /// The term as it is indexed.
    pub term: String,
    /// The most that it can add to a score: its inverse document frequency and shares of those of the word's other forms.
    pub weight: f32,
}

/// Sizes of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LexicalStats {
    /// Live documents.
    pub n_documents: usize,
    /// Distinct terms in them.
    pub n_terms: usize,
    /// Words that are no stop words in all of them.
    pub n_words: u64,
    /// Bytes asked of the allocator.
    pub memory_bytes: usize,
}

/// A set of texts with ids, to be searched by their words.
///
/// All methods may be called from any thread. Searches run beside everything; mutations wait for each other. A text is found
/// by each search that begins after its `add` returned, and by none that begins after its `remove` returned.
#[derive(Debug)]
pub struct LexicalIndex {
    params: LexicalParams,
    state: RwLock<State>,
    mutation: Mutex<()>,
    saving: Mutex<()>,
    scratches: Mutex<Vec<Scratch>>,
}

fn check_text(text: &str) -> Result<()> {
    check_range("text bytes", text.len(), 0, MAX_TEXT_BYTES)
}

impl LexicalIndex {
    /// An empty index.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] when `k1` or `b` is out of its range.
    pub fn new(params: LexicalParams) -> Result<Self> {
        params.check()?;
        Ok(Self::with_state(params, State::new()))
    }

    fn with_state(params: LexicalParams, state: State) -> Self {
        Self {
            params,
            state: RwLock::new(state),
            mutation: Mutex::new(()),
            saving: Mutex::new(()),
            scratches: Mutex::default(),
        }
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>> {
        self.state.read().map_err(|_| Error::Poisoned)
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, State>> {
        self.state.write().map_err(|_| Error::Poisoned)
    }

    /// The parameters of BM25.
    pub fn params(&self) -> LexicalParams {
        self.params
    }

    /// Adds texts, replacing those whose ids are there; the last of equal ids wins. Some 20 microseconds for 100 bytes.
    ///
    /// `languages` has an ISO 639-1 code, maybe with a region, for each text; empty means undetermined, so that Latin words are
    /// stemmed as English and Cyrillic ones as Russian. Searches see each text as a whole, but maybe a part of the batch.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`], [`Error::ReservedId`], [`Error::InvalidParameter`] for a text that is too long: nothing is
    /// added. [`Error::IndexFull`] at 2^26 documents, [`Error::Poisoned`].
    pub fn add<T: AsRef<str>, L: AsRef<str>>(&self, ids: &[u64], texts: &[T], languages: Option<&[L]>) -> Result<()> {
        check_ids(ids)?;
        let n_vectors = languages.map_or(texts.len(), <[L]>::len);
        for n_vectors in [texts.len(), n_vectors] {
            if n_vectors != ids.len() {
                return Err(Error::LengthMismatch { n_ids: ids.len(), n_vectors });
            }
        }
        texts.iter().try_for_each(|text| check_text(text.as_ref()))?;
        let language = |at: usize| Languages::of_text(languages.map_or("", |languages| languages[at].as_ref()));
        for first in (0..ids.len()).step_by(ANALYSED_DOCUMENTS) {
            let batch = first..ids.len().min(first + ANALYSED_DOCUMENTS);
            let used = batch.clone().map(language).fold(Languages::defaults(), Languages::union);
            let documents: Vec<Document> =
                batch.clone().map(|at| analysis::document(texts[at].as_ref(), language(at))).collect();
            self.store(&ids[batch], &documents, used)?;
        }
        Ok(())
    }

    fn store(&self, ids: &[u64], documents: &[Document], used: Languages) -> Result<()> {
        let _mutation = self.mutation.lock();
        let n_terms = documents.iter().map(|document| document.terms.len()).sum();
        let state = self.read()?;
        let (ids_table, terms_table) = (state.rows.grown_table(ids.len()), state.grown_table(n_terms));
        drop(state);
        let mut state = self.write()?;
        let old = (
            ids_table.map(|grown| state.rows.replace_table(grown)),
            terms_table.map(|grown| state.replace_table(grown)),
        );
        state.languages = state.languages.union(used);
        drop(state);
        drop(old);
        for (ids, documents) in ids.chunks(PUT_DOCUMENTS).zip(documents.chunks(PUT_DOCUMENTS)) {
            let mut state = self.write()?;
            ids.iter().zip(documents).try_for_each(|(&id, document)| state.put(id, document))?;
        }
        Ok(())
    }

    /// Removes texts and returns how many were there; their memory is free at once. Some microseconds a text and each
    /// word's postings moved, the latter once for thousands of texts that are removed together.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn remove(&self, ids: &[u64]) -> Result<usize> {
        let _mutation = self.mutation.lock();
        let mut n_removed = 0;
        if ids.len() > REMOVED_ONE_BY_ONE {
            for ids in ids.chunks(REMOVED_DOCUMENTS) {
                n_removed += self.remove_together(ids)?;
            }
            return Ok(n_removed);
        }
        for ids in ids.chunks(PUT_DOCUMENTS) {
            let mut state = self.write()?;
            n_removed += ids.iter().filter(|&&id| state.remove(id)).count();
            state.reset_if_empty();
        }
        Ok(n_removed)
    }

    /// Goes over the list of each term once. Until it is done, searches may find what is removed, by a part of its terms.
    fn remove_together(&self, ids: &[u64]) -> Result<usize> {
        let places = self.read()?.places(ids);
        let mut lists = places.chunk_by(|(number, _), (other, _)| number == other).peekable();
        while lists.peek().is_some() {
            let mut state = self.write()?;
            let mut n_passed = 0;
            while n_passed < PASSED_POSTINGS
                && let Some(list) = lists.next()
            {
                n_passed += state.n_postings(list[0].0) + LIST_COST;
                state.withdraw(list[0].0, list.iter().map(|&(_, row)| row));
            }
            drop(state);
            sleep(BREATH);
        }
        let mut n_removed = 0;
        for ids in ids.chunks(PASSED_POSTINGS / LIST_COST) {
            let mut state = self.write()?;
            n_removed += ids.iter().filter(|&&id| state.forget(id)).count();
            state.reset_if_empty();
        }
        Ok(n_removed)
    }

    /// Tells which ids are live.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn contains(&self, ids: &[u64]) -> Result<Vec<bool>> {
        let state = self.read()?;
        Ok(ids.iter().map(|&id| state.rows.row_of(id).is_some()).collect())
    }

    /// The best `min(k, matching and allowed)` texts, by score, ties by id.
    ///
    /// A repeated word of the query counts once; a stop word only where the query has nothing else. A word that a text has
    /// as it is written counts more than another form of it, and one that begins with the same four sounds counts a little.
    /// Words are looked for as they are stemmed in the query's language, the defaults and each language that was ever
    /// added, so that a text is found by its own words whatever the query's language is. `O(postings of the terms)`, some
    /// 2 ns each.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] when `k` is not 1 to 65,536 or the query is too long; [`Error::Poisoned`].
    pub fn search(&self, query: &str, k: usize, language: &str, allowed: Option<&IdSet>) -> Result<Vec<LexicalHit>> {
        check_range("k", k, 1, MAX_K)?;
        let terms = self.analyse(query, language)?;
        let mut scratch = self.scratches.lock().pop().unwrap_or_default();
        let state = self.read()?;
        let filter = allowed.map(|allowed| {
            let find = |ids| ids_to_rows(&state, ids);
            allowed.rows(state.generation, state.rows.n_rows(), find)
        });
        let hits = Query::new(&state, self.params, &terms.asked).best(k, filter.as_deref(), &mut scratch);
        let n_rows = state.rows.n_rows();
        drop(state);
        if n_rows > SMALL {
            let mut idle = self.scratches.lock();
            if idle.len() < MAX_IDLE_SCRATCH {
                idle.push(scratch);
            }
        }
        Ok(hits)
    }

    /// The scores of given texts, in their order; 0 for one that is unknown or has no word of the query.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] when the query is too long; [`Error::Poisoned`].
    pub fn score(&self, query: &str, ids: &[u64], language: &str) -> Result<Vec<f32>> {
        let terms = self.analyse(query, language)?;
        let state = self.read()?;
        let query = Query::new(&state, self.params, &terms.asked);
        Ok(ids.iter().map(|&id| state.rows.row_of(id).map_or(0.0, |row| query.score(row))).collect())
    }

    /// The terms that a search for the query asks for, in the query's order. One that occurs nowhere has the highest weight.
    ///
    /// # Errors
    /// As [`LexicalIndex::score`].
    pub fn terms(&self, query: &str, language: &str) -> Result<Vec<QueryTerm>> {
        let Terms { words, asked, .. } = self.analyse(query, language)?;
        let state = self.read()?;
        let mut found: Vec<QueryTerm> = words.into_iter().map(|term| QueryTerm { term, weight: 0.0 }).collect();
        for term in asked {
            let df = state.postings(term.key).map_or(0, <[_]>::len);
            found[term.word].weight += term.weight * idf(state.rows.len(), df);
        }
        Ok(found)
    }

    fn analyse(&self, query: &str, language: &str) -> Result<Terms> {
        check_text(query)?;
        let languages = self.read()?.languages;
        Ok(analysis::query(query, languages.union(Languages::of_text(language))))
    }

    /// Sizes. `O(terms + documents)`.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn stats(&self) -> Result<LexicalStats> {
        let state = self.read()?;
        let scratch_bytes: usize = self.scratches.lock().iter().map(Scratch::memory_bytes).sum();
        Ok(LexicalStats {
            n_documents: state.rows.len(),
            n_terms: state.n_terms(),
            n_words: state.total_length,
            memory_bytes: size_of::<Self>() + state.memory_bytes() + scratch_bytes,
        })
    }

    /// How many texts are live.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn len(&self) -> Result<usize> {
        Ok(self.read()?.rows.len())
    }

    /// Whether no text is live.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Writes a snapshot and replaces `path` by it at once. The caller's `sequence` comes back on opening.
    ///
    /// Searches go on. Mutations wait until the content is copied to memory, not for the disk.
    ///
    /// # Errors
    /// [`Error::SnapshotIo`], [`Error::Poisoned`].
    pub fn save(&self, path: &Path, sequence: u64) -> Result<()> {
        let _saving = self.saving.lock();
        let bytes = {
            let _mutation = self.mutation.lock();
            snapshot::encode(&*self.read()?, self.params, sequence)
        };
        snapshot::write(path, &bytes)?.publish()
    }

    /// Opens a snapshot and returns it with its sequence. Some microseconds a document.
    ///
    /// # Errors
    /// [`Error::SnapshotCorrupt`], [`Error::SnapshotVersion`], [`Error::SnapshotIo`], and [`Error::SnapshotAnalysis`] when this
    /// build makes other terms of texts.
    pub fn open(path: &Path) -> Result<(Self, u64)> {
        let (state, params, sequence) = snapshot::load(path)?;
        Ok((Self::with_state(params, state), sequence))
    }
}

fn ids_to_rows<'a>(state: &'a State, ids: &'a [u64]) -> impl Iterator<Item = u32> + 'a {
    ids.iter().filter_map(|&id| state.rows.row_of(id))
}
