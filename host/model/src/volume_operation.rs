//! Operations on volumes: what was asked for under an id of the caller's own, and how far it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{LvmUuid, PoolName, RequestId, VolumeName};
use crate::operation_id::OperationId;
use crate::units::Bytes;
use crate::volume::VolumeRef;

/// What is asked for. Names are as the caller gave them: the volume need not exist yet, or any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum VolumeTask {
    /// A volume is made, and reads as zeroes unless the pool's setting says otherwise.
    Create {
        /// The pool it is made in.
        pool: PoolName,
        /// Its name; free now.
        name: VolumeName,
        /// At least this size in bytes; the volume group rounds up to its extent.
        size: Bytes,
    },
    /// A volume is deleted. One that is gone is done.
    Delete {
        /// The pool it is in.
        pool: PoolName,
        /// The name it has when it is asked for.
        name: VolumeName,
    },
    /// A volume gets at least this size; one that has it is done.
    Extend {
        /// The pool it is in.
        pool: PoolName,
        /// The name it has when it is asked for.
        name: VolumeName,
        /// Its size afterwards in bytes; the volume group rounds up to its extent.
        size: Bytes,
    },
    /// A new volume is made, with the content that another one has at one moment.
    Copy {
        /// The pool that the other one is in.
        from_pool: PoolName,
        /// The name that the other one has when it is asked for.
        from: VolumeName,
        /// The pool that the new one is made in.
        pool: PoolName,
        /// Its name; free now.
        name: VolumeName,
        /// At least this size in bytes, and not less than the other one's; absent: as that. What is
        /// behind the content reads as zeroes unless the pool's setting says otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<Bytes>,
    },
    /// The same in one pool, to keep the moment: the snapshot is a volume like any other.
    Snapshot {
        /// The pool of both.
        pool: PoolName,
        /// The name of the volume when it is asked for.
        from: VolumeName,
        /// The name of the snapshot; free now.
        name: VolumeName,
    },
    /// A volume goes to another pool, with its content and its tags; nobody has it meanwhile.
    Move {
        /// The pool that it is in.
        from_pool: PoolName,
        /// The name that it has when it is asked for.
        from: VolumeName,
        /// The pool that it goes to; another one.
        pool: PoolName,
        /// The name that it gets there; free now.
        name: VolumeName,
    },
    /// A volume gets another name; one that has it is done.
    Rename {
        /// The pool it is in.
        pool: PoolName,
        /// The name it has when it is asked for.
        name: VolumeName,
        /// The name it gets; free now.
        to: VolumeName,
    },
    /// All of a volume goes to one disk of its pool, under whoever has it here; one that is there is done.
    Relocate {
        /// The pool it is in.
        pool: PoolName,
        /// The name it has when it is asked for.
        name: VolumeName,
        /// LVM's UUID of the disk that it goes to, a physical volume of the pool.
        disk: LvmUuid,
    },
}

impl VolumeTask {
    /// The pool it is about; of a copy and a move, the one that the new volume is made in.
    #[must_use]
    pub fn pool(&self) -> &PoolName {
        match self {
            Self::Create { pool, .. }
            | Self::Delete { pool, .. }
            | Self::Extend { pool, .. }
            | Self::Copy { pool, .. }
            | Self::Snapshot { pool, .. }
            | Self::Move { pool, .. }
            | Self::Rename { pool, .. }
            | Self::Relocate { pool, .. } => pool,
        }
    }

    /// The name that the volume has, or is to have where it is made: of a copy and a move, the new one's; of a rename,
    /// the old one.
    #[must_use]
    pub fn name(&self) -> &VolumeName {
        match self {
            Self::Create { name, .. }
            | Self::Delete { name, .. }
            | Self::Extend { name, .. }
            | Self::Copy { name, .. }
            | Self::Snapshot { name, .. }
            | Self::Move { name, .. }
            | Self::Rename { name, .. }
            | Self::Relocate { name, .. } => name,
        }
    }

    /// Of a copy, a snapshot and a move: pool and name of the volume whose content is copied.
    #[must_use]
    pub fn source(&self) -> Option<(&PoolName, &VolumeName)> {
        match self {
            Self::Copy {
                from_pool, from, ..
            }
            | Self::Move {
                from_pool, from, ..
            } => Some((from_pool, from)),
            Self::Snapshot { pool, from, .. } => Some((pool, from)),
            _ => None,
        }
    }

    /// Of a rename: the new name.
    #[must_use]
    pub fn new_name(&self) -> Option<&VolumeName> {
        match self {
            Self::Rename { to, .. } => Some(to),
            _ => None,
        }
    }

    /// Of a relocation: LVM's UUID of the disk that all of the volume goes to.
    #[must_use]
    pub fn disk(&self) -> Option<LvmUuid> {
        match self {
            Self::Relocate { disk, .. } => Some(*disk),
            _ => None,
        }
    }

    /// Every name that it needs for itself until it has ended.
    #[must_use]
    pub fn names(&self) -> Vec<(&PoolName, &VolumeName)> {
        let own = [(self.pool(), self.name())].into_iter();
        let new = self.new_name().map(|to| (self.pool(), to));
        own.chain(self.source()).chain(new).collect()
    }

