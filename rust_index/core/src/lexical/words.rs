//! Text to words: normal forms, word boundaries, parts of identifiers, characters of scripts without spaces.
//!
//! Sources: Unicode Standard Annex 15 (normal forms) and Annex 29 (word boundaries).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// Characters of a word that count; words that differ later are the same.
const MAX_WORD_CHARS: usize = 64;
/// Characters that join words into one identifier, address, number or name.
const CONNECTORS: &str = "-_.@:/+#&";

/// What a word is to its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A word.
    Word,
    /// An identifier or the like whose parts are words of their own.
    Whole,
    /// Two characters of a script without spaces.
    Bigram,
    /// One character of such a script, of which bigrams tell more.
    Unigram,
}

/// Calls `emit` with each word, in lower case. `O(length)`.
pub(super) fn words(text: &str, mut emit: impl FnMut(&str, Role)) {
    let text = normal_form(text);
    let mut compound = Compound::default();
    let mut unspaced: Vec<char> = Vec::new();
    for (start, segment) in text.split_word_bound_indices() {
        let first = segment.chars().next().unwrap_or(' ');
        if is_unspaced(first) {
            compound.finish(&text, &mut emit);
            unspaced.extend(segment.chars());
            continue;
        }
        grams(&mut unspaced, &mut emit);
        if segment.contains(char::is_alphanumeric) {
            compound.extend(start, segment, &mut emit);
        } else if !compound.connect(segment) {
            compound.finish(&text, &mut emit);
            if is_emoji(first) {
                let bare: String = segment.chars().filter(|&c| c != '\u{FE0F}').collect();
                emit(&bare, Role::Word);
            }
            compound.begins_with_sign = segment == "#";
        }
    }
    grams(&mut unspaced, &mut emit);
    compound.finish(&text, &mut emit);
}

/// Words that follow each other with nothing but a connector between.
#[derive(Default)]
struct Compound {
    start: usize,
    end: usize,
    n_parts: usize,
    /// Connectors since the last word.
    connectors: String,
    begins_with_sign: bool,
}

impl Compound {
    fn extend(&mut self, start: usize, segment: &str, emit: &mut impl FnMut(&str, Role)) {
        if self.n_parts == 0 {
            self.start = start;
        }
        self.end = start + segment.len();
        self.connectors.clear();
        if segment.contains(',') {
            // A number with grouped digits is the number.
            self.n_parts += 1;
            emit(&segment.replace(',', ""), Role::Word);
            return;
        }
        for part in segment.split(|c: char| !c.is_alphanumeric() && c != '\'' && !is_combining_mark(c)) {
            split_case(part, |part| {
                let part = lower(part);
                let part = part.strip_suffix("'s").unwrap_or(&part).trim_matches('\'');
                if !part.is_empty() {
                    self.n_parts += 1;
                    emit(part, Role::Word);
                }
            });
        }
    }

    /// Takes a connector; tells whether it was one.
    fn connect(&mut self, segment: &str) -> bool {
        // Two of a kind join as in `a::b` and stand behind `C++`; three are a pause or a line.
        let joins = self.n_parts > 0
            && segment.len() == 1
            && CONNECTORS.contains(segment)
            && self.connectors.len() < 2
            && self.connectors.chars().all(|c| (c == ':' || c == '+') && segment.starts_with(c));
        if joins {
            self.connectors.push_str(segment);
        }
        joins
    }

    fn finish(&mut self, text: &str, emit: &mut impl FnMut(&str, Role)) {
        let ends_with_sign = matches!(self.connectors.as_str(), "++" | "#");
        if self.n_parts > 0 && (self.n_parts > 1 || ends_with_sign || self.begins_with_sign) {
            let start = self.start - usize::from(self.begins_with_sign);
            let end = self.end + if ends_with_sign { self.connectors.len() } else { 0 };
            let whole = lower(&text[start..end]);
            emit(whole.strip_suffix("'s").unwrap_or(&whole), Role::Whole);
        }
        *self = Self::default();
    }
}

/// Splits where a capital begins a word: `getUserName`, `HTTPServer`; not `PDFs`.
fn split_case(word: &str, mut emit: impl FnMut(&str)) {
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    let is_lower = |at: usize| chars.get(at).is_some_and(|(_, c)| c.is_lowercase());
    let is_upper = |at: usize| chars.get(at).is_some_and(|(_, c)| c.is_uppercase());
    let mut start = 0;
    for at in 1..chars.len() {
        let begins = is_upper(at) && (is_lower(at - 1) || (is_upper(at - 1) && is_lower(at + 1) && is_lower(at + 2)));
        if begins {
            emit(&word[start..chars[at].0]);
            start = chars[at].0;
        }
    }
    emit(&word[start..]);
}

/// Emits the characters of a run without spaces.
fn grams(run: &mut Vec<char>, emit: &mut impl FnMut(&str, Role)) {
    let alone = if run.len() == 1 { Role::Word } else { Role::Unigram };
    let mut text = [0; 8];
    for &c in run.iter() {
        emit(c.encode_utf8(&mut text), alone);
    }
    for pair in run.windows(2) {
        emit(&pair.iter().collect::<String>(), Role::Bigram);
    }
    run.clear();
}

/// Compatibility forms made equal, accents of Latin and Greek letters and stress marks of Cyrillic vowels dropped, "ё" as "е".
fn normal_form(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut base = ' ';
    let kept = text.nfkd().filter(|&c| {
        if !is_combining_mark(c) {
            base = c;
            return true;
        }
        match (base, c) {
            ('е' | 'Е', '\u{308}') => false,
            ('а'..='я' | 'А'..='Я' | 'ё' | 'і' | 'є', '\u{300}' | '\u{301}') => "гГкК".contains(base),
            _ => !(base.is_ascii_alphabetic() || matches!(u32::from(base), 0x80..=0x3FF)),
        }
    });
    Cow::Owned(kept.nfc().map(|c| if matches!(c, '’' | 'ʼ' | '‘') { '\'' } else { c }).collect())
}

/// Lower case with the foldings that lower case lacks, no longer than a word may be.
fn lower(word: &str) -> String {
    let mut lower = String::with_capacity(word.len());
    for c in word.chars().take(MAX_WORD_CHARS).flat_map(char::to_lowercase) {
        match c {
            'ß' => lower.push_str("ss"),
            'ς' => lower.push('σ'),
            // What "İ" leaves behind.
            '\u{307}' => {}
            c => lower.push(c),
        }
    }
    lower
}

/// Characters of scripts that are written without spaces, or in which words have endings without a stemmer here.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0xE01..=0xEDF | 0x1000..=0x109F | 0x1100..=0x11FF | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x20000..=0x323AF)
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c), 0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2B00..=0x2BFF)
}
