//! Why a request is refused. Every refusal of Volward's own is made in this crate; policies deny,
//! they do not refuse.
//!
//! | module | has |
//! |---|---|
//! | here | the refusal, its codes, and what the checks of several plans share |
//! | `migration` | the refusals of a live migration |
//! | `made` | the refusals that a use case makes from what it met |
//! | `home` | those of bringing a copy home |
//! | `operate` | those of operations on volumes |
//! | `permit` | those of the matrix of permitted operations |
//! | `unmet` | preconditions that a port found not to hold, and their refusals |

use std::fmt;

use volward_model::home::HOME_TAG_PREFIX;
use volward_model::{Home, NodeName, VolumeId, VolumeInfo, VolumeRef};

use crate::fence::Silence;

mod home;
mod made;
mod migration;
mod operate;
mod permit;
mod unmet;

pub use unmet::{HostIdTaken, Unmet};

/// A refusal: the request breaks a rule that holds whatever the policies say. Only this crate
/// makes one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Refusal {
    /// The rule that the request breaks.
    pub code: RefusalCode,
    /// The volume that it is about; `None` if it is about the pool, the node or the whole request.
    pub volume: Option<VolumeId>,
    /// One sentence for the caller: what is wrong, where, and what to do.
    pub message: String,
    /// Milliseconds after which asking again makes sense; `None`: something must change first.
    pub retry_after_ms: Option<u64>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The rules. The text form is stable: programs match on it. Each has a case in
        /// `tests/refusals.rs` and a row in the operator guide.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $name,)*
        }

        impl RefusalCode {
            /// Every code, in the order of the operator guide.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text, in kebab case.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Another instance on this node has the volume.
    HeldHere => "held-here",
    /// Another node has the volume, or this instance has it there.
    HeldElsewhere => "held-elsewhere",
    /// The instance has this disk already, with another sharing, access or path.
    AttachedDifferently => "attached-differently",
    /// Shared read-write, and the volume is not marked shareable (I18).
    NotShareable => "not-shareable",
    /// A policy allows less than was asked for, and the caller did not accept less.
    Narrowed => "narrowed",
    /// The data is (partly) in a copy that cannot be reached from here.
    HomeElsewhere => "home-elsewhere",
    /// The copy is being written back.
    Returning => "returning",
    /// The copy is to come home under its guest, and is not hydrated whole.
    NotHydrated => "not-hydrated",
    /// The home tag cannot be understood.
    HomeUnreadable => "home-unreadable",
    /// Home tag, records, devices and copies do not say the same of where the data is.
    Contradiction => "contradiction",
    /// What a person says of the home was printed for witnesses that say something else by now.
    HomeChanged => "home-changed",
    /// A copy is to be given up, and nobody says why.
    NoReason => "no-reason",
    /// The local pool cannot be read, and a copy in it may have the data.
    LocalPoolUnreadable => "local-pool-unreadable",
    /// What is left of a copy that was written back cannot be removed.
    Leftovers => "leftovers",
    /// The data is in a copy that was kept, which cannot be attached yet.
    CopyKept => "copy-kept",
    /// The slot of a node that may be alive cannot be read (I6).
    SlotUnreadable => "slot-unreadable",
    /// A node that may be alive runs a newer version, whose slot names the volume, or does not
    /// say what it names (I6).
    SlotNewer => "slot-newer",
    /// Read-write without an armed watchdog (I26).
    NoWatchdog => "no-watchdog",
    /// A disk given as the LV itself can be neither read-only, nor copied, nor attached twice.
    LvPath => "lv-path",
    /// The lease belongs to an lvmlockd that has died, until a new one adopts it.
    LeaseOrphaned => "lease-orphaned",
    /// LVM gives the volume no lease of its own: nothing would keep other nodes from it.
    NoOwnLease => "no-own-lease",
    /// LVM makes something of the volume that no guest can have as its disk.
    SegmentType => "segment-type",
    /// Shared, and LVM can have the volume active on one node only.
    ExclusiveOnly => "exclusive-only",
    /// The lease is held, and LVM did not activate the volume.
    NotActivated => "not-activated",
    /// Read-write, and LVM activated the volume read-only.
    ActivatedReadOnly => "activated-read-only",
    /// LVM does not find all physical volumes of the pool on this node, and what was asked for needs them.
    PoolIncomplete => "pool-incomplete",
    /// The instance has another volume under the path that this one would get.
    PathTaken => "path-taken",
    /// The exclusive lease was lost while something was changed under it (I1).
    LeaseLost => "lease-lost",
    /// Somebody activated the volume on this node, past Volward.
    ActiveByHand => "active-by-hand",
    /// An earlier attachment is quarantined.
    Quarantined => "quarantined",
    /// The attachment's I/O is cut off on this node (I2).
    Fenced => "fenced",
    /// The pool's leases are not renewed as they should be (I2).
    LeasesUncertain => "leases-uncertain",
    /// What was decided on changed each time before it was carried out.
    KeepsChanging => "keeps-changing",
    /// The volume is one of Volward's own.
    Internal => "internal-volume",
    /// The request names a volume twice.
    Twice => "twice",
    /// The policies' answer is not one entry for each disk of the request.
    AnswerMismatch => "answer-mismatch",
    /// The volume's size is none that device-mapper or dm-clone can handle (I21).
    SizeUnsupported => "size-unsupported",
    /// The shareable mark is to be taken from a volume that is attached.
    MarkInUse => "mark-in-use",
    /// The volume group is not shared by sanlock.
    NotShared => "not-shared",
    /// The pool has no devices file of its own (I16).
    DevicesFile => "devices-file",
    /// This node is not in the pool's lockspace.
    NotJoined => "not-joined",
    /// The disks of the pool have less than this node wrote to them: an earlier snapshot of themselves.
    PoolOlder => "pool-older",
    /// The pool has no registry yet.
    NoRegistry => "no-registry",
    /// The pool has a registry already, which is left as it is.
    RegistryExists => "registry-exists",
    /// The registry is damaged, or of a layout that this version does not know.
    RegistryUnreadable => "registry-unreadable",
    /// The registry is to be converted, and other nodes have it active.
    RegistryInUse => "registry-in-use",
    /// The registry has no place for this node's host-id.
    NoPlace => "no-place",
    /// This node has more attachments than its place in the registry can hold.
    RegistryFull => "registry-full",
    /// The source does not share the volume; its own code is in the sentence.
    MigrationRefused => "migration-refused",
    /// The source has not answered in time.
    MigrationUnanswered => "migration-unanswered",
    /// The node that was to grow a volume has not answered in time.
    OrderUnanswered => "order-unanswered",
    /// The source's libvirt knows of no migration of the instance.
    NoMigration => "no-migration",
    /// The source's libvirt does not answer.
    LibvirtSilent => "libvirt-silent",
    /// The volume migrates to another node already.
    MigrationElsewhere => "migration-elsewhere",
    /// The destination asks on account of an earlier migration, or is not the node that it was.
    MigrationStale => "migration-stale",
    /// The data is partly in a local copy of the source.
    MigrationCopy => "migration-copy",
    /// The source of a migration does not have the volume for that instance.
    MigrationUnknown => "migration-unknown",
    /// The source has withdrawn its answer before the destination was ready.
    MigrationOver => "migration-over",
    /// The instance is arriving here by a migration that has not ended, and is started.
    Arriving => "arriving",
    /// The registry has the layout of 0.1.0, in which nodes cannot speak of migrations.
    RegistryOld => "registry-old",
    /// The daemon is being stopped.
    Stopping => "stopping",
    /// An operation makes the volume.
    BeingMade => "being-made",
    /// An operation deletes the volume.
    BeingDeleted => "being-deleted",
    /// An operation grows the volume.
    BeingGrown => "being-grown",
    /// An operation copies the volume.
    BeingCopied => "being-copied",
    /// The volume to be copied is gone.
    SourceGone => "source-gone",
    /// The instance that wrote to the source of a copy was detached before the copy was whole.
    SourceDetached => "source-detached",
    /// A guest is restored from a saved memory, and its volume may have been written to since.
    UsedSince => "used-since",
    /// The I/O of a volume was cut off while LVM moved it between disks.
    MoveHalted => "move-halted",
    /// The mirror by which a copy follows its source's guest failed.
    CopyBroken => "copy-broken",
    /// Another operation on the volume has not ended.
    OperationOpen => "operation-open",
    /// The operation's id was given to another request before.
    OperationDiffers => "operation-differs",
    /// The operation cannot be taken back any more.
    TooLate => "too-late",
    /// A volume of that name is there already.
    NameTaken => "name-taken",
    /// LVM or Volward keeps such names for itself.
    NameReserved => "name-reserved",
    /// The volume group has no room for it.
    NoSpace => "no-space",
    /// The volume has more than what was asked for.
    WouldShrink => "would-shrink",
    /// No node does what was asked for this kind of caller.
    CallerMayNot => "caller-may-not",
    /// This node lacks the role of making, deleting and changing volumes.
    NotControl => "not-control",
    /// This node lacks the role of running instances.
    NotCompute => "not-compute",
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a volume's data is.
///
/// # Errors
/// [`RefusalCode::HomeUnreadable`] if its home tag cannot be understood, or it has two.
pub fn home_of(info: &VolumeInfo) -> Result<Home, Refusal> {
    info.home().map_err(|error| {
        let name = &info.volume;
        let tags = info.tags.iter().filter(|t| t.starts_with(HOME_TAG_PREFIX));
        let tags: Vec<String> = tags.map(|tag| format!("`{tag}`")).collect();
        let message = format!(
            "the home tag of {name} cannot be read ({error}), so nobody knows where its data is; home tags: {}; \
             `lvs -o vg_name,lv_name,lv_tags` on each node shows its copies (`volward.copy-of`): where no node has one, \
             the data is in the pool and every home tag goes (`lvchange --deltag TAG {name}`); else the one stays \
             that names the copy",
            tags.join(", ")
        );
        Refusal::of(RefusalCode::HomeUnreadable, name, message)
    })
}

impl Refusal {
    /// A refusal about one volume.
    pub(crate) fn of(code: RefusalCode, volume: &VolumeRef, message: String) -> Self {
        Self {
            volume: Some(volume.id),
            ..Self::general(code, message)
        }
    }

    /// A refusal about a pool, the node or the whole request.
    pub(crate) fn general(code: RefusalCode, message: String) -> Self {
        Self {
            code,
            volume: None,
            message,
            retry_after_ms: None,
        }
    }

    /// The same, where the node that stands in the way does not renew its lease: when to ask again.
    #[must_use]
    pub fn of_silent(mut self, node: &NodeName, silence: Silence) -> Self {
        self.message = format!("{}; node {node} {silence}", self.message);
        self.retry_after(Some(silence.retry_after_ms()))
    }

    pub(crate) fn retry_after(mut self, ms: Option<u64>) -> Self {
        self.retry_after_ms = ms;
        self
    }
}
