//! Refusals that a use case makes from what it met while it ran.

use volward_model::{
    InstanceId, LeaseHolder, NodeName, PoolName, Sharing, VolumeId, VolumeInfo, VolumeRef,
};

use super::{Refusal, RefusalCode};
use crate::input::VolumeInput;
use crate::service::{self, Kind};

impl Refusal {
    /// Another node holds a lease that excludes the one wanted. `instance` is `None` where that
    /// node's slot in the registry does not name one.
    #[must_use]
    pub fn leased_elsewhere(
        volume: &VolumeRef,
        holder: &LeaseHolder,
        instance: Option<InstanceId>,
    ) -> Self {
        let node = holder.node.as_ref().map_or_else(
            || format!("the node with host-id {}", holder.host_id),
            |node| format!("node {node}"),
        );
        let instance = instance.map_or_else(String::new, |i| format!(" for instance {i}"));
        let message = format!(
            "{volume} is leased {} by {node}{instance}; stop the instance there first",
            holder.mode
        );
        Self::of(RefusalCode::HeldElsewhere, volume, message)
    }

    /// What is known of a volume contradicts itself; `sentences` say how.
    #[must_use]
    pub fn contradiction(seen: &VolumeInput, sentences: &[String]) -> Self {
        let volume = &seen.info.volume;
        let message = format!(
            "{volume} is left as it is, because what is known of its data contradicts itself: {}; \
             `volward recover {volume}` says what each witness tells and what can be done",
            sentences.join("; and ")
        );
        Self::of(RefusalCode::Contradiction, volume, message)
    }

    /// The local pool cannot be asked whether a copy has the volume's data; `why` says that one may.
    #[must_use]
    pub fn local_pool_unreadable(volume: &VolumeRef, why: &str) -> Self {
        let message = format!(
            "the data of {volume} may be in a copy in this node's local pool, which cannot be read now: {why}; \
             bring the local pool's disk back (`volward doctor` says what is wrong with it) and ask again"
        );
        Self::of(RefusalCode::LocalPoolUnreadable, volume, message).retry_after(Some(10_000))
    }

    /// Several guests were to have what LVM keeps on one node; `None` where it can be shared.
    #[must_use]
    pub fn not_to_be_shared(info: &VolumeInfo) -> Option<Self> {
        let kind = Kind::of(info);
        let code = kind.service().refuses(Sharing::Shared)?;
        let message = format!("{} {}", info.volume, service::sentence(kind, info));
        Some(Self::of(code, &info.volume, message))
    }

    /// The attachment's I/O is cut off, and `why` says what for.
    #[must_use]
    pub fn fenced(volume: &VolumeRef, why: &str) -> Self {
        let message = format!(
            "the I/O of {volume} is cut off on this node: {why}; `volward unfence` gives it back where nobody can \
             have had the volume meanwhile, else stop the instance and start it again"
        );
        Self::of(RefusalCode::Fenced, volume, message)
    }

    /// I/O that is cut off is not given back for now, and `why` says what is in the way.
    #[must_use]
    pub fn fenced_for_now(volume: &VolumeRef, why: &str) -> Self {
        let message = format!(
            "the I/O of {volume} is not given back: {why}; ask again when that has passed (`volward doctor` says how \
             it stands), or stop the instance here, which releases the volume"
        );
        Self::of(RefusalCode::Fenced, volume, message).retry_after(Some(5_000))
    }

    /// I/O that is cut off is never given back: `why` says what it was cut off for, or what has changed since. `by`:
    /// another node that has the volume now, as far as is known.
    #[must_use]
    pub fn fenced_for_good(volume: &VolumeRef, why: &str, by: Option<&NodeName>) -> Self {
        let has = by.map_or_else(String::new, |node| format!("; node {node} has it now"));
        let message = format!(
            "the I/O of {volume} is not given back, for another node may have had the volume since: {why}{has}; stop \
             the instance here, which releases the volume, and start it again"
        );
        Self::of(RefusalCode::Fenced, volume, message)
    }

    /// The pool's leases are lost, or will be unless they are renewed; `why` says how that shows.
    #[must_use]
    pub fn leases_uncertain(pool: &PoolName, why: &str) -> Self {
        let message = format!(
            "nothing is attached in pool {pool} now, because this node may be losing its leases: \
             {why}; `volward doctor` says more"
        );
        Self::general(RefusalCode::LeasesUncertain, message).retry_after(Some(10_000))
    }

    /// What an earlier copy left on this node stands in the way, and cannot be removed now.
    #[must_use]
    pub fn leftovers(volume: &VolumeRef, cause: &str) -> Self {
        let message = format!(
            "{volume} is home in the pool, and what is left of its copy on this node cannot be \
             removed: {cause}; mend that and ask again"
        );
        Self::of(RefusalCode::Leftovers, volume, message).retry_after(Some(10_000))
    }

    /// The request was decided `attempts` times, and what it was decided on changed each time;
    /// `why` says how, the last time.
    #[must_use]
    pub fn keeps_changing(volume: Option<&VolumeRef>, attempts: usize, why: &str) -> Self {
        let message = format!(
            "what the request was decided on changed {attempts} times before it was carried out, at \
             last so: {why}; ask again"
        );
        Self {
            volume: volume.map(|v| v.id),
            ..Self::general(RefusalCode::KeepsChanging, message).retry_after(Some(5_000))
        }
    }

