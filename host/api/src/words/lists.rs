//! The lists: the protocol's own, and those that are the model's.

use std::fmt;

use serde::{Deserialize, Serialize};
use volward_model::{
    Access, AttachmentState, Claim, CopyFate, CopyMode, CopyState, FaultKind, HomeState,
    MemberState, Sharing, VolumeStatus,
};

use super::Words;
use crate::attach::DiskPath;
use crate::problem::ProblemCode;
use crate::view::DoctorVerdict;

/// Says what is in a list. A variant that is missing from it does not compile; what follows the
/// variants stands in the implementation too.
macro_rules! words {
    ($list:ident, $name:literal: $($value:ident),+ $(,)? $({ $($more:item)+ })?) => {
        impl Words for $list {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = {
                const fn listed(value: $list) -> $list {
                    match value {
                        $($list::$value)|+ => value,
                    }
                }
                &[$(listed($list::$value)),+]
            };

            $($($more)+)?
        }
    };
}

/// The same for a list of the protocol's own, whose schema says what each word means.
macro_rules! own_words {
    ($list:ident, $name:literal: $($value:ident),+ $(,)?) => {
        words!($list, $name: $($value),+ {
            #[cfg(feature = "schema")]
            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }
        });
    };
}

/// Where people read the very word that is sent.
macro_rules! displayed_as_sent {
    ($($list:ident),+ $(,)?) => {$(
        impl fmt::Display for $list {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.word())
            }
        }
    )+};
}

// After the macros, which it uses.
mod operations;

pub use operations::{OperationKind, OperationState, VolumeMark};

/// What libvirt says of an instance, in its own words for the operations of the qemu hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DomainEvent {
    /// It is about to run; its disks are prepared.
    Start,
    /// libvirt has started it.
    Started,
    /// It has ended; its disks are not released yet.
    Stopped,
    /// libvirtd was restarted and has found it running.
    Reconnect,
    /// libvirtd has taken over a QEMU process that it did not start.
    Attach,
}

/// What a pool is configured as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// On a LUN that all nodes see: guests' volumes.
    Shared,
    /// On this node's own disks: local copies.
    Local,
}

/// LVM's lock type of a volume group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LockType {
    /// Leases through lvmlockd and sanlock.
    Sanlock,
    /// No leases: one node's own.
    None,
}

/// What is heard about where a volume's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// The home tag on the LUN.
    HomeTag,
    /// The lease that this node holds of the volume.
    Lease,
    /// This node's record of attachments.
    Record,
    /// A device in this node's kernel.
    Device,
    /// An LV of the local pool that says it is a copy of the volume.
    Copy,
}

/// What the witnesses of a volume say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// They say the same.
    Agree,
    /// The data is in the pool, and what is left of a copy holds nothing that the pool has not.
    Leftovers,
    /// The local pool cannot be asked, and a copy in it may have the data: nothing is done to it.
    Silent,
    /// They contradict each other: nothing is done to the data.
    Contradict,
}

/// Where a volume's current data is; the words of the tag `volward.home`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VolumeHome {
    /// In the shared LV alone: there is no copy.
    Pool,
    /// In the shared LV and one node's copy together.
    Split,
    /// In one node's complete copy.
    Node,
    /// In one node's copy, which is being written back to the shared LV.
    Returning,
}

impl From<&HomeState> for VolumeHome {
    fn from(state: &HomeState) -> Self {
        match state {
            HomeState::Pool => Self::Pool,
            HomeState::Split { .. } => Self::Split,
            HomeState::Node { .. } => Self::Node,
            HomeState::Returning { .. } => Self::Returning,
        }
    }
}

/// Whether a policy's answers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyLevel {
    /// They count: a denial refuses the request.
    Enforce,
    /// They are logged, and change nothing.
    Monitor,
    /// It is not asked at all.
    Off,
}

/// Which version of a policy serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PolicyState {
    /// What is in the folder.
    Serving,
    /// An earlier version; what is in the folder was refused.
    LastGood,
    /// An earlier version; an operator went back from what is in the folder.
    RolledBack,
    /// None: what is in the folder was refused, and there is no earlier version.
    Refused,
    /// None: what is in the folder has not been loaded yet, and will be.
    Waiting,
    /// None: its level is `off`.
    Off,
}

/// What a policy can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Whether an instance may have volumes, and how.
    Attach,
    /// What becomes of local copies.
    Detach,
    /// What is wrong with its configuration.
    Lifecycle,
    /// Whether an instance may come to this node by live migration.
    Migrate,
    /// Whether something may be done with a volume.
    Operate,
}

