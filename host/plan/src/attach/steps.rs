//! The steps of an attach, once all is decided: leases, the news, the second look, clones, devices,
//! paths.

use std::collections::BTreeMap;

use volward_model::{
    Access, Attachment, AttachmentKey, AttachmentState, CopyMode, HomeState, LeaseMode, PoolName,
    VolumeRef,
};

use super::{AttachPlan, Disk, Requester, checks};
use crate::geometry::metadata_size;
use crate::input::{DiskForm, ForeignAttachment, PlanInput};
use crate::recheck::Expectation;
use crate::refusal::Refusal;
use crate::step::{NextHome, Planned, Step};

/// Before the leases: the source of a migration has its own exclusively until it is asked.
pub(super) fn ask_steps(disks: &[Disk<'_>], requester: Requester, steps: &mut Vec<Planned>) {
    let Some(nonce) = requester.arrives else {
        return;
    };
    let instance = requester.instance;
    let mut calls: BTreeMap<PoolName, (&ForeignAttachment, Vec<VolumeRef>)> = BTreeMap::new();
    for disk in disks {
        if let Some(source) = disk.source {
            let volume = disk.input().info.volume.clone();
            let (_, volumes) = calls
                .entry(volume.pool.clone())
                .or_insert_with(|| (source, Vec::new()));
            volumes.push(volume);
        }
    }
    for (pool, (source, volumes)) in calls {
        let key = |volume: &VolumeRef| AttachmentKey {
            volume: volume.id,
            instance,
        };
        let attachments = volumes.iter().map(key).collect();
        let undo = Step::AskNoMore {
            pool: pool.clone(),
            attachments,
        };
        let ask = Step::AskSource {
            pool,
            volumes,
            instance,
            source: source.attachment.node.clone(),
            host_id: source.host_id,
            nonce,
        };
        steps.push(Planned::new(ask, vec![undo]));
    }
}

pub(super) fn lease_steps(disks: &[Disk<'_>], steps: &mut Vec<Planned>) {
    let mut groups: BTreeMap<(PoolName, LeaseMode), Vec<&Disk<'_>>> = BTreeMap::new();
    for disk in disks {
        let held =
            disk.input().lease.is_some_and(|l| l.mode >= disk.lease) && disk.input().info.active;
        if !held {
            let pool = disk.input().info.volume.pool.clone();
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
    for disk in disks.iter().filter(|d| d.input().info.autoactivation) {
        automatic
            .entry(disk.input().info.volume.pool.clone())
            .or_default()
            .push(disk);
    }
    for (pool, group) in automatic {
        let volumes = refs(&group);
        steps.push(Planned::only(Step::DisableAutoactivation { pool, volumes }));
    }
}

fn refs(disks: &[&Disk<'_>]) -> Vec<VolumeRef> {
    disks
        .iter()
        .map(|d| d.input().info.volume.clone())
        .collect()
}

/// Back to what was before, volume by volume: the command may have done some and failed at
/// others.
fn lease_undo(pool: &PoolName, group: &[&Disk<'_>]) -> Vec<Step> {
    let was = |mode: Option<LeaseMode>| -> Vec<VolumeRef> {
        let same = group
            .iter()
            .filter(|d| d.input().lease.map(|l| l.mode) == mode);
        same.map(|d| d.input().info.volume.clone()).collect()
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
pub(super) fn publish_steps(
    input: &PlanInput,
    requester: Requester,
    disks: &[Disk<'_>],
    steps: &mut Vec<Planned>,
) {
    let mut news: BTreeMap<PoolName, Vec<Attachment>> = BTreeMap::new();
    for disk in disks {
        let volume = &disk.input().info.volume;
        news.entry(volume.pool.clone())
            .or_default()
            .push(Attachment {
                volume: volume.id,
                instance: requester.instance,
                node: input.node.clone(),
                sharing: disk.answer.sharing,
                access: disk.answer.access,
                since_ms: requester.now_ms,
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

pub(super) fn look_again(disks: &[Disk<'_>], requester: Requester, steps: &mut Vec<Planned>) {
    if disks.is_empty() {
        return;
    }
    let expectations = disks
        .iter()
        .map(|disk| Expectation {
            volume: disk.input().info.volume.clone(),
            size: disk.input().info.size,
            home: disk.home().clone(),
            shareable: disk.input().info.shareable(),
            others: disk
                .input()
                .settled_elsewhere()
                .map(|f| f.attachment.clone())
                .collect(),
            lease: disk.lease,
            writes: disk.answer.access == Access::ReadWrite,
            own_host_id: requester.own_host_id,
            called: disk.source.and(requester.arrives),
            saved: None,
        })
        .collect();
    steps.push(Planned::only(Step::Revalidate { expectations }));
}

/// Home is durably `split` before a device that writes to the copy exists (I19).
pub(super) fn clone_steps(
    input: &PlanInput,
    disk: &Disk<'_>,
    local: &PoolName,
    steps: &mut Vec<Planned>,
) -> Result<(), Refusal> {
    let volume = disk.input().info.volume.clone();
    let size = checks::sectors(disk.asked)?;
    let split = matches!(disk.home().state, HomeState::Split { .. });
    let (mode, geometry) = match (&disk.copy, split) {
        (Some((grant, geometry)), _) => (grant.mode, *geometry),
        // The data is partly in the copy, so the clone is needed whatever policies think of
        // copies now; nothing more is copied than they allow.
        (None, true) => (CopyMode::WritesOnly, checks::resumed_geometry(disk.asked)?),
        (None, false) => return Ok(()),
    };
    if !split {
        let metadata = metadata_size(disk.asked.size(), geometry.region);
        let (v, l) = (volume.clone(), local.clone());
        steps.push(Planned::new(
            Step::MakeCopy {
                volume: v,
                local: l,
                size: disk.input().info.size,
                metadata,
            },
            vec![Step::RemoveCopy {
                volume: volume.clone(),
                local: local.clone(),
                // What this makes says that it is fresh.
                unstaged: false,
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
        let from = disk.home().generation;
        steps.push(Planned::new(
            set(from, NextHome::Split(input.node.clone())),
            vec![set(from + 1, NextHome::Pool)],
        ));
    }
    // Also where it is loaded already: whether it hydrates is this grant's to say, unless another
    // attachment stands on it.
    if disk.input().clone_loaded && !disk.input().here.is_empty() {
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
    let undo = match disk.input().clone_loaded {
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
pub(super) fn device_steps(requester: Requester, disks: &[Disk<'_>], plan: &mut AttachPlan) {
    let instance = requester.instance;
    for disk in disks.iter().filter(|d| d.asked.form == DiskForm::Own) {
        let Some(size) = disk.asked.size().sectors() else {
            continue;
        };
        let volume = disk.input().info.volume.clone();
        let on_clone = disk.copy.is_some() || disk.home().state != HomeState::Pool;
        // Linear is what a hydrated clone becomes; no table and an error table are no completion.
        let complete = disk.input().clone_is_linear();
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
    for disk in disks.iter().filter(|d| d.asked.form == DiskForm::Own) {
        let volume = disk.input().info.volume.clone();
        plan.steps.push(Planned::new(
            Step::Link {
                volume: volume.clone(),
                instance,
            },
            vec![Step::Unlink { volume, instance }],
        ));
    }
}
