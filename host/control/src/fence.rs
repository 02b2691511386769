//! Following the leases, and cutting attachments off before another node may have their volume
//! (I2). No policy is asked (I32).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use volward_model::{DeviceId, LeaseMode, LvUuid, PoolName, Table};
use volward_plan::fence::{Said, Standing};
use volward_plan::{DiskForm, Unmet};

use crate::observe::Observer;
use crate::ports::{
    Clock, Devices, Event, Events, FenceRecords, Freshness, LeaseStatus, Leases, PortError,
    PortResult, StoredAttachment, Tasks,
};
use crate::settings::{Settings, needs};
use crate::state::{Fenced, State};

mod give_back;
mod record;
mod unfence;

needs!(FencePorts {
    leases: Leases,
    devices: Devices,
    fence_records: FenceRecords,
    clock: Clock,
    events: Events,
    tasks: Tasks,
});

/// Between two questions for the members of a lockspace: a node renews its lease every two I/O timeouts, 20 s by default.
const MEMBERS_EVERY: Duration = Duration::from_secs(5);

/// The fence of one node.
pub(crate) struct Fence {
    pub(crate) ports: FencePorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
}

impl Fence {
    /// One look, to be called more than once a second. Returns at once: the lease provider is asked, and tables
    /// are loaded, in the background; what one of them is waiting for keeps back nothing else.
    pub(crate) fn follow(self: &Arc<Self>) {
        let attached = self.attached(|_| true);
        self.state.fences().keep(attached.iter());
        self.record();
        self.give_back(&attached);
        for pool in &self.settings.pools {
            let now = self.ports.clock.monotonic();
            let (standing, ask) = {
                let mut pools = self.state.followed();
                let followed = pools.entry(pool.clone()).or_default();
                let ask = !std::mem::replace(&mut followed.asking, true);
                (followed.watch.standing(now), ask)
            };
            self.act(pool, &standing);
            if ask {
                let (this, pool) = (Arc::clone(self), pool.clone());
                let name = format!("leases {pool}");
                self.ports
                    .tasks
                    .spawn(name, Box::new(move || this.ask(&pool)));
            }
        }
    }

    fn ask(self: &Arc<Self>, pool: &PoolName) {
        // Of before the question: however long the answer took, nothing seems newer than it is.
        let asked_at = self.ports.clock.monotonic();
        let said = said(self.ports.leases.status(pool));
        let needed = self.needed(pool);
        let (standing, missing) = {
            let mut pools = self.state.followed();
            let followed = pools.entry(pool.clone()).or_default();
            followed.asking = false;
            let standing = followed.watch.hear(asked_at, &said);
            let missing = match &said {
                Said::Joined { held, .. } => followed.watch.missing(held, needed),
                Said::NotJoined { .. } | Said::GivenUp | Said::Silent { .. } => BTreeSet::new(),
            };
            (standing, missing)
        };
        self.act(pool, &standing);
        self.hear_members(pool, asked_at);
        if let (Standing::Lost { .. }, Said::Joined { generation, .. }) = (&standing, &said) {
            self.show_what_is_left(pool, *generation);
        }
        let lost = |a: &StoredAttachment| {
            // A request that has the volume changes its lease, or takes it away.
            missing.contains(&a.volume.id.lv) && !self.state.volume_locks.is_taken(a.volume.id)
        };
        for attachment in self.attached(|a| a.volume.pool == *pool && lost(a)) {
            let reason = format!(
                "sanlock does not show the lease of {} any more",
                attachment.volume
            );
            self.cut_off(&attachment, reason, Cut::for_good());
        }
    }

    /// Follows whether the other nodes renew their leases: what is seen of it in requests alone would come too late
    /// to say since when one is silent.
    fn hear_members(&self, pool: &PoolName, now: Duration) {
        let is_due = {
            let mut pools = self.state.followed();
            let asked = &mut pools.entry(pool.clone()).or_default().members_at;
            let is_due = asked.is_none_or(|at| now.saturating_sub(at) >= MEMBERS_EVERY);
            if is_due {
                *asked = Some(now);
            }
            is_due
        };
        // Who does not answer is heard of as the lockspace's standing.
        if is_due && let Ok(members) = self.ports.leases.members(pool) {
            let mut pools = self.state.followed();
            let followed = pools.entry(pool.clone()).or_default();
            followed.renewals.hear(now, &members);
        }
    }

