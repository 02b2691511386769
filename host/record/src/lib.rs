//! What a policy is told, what it answers, how answers combine, and the record of all that, as
//! plain data. Host and SDK both build on it: a scenario is read by one reader, whether
//! `cargo test` of a policy reads it or the daemon.
//!
//! It knows nothing of LVM's reports, device-mapper's tables or sanlock's slots: those are
//! `volward-model`'s, which is built on it. It is also compiled for `wasm32-unknown-unknown`.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | who and what: LVM UUIDs, volumes, instances, nodes, pools |
//! | [`units`] | bytes and sectors, never mixed up |
//! | [`attachment`] | volume x instance x node, with a sharing and an access |
//! | [`home`] | where a volume's current data is |
//! | [`facts`] | what a policy is told |
//! | [`answer`] | what a policy answers, and how answers combine |
//! | [`decision`] | the record of one decision, and its outcome |
//! | [`mask`] | records without names, for export |
//! | [`scenario`] | what a policy is told and expected to say: the record, with less said |

pub mod answer;
pub mod attachment;
pub mod decision;
pub mod facts;
pub mod home;
pub mod ids;
pub mod mask;
pub mod scenario;
pub mod units;

pub use answer::{Answer, CopyFate, CopyMode, CopyPlan, Denial, DiskAnswer, Note};
pub use attachment::{Access, Attachment, AttachmentKey, AttachmentState, Sharing};
pub use decision::{Combined, DecisionRecord, Fault, FaultKind, Outcome, PluginVerdict, Verdict};
pub use facts::{
    DiskFacts, Facts, HydrationFacts, NodeFacts, OperationFacts, OperationKind, Origin, Purpose,
    RequestFacts, Space,
};
pub use home::{Home, HomeState};
pub use ids::{
    InstanceId, LvUuid, LvmUuid, NodeName, ParseIdError, PoolName, RequestId, VgUuid, VolumeId,
    VolumeName,
};
pub use mask::Mask;
pub use scenario::{Difference, Scenario};
pub use units::{Bytes, Sectors};
