//! Refusals of a live migration: by the source, which passes them on in its slot, and by the
//! destination.

use volward_model::{Home, InstanceId, NodeName, PoolName, VolumeId, VolumeInfo, VolumeRef};

use super::{Refusal, RefusalCode};
use crate::service::Kind;

impl Refusal {
    /// The source does not have the volume for that instance; `what` names the volume.
    pub(crate) fn not_attached_here(volume: VolumeId, what: &str, instance: InstanceId) -> Self {
        let message = format!(
            "{what} is not attached to instance {instance} on the node that was asked to share it; \
             `volward ls --all` shows where it is"
        );
        Self {
            volume: Some(volume),
            ..Self::general(RefusalCode::MigrationUnknown, message)
        }
    }

    /// The volume is shared with another destination; `to`: its host-id.
    pub(crate) fn leaving_already(volume: &VolumeRef, to: u64) -> Self {
        let message = format!(
            "{volume} migrates to the node with host-id {to} already; let that migration end first"
        );
        Self::of(RefusalCode::MigrationElsewhere, volume, message)
    }

    /// The call is not about the migration that runs now.
    pub(crate) fn stale_call(volume: &VolumeRef, caller: &NodeName) -> Self {
        let message = format!(
            "node {caller} asked for {volume} on account of an earlier migration, before volwardd was \
             started here, or before it joined the lockspace again; start the migration again"
        );
        Self::of(RefusalCode::MigrationStale, volume, message).retry_after(Some(5_000))
    }

    /// What of the volume is in a local copy cannot be read elsewhere.
    pub(crate) fn copied_there(volume: &VolumeRef, home: &Home) -> Self {
        let message = format!(
            "the data of {volume} is partly in a local copy ({home}), which no other node can read; bring it home \
             under its guest first, with `volward hydration home {volume} --wait` on that node, and migrate then"
        );
        Self::of(RefusalCode::MigrationCopy, volume, message)
    }

    /// An attachment that needs a person stays where it is.
    pub(crate) fn quarantined_there(volume: &VolumeRef) -> Self {
        let message = format!(
            "the attachment of {volume} is quarantined on the node that the instance would come from; \
             `volward ls` there shows the cause"
        );
        Self::of(RefusalCode::Quarantined, volume, message)
    }

    /// LVM cannot have it active on two nodes, not even for the moment of a migration.
    pub(crate) fn not_on_two_nodes(info: &VolumeInfo, kind: Kind) -> Self {
        let volume = &info.volume;
        let message = format!(
            "{volume} is of a kind ({}) that LVM activates on one node at a time, so its guest cannot \
             migrate live; stop the guest and start it elsewhere",
            kind.words()
        );
        Self::of(RefusalCode::ExclusiveOnly, volume, message)
    }

    /// One instance has volumes on two nodes: it cannot come from both.
    pub(crate) fn on_two_nodes(volume: &VolumeRef, one: &NodeName, other: &NodeName) -> Self {
        let message = format!(
            "volumes of this instance are attached on node {one} and, {volume}, on node {other}, so \
             nobody knows where it comes from; detach it where the guest does not run"
        );
        Self::of(RefusalCode::HeldElsewhere, volume, message)
    }

    /// The guest does not migrate, as far as its own libvirt knows.
    pub(crate) fn no_migration(volume: &VolumeRef, instance: InstanceId) -> Self {
        let message = format!(
            "{volume} stays where it is: libvirt there shows no outgoing migration of instance \
             {instance}; migrate it with `virsh migrate --live` on that node"
        );
        Self::of(RefusalCode::NoMigration, volume, message)
    }

    /// Whether the guest migrates nobody says; `why`: a sentence.
    pub(crate) fn libvirt_silent(volume: &VolumeRef, why: &str) -> Self {
        let message = format!(
            "{volume} stays where it is: libvirt there does not say whether the instance migrates: {why}; \
             see that libvirtd runs there"
        );
        Self::of(RefusalCode::LibvirtSilent, volume, message)
    }

    /// The source said no, with a code and a sentence of its own.
    #[must_use]
    pub fn source_refuses(volume: &VolumeRef, source: &NodeName, code: &str, why: &str) -> Self {
        let message = format!(
            "node {source}, where {volume} is attached, does not share it with this node ({code}): {why}"
        );
        Self::of(RefusalCode::MigrationRefused, volume, message)
    }

    /// The source said nothing for so many seconds.
    #[must_use]
    pub fn source_silent(volume: &VolumeRef, source: &NodeName, seconds: u64) -> Self {
        let message = format!(
            "node {source}, where {volume} is attached, has not answered within {seconds} s; see that \
             volwardd runs there, in this version or a later one, and start the migration again"
        );
        Self::of(RefusalCode::MigrationUnanswered, volume, message).retry_after(Some(5_000))
    }

    /// The source has called it off, or given its answer to somebody else.
    pub(crate) fn migration_over(volume: &VolumeRef) -> Self {
        let message = format!(
            "the node that shared {volume} with this one does so no longer: the migration was called \
             off there; start it again"
        );
        Self::of(RefusalCode::MigrationOver, volume, message)
    }

    /// The guest runs where it comes from, as long as nobody knows better.
    pub(crate) fn arriving(volume: &VolumeRef, source: &NodeName) -> Self {
        let message = format!(
            "{volume} is attached here for a migration from node {source} that has not ended, so the \
             instance may run there; see that it does not (`virsh domstate` there), and `volward \
             detach` it on the node where it is not to run"
        );
        Self::of(RefusalCode::Arriving, volume, message)
    }

    /// The nodes have no words for a migration.
    #[must_use]
    pub fn registry_old(pool: &PoolName) -> Self {
        let message = format!(
            "guests of pool {pool} cannot migrate live while its registry has the layout of 0.1.0; \
             convert it with `volward pool init {pool}`, as the operator guide says"
        );
        Self::general(RefusalCode::RegistryOld, message)
    }
}
