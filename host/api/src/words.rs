//! Words that a field takes out of a list: states, kinds, modes.
//!
//! A list has one name and one set of words, whoever sends it ([`Words`]). Where it may grow with a
//! later version:
//!
//! - a *reply* carries an [`Open`]: a client shows a word that it does not know, and goes on;
//! - a *request* carries the list itself: a daemon refuses a word that it does not know, and names
//!   those there are, because it must not do something other than what was asked.

mod lists;

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use lists::{
    AttachmentStage, Became, DomainEvent, Heard, Hook, LockType, OperationKind, OperationState,
    PolicyLevel, PolicyState, PoolKind, Said, StepState, VolumeHome, VolumeMark, Witness,
};

/// A closed list of words, each the value of an enum.
pub trait Words: Copy + PartialEq + fmt::Display + Serialize + 'static {
    /// The schema's name in the OpenAPI document.
    const NAME: &'static str;
    /// Every value of the list.
    const ALL: &'static [Self];

    /// The word as it is sent: as serde writes it, unless 0.1.0 sent another.
    #[must_use]
    fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            // A list is of plain words; a test looks at each.
            _ => self.to_string(),
        }
    }

    /// The value of a word; `None` where the list does not have it.
    #[must_use]
    fn of_word(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|value| value.word() == word)
    }

    /// All words, joined by commas, for messages.
    #[must_use]
    fn listed() -> String {
        let words: Vec<String> = Self::ALL.iter().map(|value| value.word()).collect();
        words.join(", ")
    }

    /// Its schema: a string, with the words in `enum`.
    #[cfg(feature = "schema")]
    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<OneOf<Self>>()
    }
}

/// A word in a reply: one of the list, or one that a later version of Volward has added to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Open<T> {
    /// A word that this version's list has.
    Known(T),
    /// A word that this version does not know, as it was sent.
    Other(String),
}

impl<T: Words> Open<T> {
    /// Reads a word; one that the list does not have is kept.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        T::of_word(word).map_or_else(|| Self::Other(word.to_owned()), Self::Known)
    }

    /// The value; `None` for a word that this version does not know.
    #[must_use]
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(value) => Some(*value),
            Self::Other(_) => None,
        }
    }
}

impl<T: Words> From<T> for Open<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: Words> PartialEq<T> for Open<T> {
    fn eq(&self, value: &T) -> bool {
        self.known() == Some(*value)
    }
}

/// As people read it, which of a [`ProblemCode`](crate::ProblemCode) is not the word.
impl<T: Words> fmt::Display for Open<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Other(word) => f.pad(word),
        }
    }
}

impl<T: Words> Serialize for Open<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => serializer.serialize_str(&value.word()),
            Self::Other(word) => serializer.serialize_str(word),
        }
    }
}

impl<'de, T: Words> Deserialize<'de> for Open<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::of_word(&word))
    }
}

/// Reads a word of a request; for serde's `deserialize_with`.
///
/// # Errors
/// If the list does not have it: the sentence names the words there are.
pub fn one_of<'de, T: Words, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    T::of_word(&word)
        .ok_or_else(|| D::Error::custom(format!("{word:?} is none of {}", T::listed())))
}

/// The same for a word that may be absent.
///
/// # Errors
/// As [`one_of`].
pub fn one_of_if_given<'de, T: Words, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct Given<T>(T);
    impl<'de, T: Words> Deserialize<'de> for Given<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            one_of(deserializer).map(Self)
        }
    }
    Option::<Given<T>>::deserialize(deserializer).map(|given| given.map(|Given(value)| value))
}

/// The schema of a list in a request.
#[cfg(feature = "schema")]
pub(crate) struct OneOf<T>(std::marker::PhantomData<T>);

#[cfg(feature = "schema")]
impl<T: Words> schemars::JsonSchema for OneOf<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words: Vec<String> = T::ALL.iter().map(|value| value.word()).collect();
        schemars::json_schema!({ "type": "string", "enum": words })
    }
}

#[cfg(feature = "schema")]
impl<T: Words> schemars::JsonSchema for Open<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Open{}", T::NAME).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let list = T::schema(generator);
        let other = "a word that a later version has added";
        schemars::json_schema!({
            "anyOf": [list, { "type": "string", "description": other }],
        })
    }
}

#[cfg(test)]
mod tests;
