//! A volume as LVM and sanlock report it, as opposed to as a policy sees it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::copied::{COPIED_TAG_PREFIX, Copied};
use crate::given_up::GivenUp;
use crate::home::{HOME_TAG_PREFIX, Home};
use crate::ids::{LvUuid, LvmUuid, NodeName, ParseIdError, PoolName, VgUuid, VolumeId, VolumeName};
use crate::units::Bytes;
use crate::volume_mark::Mark;

/// The tag that marks a volume as shareable; set by `volward volume set` (I18).
pub const SHAREABLE_TAG: &str = "volward.shareable";
/// Starts the tag that names, on a copy's LVs in a local pool, the volume they belong to.
pub const COPY_OF_TAG_PREFIX: &str = "volward.copy-of=";
/// Every tag of Volward's own starts so; policies are not shown them.
pub const OWN_TAG_PREFIX: &str = "volward.";

/// The LV in each shared pool that holds the nodes' slots.
pub const REGISTRY_VOLUME: &str = "volward-registry";

/// A lease's mode. Ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseMode {
    /// Other nodes may hold it shared too.
    Shared,
    /// No other node holds it.
    Exclusive,
}

impl fmt::Display for LeaseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        })
    }
}

/// A lease this node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLease {
    /// Shared or exclusive, as read from sanlock.
    pub mode: LeaseMode,
    /// sanlock's lease version: it changes when the lease was lost and taken again.
    pub version: u64,
    /// lvmlockd died and has not adopted it: it keeps others out, but nothing can be done with it.
    pub orphan: bool,
}

/// A block device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceNumber {
    /// The driver's number, `st_rdev`'s major part.
    pub major: u32,
    /// The device's number at that driver, `st_rdev`'s minor part.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Which volume, with the names LVM's commands want. The UUIDs are what counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeRef {
    /// VG UUID and LV UUID: what every comparison goes by (I12).
    pub id: VolumeId,
    /// The pool it was found in.
    pub pool: PoolName,
    /// The name it had.
    pub name: VolumeName,
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.pool, self.name))
    }
}

/// One logical volume, as LVM's JSON report has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInfo {
    /// UUIDs and names, as the report has them.
    pub volume: VolumeRef,
    /// Size of the LV, a multiple of the VG's extent size.
    pub size: Bytes,
    /// All tags, Volward's own included.
    pub tags: Vec<String>,
    /// LVM's segment type (`linear`, `striped`, ...); several are joined by `,`.
    pub segment_type: String,
    /// The LV is mapped on this node.
    pub active: bool,
    /// LVM would activate it at boot by itself (I4 wants this off): neither the volume nor its pool says
    /// otherwise.
    pub autoactivation: bool,
    /// LVM's roles of it (`public`, `origin`, `snapshot`, `thicksnapshot`, ...): what segment types
    /// do not say. Empty where the report has none.
    pub roles: Vec<String>,
    /// LVM gave it a lease of its own. Thin and VDO volumes and snapshots have none: they go by the
    /// lease of their pool or origin. `false` in a local pool.
    pub own_lease: bool,
    /// It is mapped on this node, and the kernel refuses to write to it, whatever is attached above.
    pub read_only: bool,
}

impl VolumeInfo {
    /// Where its data is.
    ///
    /// # Errors
    /// If its home tag cannot be understood.
    pub fn home(&self) -> Result<Home, ParseIdError> {
        Home::from_tags(self.tags.iter().map(String::as_str))
    }

    /// Whether the LV carries the tag of `volward volume set --shareable yes`.
    #[must_use]
    pub fn shareable(&self) -> bool {
        self.tags.iter().any(|tag| tag == SHAREABLE_TAG)
    }

    /// The copies of it that were given up.
    pub fn given_up(&self) -> impl Iterator<Item = GivenUp> {
        GivenUp::of_tags(self.tags.iter().map(String::as_str))
    }

    /// When the copy was made that its home names; `None` where it names none, or nobody has said so.
    #[must_use]
    pub fn copied(&self) -> Option<Copied> {
        let home = self.home().ok()?;
        let (_, copy) = home.copy()?;
        Copied::of_tags(self.tags.iter().map(String::as_str), *copy)
    }

    /// The tags that go when its home changes to one that names this copy, or none.
    #[must_use]
    pub fn tags_of_home(&self, next_copy: Option<LvUuid>) -> Vec<String> {
        let stays =
            |tag: &str| next_copy.is_some_and(|copy| Copied::of_tags([tag], copy).is_some());
        let goes = |tag: &&String| {
            tag.starts_with(HOME_TAG_PREFIX) || (tag.starts_with(COPIED_TAG_PREFIX) && !stays(tag))
        };
        self.tags.iter().filter(goes).cloned().collect()
    }

    /// The mark of an operation that makes it, deletes it or grows it; `None` of a volume that is whole.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        Mark::from_tags(self.tags.iter().map(String::as_str))
    }

    /// One of Volward's own LVs (registry, copies): never a guest's.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.volume.name.as_str() == REGISTRY_VOLUME
            || self
                .tags
                .iter()
                .any(|tag| tag.starts_with(COPY_OF_TAG_PREFIX))
    }
}

