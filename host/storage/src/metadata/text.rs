//! LVM's metadata text: sections in braces, keys with a number, a text or a list of them. On the disk it
//! has no comments; `vgcfgbackup` writes the same with comments.

use std::collections::HashMap;

use volward_ports::{PortError, PortResult};
use winnow::ModalResult;
use winnow::Parser;
use winnow::ascii::{dec_int, multispace1, till_line_ending};
use winnow::combinator::{
    alt, cut_err, delimited, eof, fail, preceded, repeat, separated, terminated,
};
use winnow::error::{StrContext, StrContextValue};
use winnow::token::{none_of, take_while};

/// Sections within sections: a VG has four levels of them.
const MOST_LEVELS: usize = 8;

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    /// Numbers and texts.
    List(Vec<Value>),
    Section(Section),
}

/// A section's keys. LVM never writes one twice; the last one counts where somebody did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    keys: HashMap<String, Value>,
    /// The sections in it, in the order of the text.
    order: Vec<String>,
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> PortResult<Section> {
    let mut whole = delimited(blank, |input: &mut &str| items(input, 0), eof);
    whole.parse(text).map_err(|error| {
        let line = text[..error.offset()].matches('\n').count() + 1;
        unreadable(format!("line {line}: {}", error.into_inner()))
    })
}

pub(super) fn unreadable(reason: impl Into<String>) -> PortError {
    PortError::Unreadable {
        what: "LVM's metadata".to_owned(),
        reason: reason.into(),
    }
}

/// White space and comments.
fn blank(input: &mut &str) -> ModalResult<()> {
    let comment = preceded('#', till_line_ending).void();
    repeat(0.., alt((multispace1.void(), comment))).parse_next(input)
}

/// A part with what is blank after it.
fn part<'a, T>(
    inner: impl Parser<&'a str, T, winnow::error::ErrMode<winnow::error::ContextError>>,
) -> impl Parser<&'a str, T, winnow::error::ErrMode<winnow::error::ContextError>> {
    terminated(inner, blank)
}

fn items(input: &mut &str, level: usize) -> ModalResult<Section> {
    let pairs: Vec<(String, Value)> =
        repeat(0.., |input: &mut &str| item(input, level)).parse_next(input)?;
    let mut section = Section::default();
    for (key, value) in pairs {
        if matches!(value, Value::Section(_)) {
            section.order.push(key.clone());
        }
        section.keys.insert(key, value);
    }
    Ok(section)
}

fn item(input: &mut &str, level: usize) -> ModalResult<(String, Value)> {
    let key = part(key).parse_next(input)?;
    let assigned = preceded(part('='), cut_err(value.context(expected("a value"))));
    let inner = delimited(
        part('{'),
        |input: &mut &str| match level < MOST_LEVELS {
            true => items(input, level + 1),
            false => cut_err(fail.context(expected("fewer levels of sections"))).parse_next(input),
        },
        cut_err(part('}').context(expected("the end of a section"))),
    );
    let value = cut_err(alt((assigned, inner.map(Value::Section))));
    let value = value.context(expected("`=` or `{`")).parse_next(input)?;
    Ok((key, value))
}

fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

fn key(input: &mut &str) -> ModalResult<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+.-/".contains(c);
    let plain = take_while(1.., plain).map(str::to_owned);
    alt((plain, quoted)).parse_next(input)
}

fn quoted(input: &mut &str) -> ModalResult<String> {
    let escaped = preceded('\\', cut_err(alt(('"', '\\'))));
    let letters = repeat(0.., alt((none_of(['"', '\\']), escaped)));
    delimited('"', letters, cut_err('"')).parse_next(input)
}

fn scalar(input: &mut &str) -> ModalResult<Value> {
    alt((dec_int.map(Value::Number), quoted.map(Value::Text))).parse_next(input)
}

fn value(input: &mut &str) -> ModalResult<Value> {
    let list = delimited(
        part('['),
        separated(0.., part(scalar), part(',')),
        cut_err(part(']').context(expected("the end of a list"))),
    );
    alt((part(scalar), list.map(Value::List))).parse_next(input)
}

