//! Where a volume's data is, told by every witness, and what a person says of that.

use serde::{Deserialize, Serialize};

use crate::words::{Heard, Open, Witness};

/// `POST /v1/recover/home`: the home tag that a person says is right, in the words of a way out. Answers
/// with what the witnesses say then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetHomeRequest {
    /// The volume, as `POOL/NAME`.
    pub volume: String,
    /// The right home: `STATE:NODE:COPY-UUID:GENERATION`, as in the tag.
    pub home: String,
    /// What the tag said when the way out was printed; where it says something else by now, nothing is
    /// changed.
    pub instead_of: String,
    /// Why; needed where the copy of a node that is gone is given up. Up to 200 characters of it stay with the
    /// volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// `POST /v1/recover/discard`: removes a copy on this node that was given up. Answers with what the witnesses say
/// then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DiscardCopyRequest {
    /// The volume, as `POOL/NAME`.
    pub volume: String,
    /// LV UUID of the copy, as a way out names it.
    pub copy: String,
}

/// `POST /v1/hydrations/home`: brings a volume's copy home while its guest runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BringHomeRequest {
    /// The volume, as `POOL/NAME`.
    pub volume: String,
    /// Only say what would be done first.
    #[serde(default)]
    pub dry_run: bool,
}

/// What is done now. How far it is, `GET /v1/hydrations` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BringHomeReply {
    /// It was begun, or would be. `false`: the data is at home, or on its way.
    pub begun: bool,
    /// The first steps, a line each; none unless only these were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<String>,
}

/// `GET /v1/recover?volume=POOL/NAME`: where a volume's data is, told by every witness that this
/// node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoverReply {
    /// The volume, as `POOL/NAME`.
    pub volume: String,
    /// What they say together.
    pub heard: Open<Heard>,
    /// Each witness with what it says, a sentence.
    pub witnesses: Vec<(Open<Witness>, String)>,
    /// What does not fit together, a sentence each; empty where they agree.
    pub contradictions: Vec<String>,
    /// What a person can do, a sentence each.
    pub ways_out: Vec<String>,
    /// Copies that a person gave up, and that nobody has discarded yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<GivenUpView>,
    /// When the copy was made that the home names, in milliseconds since the Unix epoch by the clock of its node: what is on the
    /// shared volume is as of then. Absent: there is none, or an earlier version made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_at_ms: Option<u64>,
}

/// A copy that was given up: its node was dead, and it counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GivenUpView {
    /// The name of the node that has it.
    pub node: String,
    /// LV UUID of the copy in that node's local pool.
    pub copy: String,
    /// The home's generation when it was given up.
    pub generation: u64,
    /// When that was, in milliseconds since the Unix epoch by the clock of the node where it was said.
    pub at_ms: u64,
    /// The user id of who said it.
    pub uid: u32,
    /// Why, in his own words.
    pub reason: String,
}