    /// Under the new generation, that others see who wrote it: once. A registry that cannot be written now is
    /// written again, by whoever tries again what failed.
    fn show_what_is_left(&self, pool: &PoolName, generation: Option<u64>) {
        let shown = self.state.followed().get(pool).and_then(|f| f.shown);
        let is_shown = shown.is_some() && shown == generation;
        if is_shown || self.state.unwritten().contains(pool) {
            return;
        }
        match self.state.write_slot(pool) {
            Ok(()) => {
                let mut pools = self.state.followed();
                pools.entry(pool.clone()).or_default().shown = generation;
            }
            Err(error) => {
                let (pool, reason) = (pool.clone(), error.to_string());
                let what = "what this node still has";
                self.ports
                    .events
                    .tell(&Event::Unseen { pool, what, reason });
            }
        }
    }

    /// The leases that attachments of the pool need.
    fn needed(&self, pool: &PoolName) -> Vec<(LvUuid, LeaseMode)> {
        let attached = self.attached(|a| a.volume.pool == *pool);
        attached
            .iter()
            .map(|a| (a.volume.id.lv, a.lease()))
            .collect()
    }

    fn act(self: &Arc<Self>, pool: &PoolName, standing: &Standing) {
        self.tell(pool, standing);
        let Standing::Lost { reason, regainable } = standing else {
            return;
        };
        for attachment in self.attached(|a| a.volume.pool == *pool) {
            let cut = Cut {
                regainable: *regainable,
                asked: false,
            };
            self.cut_off(&attachment, reason.clone(), cut);
        }
    }

    /// Each change of a pool's standing is told once.
    fn tell(&self, pool: &PoolName, standing: &Standing) {
        let (word, event) = match standing {
            Standing::Unknown => return,
            Standing::Sound => ("sound", Event::LeasesSound { pool: pool.clone() }),
            Standing::Leaving => ("leaving", Event::LockspaceLeaving { pool: pool.clone() }),
            Standing::Late { ago, cut_in } => {
                let (pool, ago, cut_in) = (pool.clone(), *ago, *cut_in);
                ("late", Event::LeasesLate { pool, ago, cut_in })
            }
            Standing::Lost { reason, .. } => {
                let event = Event::LeasesLost {
                    pool: pool.clone(),
                    reason: reason.clone(),
                    attached: self.attached(|a| a.volume.pool == *pool).len(),
                };
                ("lost", event)
            }
        };
        let before = {
            let mut pools = self.state.followed();
            let followed = pools.entry(pool.clone()).or_default();
            followed.sound_since = match standing {
                Standing::Sound => followed
                    .sound_since
                    .or_else(|| Some(self.ports.clock.monotonic())),
                _ => None,
            };
            followed.told.replace(word)
        };
        // That all is well is news only after it was not.
        if before != Some(word) && (before.is_some() || word != "sound") {
            self.ports.events.tell(&event);
        }
    }

    /// Cuts off what an instance has here, or only these volumes of it, because somebody asks for
    /// it. Says of which; [`State::fences`] says when it is done.
    pub(crate) fn fence(
        self: &Arc<Self>,
        which: impl Fn(&StoredAttachment) -> bool,
    ) -> Vec<StoredAttachment> {
        let attached = self.attached(which);
        for attachment in &attached {
            let cut = Cut {
                regainable: true,
                asked: true,
            };
            self.cut_off(attachment, "somebody asked for it".to_owned(), cut);
        }
        attached
    }

