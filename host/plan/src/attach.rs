//! Giving an instance its disks: all of them, or a refusal.

use volward_model::{
    Access, Answer, Bytes, CopyLayout, CopyPlan, DiskAnswer, Home, HomeState, InstanceId,
    LeaseMode, MigrationNonce, NodeName, Sharing, VolumeId, VolumeRef,
};

use crate::geometry::{CloneGeometry, geometry, metadata_size};
use crate::input::{DiskForm, ForeignAttachment, PlanInput, VolumeInput};
use crate::last_use::LastUse;
use crate::migrate;
use crate::refusal::{Refusal, RefusalCode};
use crate::requested::{RequestedDisk, matched};
use crate::step::{Planned, Step};

mod checks;
mod steps;

/// One disk as it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The volume, with the name it has now.
    pub volume: VolumeRef,
    /// The device that the guest opens.
    pub form: DiskForm,
    /// Exclusive or shared; never wider than asked for.
    pub sharing: Sharing,
    /// Read-only or read-write; never wider than asked for.
    pub access: Access,
    /// The copy that is made, or that goes on; `None`: served from the pool.
    pub copy: Option<CopyPlan>,
    /// The instance has the disk exactly so already: the plan has no steps for it.
    pub already: bool,
    /// The node that has it still, from which the instance arrives by a live migration.
    pub source: Option<NodeName>,
}

/// What an attach will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachPlan {
    /// The steps in the order in which they are executed, each with its undo.
    pub steps: Vec<Planned>,
    /// From this step on somebody may have opened a device: a crash from here on is completed,
    /// not undone. The number of steps if there is no such step.
    pub commit_at: usize,
    /// The disks as they will be, in the request's order.
    pub grants: Vec<Grant>,
    /// For people: what was proposed and is not done, and why.
    pub notes: Vec<String>,
}

impl AttachPlan {
    /// The instance is restored from a saved memory: under the lease each volume has to be as it was then. `last`: what is
    /// known of that.
    pub fn restores(&mut self, last: impl Fn(VolumeId) -> Option<LastUse>) {
        for planned in &mut self.steps {
            if let Step::Revalidate { expectations } = &mut planned.step {
                for one in expectations {
                    one.saved = last(one.volume.id);
                }
            }
        }
    }
}

/// The instance that an attach is for, and the node that executes it.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// The virtual machine that gets the disks.
    pub instance: InstanceId,
    /// This node's number in the lockspace, by which intents are ordered.
    pub own_host_id: u64,
    /// Milliseconds since the Unix epoch, for the attachments' `since`.
    pub now_ms: u64,
    /// The instance arrives by a live migration: the name of the call that its source is sent. `None`:
    /// what another node has for it refuses.
    pub arrives: Option<MigrationNonce>,
}

/// One disk with all that was decided about it.
struct Disk<'a> {
    asked: &'a RequestedDisk,
    answer: &'a DiskAnswer,
    lease: LeaseMode,
    copy: Option<(CopyPlan, CloneGeometry)>,
    /// The instance's attachment on the node from which it arrives.
    source: Option<&'a ForeignAttachment>,
}

impl Disk<'_> {
    fn input(&self) -> &VolumeInput {
        &self.asked.input
    }

    fn home(&self) -> &Home {
        &self.asked.home
    }

    fn grant(&self) -> Grant {
        Grant {
            volume: self.asked.volume().clone(),
            form: self.asked.form,
            sharing: self.answer.sharing,
            access: self.answer.access,
            copy: self.copy.map(|(grant, _)| grant),
            already: false,
            source: self.source.map(|source| source.attachment.node.clone()),
        }
    }
}

/// Plans an attach of all disks of `input`; each is matched with its answer by the volume.
///
/// # Errors
/// With the first invariant that would not hold, and if the answer does not have exactly one
/// entry for each disk.
pub fn attach(
    input: &PlanInput,
    requester: Requester,
    answer: &Answer,
) -> Result<AttachPlan, Refusal> {
    let mut plan = AttachPlan::default();
    let mut disks = Vec::new();
    let comes_from = match requester.arrives {
        Some(_) => migrate::source(input, requester.instance)?,
        None => None,
    };
    for (asked, answer) in matched(&input.disks, answer)? {
        let elsewhere = &asked.input.elsewhere;
        let source = comes_from
            .as_ref()
            .and_then(|node| migrate::attachment_of(elsewhere, requester.instance, node));
        checks::home(input, asked, requester.instance)?;
        checks::identity(asked)?;
        if let Some(grant) = checks::already(input, asked, requester, answer)? {
            plan.grants.push(grant);
            continue;
        }
        let disk = decided(input, requester, (asked, answer), source, &mut plan.notes)?;
        plan.grants.push(disk.grant());
        disks.push(disk);
    }
    steps::ask_steps(&disks, requester, &mut plan.steps);
    steps::lease_steps(&disks, &mut plan.steps);
    steps::publish_steps(input, requester, &disks, &mut plan.steps);
    steps::look_again(&disks, requester, &mut plan.steps);
    if let Some(local) = &input.local {
        for disk in &disks {
            steps::clone_steps(input, disk, &local.name, &mut plan.steps)?;
        }
    }
    steps::device_steps(requester, &disks, &mut plan);
    Ok(plan)
}

