//! From what an author wrote to whole facts, and from a record to a scenario.

use super::{
    Expected, ExpectedAnswer, ExpectedDenial, ExpectedDisk, ExpectedFault, ExpectedVerdict, Hook,
    Scenario, ScenarioAttachment, ScenarioDisk, ScenarioFacts, ScenarioPlugin, ScenarioRequest,
};
use crate::answer::{Answer, Denial};
use crate::attachment::Attachment;
use crate::decision::{Combined, DecisionRecord, Fault, PluginVerdict, Verdict};
use crate::facts::{Facts, OperationFacts, Place, RequestFacts};
use crate::ids::{PoolName, VolumeId};

impl Scenario {
    /// The facts, with everything that was left out.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let ScenarioFacts {
            request,
            node,
            peer,
            operation,
            disks,
            held,
            now_ms,
            utc_offset_minutes,
        } = &self.facts;
        let operation = match (operation, self.hook) {
            // It is about one, whichever.
            (None, Hook::Operate) => Some(OperationFacts::default()),
            (operation, _) => operation.clone(),
        };
        let mut pools: Vec<&PoolName> = Vec::new();
        for disk in disks.iter().chain(held) {
            if !pools.contains(&&disk.pool) {
                pools.push(&disk.pool);
            }
        }
        let whole = |disks: &[ScenarioDisk], word: &str| {
            let numbered = disks.iter().enumerate();
            numbered
                .map(|(n, disk)| {
                    let pool = pools.iter().position(|pool| **pool == disk.pool);
                    let pool = pool.unwrap_or_default() + 1;
                    disk.whole(Place {
                        pool,
                        word,
                        n: n + 1,
                        id: disk.id,
                    })
                })
                .collect()
        };
        Facts {
            request: request.whole(),
            node: node.clone(),
            peer: peer.clone(),
            operation,
            disks: whole(disks, "disk"),
            held: whole(held, "held"),
            now_ms: *now_ms,
            utc_offset_minutes: *utc_offset_minutes,
        }
    }
}

impl ScenarioRequest {
    fn whole(&self) -> RequestFacts {
        let Self {
            id,
            origin,
            caller_uid,
            purpose,
            instance,
            instance_name,
            hints,
        } = self.clone();
        RequestFacts {
            id,
            origin,
            caller_uid,
            purpose,
            instance,
            instance_name,
            hints,
        }
    }
}

impl ScenarioAttachment {
    pub(crate) fn whole(&self, disk: VolumeId) -> Attachment {
        Attachment {
            volume: self.volume.unwrap_or(disk),
            instance: self.instance,
            node: self.node.clone(),
            sharing: self.sharing,
            access: self.access,
            since_ms: self.since_ms,
            state: self.state,
        }
    }
}

/// A record is of a hook that came after this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hook {0} is not known here: a later version of Volward recorded it")]
pub struct UnknownHook(pub String);

/// What a record says happened is what is expected to happen again.
impl TryFrom<&DecisionRecord> for Scenario {
    type Error = UnknownHook;

    fn try_from(record: &DecisionRecord) -> Result<Self, UnknownHook> {
        let hook = Hook::of_word(&record.hook).ok_or_else(|| UnknownHook(record.hook.clone()))?;
        Ok(Self {
            title: String::new(),
            hook,
            facts: (&record.facts).into(),
            copies: record.copies.clone(),
            plugins: record.plugins.iter().map(Into::into).collect(),
            combined: Some((&record.combined).into()),
            micros: record.micros,
        })
    }
}

impl From<&Facts> for ScenarioFacts {
    fn from(facts: &Facts) -> Self {
        let RequestFacts {
            id,
            origin,
            caller_uid,
            purpose,
            instance,
            instance_name,
            hints,
        } = facts.request.clone();
        Self {
            request: ScenarioRequest {
                id,
                origin,
                caller_uid,
                purpose,
                instance,
                instance_name,
                hints,
            },
            node: facts.node.clone(),
            peer: facts.peer.clone(),
            operation: facts.operation.clone(),
            disks: facts.disks.iter().map(Into::into).collect(),
            held: facts.held.iter().map(Into::into).collect(),
            now_ms: facts.now_ms,
            utc_offset_minutes: facts.utc_offset_minutes,
        }
    }
}

impl From<&Attachment> for ScenarioAttachment {
    fn from(attachment: &Attachment) -> Self {
        let Attachment {
            volume,
            instance,
            node,
            sharing,
            access,
            since_ms,
            state,
        } = attachment.clone();
        Self {
            volume: Some(volume),
            instance,
            node,
            sharing,
            access,
            since_ms,
            state,
        }
    }
}

impl From<&PluginVerdict> for ScenarioPlugin {
    fn from(said: &PluginVerdict) -> Self {
        Self {
            plugin: said.plugin.clone(),
            config: Some(said.config.clone()),
            monitored: said.monitored,
            verdict: Some((&said.verdict).into()),
            digest: said.digest.clone(),
            interface: said.interface.clone(),
            log: said.log.clone(),
            micros: said.micros,
        }
    }
}

impl From<&Verdict> for ExpectedVerdict {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Granted(answer) => Self::Granted(answer.into()),
            Verdict::Advised(advice) => Self::Advised(advice.clone()),
            Verdict::Denied(denial) => Self::Denied(denial.into()),
            Verdict::Faulted(fault) => Self::Faulted(fault.into()),
            Verdict::Absent => Self::Absent,
        }
    }
}

impl From<&Combined> for Expected {
    fn from(combined: &Combined) -> Self {
        match combined {
            Combined::Granted(answer) => Self::Granted(answer.into()),
            Combined::Advised(fates) => Self::Advised(fates.clone()),
            Combined::Denied(all) => Self::Denied(by(all)),
            Combined::Faulted(all) => Self::Faulted(by(all)),
        }
    }
}

fn by<'a, T, E: From<&'a T>>(all: &'a [(String, T)]) -> Vec<(String, E)> {
    let each = all.iter();
    each.map(|(who, what)| (who.clone(), what.into())).collect()
}

impl From<&Answer> for ExpectedAnswer {
    fn from(answer: &Answer) -> Self {
        let disks = answer.disks.iter().map(|disk| ExpectedDisk {
            volume: Some(disk.volume),
            sharing: Some(disk.sharing),
            access: Some(disk.access),
            copy_at_most: Some(disk.copy_at_most),
            copy: disk.copy,
        });
        Self {
            disks: disks.collect(),
            // As a record without notes is read: it cannot say that there are none.
            notes: (!answer.notes.is_empty()).then(|| answer.notes.clone()),
        }
    }
}

impl From<&Denial> for ExpectedDenial {
    fn from(denial: &Denial) -> Self {
        Self {
            code: denial.code.clone(),
            message: Some(denial.message.clone()),
            retry_after_ms: denial.retry_after_ms,
        }
    }
}

impl From<&Fault> for ExpectedFault {
    fn from(fault: &Fault) -> Self {
        Self {
            kind: fault.kind,
            message: Some(fault.message.clone()),
            backtrace: (),
        }
    }
}
