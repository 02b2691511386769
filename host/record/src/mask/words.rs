//! Which words of a sentence, a key or a code may stay: those of the language that Volward and the
//! policies it ships speak. Whatever else stands there may be somebody's name.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The words of Volward's sentences, codes and settings, lower-case, separated by white space. A
/// word that is missing is masked, which costs a reader a word; one too many may cost a name.
static VOCABULARY: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| include_str!("vocabulary.txt").split_whitespace().collect());

/// Keys of the shipped policies whose values are amounts, hours, and words of a list.
const AMOUNTS: &[&str] = &[
    "mode",
    "min-size",
    "max-size",
    "reserve",
    "hours",
    "in-flight",
    "batch",
    "still-allowed",
    "instance-volumes",
    "instance-bytes",
    "instance-copies",
    "node-attachments",
    "node-promised",
    "readers",
    "second-writer",
    "delete-by",
];
/// Keys of the shipped policies whose values are, or begin with, a key of labels or tags.
const KEYS: &[&str] = &["tag", "label"];

/// How settings of the shipped policies begin that have a name in their key.
pub(super) const NAMING: [&str; 3] = ["group-", "rack-", "tenant-"];

/// A word of the vocabulary, in any case.
pub(super) fn is_plain(word: &str) -> bool {
    VOCABULARY.contains(word.to_ascii_lowercase().as_str())
}

/// A number that is no customer's or project's: of a few digits, or an offset in a program.
pub(super) fn is_small(word: &str) -> bool {
    let few = word.len() <= 3 && word.bytes().all(|b| b.is_ascii_digit());
    few || word
        .strip_prefix("0x")
        .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A setting of this key may hold numbers and words of a list.
pub(super) fn holds_amounts(key: &str) -> bool {
    AMOUNTS.contains(&key)
}

/// A setting of this key names a key.
pub(super) fn names_a_key(key: &str) -> bool {
    KEYS.contains(&key)
}

/// `20`, `20GiB`, `22-6`, `writes-only`: what stands in a setting that holds amounts.
pub(super) fn is_amount(word: &str) -> bool {
    let number = |part: &str| {
        let digits = part.trim_start_matches(|c: char| c.is_ascii_digit());
        digits.is_empty() || (digits.len() < part.len() && digits.len() <= 3 && is_unit(digits))
    };
    word.split(['-', ':'])
        .all(|part| number(part) || is_plain(part))
}

fn is_unit(text: &str) -> bool {
    let unit = text.to_ascii_lowercase();
    let unit = unit.trim_end_matches('b').trim_end_matches('i');
    matches!(unit, "" | "k" | "m" | "g" | "t" | "p")
}

/// The run of letters and digits that a text begins with.
pub(super) fn run(text: &str) -> &str {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    &text[..end]
}

/// Part of a word: names may have more in them, but none ends within a run of these.
pub(super) fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The UUID that a text begins with, if it is a whole one.
pub(super) fn uuid(text: &str) -> Option<&str> {
    let candidate = text.get(..36)?;
    let ends = !text[36..].starts_with(is_part);
    (ends && candidate.contains('-') && uuid::Uuid::try_parse(candidate).is_ok())
        .then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_sorted_and_lower_case() {
        let words: Vec<_> = include_str!("vocabulary.txt").split_whitespace().collect();
        assert!(words.len() > 500 && words.windows(2).all(|w| w[0] < w[1]));
        let plain = |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase());
        assert!(words.iter().all(plain));
    }

    #[test]
    fn amounts_are_numbers_with_units_hours_and_words() {
        for amount in [
            "20",
            "20GiB",
            "512MiB",
            "1.5".split('.').next().unwrap(),
            "22-6",
        ] {
            assert!(is_amount(amount), "{amount}");
        }
        assert!(is_amount("writes-only") && is_amount("read-only"));
        for name in ["acme", "20acme", "acme-20", "4711x"] {
            assert!(!is_amount(name), "{name}");
        }
    }
}
