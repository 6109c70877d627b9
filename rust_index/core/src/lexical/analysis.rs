//! Text to terms: what a document is indexed by, and what a query asks for. The two must agree, or nothing is found.

use std::collections::HashSet;

use crate::rows::{IdMap, mix};

use super::sounds::beginning;
use super::stemming::Languages;
use super::stop_words::is_stop_word;
use super::words::{Role, words};

/// Raised whenever a text gives other terms than before: snapshots of another version are refused.
pub(crate) const ANALYSIS_VERSION: u32 = 2;
/// Terms of a query that are looked for; a longer one keeps its first.
const MAX_QUERY_TERMS: usize = 1024;
/// What a word counts that is found as it is written, above what its stem counts; one that is its own stem always is. Between
/// 0.1 and 0.4 little changes.
const WRITTEN_WEIGHT: f32 = 0.2;
/// What a word counts that begins as one of the query does. Between 0.2 and 0.5 little changes.
const BEGINNING_WEIGHT: f32 = 0.4;
/// Marks of terms that are no stems; no word begins with a control character.
const WRITTEN: char = '\u{1}';
const BEGINNING: char = '\u{2}';

/// What an index knows a term by: two of a million terms share it with a probability of 3e-8.
pub(crate) type TermKey = u64;

/// A document as the index stores it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Distinct terms with how often they occur.
    pub(crate) terms: Vec<(TermKey, u32)>,
    /// Words that are no stop words; an identifier has the length of its parts.
    pub(crate) length: u32,
}

/// A term that a query asks for.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) key: TermKey,
    /// What its idf is multiplied by.
    pub(crate) weight: f32,
    /// The place of the word, among `Terms::words`, that it is a form of.
    pub(crate) word: usize,
}

/// The distinct terms that a query asks for.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Stems, parts of identifiers and the like, in order of their first occurrence.
    pub(crate) words: Vec<String>,
    /// These and what else tells that a document has the same words.
    pub(crate) asked: Vec<Term>,
    known: HashSet<TermKey>,
}

impl Terms {
    fn push(&mut self, word: &str, weight: f32) {
        if self.words.len() < MAX_QUERY_TERMS && self.add(key_of(word), weight, self.words.len()) {
            self.words.push(word.to_owned());
        }
    }

    fn add(&mut self, key: TermKey, weight: f32, word: usize) -> bool {
        let is_new = self.known.insert(key);
        if is_new {
            self.asked.push(Term { key, weight, word });
        }
        is_new
    }

    /// Adds a word by its stems, and by what it is found by where endings differ or are the same.
    fn push_word(&mut self, word: &str, languages: Languages) {
        let place = self.words.len();
        let mut is_stemmed = false;
        languages.stems(word, |stem| {
            is_stemmed |= stem != word;
            self.push(stem, if stem == word { 1.0 + WRITTEN_WEIGHT } else { 1.0 });
        });
        // Of a word whose stem was there, or for which there was no room, nothing more counts.
        if place < self.words.len() {
            forms(word, is_stemmed, |key, weight| {
                self.add(key, weight, place);
            });
        }
    }
}

/// The terms of a document whose language is told or, if it is empty, the default of each script.
pub(crate) fn document(text: &str, languages: Languages) -> Document {
    let mut counts: IdMap<TermKey, u32> = IdMap::default();
    let mut length = 0;
    let mut count = |key| *counts.entry(key).or_default() += 1;
    words(text, |word, role| match role {
        // Else `getusername`, which nobody can split, would not be found.
        Role::Whole if is_one_word(word) => languages.stems(word, |stem| count(key_of(stem))),
        Role::Whole | Role::Unigram | Role::Bigram => {
            length += u32::from(role == Role::Bigram);
            count(key_of(word));
        }
        Role::Word => {
            let mut is_stemmed = false;
            languages.stems(word, |stem| {
                is_stemmed |= stem != word;
                count(key_of(stem));
            });
            if !is_stop_word(word) {
                length += 1;
                forms(word, is_stemmed, |key, _| count(key));
            }
        }
    });
    Document { terms: counts.into_iter().collect(), length }
}

/// The terms of a query: stop words only where there is nothing else, each word as it is stemmed in any of the languages.
pub(crate) fn query(text: &str, languages: Languages) -> Terms {
    let mut terms = Terms::default();
    let mut stop_words = Terms::default();
    words(text, |word, role| match role {
        Role::Unigram => {}
        Role::Whole if is_one_word(word) => languages.stems(word, |stem| terms.push(stem, 1.0)),
        Role::Whole | Role::Bigram => terms.push(word, 1.0),
        Role::Word if is_stop_word(word) => languages.stems(word, |stem| stop_words.push(stem, 1.0)),
        Role::Word => terms.push_word(word, languages),
    });
    if terms.words.is_empty() { stop_words } else { terms }
}

