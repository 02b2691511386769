//! Several nodes that want the same volume at the same moment: intents are published, others' are
//! waited for, and what stands still is passed by.

use std::time::Duration;

use volward_model::{AttachmentKey, AttachmentState, PoolName, VolumeRef};
use volward_plan::RequestedDisk;
use volward_plan::intent::contenders;

use super::gather::AttachContext;
use super::{Attach, AttachRequest, Attempt, still_wanted, storage, volumes};
use crate::error::ControlError;
use crate::state::intent;

/// Between two looks at another node's intent.
pub(super) const INTENT_PAUSE: Duration = Duration::from_millis(250);

impl Attach {
    /// Whether another node is about to attach any of the volumes.
    pub(super) fn is_contended(&self, ask: &AttachRequest) -> Result<bool, ControlError> {
        let look = self.attach_context(ask)?;
        let mut others = volumes(&look).flat_map(|volume| &volume.elsewhere);
        Ok(others.any(|other| other.attachment.state == AttachmentState::Intent))
    }

    /// One attempt between publishing the intent and taking it back.
    pub(super) fn with_published_intents(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<Attempt, ControlError> {
        let key = |volume: &VolumeRef| AttachmentKey {
            volume: volume.id,
            instance: ask.instance,
        };
        let keys: Vec<AttachmentKey> = volumes.iter().map(key).collect();
        let mut pools: Vec<&PoolName> = volumes.iter().map(|v| &v.pool).collect();
        pools.sort();
        pools.dedup();
        let now = self.ports.clock.now_ms();
        {
            let mut attachment_table = self.state.attachment_table();
            for volume in volumes {
                let intent = intent(&self.settings.node, key(volume), now);
                attachment_table.intend(&volume.pool, intent);
            }
        }
        let announced = pools
            .iter()
            .try_for_each(|pool| self.state.write_slot(pool));
        let outcome = match announced {
            Ok(()) => self.attempt(ask, volumes),
            Err(error) => Err(storage(ask.request, "announcing it in the registry", error)),
        };
        // After a success the intents have become attachments, and nothing is left to take back.
        let changed = self.state.attachment_table().drop_intents(&keys);
        for pool in changed {
            if let Err(error) = self.state.write_slot(&pool) {
                tracing::warn!(%pool, %error, "an intent is still shown to other nodes");
            }
        }
        outcome
    }

    /// Looks; waits while a node with a lower host-id wants the same. The inner error says that
    /// it still does: withdraw, and ask again.
    pub(super) fn await_contending_intents(
        &self,
        ask: &AttachRequest,
    ) -> Result<Result<AttachContext, String>, ControlError> {
        let look = self.attach_context(ask)?;
        let waited_for = contenders(look.own_host_id, volumes(&look));
        let Some(first) = waited_for.first().cloned() else {
            return Ok(Ok(look));
        };
        // All withdrawn while waiting: others must not see an intent that does not go on.
        let key = |disk: &RequestedDisk| AttachmentKey {
            volume: disk.volume().id,
            instance: ask.instance,
        };
        let keys: Vec<AttachmentKey> = look.input.disks.iter().map(key).collect();
        // Bound first: in the loop's head the attachment table would stay locked through its body.
        let changed = self.state.attachment_table().drop_intents(&keys);
        for pool in changed {
            self.state
                .write_slot(&pool)
                .map_err(|e| storage(ask.request, "withdrawing", e))?;
        }
        let deadline = self.ports.clock.monotonic() + self.settings.intent_wait;
        let mut still = waited_for;
        while self.ports.clock.monotonic() < deadline {
            still_wanted(ask)?;
            self.ports.clock.sleep(INTENT_PAUSE);
            let look = self.attach_context(ask)?;
            let now = contenders(look.own_host_id, volumes(&look));
            // Another one than before: the next attempt waits for that one.
            if now.first() != Some(&first) {
                return Ok(Err(first.to_string()));
            }
            still.retain(|contender| now.contains(contender));
        }
        // All that stood still through the wait: each would use up another one.
        for contender in &still {
            tracing::warn!(request = %ask.request, %contender, "passing by an intent that stood still");
            self.state.pass_by(contender);
        }
        Ok(Err(first.to_string()))
    }
}
