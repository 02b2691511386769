//! Taking an instance's disks back. Detach is never refused, and asks nobody but for advice on
//! copies.

use std::collections::BTreeMap;

use volward_model::{AttachmentKey, Home, HomeState, InstanceId, NodeName, PoolName, VolumeRef};

use crate::input::DiskForm;
use crate::step::Step;

/// One attachment that goes, with what is known of its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachingVolume {
    /// The attached volume.
    pub volume: VolumeRef,
    /// The device that the guest had open.
    pub form: DiskForm,
    /// Another attachment of the volume stays on this node.
    pub others_stay: bool,
    /// Where the data is; `None` if the pool cannot be read now.
    pub home: Option<Home>,
    /// A copy was begun and not taken back whole: its LVs or devices may be left, also with the
    /// data at home. Writing back is what clears them away.
    pub remains: bool,
    /// What is known of the data contradicts itself, a sentence each: lease and copy are kept.
    pub contradictions: Vec<String>,
}

/// What a detach will do. Its steps have no undo: once begun it is completed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetachPlan {
    /// The steps in the order in which they are executed.
    pub steps: Vec<Step>,
    /// Volumes whose copy is written back afterwards, in the background.
    pub write_back: Vec<VolumeRef>,
    /// Volumes whose lease and copy are kept, with the reason: their attachments become
    /// quarantined.
    pub kept: Vec<(VolumeRef, String)>,
}

/// Plans a detach: paths, devices, leases, news, in this order (I1).
#[must_use]
pub fn detach(node: &NodeName, instance: InstanceId, leaving: &[DetachingVolume]) -> DetachPlan {
    let mut plan = DetachPlan::default();
    let own = || leaving.iter().filter(|l| l.form == DiskForm::Own);
    plan.steps.extend(own().map(|l| Step::Unlink {
        volume: l.volume.clone(),
        instance,
    }));
    plan.steps.extend(own().map(|l| Step::RemoveDevice {
        volume: l.volume.clone(),
        instance,
    }));

    let mut releases: BTreeMap<PoolName, Vec<VolumeRef>> = BTreeMap::new();
    let mut news: BTreeMap<PoolName, Vec<AttachmentKey>> = BTreeMap::new();
    for one in leaving {
        let pool = one.volume.pool.clone();
        if !one.contradictions.is_empty() {
            let why = one.contradictions.join("; and ");
            plan.kept.push((one.volume.clone(), why));
            continue;
        }
        news.entry(pool.clone()).or_default().push(AttachmentKey {
            volume: one.volume.id,
            instance,
        });
        if one.others_stay {
            continue;
        }
        if one.remains || has_copy_here(node, one.home.as_ref()) {
            plan.write_back.push(one.volume.clone());
        } else {
            releases.entry(pool).or_default().push(one.volume.clone());
        }
    }
    let release = |(pool, volumes)| Step::Release { pool, volumes };
    plan.steps.extend(releases.into_iter().map(release));
    let withdraw = |(pool, attachments)| Step::Withdraw { pool, attachments };
    plan.steps.extend(news.into_iter().map(withdraw));
    plan
}

fn has_copy_here(node: &NodeName, home: Option<&Home>) -> bool {
    match home.map(|h| &h.state) {
        Some(HomeState::Split { node: n, .. } | HomeState::Returning { node: n, .. }) => n == node,
        _ => false,
    }
}
