//! lvm.conf and lvmlocal.conf: sections in braces with assignments in them, `section/key` in one word too.

use std::ops::Range;

use super::{NotUnderstood, line_of, parted};

/// What a setting is, as it is written; `None` where it is not set.
///
/// # Errors
/// If the text is not what LVM reads, or has the setting twice.
pub(crate) fn lvm_setting<'a>(
    text: &'a str,
    section: &str,
    key: &str,
) -> Result<Option<&'a str>, NotUnderstood> {
    let read = Reader::read(text)?;
    let found = read.only(text, &format!("{section}/{key}"))?;
    Ok(found.map(|range| &text[range]))
}

/// The same text with this setting: in place of the value that is there, else at the end of its section, else in
/// a section of its own.
///
/// # Errors
/// As [`lvm_setting`].
pub(crate) fn with_lvm_setting(
    text: &str,
    section: &str,
    key: &str,
    value: &str,
) -> Result<String, NotUnderstood> {
    let read = Reader::read(text)?;
    let mut changed = text.to_owned();
    if let Some(range) = read.only(text, &format!("{section}/{key}"))? {
        changed.replace_range(range, value);
        return Ok(changed);
    }
    let mut ends = read.ends.iter().filter(|(name, _)| name == section);
    if let Some(&(_, brace)) = ends.next_back().map(|end| end as &(String, usize)) {
        let line = text[..brace].rfind('\n').map_or(0, |end| end + 1);
        // A brace that stands alone keeps its line.
        let (at, before) = match text[line..brace].trim().is_empty() {
            true => (line, ""),
            false => (brace, "\n"),
        };
        changed.insert_str(at, &format!("{before}\t{key} = {value}\n"));
        return Ok(changed);
    }
    Ok(parted(text) + &format!("{section} {{\n\t{key} = {value}\n}}\n"))
}

/// What is found in one reading.
#[derive(Default)]
struct Reader {
    /// `section/key`, and where its value stands.
    settings: Vec<(String, Range<usize>)>,
    /// Sections that are not in another one, and where their closing brace stands.
    ends: Vec<(String, usize)>,
}

impl Reader {
    fn read(text: &str) -> Result<Self, NotUnderstood> {
        let mut read = Self::default();
        let mut sections: Vec<String> = Vec::new();
        let mut at = skip_blank(text, 0);
        while at < text.len() {
            if text[at..].starts_with('}') {
                let Some(closed) = sections.pop() else {
                    return Err(wrong(text, at, "a brace closes nothing"));
                };
                if sections.is_empty() {
                    read.ends.push((closed, at));
                }
                at = skip_blank(text, at + 1);
                continue;
            }
            let name = word(text, at)?;
            at = skip_blank(text, name.end);
            let name = text[name].trim_matches('/').to_owned();
            if text[at..].starts_with('{') {
                sections.push(name);
                at += 1;
            } else if text[at..].starts_with('=') {
                let value = value(text, skip_blank(text, at + 1))?;
                at = value.end;
                let path = [&sections[..], &[name]].concat().join("/");
                read.settings.push((path, value));
            } else {
                return Err(wrong(text, at, "neither a section nor a setting"));
            }
            at = skip_blank(text, at);
        }
        if let Some(open) = sections.last() {
            return Err(wrong(text, at, &format!("section {open} is not closed")));
        }
        Ok(read)
    }

    /// Where the value of a setting is. Which of two counts LVM does not say.
    fn only(&self, text: &str, path: &str) -> Result<Option<Range<usize>>, NotUnderstood> {
        let mut found = self.settings.iter().filter(|(name, _)| name == path);
        let first = found.next().map(|(_, range)| range.clone());
        match found.next() {
            None => Ok(first),
            Some((_, second)) => Err(wrong(text, second.start, &format!("{path} is there twice"))),
        }
    }
}

fn wrong(text: &str, at: usize, what: &str) -> NotUnderstood {
    NotUnderstood {
        line: line_of(text, at),
        what: what.to_owned(),
    }
}

/// Behind blanks and comments.
fn skip_blank(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        if !text[at..].starts_with('#') {
            return at;
        }
        at = text[at..].find('\n').map_or(text.len(), |end| at + end);
    }
}

