//! The words of the form, and what they are among the SDK's types.

use serde::{Deserialize, Serialize};

use crate::answer::{self, CopyPlan};
use crate::facts;

macro_rules! words {
    ($name:ident of $module:ident: $($case:ident),+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum $name { $($case),+ }

        impl From<$name> for $module::$name {
            fn from(word: $name) -> Self {
                match word { $($name::$case => Self::$case),+ }
            }
        }

        impl From<$module::$name> for $name {
            fn from(word: $module::$name) -> Self {
                match word { $($module::$name::$case => Self::$case),+ }
            }
        }
    };
}

words!(Sharing of facts: Exclusive, Shared);
words!(Access of facts: ReadOnly, ReadWrite);
words!(CopyMode of answer: None, WritesOnly, Background, BeforeStart);
words!(CopyFate of answer: WriteBack, Keep, Discard);

macro_rules! open_words {
    ($name:ident: $($case:ident),+) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum $name { $($case),+, Other(String) }

        impl From<$name> for facts::$name {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$case => Self::$case),+,
                    $name::Other(word) => Self::Other(word),
                }
            }
        }
    };
}

open_words!(Origin: Libvirt, Openstack, Operator);
open_words!(Purpose: Boot, HotPlug, MigrationIn, Restore);
open_words!(AttachmentState: Intent, Attached, Quarantined);

/// `{"state": "split", "node": "node1", "copy": "UUID", "generation": 3}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Home {
    #[serde(flatten)]
    state: HomeState,
    #[serde(default)]
    generation: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum HomeState {
    Pool,
    Split { node: String, copy: String },
    Node { node: String, copy: String },
    Returning { node: String, copy: String },
}

impl Home {
    pub(super) const POOL: Self = Self {
        state: HomeState::Pool,
        generation: 0,
    };
}

impl From<Home> for facts::Home {
    fn from(home: Home) -> Self {
        match home.state {
            HomeState::Pool => Self::Pool,
            HomeState::Split { node, .. } => Self::Split(node),
            HomeState::Node { node, .. } => Self::Node(node),
            HomeState::Returning { node, .. } => Self::Returning(node),
        }
    }
}

/// A proposed copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copy {
    mode: CopyMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_flight: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<u64>,
    fate: CopyFate,
}

impl From<&CopyPlan> for Copy {
    fn from(plan: &CopyPlan) -> Self {
        Self {
            mode: plan.mode.into(),
            in_flight: plan.in_flight_bytes,
            batch: plan.batch_bytes,
            fate: plan.fate.into(),
        }
    }
}
