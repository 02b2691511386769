//! What policies think should become of a detach's copies.

use volward_model::{
    CopyFate, DecisionRecord, Facts, Outcome, Purpose, RequestFacts, RequestId, VolumeId,
};

use super::{Detach, DetachRequest};
use crate::error::ControlError;
use crate::ports::{Event, PortError, StoredAttachment};

impl Detach {
    /// Asks what becomes of the copies, for the record: keeping and discarding are not built
    /// yet, so every copy is written back, which loses nothing.
    /// Says whether it is on record and its outcome is to follow; a detach goes on in either case
    /// (I32).
    pub(super) fn take_advice(&self, ask: &DetachRequest, selected: &[StoredAttachment]) -> bool {
        let granted: Vec<(VolumeId, CopyFate)> = selected
            .iter()
            .filter_map(|a| a.copy.map(|copy| (a.volume.id, copy.fate)))
            .collect();
        if granted.is_empty() {
            return false;
        }
        let Some(facts) = self.detach_facts(ask, selected) else {
            return false;
        };
        let decision: DecisionRecord = self.ports.policy.detach(&facts, &granted);
        // Whatever they advise is carried out as a write-back.
        let recorded = self.ports.decisions.record(&decision, &Outcome::Begun);
        if let Err(error) = &recorded {
            self.tell_unrecorded("the decision", ask.request, error);
        }
        recorded.is_ok()
    }

    /// What became of the decision, now that it is known.
    pub(super) fn end_advice(&self, request: RequestId, ended: &Result<(), ControlError>) {
        let outcome = match ended {
            Ok(()) => Outcome::Done,
            Err(error) => error.outcome(),
        };
        if let Err(error) = self.ports.decisions.end(request, &outcome) {
            self.tell_unrecorded("the outcome", request, &error);
        }
    }

    fn tell_unrecorded(&self, what: &str, request: RequestId, error: &PortError) {
        self.ports.events.tell(&Event::Unrecorded {
            what: format!("{what} of request {request}"),
            reason: error.to_string(),
        });
    }

    fn detach_facts(&self, ask: &DetachRequest, selected: &[StoredAttachment]) -> Option<Facts> {
        let mut disks = Vec::new();
        for attachment in selected.iter().filter(|a| a.copy.is_some()) {
            let facts = self
                .observer
                .snapshot(&attachment.volume.pool)
                .and_then(|snapshot| {
                    let Some(info) = snapshot.info.volume(attachment.volume.id) else {
                        return Ok(None);
                    };
                    let seen = self.observer.volume_input(&snapshot, info)?;
                    let asked = (attachment.sharing, attachment.access);
                    let home = info.home().map_err(|error| PortError::Unreadable {
                        what: format!("the home tag of {}", info.volume),
                        reason: error.to_string(),
                    })?;
                    Ok(Some(self.observer.disk_facts(
                        &seen,
                        home,
                        ask.instance,
                        asked,
                    )))
                });
            match facts {
                Ok(facts) => disks.extend(facts),
                Err(error) => {
                    let what = "asking policies for advice on a copy".to_owned();
                    self.trouble(what, &error);
                    return None;
                }
            }
        }
        let local = self.observer.local_pool().ok().flatten();
        let own = selected.iter().map(StoredAttachment::key).collect();
        let name = selected
            .first()
            .map(|a| a.instance_name.clone())
            .unwrap_or_default();
        Some(Facts {
            request: RequestFacts {
                id: ask.request,
                origin: ask.origin.clone(),
                caller_uid: ask.caller_uid,
                purpose: Purpose::Other("detach".into()),
                instance: ask.instance,
                instance_name: name,
                hints: Vec::new(),
            },
            node: self.observer.node_facts(local.as_ref(), &own),
            peer: None,
            operation: None,
            disks,
            held: Vec::new(),
            now_ms: self.ports.clock.now_ms(),
            utc_offset_minutes: self.ports.clock.utc_offset_minutes(),
        })
    }
}
