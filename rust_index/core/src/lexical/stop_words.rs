//! Words that say nothing of what a text is about: articles, prepositions, pronouns, auxiliary verbs, and, because queries
//! are questions, the words that ask. "May" and "need" are left out: they are a month and a thing.

/// Whether a lower-case word, written with "е" for "ё", is a stop word of English or Russian. `O(log n)`.
pub(super) fn is_stop_word(word: &str) -> bool {
    let list: &[&str] = if word.is_ascii() { &ENGLISH } else { &RUSSIAN };
    list.binary_search(&word).is_ok()
}

/// Ascending.
#[rustfmt::skip]
const ENGLISH: [&str; 212] = [
    "a", "about", "above", "after", "again", "against", "ain", "all", "am", "an", "and", "any", "are", "aren",
    "aren't", "as", "at", "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can",
    "can't", "cannot", "could", "couldn", "couldn't", "d", "did", "didn", "didn't", "do", "does", "doesn", "doesn't",
    "doing", "don", "don't", "down", "during", "each", "either", "else", "ever", "few", "for", "from", "further",
    "had", "hadn", "hadn't", "has", "hasn", "hasn't", "have", "haven", "haven't", "having", "he", "he'd", "he'll",
    "her", "here", "hers", "herself", "him", "himself", "his", "how", "i", "i'd", "i'll", "i'm", "i've", "if", "in",
    "into", "is", "isn", "isn't", "it", "it'd", "it'll", "its", "itself", "just", "let", "ll", "m", "many", "me",
    "might", "mightn", "mightn't", "more", "most", "much", "must", "mustn", "mustn't", "my", "myself", "needn",
    "needn't", "no", "nor", "not", "now", "o", "of", "off", "on", "once", "only", "or", "other", "ought", "our",
    "ours", "ourselves", "out", "over", "own", "re", "s", "same", "shall", "shan", "shan't", "she", "she'd", "she'll",
    "should", "should've", "shouldn", "shouldn't", "so", "some", "such", "t", "than", "that", "that'll", "the",
    "their", "theirs", "them", "themselves", "then", "there", "these", "they", "they'd", "they'll", "they're",
    "they've", "this", "those", "through", "to", "too", "under", "until", "up", "us", "ve", "very", "was", "wasn",
    "wasn't", "we", "we'd", "we'll", "we're", "we've", "were", "weren", "weren't", "what", "whatever", "when",
    "where", "whether", "which", "while", "who", "whom", "whose", "why", "will", "with", "won", "won't", "would",
    "wouldn", "wouldn't", "y", "you", "you'd", "you'll", "you're", "you've", "your", "yours", "yourself",
    "yourselves",
];

/// Ascending.
#[rustfmt::skip]
const RUSSIAN: [&str; 259] = [
    "а", "без", "более", "больше", "будем", "будет", "будете", "будешь", "будто", "буду", "будут", "будь", "бы",
    "был", "была", "были", "было", "быть", "в", "вам", "вами", "вас", "ваш", "ваша", "ваше", "вашего", "вашей",
    "ваши", "ваших", "вдруг", "ведь", "во", "вот", "впрочем", "все", "всегда", "всего", "всей", "всем", "всеми",
    "всех", "всею", "всю", "вся", "всякий", "вы", "г", "где", "да", "даже", "два", "для", "до", "другой", "его", "ее",
    "ей", "ему", "если", "есть", "еще", "ж", "же", "за", "зачем", "здесь", "и", "из", "или", "им", "ими", "иногда",
    "их", "к", "каждый", "как", "какая", "какие", "каким", "каких", "какого", "какое", "какой", "какому", "какую",
    "ко", "когда", "кого", "кое", "ком", "кому", "конечно", "которая", "которого", "которое", "которой", "котором",
    "которому", "которую", "которые", "который", "которых", "кто", "куда", "ли", "либо", "лишь", "лучше", "между",
    "меня", "мне", "много", "мной", "мною", "мог", "могла", "могли", "мое", "моего", "моей", "может", "можно", "мои",
    "моих", "мой", "моя", "мы", "на", "над", "надо", "наконец", "нам", "нами", "нас", "наш", "наша", "наше", "нашего",
    "нашей", "наши", "наших", "не", "него", "нее", "ней", "нельзя", "нем", "нет", "неужели", "нею", "ни", "нибудь",
    "никогда", "ним", "ними", "них", "ничего", "но", "ну", "о", "об", "один", "она", "они", "оно", "опять", "от",
    "откуда", "отчего", "перед", "по", "под", "после", "потом", "потому", "почему", "почти", "при", "про", "раз",
    "разве", "с", "сам", "сама", "сами", "само", "свое", "своего", "своей", "свои", "своих", "свой", "своя", "себе",
    "себя", "сейчас", "сколько", "со", "совсем", "так", "такая", "такие", "такое", "такой", "там", "твое", "твои",
    "твой", "твоя", "тебе", "тебя", "тем", "теми", "теперь", "то", "тобой", "тобою", "тогда", "того", "тоже", "той",
    "только", "том", "тому", "тот", "тою", "ту", "тут", "ты", "у", "уж", "уже", "хорошо", "хоть", "хотя", "чего",
    "чей", "чем", "через", "что", "чтоб", "чтобы", "чуть", "чье", "чьи", "чья", "эта", "эти", "этим", "этими", "этих",
    "это", "этого", "этой", "этом", "этому", "этот", "эту", "я",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_ascending_and_spelt_as_the_analysis_spells() {
        assert!(ENGLISH.is_sorted() && RUSSIAN.is_sorted());
        assert!(RUSSIAN.iter().all(|word| !word.contains('ё') && !word.is_ascii()));
        assert!(ENGLISH.iter().all(|word| word.is_ascii()));
        assert!(["who", "did", "you", "где", "какого", "она"].into_iter().all(is_stop_word));
        assert!(!["may", "cat", "май", ""].into_iter().any(is_stop_word));
    }
}
