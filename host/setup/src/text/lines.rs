//! `key = value`, a line each: sanlock.conf, and the shell's variables in /etc/default.

use super::{NotUnderstood, ended};

/// The value of a key; of several lines the last one, which is the one that counts.
pub(crate) fn setting<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    found(text, key).map(|(_, value)| value)
}

/// The same text in which `line` says what the key is: in place of the line that did, else at the end.
pub(crate) fn with_setting(text: &str, key: &str, line: &str) -> String {
    let Some((number, _)) = found(text, key) else {
        return ended(text) + line + "\n";
    };
    let mut changed = String::new();
    for (n, was) in text.split_inclusive('\n').enumerate() {
        if n == number {
            changed.push_str(line);
            changed.push_str(if was.ends_with('\n') { "\n" } else { "" });
        } else {
            changed.push_str(was);
        }
    }
    changed
}

fn found<'a>(text: &'a str, key: &str) -> Option<(usize, &'a str)> {
    let lines = text.lines().enumerate();
    let settings = lines.filter_map(|(number, line)| {
        let (name, value) = line.trim_start().split_once('=')?;
        (name.trim_end() == key).then_some((number, value.trim()))
    });
    settings.last()
}

/// What the shell makes of a value that is one word or stands in quotes, without anything that it would expand.
pub(crate) fn unquoted(value: &str) -> Result<String, NotUnderstood> {
    let inside = ['"', '\''].iter().find_map(|&quote| {
        let inside = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains(quote)).then_some(inside)
    });
    let plain = inside.unwrap_or(value);
    let meant = |c: char| {
        "$`\\\"'".contains(c) || (inside.is_none() && (c.is_whitespace() || "#;&|<>()".contains(c)))
    };
    if plain.contains(meant) {
        return Err(NotUnderstood {
            line: 1,
            what: format!("{value} is more than a plain value"),
        });
    }
    Ok(plain.to_owned())
}

/// A plain value as the shell reads it.
pub(crate) fn quoted(value: &str) -> String {
    format!("\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_replaced_where_it_stands_and_comments_are_none() {
        let text = "# opts=\"-w 1\"\nopts=\"-w 0\"\n\nother=1\n";
        assert_eq!(setting(text, "opts"), Some("\"-w 0\""));
        assert_eq!(
            with_setting(text, "opts", "opts=\"\""),
            "# opts=\"-w 1\"\nopts=\"\"\n\nother=1\n"
        );
        assert_eq!(with_setting("a=1", "b", "b = 2"), "a=1\nb = 2\n");
        assert_eq!(with_setting("", "b", "b = 2"), "b = 2\n");
        assert_eq!(with_setting("b=1", "b", "b = 2"), "b = 2");
    }

    #[test]
    fn the_last_of_two_lines_counts() {
        let text = "a = 1\na = 2\n";
        assert_eq!(setting(text, "a"), Some("2"));
        assert_eq!(with_setting(text, "a", "a = 3"), "a = 1\na = 3\n");
    }

    #[test]
    fn what_the_shell_would_expand_is_not_understood() {
        assert_eq!(unquoted("\"-w 0 -e n1\"").unwrap(), "-w 0 -e n1");
        assert_eq!(unquoted("'-w 0'").unwrap(), "-w 0");
        assert_eq!(unquoted("1").unwrap(), "1");
        assert_eq!(unquoted("").unwrap(), "");
        for value in [
            "\"$X\"",
            "\"-w 0\" # no",
            "-w 0",
            "\"a\"\"b\"",
            "`x`",
            "\"a",
        ] {
            assert!(unquoted(value).is_err(), "{value}");
        }
    }
}
