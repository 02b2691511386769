//! Refusals of bringing a copy home, under its guest or without one.

use volward_model::{Home, InstanceId, VolumeRef};

use super::{Refusal, RefusalCode};
use crate::input::VolumeInput;

impl Refusal {
    /// Another node has the copy.
    pub(crate) fn comes_home_there(volume: &VolumeRef, home: &Home) -> Self {
        let message =
            format!("the copy of {volume} is another node's: {home}; have it written back there");
        Self::of(RefusalCode::HomeElsewhere, volume, message)
    }

    /// A copy that an earlier plan has kept.
    pub(crate) fn copy_is_kept(volume: &VolumeRef) -> Self {
        let message = format!(
            "the data of {volume} is in a copy that was kept on this node; this version can \
             neither attach nor write back a kept copy"
        );
        Self::of(RefusalCode::CopyKept, volume, message)
    }

    /// Some of the data is on the shared volume only: as long as the guest has the clone it goes on there.
    pub(crate) fn not_hydrated(seen: &VolumeInput) -> Self {
        let volume = &seen.info.volume;
        let (far, next) = match &seen.clone {
            Some(clone) if clone.hydrating => (
                format!(
                    "{} of {} regions are in the copy",
                    clone.hydrated, clone.total
                ),
                format!("`volward hydration home {volume} --wait` waits for the rest"),
            ),
            Some(_) => (
                "it takes what its guest writes, and nothing more".to_owned(),
                "stop the guest, which writes it back".to_owned(),
            ),
            None => (
                "its clone is not loaded".to_owned(),
                "detach the volume, which writes it back".to_owned(),
            ),
        };
        let message = format!(
            "the copy of {volume} cannot come home under its guest before all of it is there: {far}; {next}"
        );
        let refusal = Self::of(RefusalCode::NotHydrated, volume, message);
        match &seen.clone {
            Some(clone) if clone.hydrating => refusal.retry_after(Some(10_000)),
            _ => refusal,
        }
    }

    /// Nobody has it any more.
    pub(crate) fn comes_home_by_itself(volume: &VolumeRef) -> Self {
        let message = format!(
            "nobody has {volume} on this node, so its copy is written back by itself; `volward hydration ls` \
             shows how far it is"
        );
        Self::of(RefusalCode::Returning, volume, message)
    }

    /// An attachment that needs a person has nothing changed beneath it.
    pub(crate) fn quarantined_beside(volume: &VolumeRef, instance: InstanceId) -> Self {
        let message = format!(
            "the attachment of {volume} to instance {instance} is quarantined; `volward ls` shows the cause: \
             detach it first, which writes the copy back"
        );
        Self::of(RefusalCode::Quarantined, volume, message)
    }
}
