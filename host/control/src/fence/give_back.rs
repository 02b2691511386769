//! Giving I/O back without anybody asking for it, where the configuration says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use volward_model::{InstanceId, PoolName, RequestId};

use super::Fence;
use super::unfence::Asked;
use crate::ports::{Event, StoredAttachment};
use crate::state::Fenced;

impl Fence {
    /// Whether an attachment that was cut off so gets its I/O back by itself, and after what pause at
    /// least.
    pub(crate) fn comes_back(&self, fenced: &Fenced) -> Option<Duration> {
        self.settings
            .unfence_after
            .filter(|_| fenced.regainable && !fenced.asked)
    }

    /// Begins what is due, in the background. That it may be done is found out there, in the same way
    /// as for somebody who asks.
    pub(super) fn give_back(self: &Arc<Self>, attached: &[StoredAttachment]) {
        let Some(pause) = self.settings.unfence_after else {
            return;
        };
        let now = self.ports.clock.monotonic();
        for instance in self.due(attached, now, pause) {
            self.state.fences().given_back(instance).tried(now);
            let this = Arc::clone(self);
            let work = Box::new(move || this.give_back_to(instance));
            self.ports.tasks.spawn(format!("unfence {instance}"), work);
        }
    }

    /// Instances of which all that is cut off may come back by itself, and whose leases have been sound
    /// for long enough.
    fn due(
        &self,
        attached: &[StoredAttachment],
        now: Duration,
        pause: Duration,
    ) -> Vec<InstanceId> {
        // One lock after the other: whoever cuts off takes them in the same order.
        let sound: BTreeMap<PoolName, Option<Duration>> = {
            let followed = self.state.followed();
            let pools = followed.iter();
            pools
                .map(|(pool, f)| (pool.clone(), f.sound_since))
                .collect()
        };
        let mut fences = self.state.fences();
        let mut pools: BTreeMap<InstanceId, BTreeSet<&PoolName>> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for attachment in attached {
            let Some(fenced) = fences.get(attachment) else {
                continue;
            };
            let instance = attachment.instance;
            if self.comes_back(fenced).is_none() || !fenced.cut {
                kept.insert(instance);
            }
            pools
                .entry(instance)
                .or_default()
                .insert(&attachment.volume.pool);
        }
        let mut due = Vec::new();
        for (instance, pools) in pools {
            let back = *fences.given_back(instance);
            let is_sound = |pool: &&PoolName| {
                let since = sound.get(*pool).copied().flatten();
                back.is_due(now, since, pause)
            };
            if !kept.contains(&instance) && pools.iter().all(is_sound) {
                due.push(instance);
            }
        }
        due
    }

    fn give_back_to(&self, instance: InstanceId) {
        let request = RequestId(Uuid::new_v4());
        if let Err(error) = self.give_io_back(request, instance, Asked::ByNobody) {
            let reason = error.to_string();
            self.ports
                .events
                .tell(&Event::StaysFenced { instance, reason });
        }
    }
}
