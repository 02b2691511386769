//! The words of Volward as plain data: what a thing is called, what it is made of, how it is
//! written down. Nothing here decides or does anything.
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | who and what: LVM UUIDs, volumes, instances, nodes, pools |
//! | [`units`] | bytes and sectors, never mixed up |
//! | [`attachment`] | volume x instance x node, with a sharing and an access |
//! | [`handover`] | the files that hook and daemon leave for each other |
//! | [`home`] | where a volume's current data is |
//! | [`volume`] | volumes, pools and leases as LVM and sanlock report them |
//! | [`device`] | device-mapper devices of ours and their tables |
//! | [`slot`] | what a node tells the others through the registry |
//! | [`facts`] | what a policy is told |
//! | [`answer`] | what a policy answers, and how answers combine |
//! | [`decision`] | the record of one decision |
//! | [`mask`] | records without names, for export |
//! | [`scenario`] | what a policy is told and expected to say: the record, with less said |

pub mod answer;
pub mod attachment;
pub mod decision;
pub mod device;
pub mod facts;
pub mod handover;
pub mod home;
pub mod ids;
pub mod mask;
pub mod scenario;
pub mod slot;
pub mod units;
pub mod volume;

pub use answer::{Answer, CopyFate, CopyMode, CopyPlan, Denial, DiskAnswer, Note};
pub use attachment::{Access, Attachment, AttachmentKey, AttachmentState, Sharing};
pub use decision::{Combined, DecisionRecord, Fault, FaultKind, PluginVerdict, Verdict};
pub use device::{
    Backing, CloneMode, CloneStatus, CloneTable, DeviceId, DeviceInfo, DeviceRole, Table,
};
pub use facts::{
    DiskFacts, Facts, HydrationFacts, NodeFacts, Origin, Purpose, RequestFacts, Space,
};
pub use home::{Home, HomeState};
pub use ids::{
    InstanceId, LvUuid, LvmUuid, NodeName, ParseIdError, PoolName, RequestId, VgUuid, VolumeId,
    VolumeName,
};
pub use mask::Mask;
pub use scenario::{Difference, Scenario};
pub use slot::{CopyProgress, NumberedSlot, Slot, SlotReading};
pub use units::{Bytes, Sectors};
pub use volume::{
    DeviceNumber, HeldLease, LeaseHolder, LeaseMode, Member, MemberState, PoolInfo, VolumeInfo,
    VolumeRef,
};
