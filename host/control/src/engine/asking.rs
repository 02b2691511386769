//! The destination of a live migration asks the source to share its leases, and waits for the answer.

use std::time::Duration;

use volward_model::{
    AttachmentKey, AttachmentState, InstanceId, MigrationAnswer, MigrationCall, MigrationNonce,
    MigrationVerdict, NodeName, PoolName, Slot, VolumeRef,
};
use volward_plan::Refusal;

use super::{Engine, StepError};
use crate::observe::Correspondence;
use crate::ports::Event;
use crate::state::Cancellation;

/// The source looks each second and asks its libvirt, which takes seconds on a busy node. libvirt's
/// hook waits for twice as long.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at the slots.
const ASK_PAUSE: Duration = Duration::from_millis(250);

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) pool: &'a PoolName,
    pub(super) volumes: &'a [VolumeRef],
    pub(super) instance: InstanceId,
    pub(super) source: &'a NodeName,
    pub(super) host_id: u64,
    pub(super) nonce: MigrationNonce,
}

impl Engine {
    /// Returns when the source shares all of the volumes with this node.
    pub(super) fn ask_source(
        &self,
        asking: Asking<'_>,
        cancellation: &Cancellation,
    ) -> Result<(), StepError> {
        let pool = asking.pool;
        if !self.observer.can_speak_of_migrations(pool)? {
            return Err(StepError::Refused(Refusal::registry_old(pool)));
        }
        {
            let mut table = self.state.attachment_table();
            for volume in asking.volumes {
                let call = MigrationCall {
                    volume: volume.id,
                    instance: asking.instance,
                    nonce: asking.nonce,
                    source: asking.host_id,
                };
                table.call(pool, call);
            }
        }
        self.state.write_slot(pool)?;
        let deadline = self.ports.clock.monotonic() + ANSWER_WITHIN;
        loop {
            if cancellation.is_cancelled() {
                return Err(StepError::Cancelled);
            }
            if self.state.is_stopping() {
                return Err(StepError::Stopping);
            }
            let Some(silent) = asking.heard(&self.observer.correspondence(pool)?)? else {
                return Ok(());
            };
            if self.ports.clock.monotonic() >= deadline {
                let seconds = ANSWER_WITHIN.as_secs();
                let refusal = Refusal::source_silent(silent, asking.source, seconds);
                return Err(StepError::Refused(refusal));
            }
            self.ports.clock.sleep(ASK_PAUSE);
        }
    }

    /// Takes calls back. One that still stands is answered once more, and not acted upon.
    pub(super) fn ask_no_more(&self, pool: &PoolName, keys: &[AttachmentKey]) {
        if !self.state.attachment_table().drop_calls(keys) {
            return;
        }
        if let Err(error) = self.state.write_slot(pool) {
            self.ports.events.tell(&Event::Unseen {
                pool: pool.clone(),
                what: "that nothing is asked any more on account of a migration",
                reason: error.to_string(),
            });
        }
    }
}

impl<'a> Asking<'a> {
    /// A volume about which nothing is known yet; `None`: all are shared with this node.
    fn heard(&self, said: &Correspondence) -> Result<Option<&'a VolumeRef>, StepError> {
        let mut slots = said.live_slots();
        let slot = slots.find(|slot| slot.host_id == self.host_id && said.is_present(slot));
        let mut silent = None;
        for volume in self.volumes {
            let Some(slot) = slot.filter(|slot| self.has(slot, volume)) else {
                return Err(StepError::Changed(format!(
                    "node {} does not have {volume} any more",
                    self.source
                )));
            };
            let to_us = |a: &&MigrationAnswer| {
                a.nonce == self.nonce
                    && a.volume == volume.id
                    && a.to == said.own.host_id
                    && a.generation == said.own.generation
            };
            let answer = slot.messages.answers.iter().find(to_us);
            match answer.map(|answer| &answer.verdict) {
                Some(MigrationVerdict::Shared) => {}
                Some(MigrationVerdict::Refused { code, reason }) => {
                    let refusal = Refusal::source_refuses(volume, self.source, code, reason);
                    return Err(StepError::Refused(refusal));
                }
                Some(MigrationVerdict::Leaving) | None => silent = Some(volume),
            }
        }
        Ok(silent)
    }

    fn has(&self, slot: &Slot, volume: &VolumeRef) -> bool {
        let mut attachments = slot.attachments.iter();
        attachments.any(|a| {
            a.volume == volume.id
                && a.instance == self.instance
                && a.state == AttachmentState::Attached
        })
    }
}
