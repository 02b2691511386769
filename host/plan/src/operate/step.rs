//! What an operation on a volume can do.

use std::fmt;

use volward_model::{Bytes, LeaseMode, LvmUuid, Mark, VolumeName};

/// One thing that an operation does. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStep {
    /// Make the LV, inactive and not zeroed, with its mark from the start.
    Make {
        /// At least this size in bytes.
        size: Bytes,
        /// Its only tag.
        mark: Mark,
    },
    /// Take the exclusive lease and activate; read back that it is so.
    Lease,
    /// Look again under the lease whether the operation may go on, then put the mark on. From here on
    /// nobody attaches it: the commit point of a delete.
    Mark {
        /// Instead of whatever mark it has.
        mark: Mark,
    },
    /// Give it another name; LVM takes the lease for that by itself. The commit point of a rename.
    Rename {
        /// The name that it gets.
        to: VolumeName,
    },
    /// Allocate extents. What is in them is anybody's old content.
    Grow {
        /// At least this size in bytes.
        to: Bytes,
        /// The lease is held for attachments on this node: LVM is told not to take it.
        held: bool,
    },
    /// Take the source's lease and activate it; read back that it is so.
    LeaseSource {
        /// Exclusive; shared where others read it.
        mode: LeaseMode,
    },
    /// Look at the source again under its lease, then put the mark on it. From here on nobody attaches it,
    /// and its content stays as it is; what was copied before counts no more.
    MarkSource {
        /// The only one that it has.
        mark: Mark,
    },
    /// Copy from the source to the same place, and flush.
    Copy {
        /// Where, in bytes from the beginning of both.
        from: Bytes,
        /// How much.
        amount: Bytes,
    },
    /// Deactivate the source and give its lease up; read back that it is so.
    ReleaseSource,
    /// Give the source, which was moved, another name: its own is free again. LVM takes the lease for that.
    RenameSource {
        /// The name that it gets.
        to: VolumeName,
    },
    /// Write zeroes to the source, which was moved, and flush.
    ZeroSource {
        /// Where, in bytes from its beginning.
        from: Bytes,
        /// How much.
        amount: Bytes,
    },
    /// Remove the source, which was moved; LVM takes the lease for that by itself, which proves that nobody has it.
    RemoveSource,
    /// Take the mark off the source.
    UnmarkSource {
        /// The mark that it has.
        mark: Mark,
    },
    /// Wait until the local copy of the volume, or of a copy's source, is whole.
    AwaitWhole,
    /// Begin to bring that local copy home, under the guest that runs on it.
    BringHome,
    /// Wait until it is home.
    AwaitHome,
    /// Have the instance's writes go to both, the source and its copy, and the kernel copy the rest.
    Mirror,
    /// Wait until both are equal.
    AwaitMirror,
    /// The instance writes to the source alone again: the copy holds what was written until then.
    Split {
        /// How much is copied with that, in bytes.
        content: Bytes,
    },
    /// The instance writes to the source alone again, whatever the copy holds.
    Unmirror,
    /// Have LVM move what is on one disk to another, beneath whoever has the volume here.
    Relocate {
        /// LVM's UUID of the disk that is left.
        from: LvmUuid,
        /// LVM's UUID of the disk that it goes to.
        to: LvmUuid,
    },
    /// Wait until all of that is there.
    AwaitRelocation,
    /// Have LVM end that: what was on its way stays on the disk that it was to leave.
    EndRelocation,
    /// Write zeroes, and flush.
    Zero {
        /// Where, in bytes from the volume's beginning.
        from: Bytes,
        /// How much.
        amount: Bytes,
    },
    /// Give the attachments' devices on this node the volume's new length.
    Lengthen,
    /// Deactivate and give the lease up; read back that it is so.
    Release,
    /// Take the mark off: the commit point of whatever makes a volume, and the end of an extend.
    Unmark {
        /// The mark that it has.
        mark: Mark,
    },
    /// Remove the LV; LVM takes the lease for that by itself, which proves that nobody has it.
    Remove,
}

