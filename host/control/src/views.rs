//! What people and programs ask to see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use volward_model::{
    AskedFor, Attachment, AttachmentKey, AttachmentState, HomeState, InstanceId, PoolName,
    RequestId, VolumeId, VolumeInfo, VolumeName, VolumeRef,
};
use volward_plan::home_of;
use volward_plan::witness::{Testimony, Verdict, testimony, weigh};

use crate::error::{ControlError, refuse};
use crate::observe::{Observer, PoolSnapshot, unexplained};
use crate::ports::{
    Clock, Devices, Journal, JournalEntry, JournalQuery, Leases, PortResult, StoredAttachment,
    Volumes,
};
use crate::settings::{Settings, needs};
use crate::state::{Owed, State};

mod abroad;
mod consistent;
mod inventory;
mod not_here;
mod orphans;
mod seen;
mod standing;

pub use crate::state::PresentVolume;
pub use abroad::OperationAbroad;
pub use inventory::{Inventory, SeenLease};
pub use seen::SeenAttachment;
pub use standing::{AttachingDisk, VolumeStanding};

/// An attachment somewhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAttachment {
    /// As its node's slot shows it.
    pub attachment: Attachment,
    /// Who has asked for it, and for what, as far as its node tells.
    pub asked: Option<AskedFor>,
    /// The volume's present name; `None` if the pool does not list it any more.
    pub volume: Option<VolumeRef>,
}

/// Why an operator should look at a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeTrouble {
    /// What is known of its data contradicts itself, a sentence each.
    Contradiction(Vec<String>),
    /// The local pool cannot be asked, and a copy in it may have the data: a sentence.
    Silent(String),
    /// Its data is partly in this node's copy, and no guest here has it: after a reboot, say. It is
    /// written back when it was attached and detached here.
    WaitsForItsGuest,
}

/// An operation that failed for now and is tried again until it is done or needs a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The request it serves.
    pub request: RequestId,
    /// `detach`, or `attach` where one is completed or undone.
    pub operation: &'static str,
    /// Whether its attachments are on their way out.
    pub leaving: bool,
    /// The attachments that are neither whole nor gone.
    pub attachments: Vec<StoredAttachment>,
    /// The first failure, then the latest where it is another one, each a sentence.
    pub causes: Vec<String>,
    /// How often it has failed.
    pub failures: u32,
    /// From now to the next try; zero while it is tried.
    pub next: Duration,
}

/// What the other nodes have, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Attachments of nodes that may be alive, intents included.
    pub attachments: Vec<ClusterAttachment>,
    /// Sentences: pools and slots that cannot be read.
    pub unreadable: Vec<String>,
    /// Sentences: nodes that do not renew their leases.
    pub silent: Vec<String>,
}

impl Unfinished {
    /// In a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let of = self.attachments.iter();
        let of: Vec<String> = of
            .map(|a| format!("{} for instance {}", a.volume, a.instance))
            .collect();
        format!(
            "{} of {} failed {} time(s) and is tried again in {} s: {}",
            self.operation,
            of.join(", "),
            self.failures,
            self.next.as_secs(),
            self.causes.join("; then: ")
        )
    }
}

needs!(ViewsPorts {
    clock: Clock,
    journal: Journal,
    leases: Leases,
    volumes: Volumes,
    devices: Devices,
});

/// What there is to see; changes nothing.
pub(crate) struct Views {
    pub(crate) ports: ViewsPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
}

impl Views {
    /// Everything attached or quarantined on this node.
    #[must_use]
    pub(crate) fn attachments(&self) -> Vec<StoredAttachment> {
        self.state
            .attachment_table()
            .attachments()
            .cloned()
            .collect()
    }

    /// What other nodes have, over all shared pools.
    #[must_use]
    pub(crate) fn attachments_elsewhere(&self) -> Elsewhere {
        let mut all = Elsewhere::default();
        for pool in &self.settings.pools {
            let of_pool = self.attachments_elsewhere_in(pool);
            all.attachments.extend(of_pool.attachments);
            all.unreadable.extend(of_pool.unreadable);
            all.silent.extend(of_pool.silent);
        }
        all
    }

    /// What other nodes have in a shared pool.
    #[must_use]
    pub(crate) fn attachments_elsewhere_in(&self, pool: &PoolName) -> Elsewhere {
        let mut found = Elsewhere::default();
        match self.observer.shown(pool) {
            Ok(snapshot) => {
                let named = |id: VolumeId| snapshot.info.volume(id).map(|v| v.volume.clone());
                let asked: BTreeMap<(u64, AttachmentKey), &AskedFor> = snapshot
                    .live_slots()
                    .flat_map(|slot| slot.asked.iter().map(|one| ((slot.host_id, one.of), one)))
                    .collect();
                let all = snapshot.attachments_of_others();
                found.attachments.extend(all.map(|(slot, a)| {
                    ClusterAttachment {
                        attachment: a.clone(),
                        asked: asked
                            .get(&(slot.host_id, a.key()))
                            .map(|one| (*one).clone()),
                        volume: named(a.volume),
                    }
                }));
                found.unreadable.extend(snapshot.unreadable());
                found.unreadable.extend(snapshot.newer(None));
                found
                    .unreadable
                    .extend(snapshot.impostors(&self.settings.node));
                found.silent.extend(snapshot.silent_nodes());
            }
            Err(error) => found.unreadable.push(format!("pool {pool}: {error}")),
        }
        found
    }

