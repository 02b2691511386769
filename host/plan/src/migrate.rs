//! Live migration (I6, I7): whether the source shares a volume with the node that asks, and what
//! source and destination do next. Leases decide; this says who may ask sanlock for what.
//!
//! The source's lease goes from exclusive to shared, the destination takes shared; the source
//! releases, and the destination's goes to exclusive.

use std::time::Duration;

use volward_model::{
    Attachment, AttachmentState, HomeState, InstanceId, MigrationCall, NodeName, OperationId,
    VolumeInfo, VolumeRef,
};

use crate::input::{ForeignAttachment, LocalAttachment, PlanInput};
use crate::refusal::{Refusal, home_of};
use crate::service::Kind;

/// The source waits for its libvirt so long: to begin the migration, or to answer.
pub const LIBVIRT_WITHIN: Duration = Duration::from_secs(8);
/// A migration that began so long after its call was seen is another one. Between two looks at the
/// slots there is a second, and libvirt's clock is not this one.
pub const BEGAN_BEFORE: Duration = Duration::from_secs(5);
/// A call that has stood so long is nobody's any more: who asks waits for half of it.
pub const GOOD_FOR: Duration = Duration::from_secs(60);
/// So many looks in a row have to find no migration before the source takes its lease back.
pub const LOOKS: u8 = 2;

/// What the node's own libvirt says of an instance's job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// It migrates to another node.
    MigratingOut {
        /// For so long; `None` where libvirt does not say.
        since: Option<Duration>,
    },
    /// It does not migrate, or does not run here.
    None,
    /// libvirt did not answer; the reason is a sentence.
    Unknown(String),
}

/// Who asks, by sanlock and its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The node's name.
    pub node: NodeName,
    /// Its number in the lockspace.
    pub host_id: u64,
    /// The generation under which it wrote the call.
    pub generation: u64,
    /// It is a member that may be alive, under that generation.
    pub present: bool,
}

/// A call as the node that it names sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard<'a> {
    /// The call.
    pub call: MigrationCall,
    /// Who asks.
    pub caller: Caller,
    /// For so long it has been seen; `None`: it was there when this daemon looked first.
    pub seen_for: Option<Duration>,
    /// The volume of the call; `None`: there is none in the pool.
    pub info: Option<&'a VolumeInfo>,
    /// The instance's attachment of it here.
    pub attachment: Option<&'a LocalAttachment>,
    /// The host-id of the node to which the attachment is leaving already.
    pub leaving: Option<u64>,
    /// The operation that copies it under its guest.
    pub copied_by: Option<OperationId>,
    /// Why its I/O is cut off, or its leases are not sound.
    pub unsound: Option<String>,
    /// What libvirt says.
    pub job: Job,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The volume is shared with the node that asks.
    Share,
    /// Not known yet.
    Wait,
    /// It is not shared; the call is good for nothing any more.
    Refuse(Refusal),
}

/// Judges a call.
#[must_use]
pub fn judge(heard: &Heard<'_>) -> Judgement {
    let Heard { call, caller, .. } = heard;
    let (Some(info), Some(attachment)) = (heard.info, heard.attachment) else {
        let what = heard
            .info
            .map_or_else(|| call.volume.to_string(), |info| info.volume.to_string());
        return Judgement::Refuse(Refusal::not_attached_here(
            call.volume,
            &what,
            call.instance,
        ));
    };
    let name = &info.volume;
    // The same node may ask again: its attach was decided anew.
    if let Some(to) = heard.leaving.filter(|to| *to != caller.host_id) {
        return Judgement::Refuse(Refusal::leaving_already(name, to));
    }
    let refused = stale(heard, name)
        .or_else(|| cannot_share(info, attachment))
        .or_else(|| {
            // The copy's lease stays here, and its guest writes to both.
            let by = heard.copied_by.as_ref()?;
            Some(Refusal::copied_under_guest(name, by))
        })
        .or_else(|| {
            let why = heard.unsound.as_ref()?;
            Some(Refusal::fenced(name, why))
        });
    if let Some(refusal) = refused {
        return Judgement::Refuse(refusal);
    }
    let seen_for = heard.seen_for.unwrap_or_default();
    match &heard.job {
        Job::MigratingOut { since: Some(since) } if *since + BEGAN_BEFORE < seen_for => {
            Judgement::Refuse(Refusal::stale_call(name, &caller.node))
        }
        Job::MigratingOut { .. } => Judgement::Share,
        _ if seen_for < LIBVIRT_WITHIN => Judgement::Wait,
        Job::None => Judgement::Refuse(Refusal::no_migration(name, call.instance)),
        Job::Unknown(why) => Judgement::Refuse(Refusal::libvirt_silent(name, why)),
    }
}

