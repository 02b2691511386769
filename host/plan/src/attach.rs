//! Giving an instance its disks: all of them, or a refusal.

use volward_model::{
    Access, Answer, CopyPlan, DiskAnswer, Home, HomeState, InstanceId, LeaseMode, Sharing,
    VolumeId, VolumeRef,
};

use crate::geometry::{CloneGeometry, geometry, metadata_size};
use crate::input::{DiskForm, PlanInput, VolumeInput};
use crate::refusal::{Refusal, RefusalCode};
use crate::step::Planned;

mod checks;
mod steps;

/// One disk as the caller wishes it, defaults resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which.
    pub volume: VolumeId,
    /// Which device the guest opens.
    pub form: DiskForm,
    /// Wished.
    pub sharing: Sharing,
    /// Wished.
    pub access: Access,
    /// Less will do.
    pub accept_narrowing: bool,
}

/// One disk as it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which.
    pub volume: VolumeRef,
    /// Which device the guest opens.
    pub form: DiskForm,
    /// Granted.
    pub sharing: Sharing,
    /// Granted.
    pub access: Access,
    /// The copy that is made, or goes on.
    pub copy: Option<CopyPlan>,
    /// It is attached so already; nothing is done for it.
    pub already: bool,
}

/// What an attach will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachPlan {
    /// In order, each with its undo.
    pub steps: Vec<Planned>,
    /// From this step on somebody may have opened a device: a crash from here on is completed,
    /// not undone. The number of steps if there is no such step.
    pub commit_at: usize,
    /// The disks as they will be, in the request's order.
    pub grants: Vec<Grant>,
    /// For people: what was proposed and is not done, and why.
    pub notes: Vec<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// The virtual machine.
    pub instance: InstanceId,
    /// This node's number in the lockspace, by which intents are ordered.
    pub own_host_id: u64,
    /// Milliseconds since the Unix epoch, for the attachments' `since`.
    pub now_ms: u64,
}

/// One disk with all that was decided about it.
struct Disk<'a> {
    seen: &'a VolumeInput,
    wish: &'a Wish,
    answer: &'a DiskAnswer,
    home: Home,
    lease: LeaseMode,
    copy: Option<(CopyPlan, CloneGeometry)>,
}

/// Plans an attach of all `wishes`; `input.volumes` and `answer.disks` are in the same order.
///
/// # Errors
/// With the first invariant that would not hold.
pub fn attach(
    input: &PlanInput,
    who: Requester,
    wishes: &[Wish],
    answer: &Answer,
) -> Result<AttachPlan, Refusal> {
    let mut plan = AttachPlan::default();
    let mut disks = Vec::new();
    for ((seen, wish), answer) in input.volumes.iter().zip(wishes).zip(&answer.disks) {
        let home = checks::home(input, seen)?;
        checks::identity(seen, wishes, wish)?;
        if let Some(grant) = checks::already(seen, who.instance, wish, answer)? {
            plan.grants.push(grant);
            continue;
        }
        checks::rules(input, seen, who.instance, wish, answer)?;
        let copy = copy_for(input, seen, wish, answer, &home, &mut plan.notes);
        checks::lv_path(seen, wish, answer, &home)?;
        plan.grants.push(Grant {
            volume: seen.info.volume.clone(),
            form: wish.form,
            sharing: answer.sharing,
            access: answer.access,
            copy: copy.map(|(grant, _)| grant),
            already: false,
        });
        let lease = lease_for(seen, answer, &home, copy.is_some());
        disks.push(Disk {
            seen,
            wish,
            answer,
            home,
            lease,
            copy,
        });
    }
    steps::lease_steps(&disks, &mut plan.steps);
    steps::publish_steps(input, who, &disks, &mut plan.steps);
    steps::look_again(&disks, who, &mut plan.steps);
    if let Some(local) = &input.local {
        for disk in &disks {
            steps::clone_steps(input, disk, &local.name, &mut plan.steps)?;
        }
    }
    steps::device_steps(who, &disks, &mut plan);
    Ok(plan)
}

/// The mode a volume needs follows from all its attachments on the node: leases belong to the
/// node, and a second, weaker command would silently weaken the first's.
fn lease_for(seen: &VolumeInput, answer: &DiskAnswer, home: &Home, copies: bool) -> LeaseMode {
    let mode = |sharing| match sharing {
        Sharing::Exclusive => LeaseMode::Exclusive,
        Sharing::Shared => LeaseMode::Shared,
    };
    let all = seen
        .here
        .iter()
        .map(|a| mode(a.sharing))
        .chain([mode(answer.sharing)]);
    let strongest = all.max().unwrap_or(LeaseMode::Exclusive);
    if copies || home.state != HomeState::Pool {
        LeaseMode::Exclusive
    } else {
        strongest
    }
}

/// The copy that is made or goes on; where a proposed one cannot be had, a note says why: the
/// volume is served from the pool all the same.
fn copy_for(
    input: &PlanInput,
    seen: &VolumeInput,
    wish: &Wish,
    answer: &DiskAnswer,
    home: &Home,
    notes: &mut Vec<String>,
) -> Option<(CopyPlan, CloneGeometry)> {
    let grant = answer.granted_copy()?;
    let geometry = match geometry(seen.info.size, &grant) {
        Ok(geometry) => geometry,
        Err(reason) => {
            notes.push(format!("no copy of {}: {reason}", seen.info.volume));
            return None;
        }
    };
    if matches!(home.state, HomeState::Split { .. }) {
        return Some((grant, geometry));
    }
    let metadata = metadata_size(seen.info.size, geometry.region);
    // Metadata twice: the write-back needs its own, and must never fail for want of space.
    let wanted = seen.info.size.0 + 2 * metadata.0;
    let free = input
        .local
        .as_ref()
        .map(|l| l.space.free.0.saturating_sub(l.space.promised.0));
    let obstacle = match (&input.clone_unfit, free) {
        (Some(reason), _) => Some(format!("dm-clone cannot be used here: {reason}")),
        (None, None) => Some("this node has no local pool".to_owned()),
        (None, Some(free)) if free < wanted => Some(format!(
            "{wanted} bytes are needed and {free} are free in the local pool"
        )),
        _ if answer.access == Access::ReadOnly => Some("the access is read-only".to_owned()),
        _ if answer.sharing == Sharing::Shared => Some("the sharing is shared".to_owned()),
        _ if wish.form == DiskForm::Lv => None, // refused by `lv_path`, with a sentence
        _ if !seen.here.is_empty() => Some("it has another attachment on this node".to_owned()),
        _ => None,
    };
    match obstacle {
        None => Some((grant, geometry)),
        Some(reason) => {
            notes.push(format!("no copy of {}: {reason}", seen.info.volume));
            None
        }
    }
}

/// Used by `checks`: a refusal about a volume.
fn no(code: RefusalCode, seen: &VolumeInput, message: String) -> Refusal {
    Refusal::of(code, &seen.info.volume, message)
}

#[cfg(test)]
mod tests;
