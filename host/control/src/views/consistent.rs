//! Whether attachments, leases and devices of this node fit together.

use std::collections::BTreeSet;

use volward_model::{AttachmentState, DeviceRole, HeldLease, InstanceId, PoolName};
use volward_plan::DiskForm;

use super::Views;
use crate::ports::{Freshness, LeaseStatus, PortError, StoredAttachment};
use crate::state::Need;

impl Views {
    /// A sentence where there are attachments whose leases cannot be asked for.
    fn not_compared(&self, pool: &PoolName, error: &PortError) -> Option<String> {
        let table = self.state.attachment_table();
        let count = table
            .attachments()
            .filter(|a| a.volume.pool == *pool)
            .count();
        (count > 0).then(|| {
            format!("whether the leases of {count} attachment(s) in pool {pool} are held cannot be said: {error}")
        })
    }

    /// Sentences: in which pools' registries the other nodes still see what was before. A pool that was not opened
    /// yet, with nothing attached, has nothing to show them: what is wrong with it is said of the pool.
    pub(crate) fn unwritten_slots(&self) -> Vec<String> {
        let closed = self.state.owed().pools_in(Need::Open);
        let unwritten = self.state.unwritten().into_iter();
        let table = self.state.attachment_table();
        let shows = |pool: &PoolName| {
            !closed.contains(pool) || table.attachments().any(|a| a.volume.pool == *pool)
        };
        // Of a pool that is older nothing is written on purpose, where nothing is attached, and that is said.
        let unwritten = unwritten.filter(shows);
        let unwritten = unwritten.filter(|pool| self.state.older(pool).is_none());
        let sentence = |pool: PoolName| {
            format!(
                "this node's slot in the registry of pool {pool} could not be written: other nodes \
                 see what was attached before, and may wait for it; it is written as soon as the \
                 registry takes it"
            )
        };
        unwritten.map(sentence).collect()
    }

    /// Attachments, leases and sharing of this node in a pool that cannot all be true at once; empty
    /// when all is well. For `doctor`.
    pub(crate) fn inconsistencies(&self, pool: &PoolName) -> Vec<String> {
        let LeaseStatus {
            held, freshness, ..
        } = match self.ports.leases.status(pool) {
            Ok(status) => status,
            Err(error) => return self.not_compared(pool, &error).into_iter().collect(),
        };
        let mut found = Vec::new();
        if let Freshness::Renewed { ago, .. } = freshness
            && freshness.is_expired()
        {
            found.push(format!(
                "the lockspace of pool {pool} was last renewed {} s ago: its leases are listed, but \
                 other nodes may take them; restart this node",
                ago.as_secs()
            ));
        }
        // What is tried again is neither whole nor gone, and shown as that.
        let owed = self.state.owed().keys();
        let table = self.state.attachment_table();
        let of_pool = table.attachments().filter(|a| a.volume.pool == *pool);
        let settled = of_pool.filter(|a| !owed.contains(&a.key()));
        found.extend(settled.filter_map(|a| wrong(a, held.get(&a.volume.id.lv))));
        found
    }

    /// Attachments of instances that have none of their devices open.
    pub(crate) fn not_in_use(&self) -> Vec<StoredAttachment> {
        let Ok(devices) = self.ports.devices.list() else {
            return Vec::new();
        };
        let open: BTreeSet<InstanceId> = devices
            .iter()
            .filter(|device| device.open)
            .filter_map(|device| match device.id.role {
                DeviceRole::Attachment(instance) => Some(instance),
                DeviceRole::Clone
                | DeviceRole::Return
                | DeviceRole::Metadata
                | DeviceRole::ReturnMetadata => None,
            })
            .collect();
        let owed = self.state.owed().keys();
        let table = self.state.attachment_table();
        // Of a disk given as the LV itself nobody here can say who has it open.
        let lv = |instance| table.of_instance(instance).any(|a| a.form == DiskForm::Lv);
        let idle = table.attachments().filter(|a| {
            a.state == AttachmentState::Attached
                && !open.contains(&a.instance)
                && !owed.contains(&a.key())
                && !lv(a.instance)
        });
        idle.cloned().collect()
    }
}

/// What is wrong with an attachment, given the lease that is held.
fn wrong(attachment: &StoredAttachment, held: Option<&HeldLease>) -> Option<String> {
    let volume = &attachment.volume;
    let needed = attachment.lease();
    if attachment.state == AttachmentState::Quarantined {
        return Some(format!(
            "{volume} is quarantined for instance {}: {}",
            attachment.instance,
            attachment.causes.join("; then: ")
        ));
    }
    match held {
        Some(lease) if lease.orphan => Some(format!("the lease of {volume} is an orphan")),
        Some(lease) if lease.mode >= needed => None,
        _ => Some(format!(
            "{volume} is attached {} to instance {}, but its lease is not held so",
            attachment.sharing, attachment.instance
        )),
    }
}
