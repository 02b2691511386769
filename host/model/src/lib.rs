//! The words of Volward as plain data: what a thing is called, what it is made of, how it is
//! written down. Nothing here decides or does anything.
//!
//! What a policy is told and answers, and the words for that, are `volward-record`'s and stand here
//! under the same names: the rooms of the host import this one only.
//!
//! | module | holds |
//! |---|---|
//! | [`volume`] | volumes, pools and leases as LVM and sanlock report them |
//! | [`claim`] | who has asked for an attachment |
//! | [`copy`] | what a copy's LV says of itself |
//! | [`copied`] | when a copy was made that a home names |
//! | [`given_up`] | copies that a person has said count no more |
//! | [`device`] | device-mapper devices of ours and their tables |
//! | [`regions`] | which regions of a clone are in its destination |
//! | [`handover`] | the files that hook and daemon leave for each other |
//! | [`slot`] | what a node tells the others through the registry |
//! | [`status`] | what is done with a volume, in a word |
//! | [`operation_id`], [`volume_operation`], [`volume_mark`] | operations on volumes, and the marks that they leave on them |
//! | [`ids`], [`units`], [`attachment`], [`home`] | record's: who, how much, who has it, where it is |
//! | [`facts`], [`answer`], [`decision`], [`mask`], [`scenario`] | record's: told, answered, recorded |

pub mod claim;
pub mod copied;
pub mod copy;
pub mod device;
pub mod given_up;
pub mod handover;
pub mod operation_id;
pub mod regions;
pub mod slot;
pub mod status;
pub mod volume;
pub mod volume_mark;
pub mod volume_operation;

pub use claim::Claim;
pub use copied::Copied;
pub use copy::{CopyLayout, CopyLv, CopyStage};
pub use device::{
    Backing, CloneMode, CloneStatus, CloneTable, DeviceId, DeviceInfo, DeviceRole, IoCounters,
    MirrorStatus, MirrorTable, Table,
};
pub use given_up::GivenUp;
pub use operation_id::OperationId;
pub use regions::RegionMap;
pub use slot::{
    AskedFor, CopyProgress, CopyState, Messages, MigrationAnswer, MigrationCall, MigrationNonce,
    MigrationVerdict, NewerSlot, NumberedSlot, OrderGroup, OrderReport, Ordered, RegistryLayout,
    Slot, SlotReading, VolumeOrder,
};
pub use status::VolumeStatus;
pub use volume::{
    Carried, DeviceNumber, HeldLease, LeaseHolder, LeaseMode, Member, MemberState, Moving,
    PhysicalVolume, PoolInfo, PoolKind, Renewal, VolumeInfo, VolumeRef, Whereabouts,
};
pub use volume_mark::Mark;
pub use volume_operation::{Course, End, VolumeOperation, VolumeTask};
pub use volward_record::{
    Access, Answer, Attachment, AttachmentKey, AttachmentState, Bytes, Combined, CopyFate,
    CopyMode, CopyPlan, DecisionRecord, Denial, Difference, DiskAnswer, DiskFacts, Facts, Fault,
    FaultKind, Home, HomeState, HydrationFacts, InstanceId, LvUuid, LvmUuid, Mask, NodeFacts,
    NodeName, Note, OperationFacts, OperationKind, Origin, Outcome, ParseIdError, PluginVerdict,
    PoolName, Purpose, RequestFacts, RequestId, Scenario, Sectors, Sharing, Space, Verdict, VgUuid,
    VolumeId, VolumeName,
};
pub use volward_record::{answer, attachment, decision, facts, home, ids, mask, scenario, units};