    /// Has every I/O of the attachment fail from now on.
    fn cut_off(self: &Arc<Self>, attachment: &StoredAttachment, reason: String, how: Cut) {
        let lease = {
            let pools = self.state.followed();
            let followed = pools.get(&attachment.volume.pool);
            followed.and_then(|followed| followed.watch.lease(attachment.volume.id.lv))
        };
        let fenced = Fenced {
            reason,
            since_ms: self.ports.clock.now_ms(),
            cut: false,
            regainable: how.regainable,
            version: lease.map(|lease| lease.version),
            asked: how.asked,
        };
        if !self.state.fences().begin(attachment, fenced) {
            return;
        }
        if attachment.form == DiskForm::Lv {
            // Its device is LVM's own. It stays under way, so that this is told once.
            self.ports.events.tell(&Event::NotFenced {
                volume: attachment.volume.clone(),
                instance: attachment.instance,
                reason: "its path is the LV itself, which Volward does not cut off; stop the guest"
                    .to_owned(),
            });
            return;
        }
        let (this, attachment) = (Arc::clone(self), attachment.clone());
        let name = format!("fence {}", attachment.volume);
        self.ports
            .tasks
            .spawn(name, Box::new(move || this.load_error_table(&attachment)));
    }

    fn load_error_table(&self, attachment: &StoredAttachment) {
        // LVM, which moves the volume to another disk, would write on.
        let outcome = self.fail_all(device_of(attachment));
        let outcome =
            outcome.and_then(|()| self.ports.devices.halt_move(attachment.volume.id).map(drop));
        let (volume, instance) = (attachment.volume.clone(), attachment.instance);
        let event = {
            let mut fences = self.state.fences();
            match outcome {
                Ok(()) => fences.done(attachment).map(|reason| Event::Fenced {
                    volume,
                    instance,
                    reason,
                }),
                Err(error) => {
                    let reason = error.to_string();
                    let is_news = fences.failed(attachment, &reason);
                    is_news.then_some(Event::NotFenced {
                        volume,
                        instance,
                        reason,
                    })
                }
            }
        };
        if let Some(event) = event {
            self.ports.events.tell(&event);
        }
    }

    fn fail_all(&self, id: DeviceId) -> PortResult<()> {
        // What is not there is read and written by nobody.
        let Some(device) = self.ports.devices.get(id)? else {
            return Ok(());
        };
        if device.target.as_deref() == Some("error") {
            return Ok(());
        }
        let table = Table::Error { size: device.size };
        self.ports.devices.reload(id, &table, device.read_only)
    }

    fn attached(&self, which: impl Fn(&StoredAttachment) -> bool) -> Vec<StoredAttachment> {
        let table = self.state.attachment_table();
        table.attachments().filter(|a| which(a)).cloned().collect()
    }

    /// What the leases of each pool that was looked at are worth now.
    pub(crate) fn standings(&self) -> Vec<(PoolName, Standing)> {
        let now: Duration = self.ports.clock.monotonic();
        self.state
            .followed()
            .iter()
            .map(|(pool, followed)| (pool.clone(), followed.watch.standing(now)))
            .collect()
    }
}

/// How an attachment is cut off.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The same lease may be sound again.
    regainable: bool,
    /// Somebody asked for it.
    asked: bool,
}

impl Cut {
    fn for_good() -> Self {
        Self {
            regainable: false,
            asked: false,
        }
    }
}

/// What a lease provider's answer tells the watch.
fn said(answer: PortResult<LeaseStatus>) -> Said {
    match answer {
        Ok(status) => match status.freshness {
            Freshness::Renewed { ago, expires_after }
            | Freshness::Leaving { ago, expires_after } => Said::Joined {
                renewed_ago: ago,
                expires_after,
                generation: status.generation,
                held: status.held,
                leaving: status.freshness.is_closed(),
            },
            Freshness::GivenUp => Said::GivenUp,
            Freshness::Unknown => Said::Silent {
                reason: "it does not say when the lockspace was renewed".to_owned(),
            },
        },
        Err(PortError::Unmet(Unmet::NotJoined { taken, .. })) => Said::NotJoined { taken },
        Err(error) => Said::Silent {
            reason: error.to_string(),
        },
    }
}

fn device_of(attachment: &StoredAttachment) -> DeviceId {
    DeviceId::attachment(attachment.volume.id, attachment.instance)
}