/// The name of a section or of a setting.
fn word(text: &str, at: usize) -> Result<Range<usize>, NotUnderstood> {
    let rest = &text[at..];
    let part = |c: char| c.is_ascii_alphanumeric() || "_-/.+".contains(c);
    let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
    match length {
        0 => Err(wrong(text, at, "not the name of a setting")),
        length => Ok(at..at + length),
    }
}

/// A number, a word, a string, or a list of these.
fn value(text: &str, at: usize) -> Result<Range<usize>, NotUnderstood> {
    if text[at..].starts_with('[') {
        let mut inside = skip_blank(text, at + 1);
        while !text[inside..].starts_with(']') {
            if text[inside..].starts_with(',') {
                inside += 1;
            } else {
                inside = scalar(text, inside)?.end;
            }
            inside = skip_blank(text, inside);
        }
        return Ok(at..inside + 1);
    }
    scalar(text, at)
}

fn scalar(text: &str, at: usize) -> Result<Range<usize>, NotUnderstood> {
    let rest = &text[at..];
    if let Some(quote) = rest.chars().next().filter(|c| "\"'".contains(*c)) {
        let mut escaped = false;
        for (n, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' if quote == '"' => escaped = true,
                _ if c == quote => return Ok(at..at + n + 1),
                _ => {}
            }
        }
        return Err(wrong(text, at, "a string that does not end"));
    }
    let ends = |c: char| c.is_whitespace() || "#{}[],=\"'".contains(c);
    let length = rest.find(ends).unwrap_or(rest.len());
    match length {
        0 => Err(wrong(text, at, "a setting without a value")),
        length => Ok(at..at + length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCAL: &str = "# lvmlocal.conf\nlocal {\n\t# host_id = 0\n\t# system_id = \"}\"\n}\n";

    #[test]
    fn a_setting_is_added_to_its_section_before_the_brace() {
        let changed = with_lvm_setting(LOCAL, "local", "host_id", "3").unwrap();
        assert_eq!(
            changed,
            "# lvmlocal.conf\nlocal {\n\t# host_id = 0\n\t# system_id = \"}\"\n\thost_id = 3\n}\n"
        );
        assert_eq!(
            lvm_setting(&changed, "local", "host_id").unwrap(),
            Some("3")
        );
        let other = with_lvm_setting(LOCAL, "global", "use_lvmlockd", "1").unwrap();
        assert_eq!(
            other,
            format!("{LOCAL}\nglobal {{\n\tuse_lvmlockd = 1\n}}\n")
        );
        let short = with_lvm_setting("local { a = 1 }", "local", "host_id", "3").unwrap();
        assert_eq!(short, "local { a = 1 \n\thost_id = 3\n}");
    }

    #[test]
    fn what_is_set_is_found_however_it_is_written() {
        for text in [
            "local{host_id=3}",
            "local/host_id = 3 # it is",
            "local {\n  list = [ \"a,}\", 'b' ] # }\n  host_id = 3\n}\nglobal { x = \"{\" }",
            "a { b { host_id = 7 } }\nlocal {\n\thost_id\n\t= 3 }",
        ] {
            assert_eq!(
                lvm_setting(text, "local", "host_id").unwrap(),
                Some("3"),
                "{text}"
            );
            let changed = with_lvm_setting(text, "local", "host_id", "44").unwrap();
            assert_eq!(changed.len(), text.len() + 1);
            assert_eq!(
                lvm_setting(&changed, "local", "host_id").unwrap(),
                Some("44")
            );
        }
        assert_eq!(lvm_setting(LOCAL, "local", "host_id").unwrap(), None);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, line) in [
            ("local {\n", 2),
            ("}\n", 1),
            ("local {\n a = \"x\n}\n", 2),
            ("local {\n host_id = 1\n host_id = 2\n}\n", 3),
            ("\n\nlocal\n", 4),
            ("a =\n", 2),
            ("x = [1, ", 1),
        ] {
            let error = lvm_setting(text, "local", "host_id").unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }

    proptest! {
        /// Nothing but the value changes, and no text has it panic.
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z{}=\"'\\\\#\\n \\[\\],/1]{0,60}") {
            if let Ok(changed) = with_lvm_setting(&text, "local", "host_id", "3") {
                prop_assert_eq!(lvm_setting(&changed, "local", "host_id").unwrap(), Some("3"));
                let again = with_lvm_setting(&changed, "local", "host_id", "3").unwrap();
                prop_assert_eq!(again, changed);
            }
        }
    }
}
