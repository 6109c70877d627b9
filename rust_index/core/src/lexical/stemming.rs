//! Which stemmer a word gets: by its script, and by the language of the text where several languages share the script.
//!
//! Source of the stemmers: Porter, "Snowball: a language for stemming algorithms" (2001), version 3.

use snowball_stemmers_rs::{Algorithm, Stemmer};

/// A writing system that has a stemmer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Cyrillic,
    Greek,
    Arabic,
    Devanagari,
    Armenian,
    Tamil,
}

/// Languages by their ISO 639-1 code. The place in the table is a bit of [`Languages`], which snapshots keep: only append.
const TABLE: [(&str, Script, Algorithm); 34] = [
    ("en", Script::Latin, Algorithm::English),
    ("ru", Script::Cyrillic, Algorithm::Russian),
    ("el", Script::Greek, Algorithm::Greek),
    ("ar", Script::Arabic, Algorithm::Arabic),
    ("hi", Script::Devanagari, Algorithm::Hindi),
    ("hy", Script::Armenian, Algorithm::Armenian),
    ("ta", Script::Tamil, Algorithm::Tamil),
    ("eu", Script::Latin, Algorithm::Basque),
    ("ca", Script::Latin, Algorithm::Catalan),
    ("cs", Script::Latin, Algorithm::Czech),
    ("da", Script::Latin, Algorithm::Danish),
    ("nl", Script::Latin, Algorithm::Dutch),
    ("eo", Script::Latin, Algorithm::Esperanto),
    ("et", Script::Latin, Algorithm::Estonian),
    ("fi", Script::Latin, Algorithm::Finnish),
    ("fr", Script::Latin, Algorithm::French),
    ("de", Script::Latin, Algorithm::German),
    ("hu", Script::Latin, Algorithm::Hungarian),
    ("id", Script::Latin, Algorithm::Indonesian),
    ("ga", Script::Latin, Algorithm::Irish),
    ("it", Script::Latin, Algorithm::Italian),
    ("lt", Script::Latin, Algorithm::Lithuanian),
    ("no", Script::Latin, Algorithm::Norwegian),
    ("pl", Script::Latin, Algorithm::Polish),
    ("pt", Script::Latin, Algorithm::Portuguese),
    ("ro", Script::Latin, Algorithm::Romanian),
    ("st", Script::Latin, Algorithm::Sesotho),
    ("es", Script::Latin, Algorithm::Spanish),
    ("sv", Script::Latin, Algorithm::Swedish),
    ("tr", Script::Latin, Algorithm::Turkish),
    ("uk", Script::Cyrillic, Algorithm::Ukrainian),
    ("sr", Script::Cyrillic, Algorithm::Serbian),
    ("fa", Script::Arabic, Algorithm::Persian),
    ("ne", Script::Devanagari, Algorithm::Nepali),
];
/// The first languages are the defaults of the scripts, one each.
const DEFAULTS: u64 = 0b111_1111;

/// A set of languages, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Languages(u64);

impl Languages {
    /// The language of each script where none is told.
    pub(crate) fn defaults() -> Self {
        Self(DEFAULTS)
    }

    /// The language of each script in a text of a language; one without a stemmer changes nothing. A region is ignored.
    pub(crate) fn of_text(language: &str) -> Self {
        let code = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        let code = if code == "nb" || code == "nn" { "no" } else { code.as_str() };
        let Some(place) = TABLE.iter().position(|(known, ..)| *known == code) else { return Self::defaults() };
        let same_script = |other: usize| TABLE[other].1 == TABLE[place].1;
        let others = (0..7).filter(|&other| !same_script(other)).map(|other| 1 << other).sum::<u64>();
        Self(others | 1 << place)
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The number that a snapshot keeps.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The set of a snapshot's number, unless it has bits that stand for nothing.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        (bits >> TABLE.len() == 0 && bits & DEFAULTS == DEFAULTS).then_some(Self(bits))
    }

    /// Calls `emit` with the stem of a lower-case word by each language of its script: once for a text's languages. A word
    /// of a script without a stemmer, or with digits, is its own stem.
    pub(super) fn stems(self, word: &str, mut emit: impl FnMut(&str)) {
        let script = word.chars().next().and_then(script_of);
        let (Some(script), true) = (script, word.chars().all(|c| !c.is_numeric())) else { return emit(word) };
        for (place, (_, of, algorithm)) in TABLE.iter().enumerate() {
            if self.0 >> place & 1 == 1 && *of == script {
                let stem = Stemmer::create(*algorithm).stem(word);
                emit(if stem.is_empty() { word } else { &stem });
            }
        }
    }
}

fn script_of(c: char) -> Option<Script> {
    match u32::from(c) {
        0x41..=0x24F | 0x1E00..=0x1EFF => Some(Script::Latin),
        0x370..=0x3FF | 0x1F00..=0x1FFF => Some(Script::Greek),
        0x400..=0x52F => Some(Script::Cyrillic),
        0x530..=0x58F => Some(Script::Armenian),
        0x600..=0x6FF => Some(Script::Arabic),
        0x900..=0x97F => Some(Script::Devanagari),
        0xB80..=0xBFF => Some(Script::Tamil),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(languages: Languages, word: &str) -> Vec<String> {
        let mut stems = Vec::new();
        languages.stems(word, |stem| stems.push(stem.to_owned()));
        stems
    }

    #[test]
    fn a_language_replaces_the_default_of_its_script_only() {
        let german = Languages::of_text("de-AT");
        assert_eq!(stems(german, "hauses"), ["haus"]);
        assert_eq!(stems(german, "кошками"), ["кошк"]);
        assert_eq!(stems(Languages::of_text(""), "running"), ["run"]);
        assert_eq!(Languages::of_text("vi"), Languages::defaults());
        assert_eq!(stems(Languages::defaults(), "7th"), ["7th"]);
    }

    #[test]
    fn a_union_stems_by_each() {
        let both = Languages::defaults().union(Languages::of_text("de"));
        assert_eq!(stems(both, "hauses"), ["haus", "haus"]);
        assert_eq!(Languages::from_bits(both.bits()), Some(both));
        assert_eq!(Languages::from_bits(1 << 60), None);
        assert_eq!(Languages::from_bits(0), None);
    }
}
