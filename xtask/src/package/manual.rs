//! volward.toml(5), of packaging/volward.toml: the file explains each of its keys, and a test of the
//! daemon holds it to have all of them.

/// The page, in roff. A comment before a key or a section tells of it; so does one behind it.
pub(crate) fn page(packaged: &str) -> String {
    let mut text = String::from(
        ".TH VOLWARD.TOML 5 \"\" \"\" Volward\n.SH NAME\nvolward.toml \\- the configuration of volwardd(8)\n\
         .SH SYNOPSIS\n/etc/volward/volward.toml\n.SH DESCRIPTION\n",
    );
    // The first paragraph is the file's own heading, about how it is written.
    let paragraphs = packaged.split("\n\n").skip(1);
    text += "TOML, read by volwardd and by libvirt's hook when they start. `volward setup` writes the node's name\n\
             and its pools. An unknown key is refused; `volwardd \\-\\-check` checks the file.\n.SH KEYS\n";
    for paragraph in paragraphs {
        section(paragraph, &mut text);
    }
    text += ".SH SEE ALSO\nvolwardd(8), volward(1), volward\\-policy(1)\n";
    text
}

/// One paragraph of the file: its words, then perhaps a heading, then keys.
fn section(paragraph: &str, text: &mut String) {
    let mut words: Vec<String> = Vec::new();
    for line in paragraph.lines() {
        if let Some(table) = table(line) {
            text.push_str(&format!(".SS {}\n", escaped(table)));
            flush(&mut words, text);
        } else if let Some(key) = key(line) {
            text.push_str(&format!(".TP\n.B {}\n", escaped(key.name)));
            if let Some(behind) = key.behind {
                words.push(sentence(behind));
            }
            words.push(match key.default {
                true => format!("Default: {}.", key.value),
                false => format!("For example: {}.", key.value),
            });
            flush(&mut words, text);
        } else if let Some(comment) = comment(line) {
            words.push(comment.to_owned());
        }
    }
    if !words.is_empty() {
        text.push_str(".PP\n");
        flush(&mut words, text);
    }
}

/// `[table]` or `[[table]]`, also as an example.
fn table(line: &str) -> Option<&str> {
    let bare = line.strip_prefix('#').unwrap_or(line);
    (bare.starts_with('[') && bare.ends_with(']')).then_some(bare)
}

struct Key<'a> {
    name: &'a str,
    value: &'a str,
    /// What is said behind the value.
    behind: Option<&'a str>,
    /// Whether this is the default, and not an example.
    default: bool,
}

/// `# key = value` or `#key = value`, each perhaps with words behind.
fn key(line: &str) -> Option<Key<'_>> {
    let rest = line.strip_prefix('#')?;
    let (default, rest) = match rest.strip_prefix(' ') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (name, value) = rest.split_once(" = ")?;
    let plain = |c: char| c.is_ascii_lowercase() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let (value, behind) = match value.split_once(" #") {
        Some((value, behind)) => (value.trim(), Some(behind.trim())),
        None => (value.trim(), None),
    };
    Some(Key {
        name,
        value,
        behind,
        default,
    })
}

fn comment(line: &str) -> Option<&str> {
    line.strip_prefix("# ").map(str::trim)
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

fn flush(words: &mut Vec<String>, text: &mut String) {
    for line in words.drain(..) {
        text.push_str(&escaped(&line));
        text.push('\n');
    }
}

/// Plain text for roff: nothing in it is a request or an escape.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGED: &str = include_str!("../../../packaging/volward.toml");

    /// The file has every key there is: a test of the daemon compares it with the configuration's own list.
    #[test]
    fn every_key_and_every_table_of_the_file_is_in_the_page() {
        let page = page(PACKAGED);
        let mut seen = 0;
        for line in PACKAGED.lines() {
            if let Some(key) = key(line) {
                let heading = format!(".TP\n.B {}\n", escaped(key.name));
                assert!(page.contains(&heading), "{line}");
                assert!(page.contains(&escaped(key.value)), "{line}");
                seen += 1;
            } else if let Some(table) = table(line) {
                assert!(
                    page.contains(&format!(".SS {}\n", escaped(table))),
                    "{line}"
                );
            }
        }
        assert!(seen > 35, "{seen} keys");
    }

    #[test]
    fn what_is_said_before_and_behind_a_key_is_said_of_it() {
        let text = page(
            "# x\n\n# Seconds.\n[timeouts]\n# turn = 30 # wait for another\n\n[node]\n# Its name.\n#name = \"n\"\n",
        );
        assert!(
            text.contains(
                ".SS [timeouts]\nSeconds.\n.TP\n.B turn\nWait for another.\nDefault: 30.\n"
            ),
            "{text}"
        );
        assert!(
            text.contains(".TP\n.B name\nIts name.\nFor example: \"n\".\n"),
            "{text}"
        );
    }
}
