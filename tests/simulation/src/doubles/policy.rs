//! A policy that says what a test wants, and a decision log in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use volward_control::ports::{Decisions, Policy, PortError, PortResult};
use volward_model::decision::{Combined, DecisionRecord};
use volward_model::scenario::Hook;
use volward_model::{
    Access, Answer, Bytes, CopyFate, CopyMode, CopyPlan, Denial, Facts, Outcome, RequestId,
    Sharing, VolumeId,
};
use volward_storage::fake::FakeNode;

/// What the policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Say {
    /// What was asked for.
    #[default]
    AsAsked,
    /// That, with a copy.
    Copy(CopyMode),
    /// That, with a copy of which so much may be on its way.
    CopyWithin(CopyMode, Bytes),
    /// That, but read-only at most.
    ReadOnly,
    /// That, but exclusive.
    Exclusive,
    /// That, but nothing about the last disk.
    AllButTheLast,
    /// That, with the disks in the opposite order.
    Reversed,
    /// A denial of the whole request.
    Deny,
    /// The same, in the baseline's word for what somebody else has.
    DenyInUse,
    /// One writer of a shared volume in the cluster at a time, any number of readers.
    OneWriter,
}

/// A policy in memory.
#[derive(Debug, Default)]
pub struct FakePolicy {
    says: Mutex<Say>,
    asked: Mutex<Vec<Facts>>,
    /// What it says at a hook that narrows nothing; as asked where nothing stands here.
    reviews: Mutex<HashMap<Hook, Combined>>,
    reviewed: Mutex<Vec<(Hook, Facts)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakePolicy {
    /// What it says from now on.
    pub fn say(&self, say: Say) {
        *lock(&self.says) = say;
    }

    /// What it says now.
    #[must_use]
    pub fn says(&self) -> Say {
        lock(&self.says).clone()
    }

    /// What it says from now on at migrate or operate.
    pub fn say_at(&self, hook: Hook, combined: Combined) {
        lock(&self.reviews).insert(hook, combined);
    }

    /// It agrees again at migrate or operate.
    pub fn agree_at(&self, hook: Hook) {
        lock(&self.reviews).remove(&hook);
    }

    /// The facts that it was asked about at migrate or operate.
    #[must_use]
    pub fn asked_at(&self, hook: Hook) -> Vec<Facts> {
        let reviewed = lock(&self.reviewed);
        let those = reviewed.iter().filter(|(at, _)| *at == hook);
        those.map(|(_, facts)| facts.clone()).collect()
    }

    fn review(&self, hook: Hook, facts: &Facts) -> DecisionRecord {
        lock(&self.reviewed).push((hook, facts.clone()));
        let said = lock(&self.reviews).get(&hook).cloned();
        let said = said.unwrap_or_else(|| Combined::Granted(Answer::as_asked(facts)));
        record(hook.word(), facts, said)
    }

    /// The facts of every attach it was asked about.
    #[must_use]
    pub fn asked(&self) -> Vec<Facts> {
        lock(&self.asked).clone()
    }
}

/// One policy's denial.
#[must_use]
pub fn denied(code: &str, message: String) -> Combined {
    let denial = Denial {
        code: code.to_owned(),
        message,
        retry_after_ms: None,
    };
    Combined::Denied(vec![("test".to_owned(), denial)])
}

fn with_copies(mut answer: Answer, mode: CopyMode, in_flight: Option<Bytes>) -> Combined {
    for disk in &mut answer.disks {
        disk.copy = Some(CopyPlan {
            mode,
            in_flight,
            batch: None,
            fate: CopyFate::WriteBack,
        });
    }
    Combined::Granted(answer)
}

fn one_writer(facts: &Facts, answer: Answer) -> Combined {
    for disk in &facts.disks {
        let writer = disk
            .attachments
            .iter()
            .find(|a| a.access == Access::ReadWrite);
        if let (Access::ReadWrite, Some(writer)) = (disk.asked_access, writer) {
            let message = format!("{} writes on {}", writer.instance, writer.node);
            return denied("one-writer", message);
        }
    }
    Combined::Granted(answer)
}

impl Policy for FakePolicy {
    fn attach(&self, facts: &Facts) -> DecisionRecord {
        lock(&self.asked).push(facts.clone());
        let mut answer = Answer::as_asked(facts);
        let says = lock(&self.says).clone();
        let combined = match says {
            Say::AsAsked => Combined::Granted(answer),
            Say::AllButTheLast => {
                answer.disks.pop();
                Combined::Granted(answer)
            }
            Say::Reversed => {
                answer.disks.reverse();
                Combined::Granted(answer)
            }
            Say::Deny => denied("no", "the test says no".to_owned()),
            Say::DenyInUse => denied("in-use", "somebody has it".to_owned()),
            Say::OneWriter => one_writer(facts, answer),
            Say::Copy(mode) => with_copies(answer, mode, None),
            Say::CopyWithin(mode, in_flight) => with_copies(answer, mode, Some(in_flight)),
            Say::ReadOnly => {
                for disk in &mut answer.disks {
                    disk.access = Access::ReadOnly;
                }
                Combined::Granted(answer)
            }
            Say::Exclusive => {
                for disk in &mut answer.disks {
                    disk.sharing = Sharing::Exclusive;
                }
                Combined::Granted(answer)
            }
        };
        record("attach", facts, combined)
    }