/// One disk that is not attached yet, with all that is decided about it.
fn decided<'a>(
    input: &PlanInput,
    requester: Requester,
    (asked, answer): (&'a RequestedDisk, &'a DiskAnswer),
    source: Option<&'a ForeignAttachment>,
    notes: &mut Vec<String>,
) -> Result<Disk<'a>, Refusal> {
    checks::operated(asked)?;
    checks::service(asked, answer)?;
    checks::path(input, asked, requester.instance)?;
    checks::complete(input, asked)?;
    checks::rules(input, asked, requester.instance, answer, source)?;
    let copy = copy_for(input, asked, answer, source.is_some(), notes);
    checks::lv_path(asked, answer)?;
    if copy.is_none() && matches!(asked.home.state, HomeState::Split { .. }) {
        notes.push(format!(
            "{} runs on its copy on this node, which has what the LUN has not; it is written back when it is \
             detached",
            asked.volume()
        ));
    }
    let lease = match source {
        // The source's goes from exclusive to shared, and this one to exclusive after its end (I7).
        Some(_) => LeaseMode::Shared,
        None => lease_for(asked, answer, copy.is_some()),
    };
    Ok(Disk {
        asked,
        answer,
        lease,
        copy,
        source,
    })
}

/// The mode a volume needs follows from all its attachments on the node: leases belong to the
/// node, and a second, weaker command would silently weaken the first's.
fn lease_for(asked: &RequestedDisk, answer: &DiskAnswer, copies: bool) -> LeaseMode {
    let mode = |sharing| match sharing {
        Sharing::Exclusive => LeaseMode::Exclusive,
        Sharing::Shared => LeaseMode::Shared,
    };
    let all = asked
        .input
        .here
        .iter()
        .map(|a| mode(a.sharing))
        .chain([mode(answer.sharing)]);
    let strongest = all.max().unwrap_or(LeaseMode::Exclusive);
    if copies || asked.home.state != HomeState::Pool {
        LeaseMode::Exclusive
    } else {
        strongest
    }
}

/// The copy that is made or goes on; where a proposed one cannot be had, a note says why: the
/// volume is served from the pool all the same.
fn copy_for(
    input: &PlanInput,
    asked: &RequestedDisk,
    answer: &DiskAnswer,
    arrives: bool,
    notes: &mut Vec<String>,
) -> Option<(CopyPlan, CloneGeometry)> {
    let volume = &asked.input;
    let grant = answer.granted_copy()?;
    let geometry = match geometry(asked.size(), &grant) {
        Ok(geometry) => geometry,
        Err(reason) => {
            notes.push(format!("no copy of {}: {reason}", volume.info.volume));
            return None;
        }
    };
    if matches!(asked.home.state, HomeState::Split { .. }) {
        return Some((grant, geometry));
    }
    let metadata = metadata_size(volume.info.size, geometry.region);
    // Metadata twice: the write-back needs its own, and must never fail for want of space.
    let whole =
        CopyLayout::new(volume.info.size, metadata).map_or(Bytes(u64::MAX), CopyLayout::total);
    let room = input.local.as_ref().map(|local| {
        let free = local.space.free.0.saturating_sub(local.space.promised.0);
        (local.taken_by(whole).0, free)
    });
    let obstacle = match (&input.clone_unfit, room) {
        _ if arrives => Some("the instance arrives by a live migration".to_owned()),
        _ if input.incomplete.contains(&volume.info.volume.pool) => Some(
            "LVM misses a physical volume of the pool, so the home cannot be changed".to_owned(),
        ),
        (Some(reason), _) => Some(format!("dm-clone cannot be used here: {reason}")),
        (None, None) => Some("this node has no local pool".to_owned()),
        _ if input.local.as_ref().is_some_and(|local| local.partial) => {
            Some("LVM misses a physical volume of the local pool".to_owned())
        }
        (None, Some((wanted, free))) if free < wanted => Some(format!(
            "{wanted} bytes are needed and {free} are free in the local pool"
        )),
        _ if answer.access == Access::ReadOnly => Some("the access is read-only".to_owned()),
        _ if answer.sharing == Sharing::Shared => Some("the sharing is shared".to_owned()),
        _ if asked.form == DiskForm::Lv => None, // refused by `lv_path`, with a sentence
        _ if !volume.here.is_empty() => Some("it has another attachment on this node".to_owned()),
        _ => None,
    };
    match obstacle {
        None => Some((grant, geometry)),
        Some(reason) => {
            notes.push(format!("no copy of {}: {reason}", volume.info.volume));
            None
        }
    }
}

/// Used by `checks`: a refusal about a disk.
fn no(code: RefusalCode, disk: &RequestedDisk, message: String) -> Refusal {
    Refusal::of(code, disk.volume(), message)
}

#[cfg(test)]
mod tests;
