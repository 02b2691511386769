//! Reads a configuration key by key, and collects what is wrong with it.

use super::{all, get, unknown};
use crate::Problem;

/// Reads keys as what they should be. What is wrong counts as not configured, and is among the
/// problems: `check_config` returns them, and the other hooks need not look.
///
/// ```
/// use volward_sdk::{Problem, config};
///
/// fn read() -> (u64, Vec<Problem>) {
///     let mut config = config::Reader::new(&["max-size"]);
///     let max_size = config.size("max-size").unwrap_or(u64::MAX);
///     (max_size, config.problems())
/// }
///
/// config::set_for_test(&[("max-size", "20GiB")]);
/// assert_eq!(read(), (20 << 30, vec![]));
///
/// config::set_for_test(&[("max-size", "20GB"), ("min-size", "1")]);
/// let (_, problems) = read();
/// assert_eq!(problems[0].message, "unknown key; did you mean \"max-size\"?");
/// assert_eq!(problems[1].message, "\"20GB\" is not a size such as \"20GiB\" or a number of bytes");
/// ```
#[derive(Debug)]
pub struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    /// Begins, with a problem for every configured key that is not in `known`.
    #[must_use]
    pub fn new(known: &[&str]) -> Self {
        Self::with_prefix(known, None)
    }

    /// Keys that begin with `prefix` are known too: see [`Reader::beginning`].
    #[must_use]
    pub fn with_prefix(known: &[&str], prefix: Option<&str>) -> Self {
        let is_unknown = |key: &str| !prefix.is_some_and(|prefix| key.starts_with(prefix));
        let keys = all().into_iter().map(|(key, _)| key);
        Self {
            problems: unknown(keys.filter(|key| is_unknown(key)), known),
        }
    }

    /// A key's value as `parse` reads it; `expected` completes "... is not ...".
    pub fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = get(key)?;
        let value = parse(&text);
        if value.is_none() {
            self.problem(key, format!("{text:?} is not {expected}"));
        }
        value
    }

    /// Bytes, with a binary unit or without.
    pub fn size(&mut self, key: &str) -> Option<u64> {
        self.parsed(key, "a size such as \"20GiB\" or a number of bytes", bytes)
    }

    /// A whole number, zero or more.
    pub fn number(&mut self, key: &str) -> Option<u64> {
        self.parsed(key, "a whole number", |text| text.trim().parse().ok())
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect();
        let expected = match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        self.parsed(key, &expected, |text| {
            choices
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
        })
    }

    /// Words, separated by spaces or commas; none if the key is not there.
    pub fn words(&mut self, key: &str) -> Vec<String> {
        words(&get(key).unwrap_or_default())
    }

    /// Instances by their UUIDs, separated as words are. Anything else is a problem: what a guest is
    /// called names nobody, and would be passed over in silence.
    pub fn instances(&mut self, key: &str) -> Vec<String> {
        let (instances, others): (Vec<_>, Vec<_>) =
            self.words(key).into_iter().partition(|word| is_uuid(word));
        if let Some(other) = others.first() {
            self.problem(key, format!("{other:?} is not the UUID of an instance"));
        }
        instances
    }

    /// All keys that begin with `prefix`: what follows it, and the words of the value.
    pub fn beginning(&mut self, prefix: &str) -> Vec<(String, Vec<String>)> {
        let named = all()
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), words(&value))));
        named.collect()
    }

    /// Adds a problem of the policy's own.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(key, message));
    }

    /// Everything that is wrong.
    #[must_use]
    pub fn problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// 8-4-4-4-12 hexadecimal digits, in any case: compare them with
/// [`eq_ignore_ascii_case`](str::eq_ignore_ascii_case).
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn words(text: &str) -> Vec<String> {
    let words = text.split([' ', ',', '\n', '\t']);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Bytes, with a binary unit or without.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

    let with_unit = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (number, shift) = with_unit.unwrap_or((text, &0));
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::set_for_test;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(bytes("20GiB"), Some(20 << 30));
        assert_eq!(bytes("20 MiB"), Some(20 << 20));
        assert_eq!(bytes("512"), Some(512));
        for bad in ["20GB", "-1", "1.5GiB", "", "99999999999TiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn instances_are_uuids() {
        let good = "aaaaaaaa-0000-0000-0000-00000000000F";
        for bad in [
            "web1",
            "aaaaaaaa-0000-0000-0000-00000000000",
            "g".repeat(36).as_str(),
        ] {
            assert!(is_uuid(good) && !is_uuid(bad), "{bad}");
            set_for_test(&[("exempt", &format!("{good}, {bad}"))]);
            let mut read = Reader::new(&["exempt"]);
            assert_eq!(read.instances("exempt"), [good]);
            let said = read.problems().remove(0).message;
            assert_eq!(said, format!("{bad:?} is not the UUID of an instance"));
        }
    }

    #[test]
    fn what_is_wrong_counts_as_not_configured_and_is_named() {
        set_for_test(&[("count", "3.5"), ("who", "b"), ("colour", "red")]);
        let mut read = Reader::new(&["count", "who"]);
        assert_eq!(read.number("count"), None);
        assert_eq!(read.choice("who", &[("a", 1), ("c", 2)]), None);
        let said: Vec<String> = read
            .problems()
            .iter()
            .map(|p| format!("{}: {}", p.key, p.message))
            .collect();
        assert_eq!(
            said,
            [
                "colour: unknown key; known are: count, who",
                "count: \"3.5\" is not a whole number",
                "who: \"b\" is not \"a\" or \"c\"",
            ]
        );
    }

    #[test]
    fn a_prefix_opens_a_family_of_keys() {
        set_for_test(&[("group-db", "a, b"), ("group-web", ""), ("grup-x", "c")]);
        let mut read = Reader::with_prefix(&["tag"], Some("group-"));
        let groups = read.beginning("group-");
        assert_eq!(
            groups[0],
            ("db".to_owned(), vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(groups[1], ("web".to_owned(), vec![]));
        assert_eq!(read.problems().len(), 1);
    }
}
