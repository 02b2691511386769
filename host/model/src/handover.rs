//! The files that libvirt's hook and the daemon leave for each other, in JSON: start marks, late
//! releases, refusal notes, arrival notes.
//!
//! Each says its `version`; 0.1.0's files say none, which is read as 0. A reader looks at
//! [`FileVersion`] first: a file of a later version is said to be one, and left where it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{InstanceId, PoolName, VolumeName};

/// The version of the four kinds of files that this build writes, and the latest it reads.
pub const FILE_VERSION: u32 = 1;

/// The one field that every version of every kind of file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct FileVersion {
    /// Absent in the files of 0.1.0: 0.
    #[serde(default)]
    pub version: u32,
}

/// A file that a later version of Volward has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "written by a later version of Volward (file version {found}, this build knows up to {FILE_VERSION}): \
     install that version again, or remove the file by hand"
)]
pub struct LaterFile {
    /// The version it says.
    pub found: u32,
}

impl FileVersion {
    /// Whether this build may read the rest.
    ///
    /// # Errors
    /// If the file is of a later version.
    pub fn known(self) -> Result<(), LaterFile> {
        match self.version {
            0..=FILE_VERSION => Ok(()),
            found => Err(LaterFile { found }),
        }
    }
}

/// One start of an instance on this node: everything that was attached for it up to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartPoint {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Counts attach requests on this node.
    pub sequence: u64,
}

/// A start mark, `<instance>` in the folder of marks: the daemon writes it, the hook reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkFile {
    /// See [`FileVersion`].
    #[serde(default)]
    pub version: u32,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The latest attach request of the instance.
    pub sequence: u64,
}

impl MarkFile {
    /// The file of this build's version.
    #[must_use]
    pub fn new(start: StartPoint) -> Self {
        Self {
            version: FILE_VERSION,
            boot_id: start.boot_id,
            sequence: start.sequence,
        }
    }

    /// What it marks.
    #[must_use]
    pub fn start(self) -> StartPoint {
        StartPoint {
            boot_id: self.boot_id,
            sequence: self.sequence,
        }
    }
}

/// A release that could not be delivered, `<instance>.json` in the spool: the hook writes it, the
/// daemon reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    /// See [`FileVersion`].
    #[serde(default)]
    pub version: u32,
    /// Whose disks are released.
    pub instance: InstanceId,
    /// These (pool, volume) only; empty: everything the instance has on this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<(PoolName, VolumeName)>,
    /// Nothing that was attached after this start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<StartPoint>,
    /// 0.1.0 says it, and always `false`: a release that only asks is never spooled.
    #[serde(default, skip_serializing)]
    pub dry_run: bool,
}

impl ReleaseFile {
    /// The file of this build's version, for everything that the instance has.
    #[must_use]
    pub fn new(instance: InstanceId, not_after: Option<StartPoint>) -> Self {
        Self {
            version: FILE_VERSION,
            instance,
            volumes: Vec::new(),
            not_after,
            dry_run: false,
        }
    }
}

/// A refusal note, `<instance>` in its folder: the hook's own. The last start of the instance was
/// refused before anything was begun. 0.1.0's is an empty file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalNote {
    /// See [`FileVersion`].
    #[serde(default)]
    pub version: u32,
}

impl RefusalNote {
    /// The note of this build's version.
    pub const CURRENT: Self = Self {
        version: FILE_VERSION,
    };
}

/// An arrival note, `<instance>` in its folder: the hook's own. libvirt has said that the instance
/// migrates here, and is about to have its disks attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalNote {
    /// See [`FileVersion`].
    #[serde(default)]
    version: u32,
    /// When, in milliseconds since the node's start.
    at_ms: u64,
}

impl ArrivalNote {
    /// The note of this build's version; `at`: time since the node's start.
    #[must_use]
    pub fn new(at: Duration) -> Self {
        Self {
            version: FILE_VERSION,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// When that was, since the node's start; `None` of a later version's.
    #[must_use]
    pub fn at(self) -> Option<Duration> {
        (self.version <= FILE_VERSION).then(|| Duration::from_millis(self.at_ms))
    }
}