    /// The pools that it is about: one, or two.
    #[must_use]
    pub fn pools(&self) -> Vec<&PoolName> {
        let mut pools = vec![self.pool()];
        pools.extend(self.source().map(|(pool, _)| pool));
        pools.dedup();
        pools
    }

    /// Whether the volume whose content is copied goes, once that is done.
    #[must_use]
    pub fn moves(&self) -> bool {
        matches!(self, Self::Move { .. })
    }

    /// Whether it makes a volume, which does not exist before.
    #[must_use]
    pub fn makes(&self) -> bool {
        matches!(self, Self::Create { .. }) || self.source().is_some()
    }

    /// The size in bytes that is asked for, by those that ask for one.
    #[must_use]
    pub fn size(&self) -> Option<Bytes> {
        match self {
            Self::Create { size, .. } | Self::Extend { size, .. } => Some(*size),
            Self::Copy { size, .. } => *size,
            Self::Delete { .. }
            | Self::Snapshot { .. }
            | Self::Move { .. }
            | Self::Rename { .. }
            | Self::Relocate { .. } => None,
        }
    }

    /// What it is called: `create`, `delete`, `extend`, `copy`, `snapshot`, `move`, `rename`, `relocate`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::Extend { .. } => "extend",
            Self::Copy { .. } => "copy",
            Self::Snapshot { .. } => "snapshot",
            Self::Move { .. } => "move",
            Self::Rename { .. } => "rename",
            Self::Relocate { .. } => "relocate",
        }
    }
}

impl fmt::Display for VolumeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, pool, name) = (self.word(), self.pool(), self.name());
        match (self.source(), self.new_name()) {
            (Some((from_pool, from)), _) => {
                write!(f, "{word} {from_pool}/{from} to {pool}/{name}")?
            }
            (None, Some(to)) => write!(f, "{word} {pool}/{name} to {to}")?,
            (None, None) => write!(f, "{word} {pool}/{name}")?,
        }
        match (self.size(), self.disk()) {
            (Some(size), _) => write!(f, " ({size})"),
            (None, Some(disk)) => write!(f, " to disk {disk}"),
            (None, None) => Ok(()),
        }
    }
}

/// Where an operation is going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// It is being carried out.
    Forward,
    /// What was begun is being taken back, and it ends so; past its commit point it goes on instead.
    Back(End),
    /// It has ended.
    Ended(End),
}

/// How an operation ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// All of it was done.
    Done,
    /// Somebody cancelled it before its commit point: nothing of it is left.
    Cancelled,
    /// It was refused or failed before its commit point: nothing of it is left.
    Failed {
        /// A refusal's code, or `storage`.
        code: String,
        /// The reason, a sentence.
        message: String,
    },
}

/// An operation on a volume: what is asked for, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeOperation {
    /// What the caller calls it.
    pub id: OperationId,
    /// What is to be done.
    pub task: VolumeTask,
    /// What the daemon calls the request that began it.
    pub request: RequestId,
    /// The user id of the caller.
    pub uid: u32,
    /// The volume, once it is known which one: of one that is made, after that.
    pub volume: Option<VolumeRef>,
    /// Of a copy and a move: the volume whose content is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<VolumeRef>,
    /// Of several snapshots that hold the same moment: what they are called together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<OperationId>,
    /// Where it is going.
    pub course: Course,
    /// Bytes of what is to be copied and zeroed that are so on the disks, from its beginning.
    pub zeroed: Bytes,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it last got on, or changed its course.
    pub changed_ms: u64,
}

impl VolumeOperation {
    /// One that has just been asked for.
    #[must_use]
    pub fn new(
        id: OperationId,
        task: VolumeTask,
        (request, uid): (RequestId, u32),
        now_ms: u64,
    ) -> Self {
        Self {
            id,
            task,
            request,
            uid,
            volume: None,
            source: None,
            group: None,
            course: Course::Forward,
            zeroed: Bytes(0),
            started_ms: now_ms,
            changed_ms: now_ms,
        }
    }

    /// How it ended; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match &self.course {
            Course::Ended(end) => Some(end),
            Course::Forward | Course::Back(_) => None,
        }
    }

    /// Of a snapshot of a group: its copy holds the moment that all of the group hold.
    #[must_use]
    pub fn has_moment(&self) -> bool {
        self.group.is_some() && self.zeroed.0 > 0
    }

    /// Of a delete that is done because there was no such volume when it was asked for: that, in a sentence.
    #[must_use]
    pub fn had_nothing_to_do(&self) -> Option<String> {
        let deletes = matches!(self.task, VolumeTask::Delete { .. });
        let nothing = deletes && self.volume.is_none() && self.end() == Some(&End::Done);
        let (pool, name) = (self.task.pool(), self.task.name());
        nothing.then(|| format!("there is no volume {pool}/{name}: nothing was deleted"))
    }

    /// Whether it is about a volume of that name, or about that volume, or copies it.
    #[must_use]
    pub fn is_about(&self, volume: &VolumeRef) -> bool {
        let copies = self.source.as_ref().is_some_and(|s| s.id == volume.id);
        let makes_or_changes = match &self.volume {
            Some(known) => known.id == volume.id,
            None => *self.task.pool() == volume.pool && *self.task.name() == volume.name,
        };
        copies || makes_or_changes
    }

    /// The volumes that it is known to be about.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeRef> {
        self.volume.iter().chain(&self.source)
    }
}
