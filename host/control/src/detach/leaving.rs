//! What is known of the volumes that a detach lets go: their homes, and what speaks against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use volward_model::{
    AttachmentState, CopyLv, CopyStage, DeviceInfo, DeviceRole, Home, HomeState, InstanceId,
    PoolInfo, PoolName, VolumeInfo, VolumeRef,
};
use volward_plan::detach::DetachingVolume;
use volward_plan::witness::{Verdict, weigh};

use super::Detach;
use crate::observe::Traces;
use crate::ports::StoredAttachment;

impl Detach {
    pub(super) fn leaving(
        &self,
        instance: InstanceId,
        selected: &[StoredAttachment],
    ) -> Vec<DetachingVolume> {
        let mut pools: BTreeMap<PoolName, Option<Arc<PoolInfo>>> = BTreeMap::new();
        let mut leaving = Vec::new();
        let traces = self.observer.traces();
        if let Err(error) = &traces {
            self.trouble("detaching without a look at the devices".to_owned(), error);
        }
        for attachment in selected {
            let volume = &attachment.volume;
            let info = pools.entry(volume.pool.clone()).or_insert_with(|| {
                let info = self.observer.validated_pool(&volume.pool);
                info.inspect_err(|error| {
                    let what = format!("detaching without a report of pool {}", volume.pool);
                    self.trouble(what, error);
                })
                .ok()
            });
            let found = info.as_ref().and_then(|i| i.volume(volume.id));
            let home = found.and_then(|v| v.home().ok());
            let contradictions = match (found, &home, &traces) {
                (Some(found), Some(home), Ok(traces)) => self.contradictions(found, home, traces),
                // Nothing but the home tag would tell what became of a copy; of an attachment whose record was lost
                // nobody has said that there is none.
                (_, home, Err(error))
                    if attachment.copy.is_some()
                        || home.is_none()
                        || attachment.state == AttachmentState::Quarantined =>
                {
                    vec![format!("this node's devices cannot be listed: {error}")]
                }
                (Some(_), None, Ok(traces)) => unread_home(volume, traces),
                _ => Vec::new(),
            };
            let others_stay = self
                .state
                .attachment_table()
                .of_volume(volume.id)
                .any(|a| a.instance != instance);
            // Where the pool cannot be read, what was granted tells whether there is a copy, or what is
            // loaded or made, for a guest may have it without a grant: its data must not be given up.
            let has_copy = |t: &Traces| has_clone(volume, t) || !used_copies(volume, t).is_empty();
            let copied = attachment.copy.is_some() || traces.as_ref().is_ok_and(has_copy);
            let home = home.or_else(|| copied.then(|| self.assumed_split(volume)));
            // It has just come home under its guest.
            let is_home = home.as_ref().is_some_and(|h| h.state == HomeState::Pool);
            leaving.push(DetachingVolume {
                volume: volume.clone(),
                form: attachment.form,
                others_stay,
                home,
                remains: attachment.copy.is_some()
                    && (attachment.state == AttachmentState::Quarantined || is_home),
                contradictions,
            });
        }
        leaving
    }

    /// What speaks against giving up the volume's lease and copy.
    fn contradictions(&self, info: &VolumeInfo, home: &Home, traces: &Traces) -> Vec<String> {
        let seen = match self.observer.local_input(traces, info) {
            Ok(seen) => seen,
            Err(error) => return vec![format!("the devices of {}: {error}", info.volume)],
        };
        match weigh(&self.settings.node, home, &seen) {
            Verdict::Contradict(sentences) => sentences,
            Verdict::Silent(why) => vec![why],
            Verdict::Agree | Verdict::Leftovers => Vec::new(),
        }
    }

    fn assumed_split(&self, volume: &VolumeRef) -> Home {
        let state = HomeState::Split {
            node: self.settings.node.clone(),
            copy: volume.id.lv,
        };
        Home {
            state,
            generation: 0,
        }
    }
}

/// What speaks against giving up a volume whose home cannot be read: its data may be in a copy, loaded
/// or not, or in one that cannot be asked for.
fn unread_home(volume: &VolumeRef, traces: &Traces) -> Vec<String> {
    let loaded = clones(volume, traces).map(|d| format!("device {} is loaded on this node", d.id));
    let copies = used_copies(volume, traces).into_iter();
    let copies = copies.map(|copy| format!("this node has the copy {copy}"));
    let local = traces.local.copies_of(volume.id);
    let silent = local.silent();
    let silent = silent.map(|why| format!("the local pool cannot be asked for a copy: {why}"));
    let found = loaded.chain(copies).chain(silent);
    found
        .map(|what| format!("its home cannot be read, and {what}"))
        .collect()
}

fn has_clone(volume: &VolumeRef, traces: &Traces) -> bool {
    clones(volume, traces).next().is_some()
}

fn clones<'a>(volume: &VolumeRef, traces: &'a Traces) -> impl Iterator<Item = &'a DeviceInfo> {
    let id = volume.id;
    let of_volume = traces.devices.iter().filter(move |d| d.id.volume == id);
    of_volume.filter(|d| matches!(d.id.role, DeviceRole::Clone | DeviceRole::Return))
}

/// Copies that do not say themselves that there is nothing in them which the pool has not.
fn used_copies(volume: &VolumeRef, traces: &Traces) -> Vec<CopyLv> {
    let local = traces.local.copies_of(volume.id);
    let of_no_use =
        |copy: &&CopyLv| matches!(copy.stage, Some(CopyStage::Fresh | CopyStage::Returned));
    let copies = local.found().iter();
    copies.filter(|copy| !of_no_use(copy)).copied().collect()
}
