//! What this node has and is about to have; what its slot in each pool's registry says.
//!
//! The attachment table is the node's memory while the daemon runs; the journal is what survives it.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{
    Access, AskedFor, Attachment, AttachmentKey, AttachmentState, CopyProgress, InstanceId,
    Messages, MigrationAnswer, MigrationCall, MigrationNonce, MigrationVerdict, NodeName, PoolName,
    Sharing, Slot, VolumeId,
};

use crate::ports::{Migration, StoredAttachment};

/// Attachments, intents and copies of this node.
#[derive(Debug, Default)]
pub(crate) struct AttachmentTable {
    attachments: BTreeMap<AttachmentKey, StoredAttachment>,
    /// Attachments of plans under way that are published already, with their pool.
    published: BTreeMap<AttachmentKey, (PoolName, Attachment)>,
    intents: BTreeMap<AttachmentKey, (PoolName, Attachment)>,
    /// Who has asked for what is published.
    asked: BTreeMap<AttachmentKey, AskedFor>,
    copies: BTreeMap<VolumeId, (PoolName, CopyProgress)>,
    /// What sources of migrations are asked for.
    calls: BTreeMap<AttachmentKey, (PoolName, MigrationCall)>,
    /// Calls that this node has refused, by what names them; kept as long as they stand.
    refusals: BTreeMap<(u64, MigrationNonce, VolumeId), (PoolName, MigrationAnswer)>,
    /// Of the attachments that are leaving, those whose lease was seen to be shared.
    shared: BTreeSet<AttachmentKey>,
}

/// Who this node is in a pool's lockspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its name.
    pub node: NodeName,
    /// The kernel's boot id.
    pub boot_id: String,
    /// sanlock's number.
    pub host_id: u64,
    /// The lockspace generation.
    pub generation: u64,
}