/// What keeps the nodes apart on a volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum PoolKind {
    /// Leases that every node sees: it can be a shared pool.
    Shared,
    /// Nothing: it is one node's own.
    Local,
    /// Something that Volward does not use (LVM's `dlm`, `idm`, `clvm`).
    Foreign {
        /// The storage's name of it, for messages.
        lock_type: String,
    },
}

impl fmt::Display for PoolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared => f.pad("shared"),
            Self::Local => f.pad("not shared"),
            Self::Foreign { lock_type } => write!(f, "shared by {lock_type}"),
        }
    }
}

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolInfo {
    /// The VG's name.
    pub name: PoolName,
    /// The VG's UUID: what a pool is compared by, for a name can be given to another VG.
    pub vg: VgUuid,
    /// What keeps the nodes apart on it.
    pub kind: PoolKind,
    /// Size of the volume group.
    pub size: Bytes,
    /// Not allocated to any LV.
    pub free: Bytes,
    /// LVM's allocation unit.
    pub extent: Bytes,
    /// A physical volume is missing.
    pub partial: bool,
    /// LVM would activate its volumes at boot by itself, unless a volume says otherwise. `pool init`
    /// switches it off (I4): then no volume has to.
    pub autoactivation: bool,
    /// Its logical volumes, LVM's hidden ones excepted.
    pub volumes: Vec<VolumeInfo>,
}

impl PoolInfo {
    /// The volume of that identity.
    #[must_use]
    pub fn volume(&self, id: VolumeId) -> Option<&VolumeInfo> {
        self.volumes.iter().find(|v| v.volume.id == id)
    }

    /// The volume of that name.
    #[must_use]
    pub fn named(&self, name: &VolumeName) -> Option<&VolumeInfo> {
        self.volumes.iter().find(|v| v.volume.name == *name)
    }

    /// Whether its volumes are leased through sanlock.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.kind == PoolKind::Shared
    }
}

/// One of the disks that a pool is on: a physical volume of its volume group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalVolume {
    /// LVM's UUID of it.
    pub id: LvmUuid,
    /// The path of the disk on this node, in LVM's words also where it is none: `[unknown]`.
    pub path: String,
    /// What of it LVM can give to LVs.
    pub size: Bytes,
    /// Not allocated to any LV.
    pub free: Bytes,
    /// LVM does not find it on this node.
    pub missing: bool,
    /// What is on it, in the order of the disk, an LV once.
    pub carries: Vec<Carried>,
}

/// Where in its pool a volume is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// How much of it is on each physical volume, by LVM's UUID of it; nothing while it is on the way.
    pub on: BTreeMap<LvmUuid, Bytes>,
    /// It is on the way from one to another.
    pub moving: Option<Moving>,
}

/// A volume that LVM moves from one physical volume to another (`pvmove`): all that is written goes to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moving {
    /// LVM's UUID of the physical volume that it leaves.
    pub from: LvmUuid,
    /// How much of what moves is on both, in percent; `None` where nothing copies, for it is not active here.
    pub percent: Option<u8>,
}

/// What of an LV is on a physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The LV's name, also of one that LVM hides, such as `lvmlock`.
    pub name: String,
    /// The LV's UUID.
    pub lv: LvUuid,
    /// How much of it.
    pub size: Bytes,
}

/// A member of a pool's lockspace, as sanlock sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// sanlock's number of the node, from 1.
    pub host_id: u64,
    /// Counts the node's joins of the lockspace.
    pub generation: u64,
    /// Whether it is alive.
    pub state: MemberState,
    /// This very node.
    pub own: bool,
    /// Its latest renewal that sanlock knows of; `None` where nobody tells.
    #[serde(default)]
    pub renewal: Option<Renewal>,
}

/// A node's latest renewal of its lease on the lockspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Seconds by that node's own clock: only that it changes says something on another node.
    pub stamp: u64,
    /// sanlock's I/O timeout on that node, in seconds.
    pub io_timeout_s: u32,
}

/// sanlock's view of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Not yet known: sanlock has not watched it long enough.
    Unknown,
    /// Left in good order.
    Free,
    /// The node renews its lockspace lease in time.
    Live,
    /// Stopped renewing; may still write.
    Fail,
    /// Stopped renewing so long ago that its watchdog has reset it.
    Dead,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Free => "free",
            Self::Live => "live",
            Self::Fail => "fail",
            Self::Dead => "dead",
        })
    }
}

impl MemberState {
    /// Whether the node may still be using its leases; only `Free` and `Dead` are certain not to.
    #[must_use]
    pub fn may_be_alive(self) -> bool {
        !matches!(self, Self::Free | Self::Dead)
    }
}

/// A node that holds a lease, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    /// sanlock's number of it.
    pub host_id: u64,
    /// Its join of the lockspace.
    pub generation: u64,
    /// How it holds the lease.
    pub mode: LeaseMode,
    /// Its name, where the registry says.
    pub node: Option<NodeName>,
}
