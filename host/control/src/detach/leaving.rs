//! What is known of the volumes that a detach lets go: their homes, and what speaks against it.

use std::collections::BTreeMap;

use volward_model::{
    AttachmentState, DeviceInfo, DeviceRole, Home, HomeState, InstanceId, PoolInfo, PoolName,
    VolumeInfo, VolumeRef,
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
        let mut pools: BTreeMap<PoolName, Option<PoolInfo>> = BTreeMap::new();
        let mut leaving = Vec::new();
        let traces = self.observer.traces();
        if let Err(error) = &traces {
            self.trouble("detaching without a look at the devices".to_owned(), error);
        }
        for attachment in selected {
            let volume = &attachment.volume;
            let info = pools.entry(volume.pool.clone()).or_insert_with(|| {
                let info = self.ports.volumes.pool(&volume.pool);
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
                // Nothing but the home tag would tell what became of a copy.
                (_, home, Err(error)) if attachment.copy.is_some() || home.is_none() => {
                    vec![format!("this node's devices cannot be listed: {error}")]
                }
                (Some(_), None, Ok(traces)) => loaded_clones(volume, traces),
                _ => Vec::new(),
            };
            let others_stay = self
                .state
                .attachment_table()
                .of_volume(volume.id)
                .any(|a| a.instance != instance);
            // Where the pool cannot be read, what was granted tells whether there is a copy, or what is
            // loaded, for a guest may have it without a grant: its data must not be given up.
            let has_clone = |t: &Traces| !loaded_clones(volume, t).is_empty();
            let copied = attachment.copy.is_some() || traces.as_ref().is_ok_and(has_clone);
            let home = home.or_else(|| copied.then(|| self.assumed_split(volume)));
            leaving.push(DetachingVolume {
                volume: volume.clone(),
                form: attachment.form,
                others_stay,
                home,
                remains: attachment.state == AttachmentState::Quarantined
                    && attachment.copy.is_some(),
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

/// What speaks against giving up a volume whose home cannot be read: its data may be in a copy.
fn loaded_clones(volume: &VolumeRef, traces: &Traces) -> Vec<String> {
    let of_volume = traces.devices.iter().filter(|d| d.id.volume == volume.id);
    let clones = of_volume.filter(|d| matches!(d.id.role, DeviceRole::Clone | DeviceRole::Return));
    let sentence = |d: &DeviceInfo| {
        format!(
            "its home cannot be read, and device {} is loaded on this node",
            d.id
        )
    };
    clones.map(sentence).collect()
}
