//! What people and programs ask to see.

use std::collections::BTreeSet;

use volward_model::{Attachment, InstanceId, PoolName, RequestId, VolumeId, VolumeName, VolumeRef};

use crate::node::Node;
use crate::ports::{JournalEntry, JournalQuery, PortResult, StoredAttachment};

/// An attachment somewhere in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAttachment {
    /// As its node's slot shows it.
    pub attachment: Attachment,
    /// The volume's present name; `None` if the pool does not list it any more.
    pub volume: Option<VolumeRef>,
}

impl Node {
    /// Everything attached or quarantined on this node.
    #[must_use]
    pub fn attachments(&self) -> Vec<StoredAttachment> {
        self.attachment_table().attachments().cloned().collect()
    }

    /// Attachments of other nodes that may be alive, intents included, over all shared pools
    /// that can be read; the sentences tell of those that cannot.
    #[must_use]
    pub fn attachments_elsewhere(&self) -> (Vec<ClusterAttachment>, Vec<String>) {
        let (mut found, mut troubles) = (Vec::new(), Vec::new());
        for pool in &self.settings.pools {
            match self.look(pool) {
                Ok(sight) => {
                    let named = |id: VolumeId| sight.info.volume(id).map(|v| v.volume.clone());
                    let all = sight.live_slots().flat_map(|slot| &slot.attachments);
                    found.extend(all.map(|a| ClusterAttachment {
                        attachment: a.clone(),
                        volume: named(a.volume),
                    }));
                    troubles.extend(sight.unreadable());
                    troubles.extend(sight.newer(None));
                }
                Err(error) => troubles.push(format!("pool {pool}: {error}")),
            }
        }
        (found, troubles)
    }

    /// Of these disks, the ones an instance has not attached here.
    #[must_use]
    pub fn missing(
        &self,
        instance: InstanceId,
        disks: &[(PoolName, VolumeName)],
    ) -> Vec<(PoolName, VolumeName)> {
        let has: BTreeSet<(PoolName, VolumeName)> = self
            .attachment_table()
            .of_instance(instance)
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
    pub fn history(&self, what: &JournalQuery, limit: usize) -> PortResult<Vec<JournalEntry>> {
        self.ports.journal.find(what, limit)
    }

    /// The newest entry of a request.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn entry_of(&self, request: RequestId) -> PortResult<Option<JournalEntry>> {
        Ok(self
            .history(&JournalQuery::Request(request), 1)?
            .into_iter()
            .next())
    }
}
