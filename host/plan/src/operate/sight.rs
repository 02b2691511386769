//! What is seen of the volume of an operation, and what a step makes of it.

use volward_model::{
    Bytes, End, LvmUuid, Mark, ParseIdError, VolumeInfo, VolumeName, VolumeOperation, Whereabouts,
};

use super::{Away, DYING_PREFIX, Next, OperationStep, Wipe, next};
use crate::refusal::Refusal;

/// One look at the volume of an operation from this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The operation has on record which volume it is about: of a create, that it has made it.
    pub known: bool,
    /// The volume; `None` if there is none.
    pub volume: Option<Seen>,
    /// This node holds something of it that is the operation's: its lease, or its activation.
    pub holds: bool,
    /// It is active here under the exclusive lease, and nobody has it: it can be written.
    pub works: bool,
    /// Instances on this node have it, and its lease is for them.
    pub attached: bool,
    /// A device of one of them is shorter than the volume.
    pub behind: bool,
    /// The data of the volume that there is (of a copy: of its source) is in a local copy.
    pub away: Option<Away>,
    /// Of a copy and a move: the volume that it is made of; `None` if that is gone.
    pub source: Option<SourceSeen>,
    /// Of a relocation: where the volume is.
    pub place: Option<Place>,
}

/// Where a volume is that goes to another disk of its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it is on the disk that it goes to.
    There,
    /// Some of it is on another one, and stays there.
    On {
        /// LVM's UUID of that one.
        from: LvmUuid,
    },
    /// LVM moves it.
    Moving {
        /// LVM's UUID of the disk that it leaves.
        from: LvmUuid,
        /// How much of what moves is on both disks, in percent; `None` where nothing copies.
        percent: Option<u8>,
    },
    /// LVM was moving it, and that was halted beneath it.
    Halted {
        /// LVM's UUID of the disk that it was to leave.
        from: LvmUuid,
    },
}

impl Place {
    /// Of what LVM says.
    #[must_use]
    pub fn of(found: &Whereabouts, halted: bool, disk: LvmUuid) -> Self {
        if let Some(moving) = found.moving {
            let (from, percent) = (moving.from, moving.percent);
            return match halted {
                true => Self::Halted { from },
                false => Self::Moving { from, percent },
            };
        }
        let elsewhere = found.on.keys().find(|on| **on != disk);
        elsewhere.map_or(Self::There, |from| Self::On { from: *from })
    }
}

/// The source of a copy or a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSeen {
    /// Its name now.
    pub name: VolumeName,
    /// What it is called once it was moved, until it is removed.
    pub dying_name: VolumeName,
    /// Its pool's setting says that what is deleted there is zeroed.
    pub wipes: bool,
    /// Its size in bytes.
    pub size: Bytes,
    /// The mark that an operation has made.
    pub mark: Option<Mark>,
    /// This node holds something of it that is the operation's.
    pub holds: bool,
    /// It is active here under a lease that keeps writers away: it can be read.
    pub works: bool,
    /// Others read it: its lease is shared with them.
    pub read: bool,
    /// An instance on this node writes to it, alone; how its device stands to the copy.
    pub writer: Option<Writer>,
}

/// The device of an instance that writes to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// It stands on the source alone.
    Apart,
    /// It is a mirror, whose second leg is not equal yet.
    Filling,
    /// Both legs are equal.
    Equal,
    /// Both legs are equal; of its group others are not, or another one is to split all of them off.
    Awaited,
    /// It is a mirror of which a leg has failed.
    Failed,
    /// It is neither: its I/O is cut off.
    Cut,
}

impl Writer {
    /// The guest writes to a copy, too.
    #[must_use]
    pub fn is_mirrored(self) -> bool {
        matches!(
            self,
            Self::Filling | Self::Equal | Self::Awaited | Self::Failed
        )
    }
}

/// The volume as the pool lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name now.
    pub name: VolumeName,
    /// What it is called while it is deleted.
    pub dying_name: VolumeName,
    /// Its size in bytes.
    pub size: Bytes,
    /// The mark that an operation has made.
    pub mark: Option<Mark>,
}

impl Seen {
    /// Of a report.
    ///
    /// # Errors
    /// If the volume's UUID cannot be part of a name.
    pub fn of(info: &VolumeInfo) -> Result<Self, ParseIdError> {
        Ok(Self {
            name: info.volume.name.clone(),
            dying_name: format!("{DYING_PREFIX}{}", info.volume.id.lv).parse()?,
            size: info.size,
            mark: info.mark(),
        })
    }
}

impl Sight {
    /// There is no such volume, and `known` whether there was one.
    #[must_use]
    pub fn nothing(known: bool) -> Self {
        Self {
            known,
            volume: None,
            holds: false,
            works: false,
            attached: false,
            behind: false,
            away: None,
            source: None,
            place: None,
        }
    }

