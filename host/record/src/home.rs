//! The home of a volume: where its current data is.
//!
//! It is kept in one tag of the shared LV, `volward.home=STATE:NODE:COPY-UUID:GENERATION`; no tag
//! means [`HomeState::Pool`] at generation 0. The tag changes only under the exclusive lease.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{LvUuid, NodeName, ParseIdError};

/// What the tag starts with; also how LVs of ours are told from others.
pub const HOME_TAG_PREFIX: &str = "volward.home=";

/// Where the current data is, and the count of changes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Home {
    /// Which LV holds the current data, with node and copy where one is involved.
    #[serde(flatten)]
    pub state: HomeState,
    /// Goes up by one at every change, so that a change there and back is seen as one.
    pub generation: u64,
}

/// The four states; `copy` is the LV UUID of the copy in the node's local pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HomeState {
    /// The shared LV is current.
    Pool,
    /// Shared LV and one node's copy together are.
    Split {
        /// The node that hydrates.
        node: NodeName,
        /// LV UUID of the copy in that node's local pool.
        copy: LvUuid,
    },
    /// One node's complete copy is.
    Node {
        /// The node that has it.
        node: NodeName,
        /// LV UUID of the copy in that node's local pool.
        copy: LvUuid,
    },
    /// The copy is, and is being written back to the shared LV.
    Returning {
        /// The node that writes back.
        node: NodeName,
        /// LV UUID of the copy in that node's local pool.
        copy: LvUuid,
    },
}

impl Home {
    /// The home of a volume that never had a copy.
    pub const POOL: Self = Self {
        state: HomeState::Pool,
        generation: 0,
    };

    /// The same volume after a change to `state`.
    #[must_use]
    pub fn next(&self, state: HomeState) -> Self {
        Self {
            state,
            generation: self.generation + 1,
        }
    }

    /// The node and copy the data depends on, if any.
    #[must_use]
    pub fn copy(&self) -> Option<(&NodeName, &LvUuid)> {
        match &self.state {
            HomeState::Pool => None,
            HomeState::Split { node, copy }
            | HomeState::Node { node, copy }
            | HomeState::Returning { node, copy } => Some((node, copy)),
        }
    }

    /// The LVM tag that says so. At generation 0 a pool home has none: see [`Home::from_tags`].
    #[must_use]
    pub fn tag(&self) -> String {
        let (word, generation) = (self.state.word(), self.generation);
        match self.copy() {
            None => format!("{HOME_TAG_PREFIX}{word}:::{generation}"),
            Some((node, copy)) => {
                format!(
                    "{HOME_TAG_PREFIX}{word}:{node}:{}:{generation}",
                    copy.compact()
                )
            }
        }
    }

    /// Reads the home from a volume's tags.
    ///
    /// # Errors
    /// If a home tag cannot be understood, or there are two: then nothing may be attached,
    /// for nobody knows where the data is.
    pub fn from_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Self, ParseIdError> {
        let mut homes = tags
            .into_iter()
            .filter_map(|tag| tag.strip_prefix(HOME_TAG_PREFIX));
        match (homes.next(), homes.next()) {
            (None, _) => Ok(Self::POOL),
            (Some(one), None) => one.parse(),
            (Some(one), Some(two)) => Err(ParseIdError {
                value: format!("{one} and {two}"),
                expected: "one home: the volume has two home tags",
            }),
        }
    }
}

impl HomeState {
    /// The state's word alone.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Split { .. } => "split",
            Self::Node { .. } => "node",
            Self::Returning { .. } => "returning",
        }
    }
}

/// For people; the tag has a form of its own ([`Home::tag`]).
impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, generation) = (self.state.word(), self.generation);
        match self.copy() {
            None => write!(f, "{word} (generation {generation})"),
            Some((node, copy)) => {
                write!(
                    f,
                    "{word} (node {node}, copy {copy}, generation {generation})"
                )
            }
        }
    }
}

impl FromStr for Home {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bad = || ParseIdError {
            value: text.chars().take(200).collect(),
            expected: "a home (STATE:NODE:COPY:GENERATION)",
        };
        let parts: Vec<&str> = text.split(':').collect();
        let [word, node, copy, generation] = parts[..] else {
            return Err(bad());
        };
        let generation = generation.parse().map_err(|_| bad())?;
        let state = match word {
            "pool" if node.is_empty() && copy.is_empty() => HomeState::Pool,
            "split" => HomeState::Split {
                node: node.parse()?,
                copy: copy.parse()?,
            },
            "node" => HomeState::Node {
                node: node.parse()?,
                copy: copy.parse()?,
            },
            "returning" => HomeState::Returning {
                node: node.parse()?,
                copy: copy.parse()?,
            },
            _ => return Err(bad()),
        };
        Ok(Self { state, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split() -> Home {
        Home {
            state: HomeState::Split {
                node: "n1".parse().unwrap(),
                copy: "c".repeat(32).parse().unwrap(),
            },
            generation: 7,
        }
    }

    #[test]
    fn tags_round_trip() {
        for home in [Home::POOL, split(), split().next(HomeState::Pool)] {
            assert_eq!(
                Home::from_tags([home.tag().as_str(), "other"]).unwrap(),
                home
            );
        }
        assert_eq!(Home::from_tags(["other"]).unwrap(), Home::POOL);
    }

    #[test]
    fn people_read_words_and_not_the_tag() {
        assert_eq!(Home::POOL.to_string(), "pool (generation 0)");
        let said = split().to_string();
        assert!(said.starts_with("split (node n1, copy cccccc-"), "{said}");
        assert!(said.ends_with(", generation 7)"), "{said}");
    }

    #[test]
    fn two_homes_or_a_broken_one_are_refused() {
        let two = [split().tag(), Home::POOL.tag()];
        assert!(Home::from_tags(two.iter().map(String::as_str)).is_err());
        for bad in [
            "volward.home=",
            "volward.home=pool:n1::0",
            "volward.home=split:n1:x:1",
        ] {
            assert!(Home::from_tags([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_use_only_letters_lvm_allows() {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-/=!:&#".contains(c);
        assert!(split().tag().chars().all(legal));
    }
}