/// Calls `emit` with the terms of a word besides its stem, and their weights: the word as it is written, if that is not the
/// stem, and its beginning.
fn forms(word: &str, is_stemmed: bool, mut emit: impl FnMut(TermKey, f32)) {
    let mut marked = String::new();
    let mut emit = |mark: char, form: &str, weight| {
        marked.clear();
        marked.push(mark);
        marked.push_str(form);
        emit(key_of(&marked), weight);
    };
    if is_stemmed {
        emit(WRITTEN, word, WRITTEN_WEIGHT);
    }
    if let Some(beginning) = beginning(word) {
        emit(BEGINNING, &beginning, BEGINNING_WEIGHT);
    }
}

fn is_one_word(word: &str) -> bool {
    word.chars().all(char::is_alphabetic)
}

/// The same in each run and on each machine, as snapshots keep it.
fn key_of(term: &str) -> TermKey {
    let (words, rest) = term.as_bytes().as_chunks::<8>();
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    let key = words.iter().fold(term.len() as u64, |key, word| mix(key ^ u64::from_le_bytes(*word)));
    mix(key ^ u64::from_le_bytes(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<String> {
        query(text, Languages::defaults()).words
    }

    #[test]
    fn texts_give_these_terms() {
        let table: [(&str, &[&str]); 30] = [
            ("", &[]),
            ("  \n\t ... !!", &[]),
            ("Running dogs RUN", &["run", "dog"]),
            ("The cat's café", &["cat", "cafe"]),
            ("Caroline’s книги", &["carolin", "книг"]),
            ("Ёлки и ежи", &["елк", "еж"]),
            ("мой йод, Й", &["йод", "й"]),
            ("За́мок", &["замок"]),
            ("Straße ΣΊΣΥΦΟΣ", &["strass", "σισυφ"]),
            ("getUserName", &["get", "user", "name", "getusernam"]),
            ("snake_case", &["snake", "case", "snake_case"]),
            ("kebab-case", &["kebab", "case", "kebab-case"]),
            ("v1.2.3", &["v1", "2", "3", "v1.2.3"]),
            ("192.168.0.1", &["192", "168", "0", "1", "192.168.0.1"]),
            ("foo.bar()", &["foo", "bar", "foo.bar"]),
            ("C++ and C#", &["c", "c++", "c#"]),
            ("#4711", &["4711", "#4711"]),
            ("ann.lee@mail.example", &["ann", "lee", "mail", "exampl", "ann.lee@mail.example"]),
            ("ABC-123", &["abc", "123", "abc-123"]),
            ("HTTPServer PDFs", &["http", "server", "httpserver", "pdfs"]),
            ("1,000 cats", &["1000", "cat"]),
            ("std::vec", &["std", "vec", "std::vec"]),
            ("wait...what 2023-05-07", &["wait", "2023", "05", "07", "2023-05-07"]),
            ("who are you", &["who", "are", "you"]),
            ("где ты", &["где", "ты"]),
            ("I'm 🎉 happy", &["🎉", "happi"]),
            ("東京タワー", &["東京", "京タ", "タワ", "ワー"]),
            ("猫", &["猫"]),
            ("ﬁne Ⅳ", &["fine", "iv"]),
            ("API для getUser", &["api", "get", "user", "getus"]),
        ];
        let wrong: Vec<_> = table.iter().filter(|(text, expected)| terms(text) != *expected).collect();
        let found: Vec<_> = wrong.iter().map(|(text, _)| terms(text)).collect();
        assert!(wrong.is_empty(), "{wrong:?} gave {found:?}");
    }

    #[test]
    fn a_query_of_a_text_finds_its_terms() {
        for text in ["C++ getUserName", "東京タワー", "#4711 a.b@c.de", "who is it", "ＡＢＣ ё й é"] {
            let languages = Languages::defaults();
            let stored = document(text, languages);
            let terms = query(text, languages);
            for term in &terms.asked {
                let is_stored = stored.terms.iter().any(|(of, _)| *of == term.key);
                assert!(is_stored, "a form of {} of {text}", terms.words[term.word]);
            }
        }
    }

    #[test]
    fn lengths_count_neither_stop_words_nor_wholes() {
        let length = |text| document(text, Languages::defaults()).length;
        assert_eq!(length("the cat is on it"), 1);
        assert_eq!(length("snake_case"), 2);
        assert_eq!(length("東京タワー"), 4);
    }

    #[test]
    fn huge_words_and_texts_are_bounded() {
        let huge = "x".repeat(1_000_000);
        assert_eq!(terms(&huge)[0].len(), 64);
        assert_eq!(terms(&huge), terms(&format!("{huge}y")));
        let many = (0..5000).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(terms(&many).len(), MAX_QUERY_TERMS);
        assert_eq!(document(&many, Languages::defaults()).terms.len(), 5000);
        assert!(terms(&"a.".repeat(100_000)).len() <= 2);
        assert!(terms(&"\u{301}".repeat(10_000)).len() <= 1);
    }
}
