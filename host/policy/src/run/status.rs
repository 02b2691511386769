//! What is known of each policy, for people and programs.

use serde::{Deserialize, Serialize};

use crate::run::level::Level;
use crate::run::tally::{Counters, Latency, SeenFault};

/// One policy, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The file name without number and ending; `baseline` for the built-in.
    pub name: String,
    /// SHA-256 of the component, lower-case hex; empty where it could not be read.
    pub digest: String,
    /// Whether its answer counts.
    pub level: Level,
    /// The hooks it has: `attach`, `detach`, `lifecycle`, `migrate`, `operate`.
    pub hooks: Vec<String>,
    /// The interface it was built against; the runtime's own where nobody could look.
    pub interface: String,
    /// Whether it is asked, and why not.
    pub state: PluginState,
    /// What the folder has under this name, where another version serves.
    pub meant: Option<Meant>,
    /// What it could not be loaded for may be over at the next try, which comes by itself.
    #[serde(default)]
    pub tried_again: bool,
    /// What it answered since it was loaded.
    pub counters: Counters,
    /// How long its last calls took; `None` until it was asked.
    pub latency: Option<Latency>,
    /// Its last faults since it was loaded, three at most, the oldest first.
    pub faults: Vec<SeenFault>,
}

/// The version of a policy that is in the folder while another one serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meant {
    /// SHA-256 of its component, lower-case hex; empty where it or its settings could not be read.
    pub digest: String,
    /// Keys of its configuration whose values are not those that serve.
    pub differs: Vec<String>,
}

/// Whether a policy is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PluginState {
    /// Yes.
    Serving,
    /// Yes: the last good one. What is in the folder now could not be loaded.
    Kept {
        /// Why not, in one sentence.
        reason: String,
    },
    /// Yes: an earlier one. An operator went back from what is in the folder.
    RolledBack {
        /// The digest of the component in the folder.
        from: String,
    },
    /// It could not be loaded.
    Refused {
        /// Why, in one sentence.
        reason: String,
    },
    /// It has not been loaded yet, and will be.
    Waiting {
        /// What it waits for, in one sentence.
        reason: String,
        /// Whether every attach is refused meanwhile; else it is decided without it, as before.
        refuses: bool,
    },
    /// The operator switched it off.
    Off,
}