/// Whether the call is of another time, or of a node that is not what it was.
fn stale(heard: &Heard<'_>, name: &VolumeRef) -> Option<Refusal> {
    let old = heard.seen_for.is_none_or(|seen_for| seen_for > GOOD_FOR);
    (old || !heard.caller.present).then(|| Refusal::stale_call(name, &heard.caller.node))
}

/// Why the volume can be on one node only, whoever asks.
fn cannot_share(info: &VolumeInfo, attachment: &LocalAttachment) -> Option<Refusal> {
    let name = &info.volume;
    if attachment.state == AttachmentState::Quarantined {
        return Some(Refusal::quarantined_there(name));
    }
    let home = match home_of(info) {
        Ok(home) => home,
        Err(refusal) => return Some(refusal),
    };
    if home.state != HomeState::Pool || attachment.copy.is_some() {
        return Some(Refusal::copied_there(name, &home));
    }
    shareable_type(info).err()
}

/// Whether LVM can have the volume active on two nodes.
fn shareable_type(info: &VolumeInfo) -> Result<(), Refusal> {
    let kind = Kind::of(info);
    match kind.service().refuses(volward_model::Sharing::Shared) {
        None => Ok(()),
        Some(_) => Err(Refusal::not_on_two_nodes(info, kind)),
    }
}

/// Where an instance comes from: the one node that has those of its volumes that other nodes have.
/// `None`: no node has any of them for it, so that it starts here as ever.
///
/// # Errors
/// If two nodes have some, one is not whole there, or is of a type that cannot be shared.
pub fn source(input: &PlanInput, instance: InstanceId) -> Result<Option<NodeName>, Refusal> {
    let mut source: Option<&Attachment> = None;
    for disk in &input.disks {
        let had = disk.input.settled_elsewhere();
        for theirs in had.filter(|f| f.attachment.instance == instance) {
            let theirs = &theirs.attachment;
            if theirs.state == AttachmentState::Quarantined {
                return Err(Refusal::quarantined_there(disk.volume()));
            }
            match source {
                Some(one) if one.node != theirs.node => {
                    return Err(Refusal::on_two_nodes(
                        disk.volume(),
                        &one.node,
                        &theirs.node,
                    ));
                }
                _ => source = Some(theirs),
            }
            shareable_type(&disk.input.info)?;
        }
    }
    Ok(source.map(|source| source.node.clone()))
}

/// The attachment that the instance has of a volume on the node that it comes from.
#[must_use]
pub fn attachment_of<'a>(
    elsewhere: &'a [ForeignAttachment],
    instance: InstanceId,
    source: &NodeName,
) -> Option<&'a ForeignAttachment> {
    elsewhere.iter().find(|f| {
        let theirs = &f.attachment;
        theirs.instance == instance
            && theirs.node == *source
            && theirs.state == AttachmentState::Attached
    })
}

/// What a source sees of a volume that is leaving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// sanlock counts the destination as dead: what it had it has no longer.
    pub dead: bool,
    /// The destination is a member under the generation that asked.
    pub present: bool,
    /// Its call stands.
    pub called: bool,
    /// It shows the instance's attachment.
    pub arrived: bool,
    /// This node's lease is shared by now.
    pub shared: bool,
    /// What libvirt says.
    pub job: Job,
    /// So many looks before this one found no migration, in a row.
    pub idle_looks: u8,
}

/// What a source does next about a volume that is leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Stay,
    /// The lease becomes shared, and the destination is told.
    Share,
    /// The lease becomes what it was, where no other node has it.
    TakeBack,
}

/// What the source does next.
#[must_use]
pub fn leaving(seen: &Leaving) -> Next {
    let is_over = seen.job == Job::None && seen.idle_looks.saturating_add(1) >= LOOKS;
    if seen.dead {
        return Next::TakeBack;
    }
    if seen.arrived {
        return Next::Stay;
    }
    if is_over {
        return Next::TakeBack;
    }
    let migrates = matches!(seen.job, Job::MigratingOut { .. });
    match !seen.shared && seen.called && seen.present && migrates {
        true => Next::Share,
        false => Next::Stay,
    }
}

#[cfg(test)]
mod tests;
