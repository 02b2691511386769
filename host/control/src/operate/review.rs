//! What the policies say of an operation: asked before its first step, and never again. What is taken up,
//! tried again or taken back asks nobody (I32).

use std::collections::BTreeSet;

use uuid::Uuid;
use volward_model::{
    Access, DecisionRecord, DiskFacts, Facts, InstanceId, OperationFacts, OperationKind, Outcome,
    Purpose, RequestFacts, RequestId, Sharing, VolumeOperation, VolumeTask,
};
use volward_plan::home_of;

use super::look::Look;
use super::{Operate, OperationRequest};
use crate::error::{ControlError, granted, refuse};
use crate::ports::{Event, PortError};

impl Operate {
    /// Asks the policies; a refusal is on record, unless it was only tried. `None`: nothing is to be done.
    pub(super) fn review(
        &self,
        asked: &OperationRequest,
        operation: &VolumeOperation,
        look: &Look,
    ) -> Result<Option<DecisionRecord>, ControlError> {
        if operation.end().is_some() {
            return Ok(None);
        }
        let facts = self.facts(asked, look)?;
        let decision = self.ports.policy.operate(&facts);
        match granted(asked.request, &decision) {
            Ok(_) => Ok(Some(decision)),
            Err(error) => {
                if !asked.dry_run {
                    let recorded = self.ports.decisions.record(&decision, &error.outcome());
                    if let Err(failed) = recorded {
                        self.unrecorded(asked.request, "the decision", &failed);
                    }
                }
                Err(error)
            }
        }
    }

    /// The decision first: nothing is begun of which the log does not say why. What becomes of the
    /// operation stands in its own record.
    pub(super) fn put_on_record(
        &self,
        begun: &[(VolumeOperation, Option<DecisionRecord>)],
    ) -> Result<(), ControlError> {
        let state = |error| ControlError::State { error };
        let decided = begun.iter().filter_map(|(_, decision)| decision.as_ref());
        for decision in decided {
            let recorded = self.ports.decisions.record(decision, &Outcome::Begun);
            recorded.map_err(state)?;
        }
        let operations: Vec<VolumeOperation> = begun.iter().map(|(one, _)| one.clone()).collect();
        let put = self.ports.operations.put_all(&operations).map_err(state);
        let outcome = match &put {
            Ok(()) => Outcome::Done,
            Err(error) => error.outcome(),
        };
        for (operation, _) in begun.iter().filter(|(_, decision)| decision.is_some()) {
            let ended = self.ports.decisions.end(operation.request, &outcome);
            if let Err(error) = ended {
                self.unrecorded(operation.request, "the outcome", &error);
            }
        }
        put
    }

    fn facts(&self, asked: &OperationRequest, look: &Look) -> Result<Facts, ControlError> {
        let nobody = InstanceId(Uuid::nil());
        // The volume that there is: of a copy it is the source.
        let there = look.subject();
        let disk = there.map(|there| -> Result<DiskFacts, ControlError> {
            let home = home_of(&there.info).map_err(|refusal| refuse(asked.request, refusal))?;
            // Nobody asks to have it.
            let wish = (Sharing::Exclusive, Access::ReadWrite);
            Ok(self.observer.disk_facts(there, home, nobody, wish))
        });
        let disk = disk.transpose()?;
        let local = self.observer.local_pool().ok().flatten();
        Ok(Facts {
            request: RequestFacts {
                id: asked.request,
                origin: asked.origin.clone(),
                caller_uid: asked.uid,
                purpose: Purpose::Other("operate".to_owned()),
                instance: nobody,
                instance_name: String::new(),
                hints: asked.hints.clone(),
            },
            node: self.observer.node_facts(local.as_ref(), &BTreeSet::new()),
            peer: None,
            operation: Some(OperationFacts {
                kind: kind(&asked.task),
                pool: asked.task.pool().clone(),
                new_name: match asked.task.makes() {
                    true => Some(asked.task.name().clone()),
                    false => asked.task.new_name().cloned(),
                },
                new_size: match asked.task.source() {
                    Some(_) => asked.task.size().or(disk.as_ref().map(|disk| disk.size)),
                    None => asked.task.size(),
                },
            }),
            disks: disk.into_iter().collect(),
            held: Vec::new(),
            now_ms: self.ports.clock.now_ms(),
            utc_offset_minutes: self.ports.clock.utc_offset_minutes(),
        })
    }

    fn unrecorded(&self, request: RequestId, what: &str, error: &PortError) {
        self.ports.events.tell(&Event::Unrecorded {
            what: format!("{what} of request {request}"),
            reason: error.to_string(),
        });
    }
}

/// By the name that both have.
fn kind(task: &VolumeTask) -> OperationKind {
    OperationKind::of_word(task.word())
}