impl Section {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key)
    }

    /// The sections in it, in the order of the text.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.order.iter().filter_map(|name| match self.get(name) {
            Some(Value::Section(section)) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    /// A section, or nothing where there is none.
    pub(super) fn section(&self, key: &str) -> Option<&Section> {
        match self.get(key)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// A text that must be there.
    pub(super) fn text(&self, key: &str) -> PortResult<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(unreadable(format!("{key} is {}, not a text", shown(other)))),
        }
    }

    /// A number, 0 or more, that must be there.
    pub(super) fn number(&self, key: &str) -> PortResult<u64> {
        match self.get(key) {
            Some(Value::Number(number)) => u64::try_from(*number)
                .map_err(|_| unreadable(format!("{key} is {number}, below zero"))),
            other => Err(unreadable(format!(
                "{key} is {}, not a number",
                shown(other)
            ))),
        }
    }

    /// A list that must be there; a single value is a list of one.
    pub(super) fn list(&self, key: &str) -> PortResult<&[Value]> {
        match self.get(key) {
            Some(Value::List(list)) => Ok(list),
            Some(value @ (Value::Number(_) | Value::Text(_))) => Ok(std::slice::from_ref(value)),
            other => Err(unreadable(format!("{key} is {}, not a list", shown(other)))),
        }
    }

    /// A list of words, empty where there is none.
    pub(super) fn words(&self, key: &str) -> PortResult<Vec<&str>> {
        if self.get(key).is_none() {
            return Ok(Vec::new());
        }
        let list = self.list(key)?.iter();
        list.map(|value| match value {
            Value::Text(word) => Ok(word.as_str()),
            other => Err(unreadable(format!("{key} has {}", shown(Some(other))))),
        })
        .collect()
    }

    /// All texts in it and in its lists, but for one key's.
    pub(super) fn texts_beside(&self, key: &'static str) -> impl Iterator<Item = &str> {
        let others = self.keys.iter().filter(move |(name, _)| *name != key);
        others.flat_map(|(_, value)| {
            let values = match value {
                Value::List(list) => list.as_slice(),
                other => std::slice::from_ref(other),
            };
            values.iter().filter_map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            })
        })
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::Section(_)) => "a section".to_owned(),
        Some(Value::List(_)) => "a list".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Text(text)) => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_with_and_without_comments() {
        let bare = "vg {\nid = \"x\"\nn = 12\nl = [\"a\", 1, \"b\", -2]\ne = []\n}\n";
        let commented = "# head\nvg { # here\n\tid = \"x\"\t# Hint\n n=12\n l = [\n\"a\", 1,\n\"b\", -2\n]\n e=[] }";
        let section = parse(bare).unwrap();
        assert_eq!(section, parse(commented).unwrap());
        let vg = section.section("vg").unwrap();
        assert_eq!((vg.text("id").unwrap(), vg.number("n").unwrap()), ("x", 12));
        let list = vg.list("l").unwrap();
        assert_eq!(list[3], Value::Number(-2));
        assert!(vg.list("e").unwrap().is_empty() && vg.words("none").unwrap().is_empty());
        assert!(vg.words("l").is_err() && vg.number("id").is_err() && vg.text("n").is_err());
    }

    #[test]
    fn texts_are_unescaped() {
        let section = parse(r#"a = "say \"x\" \\ y" "b-c" { d = 1 }"#).unwrap();
        assert_eq!(section.text("a").unwrap(), r#"say "x" \ y"#);
        assert_eq!(section.sections().next().unwrap().0, "b-c");
    }

    #[test]
    fn what_is_no_such_text_is_refused_with_its_line() {
        for bad in [
            "a = ",
            "a",
            "a = 1 }",
            "a {",
            "a = \"x",
            "a = [1",
            "a = [1,]",
            "= 1",
            "a = \"\\n\"",
            "a = {",
            "\0",
        ] {
            let error = parse(&format!("x = 1\n{bad}")).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{bad:?}: {error}");
        }
        let deep = "a {".repeat(100_000);
        assert!(parse(&deep).is_err());
    }
}
