//! The policy's configuration: the `[config]` table of its `NN-name.toml`.
//!
//! In native tests there is none until [`set_for_test`] gives one.

mod reader;

pub use reader::{Reader, bytes, is_uuid};

use crate::Problem;

/// The value of a key, as text.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    source::get(key)
}

/// Everything that is configured.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    source::all()
}

/// One problem for every configured key that is not in `known`, with a guess at what was meant.
#[must_use]
pub fn unknown_keys(known: &[&str]) -> Vec<Problem> {
    unknown(all().into_iter().map(|(key, _)| key), known)
}

fn unknown(keys: impl Iterator<Item = String>, known: &[&str]) -> Vec<Problem> {
    let unknown = keys.filter(|key| !known.contains(&key.as_str()));
    unknown
        .map(|key| {
            let message = match nearest(&key, known) {
                Some(meant) => format!("unknown key; did you mean {meant:?}?"),
                None => format!("unknown key; known are: {}", known.join(", ")),
            };
            Problem { key, message }
        })
        .collect()
}

/// The known key that is fewest edits away, if that is close enough to be what was meant.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, meant) = known.iter().map(|k| (edits(key, k), *k)).min()?;
    (distance <= 1 + meant.len() / 4).then_some(meant)
}

/// Levenshtein's distance, in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(target_family = "wasm")]
mod source {
    pub(super) use crate::bindings::volward::policy::config::{all, get};
}

#[cfg(not(target_family = "wasm"))]
pub use source::set_for_test;

/// On any other target the policy is being tested, and there is no daemon to ask.
#[cfg(not(target_family = "wasm"))]
mod source {
    use std::cell::RefCell;

    thread_local!(static CONFIG: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) });

    pub(super) fn get(key: &str) -> Option<String> {
        all().into_iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    pub(super) fn all() -> Vec<(String, String)> {
        CONFIG.with_borrow(Clone::clone)
    }

    /// Sets this thread's whole configuration; every test has a thread of its own.
    pub fn set_for_test(config: &[(&str, &str)]) {
        let owned = config
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        CONFIG.replace(owned.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_named_with_what_was_meant() {
        set_for_test(&[("min-sise", "1"), ("colour", "red"), ("hours", "0-5")]);
        let problems = unknown_keys(&["min-size", "hours"]);
        let said: Vec<_> = problems
            .iter()
            .map(|p| (p.key.as_str(), p.message.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("min-sise", "unknown key; did you mean \"min-size\"?"),
                ("colour", "unknown key; known are: min-size, hours"),
            ]
        );
    }

    #[test]
    fn edits_count() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
