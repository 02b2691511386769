//! The node's leases: what they are worth, and what is cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_model::{AttachmentKey, InstanceId, PoolName, RequestId, VolumeName, VolumeRef};
use volward_plan::fence::Standing;

use super::Node;
use crate::error::ControlError;
use crate::ports::StoredAttachment;
use crate::state::Fenced;

impl Node {
    /// One look at the leases, to be made more than once a second; cuts off what they are lost of. Returns at
    /// once, and goes on in the background.
    pub fn follow_leases(&self) {
        self.fence.follow();
        self.last_use.record();
        self.state.record_last_writes();
    }

    /// One look at live migrations, to be made each second: what other nodes ask of this one, and what
    /// becomes of what is shared with them. Returns at once, and goes on in the background.
    pub fn follow_migrations(&self) {
        self.migrate.follow();
    }

    /// What the leases of each shared pool are worth now.
    #[must_use]
    pub fn lease_standings(&self) -> Vec<(PoolName, Standing)> {
        self.fence.standings()
    }

    /// Cuts off what an instance has here, or only these volumes of it (`pool`, `volume`); `None`:
    /// all that is attached on this node. Answers what is to be cut off, at once;
    /// [`Node::fenced`] says when it is.
    pub fn fence(
        &self,
        instance: Option<InstanceId>,
        volumes: &[(PoolName, VolumeName)],
    ) -> Vec<StoredAttachment> {
        self.fence.fence(|a| {
            let named = |(pool, name): &(PoolName, VolumeName)| {
                *pool == a.volume.pool && *name == a.volume.name
            };
            instance.is_none_or(|one| one == a.instance)
                && (volumes.is_empty() || volumes.iter().any(named))
        })
    }

    /// Gives an instance its I/O back, all of it or none.
    ///
    /// # Errors
    /// If another node may have had one of its volumes meanwhile, or nobody knows.
    pub fn unfence(
        &self,
        request: RequestId,
        instance: InstanceId,
    ) -> Result<Vec<VolumeRef>, ControlError> {
        self.fence.unfence(request, instance)
    }

    /// Whether an attachment that was cut off so gets its I/O back by itself, and after which pause of
    /// sound leases at least.
    #[must_use]
    pub fn comes_back(&self, fenced: &Fenced) -> Option<Duration> {
        self.fence.comes_back(fenced)
    }

    /// Attachments whose I/O is cut off, or is to be.
    #[must_use]
    pub fn fenced(&self) -> BTreeMap<AttachmentKey, Fenced> {
        let attached = self.attachments();
        let fences = self.state.fences();
        let fenced = attached
            .iter()
            .filter_map(|a| Some((a.key(), fences.get(a)?.clone())));
        fenced.collect()
    }
}