    fn migrate(&self, facts: &Facts) -> DecisionRecord {
        self.review(Hook::Migrate, facts)
    }

    fn operate(&self, facts: &Facts) -> DecisionRecord {
        self.review(Hook::Operate, facts)
    }

    fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord {
        DecisionRecord {
            copies: granted.to_vec(),
            ..record("detach", facts, Combined::detach(granted, &[]))
        }
    }
}

fn record(hook: &str, facts: &Facts, combined: Combined) -> DecisionRecord {
    DecisionRecord {
        hook: hook.to_owned(),
        facts: facts.clone(),
        copies: Vec::new(),
        plugins: Vec::new(),
        combined,
        micros: 0,
    }
}

/// The decision log in memory; it outlives the daemon, as its disk does.
#[derive(Debug)]
pub struct FakeDecisions {
    kernel: FakeNode,
    log: Mutex<Vec<(RequestId, Outcome)>>,
    hooks: Mutex<Vec<String>>,
    full: AtomicBool,
}

impl FakeDecisions {
    /// An empty log on a node's disk. A write to it is a change at which the daemon can die.
    #[must_use]
    pub fn new(kernel: FakeNode) -> Self {
        Self {
            kernel,
            log: Mutex::default(),
            hooks: Mutex::default(),
            full: AtomicBool::new(false),
        }
    }

    /// What became of each decision so far, the oldest first.
    #[must_use]
    pub fn outcomes(&self) -> Vec<Outcome> {
        lock(&self.log).iter().map(|(_, o)| o.clone()).collect()
    }

    /// The requests that were decided, the oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestId> {
        lock(&self.log)
            .iter()
            .map(|(request, _)| *request)
            .collect()
    }

    /// The hooks whose decisions they are, the oldest first.
    #[must_use]
    pub fn hooks(&self) -> Vec<String> {
        lock(&self.hooks).clone()
    }

    /// The disk is full, or has space again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn change(&self, what: &str) -> PortResult<()> {
        self.kernel.note(what)?;
        match self.full.load(Ordering::SeqCst) {
            true => Err(PortError::Io {
                what: "writing the decision log".to_owned(),
                reason: "no space left on device".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

impl Decisions for FakeDecisions {
    fn record(&self, decision: &DecisionRecord, outcome: &Outcome) -> PortResult<()> {
        self.change("decision")?;
        lock(&self.hooks).push(decision.hook.clone());
        lock(&self.log).push((decision.facts.request.id, outcome.clone()));
        Ok(())
    }

    fn end(&self, request: RequestId, outcome: &Outcome) -> PortResult<()> {
        self.change("decision-end")?;
        let mut log = lock(&self.log);
        let begun =
            |(of, became): &&mut (RequestId, Outcome)| *of == request && *became == Outcome::Begun;
        if let Some((_, became)) = log.iter_mut().rev().find(begun) {
            *became = outcome.clone();
        }
        Ok(())
    }
}
