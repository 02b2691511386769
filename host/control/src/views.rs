//! What people and programs ask to see.

use std::collections::BTreeSet;
use std::sync::Arc;

use volward_model::{
    Attachment, AttachmentState, HomeState, InstanceId, LeaseMode, PoolName, RequestId, Sharing,
    VolumeId, VolumeInfo, VolumeName, VolumeRef,
};
use volward_plan::home_of;
use volward_plan::witness::{Testimony, Verdict, testimony, weigh};

use crate::error::{ControlError, refuse, storage};
use crate::observe::{Observer, PoolSnapshot, find};
use crate::ports::{
    Freshness, Journal, JournalEntry, JournalQuery, LeaseStatus, Leases, PortResult,
    StoredAttachment,
};
use crate::settings::{Settings, needs};
use crate::state::State;

/// An attachment somewhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAttachment {
    /// As its node's slot shows it.
    pub attachment: Attachment,
    /// The volume's present name; `None` if the pool does not list it any more.
    pub volume: Option<VolumeRef>,
}

/// Why an operator should look at a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeTrouble {
    /// What is known of its data contradicts itself, a sentence each.
    Contradiction(Vec<String>),
    /// Its data is partly in this node's copy, and no guest here has it: after a reboot, say. It is
    /// written back when it was attached and detached here.
    WaitsForItsGuest,
}

needs!(ViewsPorts {
    journal: Journal,
    leases: Leases,
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

    /// Attachments of other nodes that may be alive, intents included, over all shared pools
    /// that can be read; the sentences tell of those that cannot.
    #[must_use]
    pub(crate) fn attachments_elsewhere(&self) -> (Vec<ClusterAttachment>, Vec<String>) {
        let (mut found, mut troubles) = (Vec::new(), Vec::new());
        for pool in &self.settings.pools {
            match self.observer.snapshot(pool) {
                Ok(snapshot) => {
                    let named = |id: VolumeId| snapshot.info.volume(id).map(|v| v.volume.clone());
                    let all = snapshot.attachments_of_others().map(|(_, a)| a);
                    found.extend(all.map(|a| ClusterAttachment {
                        attachment: a.clone(),
                        volume: named(a.volume),
                    }));
                    troubles.extend(snapshot.unreadable());
                    troubles.extend(snapshot.newer(None));
                }
                Err(error) => troubles.push(format!("pool {pool}: {error}")),
            }
        }
        (found, troubles)
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
        self.observer.managed(pool)?;
        let failed = |error| storage(request, "hearing the witnesses", error);
        let snapshot = self.observer.snapshot(pool).map_err(failed)?;
        let info = find(&snapshot, name)?;
        let home = home_of(info).map_err(|refusal| refuse(request, refusal))?;
        let seen = self
            .observer
            .volume_input(&snapshot, info)
            .map_err(failed)?;
        Ok(testimony(&self.settings.node, &home, &seen))
    }

    /// Volumes of the pools that can be read that an operator should look at, because of where their
    /// data is.
    pub(crate) fn to_look_at(&self) -> Vec<(VolumeRef, VolumeTrouble)> {
        let mut found = Vec::new();
        for pool in &self.settings.pools {
            let Ok(snapshot) = self.observer.snapshot(pool) else {
                continue;
            };
            for info in snapshot.info.volumes.iter().filter(|v| !v.is_internal()) {
                if let Some(trouble) = self.trouble_of(&snapshot, info) {
                    found.push((info.volume.clone(), trouble));
                }
            }
        }
        found
    }

    fn trouble_of(&self, snapshot: &PoolSnapshot, info: &VolumeInfo) -> Option<VolumeTrouble> {
        let node = &self.settings.node;
        let home = info.home().ok()?;
        let seen = self.observer.local_input(&snapshot.traces, info).ok()?;
        if let Verdict::Contradict(sentences) = weigh(node, &home, &seen) {
            return Some(VolumeTrouble::Contradiction(sentences));
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
        let has: BTreeSet<(PoolName, VolumeName)> = self
            .state
            .attachment_table()
            .of_instance(instance)
            .filter(|a| a.state == AttachmentState::Attached)
            .filter(|a| self.state.fences().get(a.key()).is_none())
            .map(|a| (a.volume.pool.clone(), a.volume.name.clone()))
            .collect();
        disks
            .iter()
            .filter(|disk| !has.contains(disk))
            .cloned()
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

    /// Attachments, leases and sharing of this node that cannot all be true at once; empty when
    /// all is well. For `doctor`.
    #[must_use]
    pub(crate) fn inconsistencies(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .state
            .unwritten()
            .iter()
            .map(|pool| {
                format!(
                    "this node's slot in the registry of pool {pool} could not be written: other \
                     nodes see what was attached before, and may wait for it; it is written as \
                     soon as the registry takes it"
                )
            })
            .collect();
        for pool in &self.settings.pools {
            let Ok(LeaseStatus {
                held, freshness, ..
            }) = self.ports.leases.status(pool)
            else {
                continue;
            };
            if let Freshness::Renewed { ago, .. } = freshness
                && freshness.is_expired()
            {
                found.push(format!(
                    "the lockspace of pool {pool} was last renewed {} s ago: its leases are \
                     listed, but other nodes may take them; restart this node",
                    ago.as_secs()
                ));
            }
            for attachment in self
                .state
                .attachment_table()
                .attachments()
                .filter(|a| a.volume.pool == *pool)
            {
                let volume = &attachment.volume;
                let needed = match attachment.sharing {
                    Sharing::Exclusive => LeaseMode::Exclusive,
                    Sharing::Shared => LeaseMode::Shared,
                };
                let quarantined = attachment.state == AttachmentState::Quarantined;
                match held.get(&volume.id.lv) {
                    _ if quarantined => found.push(format!(
                        "{volume} is quarantined for instance {}: {}",
                        attachment.instance,
                        attachment.causes.join("; then: ")
                    )),
                    Some(lease) if lease.orphan => {
                        found.push(format!("the lease of {volume} is an orphan"));
                    }
                    Some(lease) if lease.mode >= needed => {}
                    _ => found.push(format!(
                        "{volume} is attached {} to instance {}, but its lease is not held so",
                        attachment.sharing, attachment.instance
                    )),
                }
            }
        }
        found
    }
}