    /// What is seen after a step that succeeded.
    pub(super) fn after(&self, taken: &OperationStep, made: &Seen) -> Self {
        let mut sight = self.clone();
        match taken {
            OperationStep::Make { size, mark } => {
                sight.known = true;
                sight.volume = Some(Seen {
                    size: *size,
                    mark: Some(mark.clone()),
                    ..made.clone()
                });
            }
            OperationStep::Lease => (sight.holds, sight.works) = (true, true),
            OperationStep::Release => (sight.holds, sight.works) = (false, false),
            OperationStep::Lengthen => sight.behind = false,
            OperationStep::AwaitWhole => sight.away = Some(Away::Whole),
            OperationStep::BringHome => sight.away = Some(Away::Returning),
            OperationStep::AwaitHome => sight.away = None,
            OperationStep::Relocate { from, .. } => {
                let percent = Some(0);
                sight.place = Some(Place::Moving {
                    from: *from,
                    percent,
                });
            }
            OperationStep::AwaitRelocation => sight.place = Some(Place::There),
            OperationStep::EndRelocation => {
                if let Some(Place::Moving { from, .. } | Place::Halted { from }) = sight.place {
                    sight.place = Some(Place::On { from });
                }
            }
            OperationStep::Zero { .. }
            | OperationStep::ZeroSource { .. }
            | OperationStep::Copy { .. } => {}
            OperationStep::RemoveSource => sight.source = None,
            OperationStep::LeaseSource { .. }
            | OperationStep::MarkSource { .. }
            | OperationStep::ReleaseSource
            | OperationStep::Mirror
            | OperationStep::AwaitMirror
            | OperationStep::Split { .. }
            | OperationStep::Unmirror
            | OperationStep::RenameSource { .. }
            | OperationStep::UnmarkSource { .. } => {
                if let Some(source) = &mut sight.source {
                    change_source(source, taken);
                }
            }
            OperationStep::Remove => sight.volume = None,
            OperationStep::Mark { .. }
            | OperationStep::Rename { .. }
            | OperationStep::Grow { .. }
            | OperationStep::Unmark { .. } => {
                if let Some(seen) = &mut sight.volume {
                    change(seen, taken);
                }
                let grown = matches!(taken, OperationStep::Grow { .. });
                sight.behind |= grown && sight.attached;
            }
        }
        sight
    }
}

fn change(seen: &mut Seen, taken: &OperationStep) {
    match taken {
        OperationStep::Mark { mark } => seen.mark = Some(mark.clone()),
        OperationStep::Unmark { .. } => seen.mark = None,
        OperationStep::Rename { to } => seen.name = to.clone(),
        OperationStep::Grow { to, .. } => seen.size = *to,
        _ => {}
    }
}

fn change_source(source: &mut SourceSeen, taken: &OperationStep) {
    match taken {
        OperationStep::LeaseSource { .. } => (source.holds, source.works) = (true, true),
        OperationStep::MarkSource { mark } => source.mark = Some(mark.clone()),
        OperationStep::ReleaseSource => (source.holds, source.works) = (false, false),
        OperationStep::UnmarkSource { .. } => source.mark = None,
        OperationStep::RenameSource { to } => source.name = to.clone(),
        OperationStep::Mirror => source.writer = Some(Writer::Filling),
        OperationStep::AwaitMirror => source.writer = Some(Writer::Equal),
        OperationStep::Split { .. } | OperationStep::Unmirror => {
            source.writer = Some(Writer::Apart)
        }
        _ => {}
    }
}

/// The steps that an operation would have from here, if all went well, and how it would end: the same
/// decisions over a volume in thought. What is zeroed or copied in several chunks is one step of the list.
///
/// # Errors
/// As [`next`].
pub fn dry_run(
    operation: &VolumeOperation,
    wipe: Wipe,
    sight: &Sight,
) -> Result<(Vec<OperationStep>, End), Refusal> {
    let (mut operation, mut sight) = (operation.clone(), sight.clone());
    let name = operation.task.name().clone();
    let made = Seen {
        dying_name: name.clone(),
        name,
        size: operation.task.size().unwrap_or_default(),
        mark: None,
    };
    let mut steps: Vec<OperationStep> = Vec::new();
    loop {
        let taken = match next(&operation, wipe, &sight)? {
            Next::End(end) => return Ok((steps, end)),
            Next::Do(taken) => taken,
        };
        sight = sight.after(&taken, &made);
        if let OperationStep::Zero { amount, .. }
        | OperationStep::ZeroSource { amount, .. }
        | OperationStep::Copy { amount, .. } = &taken
        {
            operation.zeroed = operation.zeroed + *amount;
        }
        if let OperationStep::MarkSource {
            mark: Mark::Dying { .. },
        } = &taken
        {
            operation.zeroed = Bytes(0);
        }
        if let OperationStep::Split { content } = &taken {
            operation.zeroed = *content;
        }
        match (steps.last_mut(), &taken) {
            (
                Some(OperationStep::Zero { amount, .. }),
                OperationStep::Zero { amount: more, .. },
            )
            | (
                Some(OperationStep::ZeroSource { amount, .. }),
                OperationStep::ZeroSource { amount: more, .. },
            )
            | (
                Some(OperationStep::Copy { amount, .. }),
                OperationStep::Copy { amount: more, .. },
            ) => {
                amount.0 += more.0;
            }
            _ => steps.push(taken),
        }
    }
}