/// What the policies came to together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// All agree; of an attach.
    Granted,
    /// The fate of each copy; of a detach, which cannot be refused.
    Advised,
    /// At least one policy refuses the whole request.
    Denied,
    /// None refuses and at least one failed.
    Faulted,
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Became {
    /// It is being executed: how it ends is not known yet.
    Begun,
    /// It was begun, and how it ended is on record nowhere: the daemon ended in between, or its
    /// disk was full.
    Interrupted,
    /// It was executed to its end.
    Done,
    /// Nothing was begun: the policies or an invariant refused it.
    Refused,
    /// It was begun, and has been rolled back or is quarantined.
    Failed,
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentStage {
    /// Asked for on another node: as a daemon of 0.1.0 says. Later ones say `attaching`.
    Intent,
    /// Asked for, or being made; also where a step failed for now and is tried again.
    Attaching,
    /// Whole.
    Attached,
    /// Being taken back; also where a step failed for now and is tried again.
    Detaching,
    /// Left over from what could be neither completed nor undone: somebody has to look.
    Quarantined,
}

impl From<AttachmentState> for AttachmentStage {
    fn from(state: AttachmentState) -> Self {
        match state {
            AttachmentState::Intent => Self::Attaching,
            AttachmentState::Attached => Self::Attached,
            AttachmentState::Quarantined => Self::Quarantined,
        }
    }
}

/// How far a step of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It has not begun.
    Waiting,
    /// It has begun, and is perhaps done: the daemon was interrupted.
    Started,
    /// It is in effect.
    Done,
    /// It was in effect and has been rolled back.
    Undone,
}

own_words!(DiskPath, "DiskPath": Own, Lv);
own_words!(DomainEvent, "DomainEvent": Start, Started, Stopped, Reconnect, Attach);
own_words!(PoolKind, "PoolKind": Shared, Local);
own_words!(LockType, "LockType": Sanlock, None);
own_words!(VolumeHome, "VolumeHome": Pool, Split, Node, Returning);
own_words!(PolicyLevel, "PolicyLevel": Enforce, Monitor, Off);
own_words!(PolicyState, "PolicyState": Serving, LastGood, RolledBack, Refused, Waiting, Off);
own_words!(Hook, "Hook": Attach, Detach, Lifecycle, Migrate, Operate);
own_words!(Said, "Said": Granted, Advised, Denied, Faulted);
own_words!(Became, "Became": Begun, Interrupted, Done, Refused, Failed);
own_words!(Witness, "Witness": HomeTag, Lease, Record, Device, Copy);
own_words!(Heard, "Heard": Agree, Leftovers, Silent, Contradict);
own_words!(StepState, "StepState": Waiting, Started, Done, Undone);
own_words!(DoctorVerdict, "DoctorVerdict": Ok, Warning, Failed);
own_words!(
    ProblemCode, "ProblemCode":
    BadRequest, Forbidden, NotFound, Denied, Refused, Faulted, Storage, Quarantined, Internal,
);
displayed_as_sent!(
    DiskPath,
    DomainEvent,
    PoolKind,
    LockType,
    VolumeHome,
    PolicyLevel,
    PolicyState,
    Hook,
    Said,
    Became,
    StepState,
    AttachmentStage,
    Witness,
    Heard,
    DoctorVerdict,
);

words!(Access, "Access": ReadWrite, ReadOnly);
words!(Claim, "Claim": Libvirt, Openstack, Operator, Other);
words!(Sharing, "Sharing": Exclusive, Shared);
words!(AttachmentStage, "AttachmentState": Intent, Attaching, Attached, Detaching, Quarantined);
words!(VolumeStatus, "VolumeStatus": Available, Held, Detaching, Attaching, InUse, Fault);
words!(CopyMode, "CopyMode": None, WritesOnly, Background, BeforeStart);
words!(CopyFate, "CopyFate": WriteBack, Keep, Discard);
words!(CopyState, "CopyState": Hydrating, Complete, WritesOnly, Returning, Stalled, Failed);
words!(MemberState, "MemberState": Unknown, Free, Live, Fail, Dead);
words!(
    FaultKind, "FaultKind":
    Trap, Deadline, Memory, Stack, Hostcall, LogFlood, Link, Runtime {
        /// As 0.1.0 sends it: `log flood`, where records say `log-flood`.
        fn word(self) -> String {
            self.to_string()
        }
    }
);