impl AttachmentTable {
    /// Everything attached or quarantined on this node.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = &StoredAttachment> {
        self.attachments.values()
    }

    /// Whether that is attached or quarantined here.
    #[must_use]
    pub(crate) fn has(&self, key: AttachmentKey) -> bool {
        self.attachments.contains_key(&key)
    }

    /// Whether the instance has anything here.
    #[must_use]
    pub(crate) fn has_any(&self, instance: InstanceId) -> bool {
        self.of_instance(instance).next().is_some()
    }

    /// The attachments of one volume.
    pub(crate) fn of_volume(&self, volume: VolumeId) -> impl Iterator<Item = &StoredAttachment> {
        self.attachments
            .values()
            .filter(move |a| a.volume.id == volume)
    }

    /// The attachments of one instance.
    pub(crate) fn of_instance(
        &self,
        instance: InstanceId,
    ) -> impl Iterator<Item = &StoredAttachment> {
        self.attachments
            .values()
            .filter(move |a| a.instance == instance)
    }

    /// How many attachments there are, those under way included, `own` not.
    #[must_use]
    pub(crate) fn count_without(&self, own: &BTreeSet<AttachmentKey>) -> usize {
        let all = self.attachments.keys();
        let all = all.chain(self.published.keys()).chain(self.intents.keys());
        let all: BTreeSet<_> = all.filter(|key| !own.contains(key)).collect();
        all.len()
    }

    /// Remembers attachments.
    pub(crate) fn put(&mut self, attachments: impl IntoIterator<Item = StoredAttachment>) {
        for attachment in attachments {
            self.published.remove(&attachment.key());
            self.asked.remove(&attachment.key());
            self.intents.remove(&attachment.key());
            self.attachments.insert(attachment.key(), attachment);
        }
    }

    /// Forgets attachments.
    pub(crate) fn remove(&mut self, keys: &[AttachmentKey]) {
        for key in keys {
            self.attachments.remove(key);
            self.published.remove(key);
            self.asked.remove(key);
            self.shared.remove(key);
        }
    }

    /// Announces what is going to be asked for.
    pub(crate) fn intend(&mut self, pool: &PoolName, intent: Attachment) {
        self.intents.insert(intent.key(), (pool.clone(), intent));
    }

    /// Takes announcements back; the pools whose slots changed.
    pub(crate) fn drop_intents(&mut self, keys: &[AttachmentKey]) -> Vec<PoolName> {
        let mut pools: Vec<PoolName> = keys
            .iter()
            .filter_map(|key| self.intents.remove(key).map(|(pool, _)| pool))
            .collect();
        pools.sort();
        pools.dedup();
        pools
    }

    /// Shows attachments of a plan under way, instead of their intents; `puts`: what they become.
    pub(crate) fn publish(
        &mut self,
        pool: &PoolName,
        attachments: &[Attachment],
        puts: &[StoredAttachment],
    ) {
        let asked = puts.iter().filter_map(StoredAttachment::asked_for);
        self.asked.extend(asked.map(|one| (one.of, one)));
        for attachment in attachments {
            // Whoever has it does not ask for it any more.
            self.calls.remove(&attachment.key());
            self.published
                .insert(attachment.key(), (pool.clone(), attachment.clone()));
        }
    }

    /// Hides them again.
    pub(crate) fn withdraw(&mut self, keys: &[AttachmentKey]) {
        for key in keys {
            self.published.remove(key);
            self.asked.remove(key);
            // What is withdrawn is not shown any more, also while the journal still has it.
            self.attachments.remove(key);
            self.shared.remove(key);
        }
    }

    /// Asks the source of a migration.
    pub(crate) fn call(&mut self, pool: &PoolName, call: MigrationCall) {
        let key = AttachmentKey {
            volume: call.volume,
            instance: call.instance,
        };
        self.calls.insert(key, (pool.clone(), call));
    }

    /// Asks no more; whether anything was asked.
    pub(crate) fn drop_calls(&mut self, keys: &[AttachmentKey]) -> bool {
        let dropped = keys.iter().filter_map(|key| self.calls.remove(key));
        dropped.count() > 0
    }

    /// Answers a call with no.
    pub(crate) fn refuse(&mut self, pool: &PoolName, answer: MigrationAnswer) {
        let key = (answer.to, answer.nonce, answer.volume);
        self.refusals.insert(key, (pool.clone(), answer));
    }

    /// Whether that call was refused.
    pub(crate) fn has_refused(&self, by: u64, call: &MigrationCall) -> bool {
        self.refusals.contains_key(&(by, call.nonce, call.volume))
    }

    /// Whether nothing is attached in a pool, and no call of another node was refused there.
    pub(crate) fn has_nothing_to_say_in(&self, pool: &PoolName) -> bool {
        let mut attached = self.attachments.values();
        let mut refused = self.refusals.values();
        attached.all(|a| a.volume.pool != *pool) && refused.all(|(of, _)| of != pool)
    }

    /// Forgets the refusals of calls in a pool that stand no longer; whether there were any.
    pub(crate) fn keep_refusals(
        &mut self,
        pool: &PoolName,
        stands: impl Fn(u64, MigrationNonce, VolumeId) -> bool,
    ) -> bool {
        let before = self.refusals.len();
        self.refusals
            .retain(|(to, nonce, volume), (of, _)| of != pool || stands(*to, *nonce, *volume));
        self.refusals.len() < before
    }

    /// The lease of an attachment that is leaving was seen to be shared.
    pub(crate) fn note_shared(&mut self, key: AttachmentKey) {
        self.shared.insert(key);
    }

    /// Whether others are told that it is shared.
    pub(crate) fn is_shared(&self, key: AttachmentKey) -> bool {
        self.shared.contains(&key)
    }

    /// Changes what an attachment is part of.
    pub(crate) fn set_migration(&mut self, key: AttachmentKey, migration: Option<Migration>) {
        self.shared.remove(&key);
        if let Some(attachment) = self.attachments.get_mut(&key) {
            attachment.migration = migration;
        }
    }

    fn messages(&self, pool: &PoolName) -> Messages {
        let calls = self.calls.values().filter(|(of, _)| of == pool);
        let refused = self.refusals.values().filter(|(of, _)| of == pool);
        let leaving = self.attachments.values().filter(|a| a.volume.pool == *pool);
        let leaving = leaving.filter_map(|a| {
            let Some(Migration::Leaving {
                to,
                generation,
                nonce,
            }) = a.migration
            else {
                return None;
            };
            Some(MigrationAnswer {
                volume: a.volume.id,
                instance: a.instance,
                nonce,
                to,
                generation,
                verdict: match self.shared.contains(&a.key()) {
                    true => MigrationVerdict::Shared,
                    false => MigrationVerdict::Leaving,
                },
            })
        });
        Messages {
            calls: calls.map(|(_, call)| *call).collect(),
            answers: leaving
                .chain(refused.map(|(_, answer)| answer.clone()))
                .collect(),
            ..Messages::default()
        }
    }

    /// Records how far a copy is.
    pub(crate) fn set_copy(&mut self, pool: &PoolName, progress: CopyProgress) {
        self.copies
            .insert(progress.volume, (pool.clone(), progress));
    }

    /// Forgets a copy.
    pub(crate) fn drop_copy(&mut self, volume: VolumeId) {
        self.copies.remove(&volume);
    }

    /// How far a copy on this node is.
    #[must_use]
    pub(crate) fn copy(&self, volume: VolumeId) -> Option<CopyProgress> {
        self.copies.get(&volume).map(|(_, progress)| *progress)
    }

    /// This node's slot in a pool's registry.
    #[must_use]
    pub(crate) fn slot(&self, pool: &PoolName, identity: &Identity, now_ms: u64) -> Slot {
        let mut shown: BTreeMap<AttachmentKey, Attachment> = BTreeMap::new();
        let of_pool = |(p, a): &(PoolName, Attachment)| (p == pool).then(|| a.clone());
        // Later ones replace earlier ones: what is attached is more than an intent.
        shown.extend(
            self.intents
                .values()
                .filter_map(of_pool)
                .map(|a| (a.key(), a)),
        );
        shown.extend(
            self.published
                .values()
                .filter_map(of_pool)
                .map(|a| (a.key(), a)),
        );
        let stored = || self.attachments.values().filter(|a| a.volume.pool == *pool);
        shown.extend(stored().map(|a| (a.key(), a.published(&identity.node))));
        let published = self.published.iter().filter(|(_, (p, _))| p == pool);
        let published = published.filter_map(|(key, _)| self.asked.get(key).cloned());
        let mut asked: BTreeMap<AttachmentKey, AskedFor> =
            published.map(|one| (one.of, one)).collect();
        asked.extend(stored().filter_map(|a| Some((a.key(), a.asked_for()?))));
        let copies = self.copies.values().filter(|(p, _)| p == pool);
        Slot {
            node: identity.node.clone(),
            boot_id: identity.boot_id.clone(),
            host_id: identity.host_id,
            generation: identity.generation,
            written_ms: now_ms,
            attachments: shown.into_values().collect(),
            asked: asked.into_values().collect(),
            copies: copies.map(|(_, progress)| *progress).collect(),
            messages: self.messages(pool),
            unknown: 0,
        }
    }
}

