//! One setting in the text of a file. What else is in it stays as it is, comments too.

use thiserror::Error;

mod lines;
mod lvm;
mod toml;

pub(crate) use self::lines::{quoted, setting, unquoted, with_setting};
pub(crate) use self::lvm::{lvm_setting, with_lvm_setting};
pub(crate) use self::toml::{Pool, Volward};

/// A text that is written in a way this does not understand, so it is not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct NotUnderstood {
    /// From 1.
    pub line: usize,
    /// What stands there.
    pub what: String,
}

/// The number of the line in which a byte is.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// A text with a line's end, so that one can be appended.
pub(crate) fn ended(text: &str) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The same with an empty line behind it, for a section of its own; nothing where there is no text.
pub(crate) fn parted(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => ended(text) + "\n",
    }
}
