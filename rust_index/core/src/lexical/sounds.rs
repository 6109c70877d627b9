//! How a word begins, as it sounds, in Latin letters whatever its script: forms of a word that a stemmer keeps apart,
//! misspelt words and names in another script have this in common.
//!
//! Letters are those of the usual transcription of Cyrillic (BGN/PCGN 1947) and Greek (ISO 843); of letters and groups that
//! languages write differently ("sh", "ш"; "ph", "ф"; "w", "v") one stands for all.

use unicode_normalization::char::is_combining_mark;

/// Letters of the beginning: in languages of Europe four find most (`McNamee` and Mayfield, "Character n-gram tokenization for
/// European language text retrieval", 2004).
const LETTERS: usize = 4;

/// The first letters of a lower-case word as they sound; none for a shorter word, or one with digits or letters of scripts
/// that are not spelt by sound.
pub(super) fn beginning(word: &str) -> Option<String> {
    let mut sounds = Sounds::default();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let group = GROUPS.iter().find(|(written, _)| rest.starts_with(written));
        let after = &rest[group.map_or(first.len_utf8(), |(written, _)| written.len())..];
        match group {
            Some((_, sound)) => sounds.push(sound),
            None if first == 'c' => sounds.push(if after.starts_with(['e', 'i', 'y']) { "s" } else { "k" }),
            // "Yalta" is "Ялта": the vowel alone is heard.
            None if first == 'y' => sounds.push(if after.starts_with(['a', 'e', 'o', 'u']) { "" } else { "i" }),
            None if first == '\'' || is_combining_mark(first) => {}
            None => match sound_of(first) {
                Some(sound) => sounds.push(sound),
                None if first.is_alphabetic() => sounds.push(first.encode_utf8(&mut [0; 4])),
                None => return None,
            },
        }
        if sounds.n == LETTERS {
            // A digit behind makes it no word.
            return after.chars().all(|c| !c.is_numeric()).then_some(sounds.letters);
        }
        rest = after;
    }
    None
}

#[derive(Default)]
struct Sounds {
    letters: String,
    n: usize,
}

impl Sounds {
    /// Adds letters, double ones once.
    fn push(&mut self, sound: &str) {
        for c in sound.chars() {
            if self.n < LETTERS && !self.letters.ends_with(c) {
                self.letters.push(c);
                self.n += 1;
            }
        }
    }
}

/// Groups of letters with a sound of their own, longer ones first.
const GROUPS: [(&str, &str); 17] = [
    ("dzh", "j"),
    ("sch", "s"),
    ("tch", "c"),
    ("ph", "f"),
    ("th", "t"),
    ("sh", "s"),
    ("ch", "c"),
    ("zh", "z"),
    ("kh", "h"),
    ("ck", "k"),
    ("ts", "c"),
    ("tz", "c"),
    ("wh", "v"),
    ("qu", "kv"),
    ("ee", "i"),
    ("oo", "u"),
    ("дж", "j"),
];

/// What a letter stands for, where that is another one.
fn sound_of(letter: char) -> Option<&'static str> {
    Some(match letter {
        'q' | 'к' | 'κ' => "k",
        'w' | 'в' | 'ў' => "v",
        'x' | 'ξ' => "ks",
        'а' | 'я' | 'α' => "a",
        'б' | 'β' => "b",
        'г' | 'ґ' | 'γ' => "g",
        'д' | 'ђ' | 'δ' => "d",
        'е' | 'э' | 'є' | 'ё' | 'ε' => "e",
        'ж' | 'з' | 'ζ' => "z",
        'и' | 'й' | 'і' | 'ї' | 'ы' | 'η' | 'ι' | 'υ' => "i",
        'ј' | 'џ' => "j",
        'л' | 'љ' | 'λ' => "l",
        'м' | 'μ' => "m",
        'н' | 'њ' | 'ν' => "n",
        'о' | 'ο' | 'ω' => "o",
        'п' | 'π' => "p",
        'р' | 'ρ' => "r",
        'с' | 'ш' | 'щ' | 'σ' => "s",
        'т' | 'θ' | 'τ' => "t",
        'у' | 'ю' => "u",
        'ф' | 'φ' => "f",
        'х' | 'χ' => "h",
        'ц' | 'ч' | 'ћ' => "c",
        'ъ' | 'ь' => "",
        'ψ' => "ps",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_begin_alike_in_either_script() {
        let alike = [
            ("вашингтон", "washington"),
            ("манчестер", "manchester"),
            ("норман", "norman"),
            ("джорджия", "jordzhiya"),
            ("филадельфия", "philadelphia"),
            ("шварц", "schwarz"),
            ("хрущев", "khrushchev"),
            ("квебек", "quebec"),
            ("ялта", "yalta"),
            ("ельцин", "yeltsin"),
            ("люфтваффе", "luftwaffe"),
            ("ксенон", "xenon"),
            ("αφρικη", "африка"),
            ("населенный", "населением"),
            ("receive", "receipt"),
            ("commit", "comit"),
        ];
        for (one, other) in alike {
            let of_one = beginning(one);
            assert!(of_one.as_ref().is_some_and(|letters| letters.chars().count() == LETTERS), "{one}: {of_one:?}");
            assert_eq!(of_one, beginning(other), "{one} {other}");
        }
        for (one, other) in [("норман", "роман"), ("york", "yorick"), ("city", "kite")] {
            assert_ne!(beginning(one), beginning(other), "{one} {other}");
        }
    }

    #[test]
    fn short_words_and_numbers_have_none() {
        for word in ["", "cat", "кот", "ooze", "1990", "v1beta", "abcd1", "ьььь", "🎉🎉🎉🎉", "a.b.c.d"]
        {
            assert_eq!(beginning(word), None, "{word}");
        }
        assert_eq!(beginning("חברים").as_deref(), Some("חברי"));
    }
}