/// An intent as the registry shows it: the strictest there is, since nothing is granted yet.
#[must_use]
pub(crate) fn intent(node: &NodeName, key: AttachmentKey, now_ms: u64) -> Attachment {
    Attachment {
        volume: key.volume,
        instance: key.instance,
        node: node.clone(),
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        since_ms: now_ms,
        state: AttachmentState::Intent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_model::VolumeRef;
    use volward_plan::input::DiskForm;

    fn stored(lv: &str) -> StoredAttachment {
        let id = VolumeId {
            vg: "g".repeat(32).parse().unwrap(),
            lv: lv.repeat(32).parse().unwrap(),
        };
        StoredAttachment {
            volume: VolumeRef {
                id,
                pool: "vg0".parse().unwrap(),
                name: "web".parse().unwrap(),
            },
            instance: InstanceId(uuid::Uuid::from_u128(1)),
            instance_name: "web1".into(),
            form: DiskForm::Own,
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            asked: Access::ReadWrite,
            claims: BTreeSet::new(),
            copy: None,
            since_ms: 0,
            sequence: 0,
            boot_id: String::new(),
            state: AttachmentState::Attached,
            causes: Vec::new(),
            migration: None,
        }
    }

    #[test]
    fn what_is_under_way_counts_and_ones_own_does_not() {
        let node: NodeName = "n1".parse().unwrap();
        let [a, b] = ["a", "b"].map(stored);
        let mut attachment_table = AttachmentTable::default();
        attachment_table.put([a.clone()]);
        attachment_table.intend(&b.volume.pool, b.published(&node));
        attachment_table.publish(&b.volume.pool, &[b.published(&node)], &[]);
        let own = |of: &StoredAttachment| BTreeSet::from([of.key()]);
        assert_eq!(attachment_table.count_without(&BTreeSet::new()), 2);
        assert_eq!(attachment_table.count_without(&own(&a)), 1);
        attachment_table.remove(&[a.key()]);
        assert_eq!(attachment_table.count_without(&own(&b)), 0);
    }
}
