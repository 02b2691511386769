//! Giving an instance its disks: all of them, or a refusal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use volward_model::{
    Access, Answer, Attachment, AttachmentKey, AttachmentState, CopyMode, CopyPlan, DiskAnswer,
    Home, HomeState, InstanceId, LeaseMode, PoolName, Sharing, VolumeId, VolumeRef,
};

use crate::geometry::{CloneGeometry, geometry, metadata_size};
use crate::recheck::Expectation;
use crate::refusal::{Refusal, RefusalCode};
use crate::situation::{DiskForm, Situation, VolumeSituation};
use crate::step::{NextHome, Planned, Step};

mod checks;

/// One disk as the caller wishes it, defaults resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    seen: &'a VolumeSituation,
    wish: &'a Wish,
    answer: &'a DiskAnswer,
    home: Home,
    lease: LeaseMode,
    copy: Option<(CopyPlan, CloneGeometry)>,
}

/// Plans an attach of all `wishes`; `situation.volumes` and `answer.disks` are in the same order.
///
/// # Errors
/// With the first invariant that would not hold.
pub fn attach(
    situation: &Situation,
    who: Requester,
    wishes: &[Wish],
    answer: &Answer,
) -> Result<AttachPlan, Refusal> {
    let mut plan = AttachPlan::default();
    let mut disks = Vec::new();
    for ((seen, wish), answer) in situation.volumes.iter().zip(wishes).zip(&answer.disks) {
        let home = checks::home(situation, seen)?;
        checks::identity(seen, wishes, wish)?;
        if let Some(grant) = checks::already(seen, who.instance, wish, answer)? {
            plan.grants.push(grant);
            continue;
        }
        checks::rules(situation, seen, who.instance, wish, answer)?;
        let copy = copy_for(situation, seen, wish, answer, &home, &mut plan.notes);
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
    lease_steps(&disks, &mut plan.steps);
    publish_steps(situation, who, &disks, &mut plan.steps);
    look_again(&disks, who, &mut plan.steps);
    if let Some(local) = &situation.local {
        for disk in &disks {
            clone_steps(situation, disk, &local.name, &mut plan.steps)?;
        }
    }
    device_steps(who, &disks, &mut plan);
    Ok(plan)
}

/// The mode a volume needs follows from all its attachments on the node: leases belong to the
/// node, and a second, weaker command would silently weaken the first's.
fn lease_for(seen: &VolumeSituation, answer: &DiskAnswer, home: &Home, copies: bool) -> LeaseMode {
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
    situation: &Situation,
    seen: &VolumeSituation,
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
    let free = situation
        .local
        .as_ref()
        .map(|l| l.space.free.0.saturating_sub(l.space.promised.0));
    let obstacle = match (&situation.clone_unfit, free) {
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

fn lease_steps(disks: &[Disk<'_>], steps: &mut Vec<Planned>) {
    let mut groups: BTreeMap<(PoolName, LeaseMode), Vec<&Disk<'_>>> = BTreeMap::new();
    for disk in disks {
        let held = disk.seen.lease.is_some_and(|l| l.mode >= disk.lease) && disk.seen.info.active;
        if !held {
            let pool = disk.seen.info.volume.pool.clone();
            groups.entry((pool, disk.lease)).or_default().push(disk);
        }
    }
    for ((pool, mode), group) in groups {
        let volumes = refs(&group);
        let undo = lease_undo(&pool, &group);
        steps.push(Planned::new(
            Step::Lease {
                pool,
                volumes,
                mode,
            },
            undo,
        ));
    }
    let mut automatic: BTreeMap<PoolName, Vec<&Disk<'_>>> = BTreeMap::new();
    for disk in disks.iter().filter(|d| d.seen.info.autoactivation) {
        automatic
            .entry(disk.seen.info.volume.pool.clone())
            .or_default()
            .push(disk);
    }
    for (pool, group) in automatic {
        let volumes = refs(&group);
        steps.push(Planned::only(Step::DisableAutoactivation { pool, volumes }));
    }
}

fn refs(disks: &[&Disk<'_>]) -> Vec<VolumeRef> {
    disks.iter().map(|d| d.seen.info.volume.clone()).collect()
}

/// Back to what was before, volume by volume: the command may have done some and failed at
/// others.
fn lease_undo(pool: &PoolName, group: &[&Disk<'_>]) -> Vec<Step> {
    let was = |mode: Option<LeaseMode>| -> Vec<VolumeRef> {
        let same = group
            .iter()
            .filter(|d| d.seen.lease.map(|l| l.mode) == mode);
        same.map(|d| d.seen.info.volume.clone()).collect()
    };
    let mut undo = Vec::new();
    let free = was(None);
    if !free.is_empty() {
        undo.push(Step::Release {
            pool: pool.clone(),
            volumes: free,
        });
    }
    let shared = was(Some(LeaseMode::Shared));
    if !shared.is_empty() {
        undo.push(Step::Lease {
            pool: pool.clone(),
            volumes: shared,
            mode: LeaseMode::Shared,
        });
    }
    undo
}

/// Told before the last look, never after it: of two nodes that want a shared lease at once,
/// either the later one finds this, or its intent is found by the look that follows. An intent
/// alone does not do: the node with the lower host-id goes on past it.
fn publish_steps(
    situation: &Situation,
    who: Requester,
    disks: &[Disk<'_>],
    steps: &mut Vec<Planned>,
) {
    let mut news: BTreeMap<PoolName, Vec<Attachment>> = BTreeMap::new();
    for disk in disks {
        let volume = &disk.seen.info.volume;
        news.entry(volume.pool.clone())
            .or_default()
            .push(Attachment {
                volume: volume.id,
                instance: who.instance,
                node: situation.node.clone(),
                sharing: disk.answer.sharing,
                access: disk.answer.access,
                since_ms: who.now_ms,
                state: AttachmentState::Attached,
            });
    }
    for (pool, attachments) in news {
        let keys: Vec<AttachmentKey> = attachments.iter().map(Attachment::key).collect();
        steps.push(Planned::new(
            Step::Publish {
                pool: pool.clone(),
                attachments,
            },
            vec![Step::Withdraw {
                pool,
                attachments: keys,
            }],
        ));
    }
}

fn look_again(disks: &[Disk<'_>], who: Requester, steps: &mut Vec<Planned>) {
    if disks.is_empty() {
        return;
    }
    let expectations = disks
        .iter()
        .map(|disk| Expectation {
            volume: disk.seen.info.volume.clone(),
            size: disk.seen.info.size,
            home: disk.home.clone(),
            others: disk
                .seen
                .settled_elsewhere()
                .map(|f| f.attachment.clone())
                .collect(),
            lease: disk.lease,
            own_host_id: who.own_host_id,
        })
        .collect();
    steps.push(Planned::only(Step::LookAgain { expectations }));
}

/// Home is durably `split` before a device that writes to the copy exists (I19).
fn clone_steps(
    situation: &Situation,
    disk: &Disk<'_>,
    local: &PoolName,
    steps: &mut Vec<Planned>,
) -> Result<(), Refusal> {
    let volume = disk.seen.info.volume.clone();
    let size = checks::sectors(disk.seen)?;
    let split = matches!(disk.home.state, HomeState::Split { .. });
    let (mode, geometry) = match (&disk.copy, split) {
        (Some((grant, geometry)), _) => (grant.mode, *geometry),
        // The data is partly in the copy, so the clone is needed whatever policies think of
        // copies now; nothing more is copied than they allow.
        (None, true) => (CopyMode::WritesOnly, checks::resumed_geometry(disk.seen)?),
        (None, false) => return Ok(()),
    };
    if !split {
        let metadata = metadata_size(disk.seen.info.size, geometry.region);
        let (v, l) = (volume.clone(), local.clone());
        steps.push(Planned::new(
            Step::MakeCopy {
                volume: v,
                local: l,
                size: disk.seen.info.size,
                metadata,
            },
            vec![Step::RemoveCopy {
                volume: volume.clone(),
                local: local.clone(),
            }],
        ));
        let (v, l) = (volume.clone(), local.clone());
        steps.push(Planned::only(Step::ZeroMetadata {
            volume: v,
            local: l,
        }));
        let set = |from_generation, to| Step::SetHome {
            volume: volume.clone(),
            from_generation,
            to,
            local: local.clone(),
        };
        let from = disk.home.generation;
        steps.push(Planned::new(
            set(from, NextHome::Split(situation.node.clone())),
            vec![set(from + 1, NextHome::Pool)],
        ));
    }
    // Also where it is loaded already: whether it hydrates is this grant's to say, unless another
    // attachment stands on it.
    if disk.seen.clone_loaded && !disk.seen.here.is_empty() {
        return Ok(());
    }
    let load = Step::LoadClone {
        volume: volume.clone(),
        local: local.clone(),
        size,
        geometry,
        hydrating: mode >= CopyMode::Background,
    };
    let unload = Step::UnloadClone {
        volume: volume.clone(),
    };
    let undo = match disk.seen.clone_loaded {
        true => Vec::new(),
        false => vec![unload],
    };
    steps.push(Planned::new(load, undo));
    if mode == CopyMode::BeforeStart {
        steps.push(Planned::only(Step::AwaitHydration { volume }));
    }
    Ok(())
}

/// Devices, then the paths: what a path leads to is whole when somebody finds it.
fn device_steps(who: Requester, disks: &[Disk<'_>], plan: &mut AttachPlan) {
    let instance = who.instance;
    for disk in disks.iter().filter(|d| d.wish.form == DiskForm::Own) {
        let Some(size) = disk.seen.info.size.sectors() else {
            continue;
        };
        let volume = disk.seen.info.volume.clone();
        let on_clone = disk.copy.is_some() || disk.home.state != HomeState::Pool;
        let complete = disk.seen.clone_loaded && disk.seen.clone.is_none();
        let create = Step::CreateDevice {
            volume: volume.clone(),
            instance,
            on_clone,
            size,
            read_only: disk.answer.access == Access::ReadOnly,
            discards: !on_clone || complete,
        };
        plan.steps.push(Planned::new(
            create,
            vec![Step::RemoveDevice { volume, instance }],
        ));
    }
    plan.commit_at = plan.steps.len();
    for disk in disks.iter().filter(|d| d.wish.form == DiskForm::Own) {
        let volume = disk.seen.info.volume.clone();
        plan.steps.push(Planned::new(
            Step::Link {
                volume: volume.clone(),
                instance,
            },
            vec![Step::Unlink { volume, instance }],
        ));
    }
}

/// Used by `checks`: a refusal about a volume.
fn no(code: RefusalCode, seen: &VolumeSituation, message: String) -> Refusal {
    Refusal::of(code, &seen.info.volume, message)
}

#[cfg(test)]
mod tests;
