//! BM25: scores, and the best of them, term at a time.
//!
//! Source: Robertson and Zaragoza, "The probabilistic relevance framework: BM25 and beyond" (2009), with the inverse document
//! frequency of Lucene, `ln(1 + (N - df + 1/2) / (df + 1/2))`; what a term counts at least is of BM25+ (Lv and Zhai,
//! "Lower-bounding term frequency normalization", 2011). Scaled so that a term's part is at most its idf: a score tells how
//! much of the query a document has.

use std::cmp::Ordering;

use crate::filter::RowFilter;

use super::analysis::{Term, TermKey};
use super::postings::{Posting, count_in};
use super::state::State;
use super::{LexicalHit, LexicalParams};

/// What a term counts because it occurs at all, however long the document is, as a share of what it counts for often it
/// does. Between 0.1 and 0.4 little changes.
const PRESENCE: f32 = 0.2;
/// Among how many documents a term's rarity is judged at least: of a few, what they have weighs less than what they lack,
/// and a document with all that a query asks for but a usual word would seem to have little of it.
const MIN_DOCUMENTS: usize = 100;
/// What a row that passes costs, as against a posting: a binary search for each term.
const ROW_COST: usize = 24;

/// What a search writes to: scores by row, all zero between searches, and the rows that have one.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    scores: Vec<f32>,
    touched: Vec<u32>,
}

impl Scratch {
    pub(super) fn memory_bytes(&self) -> usize {
        self.scores.capacity() * size_of::<f32>() + self.touched.capacity() * size_of::<u32>()
    }
}

/// The inverse document frequency of a term in `df` of `n` documents, or of `MIN_DOCUMENTS` if these are more; above 0.
pub(super) fn idf(n: usize, df: usize) -> f32 {
    let (n, df) = (n.max(MIN_DOCUMENTS) as f64, df as f64);
    ((n - df + 0.5) / (df + 0.5)).ln_1p() as f32
}

/// A query's term in an index.
struct Scorer<'a> {
    postings: &'a [Posting],
    /// Its idf, and for what is no word but a form of one a share of that.
    weight: f32,
}

/// A query in an index: the term with the highest weight first, so that each way of scoring adds in the same order.
pub(super) struct Query<'a> {
    state: &'a State,
    scorers: Vec<Scorer<'a>>,
    /// `k1 (1 - b)` and `k1 b / average length`.
    norm: [f32; 2],
}

impl<'a> Query<'a> {
    pub(super) fn new(state: &'a State, params: LexicalParams, terms: &[Term]) -> Self {
        let n = state.rows.len();
        let scorer = |term: &Term| {
            let postings = state.postings(term.key)?;
            Some((term.key, Scorer { postings, weight: term.weight * idf(n, postings.len()) }))
        };
        let mut scorers: Vec<(TermKey, Scorer<'a>)> = terms.iter().filter_map(scorer).collect();
        scorers.sort_unstable_by(|(a, first), (b, second)| second.weight.total_cmp(&first.weight).then(a.cmp(b)));
        let average = (state.total_length as f32 / n.max(1) as f32).max(f32::MIN_POSITIVE);
        Self {
            state,
            scorers: scorers.into_iter().map(|(_, scorer)| scorer).collect(),
            norm: [
                params.k1 * (1.0 - params.b),
                if state.total_length == 0 { 0.0 } else { params.k1 * params.b / average },
            ],
        }
    }

    #[inline]
    fn part(&self, weight: f32, row: u32, count: u32) -> f32 {
        let count = count as f32;
        let often = count / (count + self.norm[0] + self.norm[1] * self.state.length(row) as f32);
        weight * (often + PRESENCE) / (1.0 + PRESENCE)
    }

    /// The score of a row; 0 where no term occurs.
    pub(super) fn score(&self, row: u32) -> f32 {
        let part =
            |scorer: &Scorer<'_>| count_in(scorer.postings, row).map(|count| self.part(scorer.weight, row, count));
        self.scorers.iter().filter_map(part).sum()
    }

    /// The `k` best rows that pass and in which a term occurs, by score, ties by id.
    pub(super) fn best(&self, k: usize, filter: Option<&RowFilter>, scratch: &mut Scratch) -> Vec<LexicalHit> {
        let mut best = Best::new(k);
        let n_postings: usize = self.scorers.iter().map(|scorer| scorer.postings.len()).sum();
        if let Some(filter) = filter
            && filter.rows().len() * self.scorers.len() * ROW_COST < n_postings
        {
            for &row in filter.rows() {
                let score = self.score(row);
                if score > 0.0 {
                    best.offer(score, || self.state.rows.id_of(row));
                }
            }
            return best.finish();
        }
        if scratch.scores.len() < self.state.rows.n_rows() {
            scratch.scores.resize(self.state.rows.n_rows(), 0.0);
        }
        for scorer in &self.scorers {
            for posting in scorer.postings {
                let row = posting.row();
                if filter.is_none_or(|filter| filter.allows(row)) {
                    let score = &mut scratch.scores[row as usize];
                    if *score == 0.0 {
                        scratch.touched.push(row);
                    }
                    *score += self.part(scorer.weight, row, posting.count());
                }
            }
        }
        for row in scratch.touched.drain(..) {
            let score = std::mem::take(&mut scratch.scores[row as usize]);
            best.offer(score, || self.state.rows.id_of(row));
        }
        best.finish()
    }
}

/// The best hits so far, and those since the last selection.
struct Best {
    k: usize,
    hits: Vec<LexicalHit>,
    /// No hit with a lower score is among the best.
    threshold: f32,
}

fn by_score(first: &LexicalHit, second: &LexicalHit) -> Ordering {
    second.score.total_cmp(&first.score).then(first.id.cmp(&second.id))
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, hits: Vec::new(), threshold: 0.0 }
    }

    #[inline]
    fn offer(&mut self, score: f32, id: impl FnOnce() -> u64) {
        if score >= self.threshold {
            self.hits.push(LexicalHit { id: id(), score });
            if self.hits.len() >= self.k * 2 {
                self.select();
            }
        }
    }

    fn select(&mut self) {
        if self.hits.len() > self.k {
            let (_, last, _) = self.hits.select_nth_unstable_by(self.k - 1, by_score);
            self.threshold = last.score;
            self.hits.truncate(self.k);
        }
    }

    fn finish(mut self) -> Vec<LexicalHit> {
        self.select();
        self.hits.sort_unstable_by(by_score);
        self.hits
    }
}