impl OperationStep {
    /// Whether it needs the source of a copy.
    #[must_use]
    pub fn is_about_source(&self) -> bool {
        matches!(
            self,
            Self::LeaseSource { .. }
                | Self::MarkSource { .. }
                | Self::Copy { .. }
                | Self::ReleaseSource
                | Self::Mirror
                | Self::AwaitMirror
                | Self::Split { .. }
                | Self::Unmirror
                | Self::RenameSource { .. }
                | Self::ZeroSource { .. }
                | Self::RemoveSource
                | Self::UnmarkSource { .. }
        )
    }

    /// Its name in fault points.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Make { .. } => "make",
            Self::Lease => "lease",
            Self::Mark { .. } => "mark",
            Self::Rename { .. } => "rename",
            Self::Grow { .. } => "grow",
            Self::LeaseSource { .. } => "lease-source",
            Self::MarkSource { .. } => "mark-source",
            Self::Copy { .. } => "copy",
            Self::ReleaseSource => "release-source",
            Self::RenameSource { .. } => "rename-source",
            Self::ZeroSource { .. } => "zero-source",
            Self::RemoveSource => "remove-source",
            Self::UnmarkSource { .. } => "unmark-source",
            Self::AwaitWhole => "await-whole",
            Self::BringHome => "bring-home",
            Self::AwaitHome => "await-home",
            Self::Mirror => "mirror",
            Self::AwaitMirror => "await-mirror",
            Self::Split { .. } => "split",
            Self::Unmirror => "unmirror",
            Self::Relocate { .. } => "relocate",
            Self::AwaitRelocation => "await-relocation",
            Self::EndRelocation => "end-relocation",
            Self::Zero { .. } => "zero",
            Self::Lengthen => "lengthen",
            Self::Release => "release",
            Self::Unmark { .. } => "unmark",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for OperationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make { size, mark } => write!(f, "make it, {size}, with the tag {}", mark.tag()),
            Self::Lease => f.pad("take its exclusive lease and activate it"),
            Self::Mark { mark } => {
                write!(f, "look at it again, and give it the tag {}", mark.tag())
            }
            Self::Rename { to } => write!(f, "rename it to {to}"),
            Self::Grow { to, .. } => write!(f, "grow it to {to}"),
            Self::LeaseSource { mode } => {
                write!(f, "take the source's lease ({mode}) and activate it")
            }
            Self::MarkSource { mark } => {
                write!(
                    f,
                    "look at the source again, and give it the tag {}",
                    mark.tag()
                )
            }
            Self::Copy { from, amount } => {
                write!(f, "copy {amount} of the source from byte {} on", from.0)
            }
            Self::ReleaseSource => f.pad("deactivate the source and give its lease up"),
            Self::RenameSource { to } => write!(f, "rename the source to {to}"),
            Self::ZeroSource { from, amount } => {
                write!(f, "zero {amount} of the source from byte {} on", from.0)
            }
            Self::RemoveSource => f.pad("remove the source"),
            Self::UnmarkSource { mark } => {
                write!(f, "take the tag {} off the source", mark.tag())
            }
            Self::AwaitWhole => f.pad("wait until the local copy that its guest runs on is whole"),
            Self::BringHome => f.pad("bring the local copy home under its guest"),
            Self::AwaitHome => f.pad("wait until the local copy is home"),
            Self::Mirror => f.pad("have its guest write to both, and the kernel copy the rest"),
            Self::AwaitMirror => f.pad("wait until both are equal"),
            Self::Split { content } => {
                write!(
                    f,
                    "keep the {content} that both hold at that moment, apart from the guest"
                )
            }
            Self::Unmirror => f.pad("have the source's guest write to the source alone"),
            Self::Relocate { from, to } => {
                write!(
                    f,
                    "have LVM move what is on disk {from} to disk {to}, beneath whoever has it"
                )
            }
            Self::AwaitRelocation => f.pad("wait until all of that is there"),
            Self::EndRelocation => {
                f.pad("have LVM end the move: it stays on the disk that it was to leave")
            }
            Self::Zero { from, amount } => write!(f, "zero {amount} from byte {} on", from.0),
            Self::Lengthen => f.pad("give its attachments on this node their new length"),
            Self::Release => f.pad("deactivate it and give its lease up"),
            Self::Unmark { mark } => write!(f, "take the tag {} off", mark.tag()),
            Self::Remove => f.pad("remove it"),
        }
    }
}
