//! What a caller calls an operation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ParseIdError;

/// What a caller calls an operation, so that a retry finds it: 1 to 100 letters, digits and `_.:+-`. It
/// stands in an LVM tag and in a URL's path, and needs no escaping in either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

impl OperationId {
    /// A UUID and a word before it are some fifty.
    pub const LONGEST: usize = 100;

    /// What the caller of a group calls one of its operations, the first of which is 1: `backup-17:1`.
    ///
    /// # Errors
    /// If that is too long.
    pub fn member(&self, number: usize) -> Result<Self, ParseIdError> {
        format!("{self}:{number}").parse()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:+-".contains(&byte);
        let fine = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(legal);
        // A path's `.` and `..` name something else, and `/v1/operations/cancel` is a call.
        let reserved = text == "cancel" || text.bytes().all(|byte| byte == b'.');
        if fine && !reserved {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseIdError {
            value: text.chars().take(80).collect(),
            expected: "an operation's id (1 to 100 letters, digits and _.:+-)",
        })
    }
}

impl TryFrom<String> for OperationId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, ParseIdError> {
        text.parse()
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_a_tag_and_a_path_can_hold() {
        for fine in [
            "a",
            "cinder:create:11111111-2222-3333-4444-555555555555",
            "a.b",
        ] {
            assert_eq!(fine.parse::<OperationId>().unwrap().as_str(), fine);
        }
        for bad in [
            "",
            ".",
            "..",
            "cancel",
            "a/b",
            "a b",
            "a=b",
            "ä",
            &"x".repeat(101),
        ] {
            assert!(bad.parse::<OperationId>().is_err(), "{bad:?}");
            let json = format!("{bad:?}");
            assert!(
                serde_json::from_str::<OperationId>(&json).is_err(),
                "{bad:?}"
            );
        }
    }
}