    /// The policies answered another question than whether to attach.
    #[must_use]
    pub fn no_attach_answer() -> Self {
        let message = "the policies did not answer whether to attach; `volward explain` shows what \
                       each said";
        Self::general(RefusalCode::AnswerMismatch, message.to_owned())
    }

    /// The policies answered about a volume that the request does not name.
    pub(crate) fn stray_answer(volume: VolumeId) -> Self {
        let message = format!(
            "the policies answered about volume {volume}, which the request does not name; \
             `volward explain` shows what each said"
        );
        Self {
            volume: Some(volume),
            ..Self::general(RefusalCode::AnswerMismatch, message)
        }
    }

    /// The policies' answer has several entries for a volume, or none.
    pub(crate) fn answers_to(volume: &VolumeRef, several: bool) -> Self {
        let number = match several {
            true => "more than one answer",
            false => "no answer",
        };
        let message = format!(
            "the policies gave {number} about {volume}; `volward explain` shows what each said"
        );
        Self::of(RefusalCode::AnswerMismatch, volume, message)
    }

    /// The data is partly in this node's copy, and the local pool that has the copy is not
    /// configured.
    #[must_use]
    pub fn no_local_pool(volume: &VolumeRef, node: &NodeName) -> Self {
        let message = format!(
            "the data of {volume} is partly in the copy on node {node}, where no local pool is \
             configured; put the local pool back into /etc/volward/volward.toml there, or, where its disk is gone, ask `volward \
             recover {volume}` there"
        );
        Self::of(RefusalCode::HomeElsewhere, volume, message)
    }

    /// The lease is held and the volume is not active: LVM's own configuration kept it from that.
    #[must_use]
    pub fn not_activated(volume: &VolumeRef) -> Self {
        let message = format!(
            "this node had the lease of {volume}, but LVM did not activate the volume, so the lease was \
             given back; see that `volume_list` of lvm.conf, if it is set, names {} (`lvmconfig \
             activation/volume_list`), and ask again",
            volume.pool
        );
        Self::of(RefusalCode::NotActivated, volume, message)
    }

    /// LVM activated the volume so that nobody can write to it.
    #[must_use]
    pub fn activated_read_only(volume: &VolumeRef) -> Self {
        let message = format!(
            "LVM activates {volume} read-only on this node, and it was asked for read-write; see \
             `read_only_volume_list` of lvm.conf and `lvs -o lv_permissions {volume}`, or ask for it \
             read-only"
        );
        Self::of(RefusalCode::ActivatedReadOnly, volume, message)
    }

    /// While LVM misses a physical volume of a pool it does not activate what is on that one, and nothing of the
    /// pool is changed.
    #[must_use]
    pub fn pool_incomplete(volume: &VolumeRef) -> Self {
        let pool = &volume.pool;
        let message = format!(
            "{volume} cannot be attached: on this node LVM misses a physical volume of {pool}; `volward doctor` says \
             which, why, and what brings it back"
        );
        Self::of(RefusalCode::PoolIncomplete, volume, message)
    }

    /// The shareable mark cannot be taken from a volume that is attached anywhere (I18).
    #[must_use]
    pub fn mark_in_use(volume: &VolumeRef) -> Self {
        let message = format!(
            "{volume} is attached, so its shareable mark must stay; detach the volume on every node \
             first"
        );
        Self::of(RefusalCode::MarkInUse, volume, message)
    }

    /// A guest whose memory was saved, and whose volume may not be what it was then; `why`: what has become of it.
    pub(crate) fn used_since(volume: &VolumeRef, why: &str) -> Self {
        let message = format!(
            "the instance is restored from its saved memory, and {volume} may have been written to since that was saved: {why}; what the \
             guest has cached would damage it. Drop the saved memory (`virsh managedsave-remove`) and start it anew; or, where nobody \
             has written to it, `volward attach` it by hand and restore then"
        );
        Self::of(RefusalCode::UsedSince, volume, message)
    }

    /// A home that a person says is right, when what he was told has changed; `now`: how.
    #[must_use]
    pub fn home_changed(volume: &VolumeRef, now: &str) -> Self {
        let message = format!(
            "{volume} was left as it is: {now}; ask `volward recover {volume}` again before anything is \
             changed"
        );
        Self::of(RefusalCode::HomeChanged, volume, message)
    }

    /// A copy is to be given up without a reason, which whoever finds it later would look for.
    #[must_use]
    pub fn no_reason(volume: &VolumeRef) -> Self {
        let message = format!(
            "giving up the copy of {volume} loses what a guest wrote to it; say why, with `--because REASON`"
        );
        Self::of(RefusalCode::NoReason, volume, message)
    }

    /// A volume group that cannot become a pool; `found` says how it is locked instead.
    #[must_use]
    pub fn not_shared(pool: &PoolName, found: &str) -> Self {
        let message = format!(
            "volume group {pool} has {found}, where a pool is shared by sanlock; make it with \
             `vgcreate --shared {pool} DEVICE`"
        );
        Self::general(RefusalCode::NotShared, message)
    }

    /// The daemon was told to stop before the request was done.
    #[must_use]
    pub fn stopping() -> Self {
        let message = "volwardd on this node is stopping, and what the request had begun was undone; \
                       ask again when it runs";
        Self::general(RefusalCode::Stopping, message.to_owned()).retry_after(Some(5_000))
    }
}
