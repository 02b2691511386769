//! What the state keeps of entries and attachments, in numbered formats of its own: no type of
//! `plan` or `control` is written as it is.
//!
//! The newest format has types ([`entry`], [`operation`], [`attachment`], [`step`], and what they
//! are made of);
//! an older record is brought up to it, one format at a time ([`v1`]). All of them refuse a field
//! they do not know: what a later build has added may matter, and half of a record is worse than
//! none. How a format is changed: CONTRIBUTING.md, "Formats".

mod attachment;
mod entry;
mod operation;
mod parts;
mod step;
mod v1;
pub(super) mod words;

pub(super) use operation::Operation;

use serde::de::DeserializeOwned;
use serde_json::Value;
use volward_ports::{JournalEntry, StoredAttachment};

/// The format this build writes, and the newest it reads.
pub(crate) const FORMAT: i64 = 2;

/// Why a record cannot be taken for what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is of a format that a later build made.
    #[error("its format is {found}, and this build knows formats up to {FORMAT}")]
    Later {
        /// The number it has.
        found: i64,
    },
    /// It has a known format and names something that this build does not know.
    #[error("it names {0}, which this build does not know in that form")]
    Unknown(String),
    /// It has a known format, and is not what that format says.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// The text of an entry in the newest format.
pub(crate) fn encode_entry(entry: &JournalEntry) -> Result<String, serde_json::Error> {
    serde_json::to_string(&entry::Entry::from(entry))
}

/// The text of an attachment in the newest format.
pub(crate) fn encode_attachment(one: &StoredAttachment) -> Result<String, serde_json::Error> {
    serde_json::to_string(&attachment::Attachment::from(one))
}

/// An entry of any format up to the newest, as it was begun: open, and with every step waiting.
pub(crate) fn decode_entry(format: i64, text: &str) -> Result<JournalEntry, RecordError> {
    let record = match format {
        1 => v1::upgrade_entry(json(text)?),
        FORMAT => json(text)?,
        found => return Err(RecordError::Later { found }),
    };
    if let Some(word) = record["operation"]["kind"].as_str()
        && !Operation::knows(word)
    {
        return Err(RecordError::Unknown(format!("the operation `{word}`")));
    }
    typed::<entry::Entry>(record)?.try_into()
}

/// An attachment of any format up to the newest.
pub(crate) fn decode_attachment(format: i64, text: &str) -> Result<StoredAttachment, RecordError> {
    match format {
        // The two have the same fields.
        1 | FORMAT => Ok(typed::<attachment::Attachment>(json(text)?)?.into()),
        found => Err(RecordError::Later { found }),
    }
}

fn json(text: &str) -> Result<Value, RecordError> {
    serde_json::from_str(text).map_err(|error| RecordError::Unreadable(error.to_string()))
}

fn typed<T: DeserializeOwned>(record: Value) -> Result<T, RecordError> {
    serde_json::from_value(record).map_err(|error| RecordError::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests;
