//! Text of a reply on somebody's terminal. Names, hints, denials, notes and log lines come from whoever
//! wrote a domain's XML, a policy or an LVM name: none of them may move the cursor, forge a line or turn
//! the reading direction round.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a reply, every string of it made harmless: values and names of members.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    T::deserialize(harmless(serde_json::from_slice(json)?))
}

fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escaped(&text)),
        Value::Array(items) => items.into_iter().map(harmless).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (escaped(&name), harmless(value)))
            .collect(),
        other => other,
    }
}

/// Control characters, line breaks among them, and what changes the direction or is not seen, as
/// `\u{1b}` and the like.
fn escaped(text: &str) -> String {
    if !text.chars().any(acts) {
        return text.to_owned();
    }
    let shown = |c: char| match acts(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Unicode's control characters, its line and paragraph separators, and its invisible formatting:
/// directions, joiners, the byte order mark.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_and_all_else_is_left() {
        let sent = json!({
            "na\u{1b}[2Jme": ["one\ntwo", "\u{9b}31m", "a\u{202e}b", "\u{feff}", 7, null],
            "plain": "größer / naïve 日本 — ✓",
        });
        let read: Value = read(sent.to_string().as_bytes()).unwrap();
        assert_eq!(
            read,
            json!({
                "na\\u{1b}[2Jme": ["one\\ntwo", "\\u{9b}31m", "a\\u{202e}b", "\\u{feff}", 7, null],
                "plain": "größer / naïve 日本 — ✓",
            })
        );
    }
}