    /// What each witness says of where a volume's data is.
    ///
    /// # Errors
    /// If there is no such volume, its home tag cannot be understood, or the pool cannot be read.
    pub(crate) fn testimony(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
    ) -> Result<Testimony, ControlError> {
        let alone = self
            .observer
            .alone(request, pool, name, "hearing the witnesses")?;
        let home = home_of(&alone.info).map_err(|refusal| refuse(request, refusal))?;
        Ok(testimony(
            &self.settings.node,
            &home,
            &alone.seen,
            &alone.owner,
        ))
    }

    /// Volumes of the pool that an operator should look at, because of where their data is; none if
    /// the pool cannot be read.
    pub(crate) fn to_look_at(&self, pool: &PoolName) -> Vec<(VolumeRef, VolumeTrouble)> {
        let Ok(snapshot) = self.observer.shown(pool) else {
            return Vec::new();
        };
        let volumes = snapshot.info.volumes.iter().filter(|v| !v.is_internal());
        let suspect = volumes.filter(|info| self.trouble_of(&snapshot, info).is_some());
        suspect
            .filter_map(|info| Some((info.volume.clone(), self.confirmed(&info.volume)?)))
            .collect()
    }

    /// What is wrong with a volume, under its lock: between two steps of a request the witnesses need
    /// not agree. `None` where a request is under way, which tells its own trouble.
    fn confirmed(&self, volume: &VolumeRef) -> Option<VolumeTrouble> {
        let guard = self.state.volume_locks.take(&[volume.id], Duration::ZERO);
        let guard = guard.ok()?;
        let snapshot = self.observer.shown(&volume.pool).ok()?;
        let trouble = self.trouble_of(&snapshot, snapshot.info.volume(volume.id)?);
        drop(guard);
        trouble
    }

    fn trouble_of(&self, snapshot: &PoolSnapshot, info: &VolumeInfo) -> Option<VolumeTrouble> {
        let node = &self.settings.node;
        let home = match info.home() {
            Ok(home) => home,
            Err(error) => return Some(VolumeTrouble::Contradiction(vec![error.to_string()])),
        };
        let seen = self.observer.local_input(&snapshot.traces, info).ok()?;
        match weigh(node, &home, &seen) {
            Verdict::Contradict(sentences) => {
                return Some(VolumeTrouble::Contradiction(sentences));
            }
            Verdict::Silent(why) => return Some(VolumeTrouble::Silent(why)),
            Verdict::Agree | Verdict::Leftovers => {}
        }
        let lv = info.volume.id.lv;
        let by_hand = snapshot.by_hand.contains(&lv) && !info.is_internal();
        let held = by_hand || snapshot.held.contains_key(&lv);
        if self.state.is_unexplained(info.volume.id, held) || by_hand {
            let why = unexplained(&info.volume);
            return Some(VolumeTrouble::Contradiction(vec![why]));
        }
        let split = matches!(&home.state, HomeState::Split { node: owner, .. } if owner == node);
        let idle = seen.here.is_empty() && !self.state.is_returning(info.volume.id);
        (split && idle).then_some(VolumeTrouble::WaitsForItsGuest)
    }

    /// Of these disks, the ones an instance has not attached here as they should be; what is
    /// quarantined is not.
    #[must_use]
    pub(crate) fn missing(
        &self,
        instance: InstanceId,
        disks: &[(PoolName, VolumeName)],
    ) -> Vec<(PoolName, VolumeName)> {
        let owed = self.state.owed().keys();
        let has: BTreeSet<(PoolName, VolumeName)> = self
            .state
            .attachment_table()
            .of_instance(instance)
            .filter(|a| a.state == AttachmentState::Attached && !owed.contains(&a.key()))
            .filter(|a| self.state.fences().get(a).is_none())
            .map(|a| (a.volume.pool.clone(), a.volume.name.clone()))
            .collect();
        disks
            .iter()
            .filter(|disk| !has.contains(disk))
            .cloned()
            .collect()
    }

    /// Pools of which an instance has something here, or something that is not finished.
    pub(crate) fn pools_of(&self, instance: InstanceId) -> BTreeSet<PoolName> {
        let mut pools: BTreeSet<PoolName> = self
            .state
            .attachment_table()
            .of_instance(instance)
            .map(|a| a.volume.pool.clone())
            .collect();
        for (_, owed) in self.state.owed().serving(instance) {
            let volumes = owed.entry.operation.volumes();
            pools.extend(volumes.into_iter().map(|v| v.pool.clone()));
        }
        pools
    }

    /// Operations that are tried again, the oldest first.
    pub(crate) fn unfinished(&self) -> Vec<Unfinished> {
        let now = self.ports.clock.monotonic();
        let view = |owed: &Owed| {
            let operation = &owed.entry.operation;
            Unfinished {
                request: owed.entry.request,
                operation: operation.name(),
                leaving: standing::is_leaving(owed),
                attachments: owed.concerned.clone(),
                causes: owed.causes.clone(),
                failures: owed.tries.failures,
                next: owed.tries.next.saturating_sub(now),
            }
        };
        self.state
            .owed()
            .operations()
            .map(|(_, owed)| view(owed))
            .collect()
    }

    /// Journal entries, newest first.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub(crate) fn history(
        &self,
        what: &JournalQuery,
        limit: usize,
    ) -> PortResult<Vec<JournalEntry>> {
        self.ports.journal.find(what, limit)
    }

    /// The newest entry of a request.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub(crate) fn entry_of(&self, request: RequestId) -> PortResult<Option<JournalEntry>> {
        Ok(self
            .history(&JournalQuery::Request(request), 1)?
            .into_iter()
            .next())
    }
}
