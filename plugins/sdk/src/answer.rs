//! What a policy answers: it starts as asked, and there is nothing here that widens.

pub use crate::bindings::volward::policy::answers::{CopyFate, CopyMode, CopyPlan, Denial};

use crate::facts::{Disk, Fact};

/// The answer being made. Untouched, it means agreement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    narrowings: Vec<Narrowing>,
}

/// One thing an answer says; disks are named by their id.
#[derive(Clone, Debug, PartialEq)]
pub enum Narrowing {
    /// Nobody else may have the disk at the same time.
    Exclusive(Fact<String>),
    /// The attachment may not write.
    ReadOnly(Fact<String>),
    /// No more copying than this.
    CopyAtMost(Fact<String>, CopyMode),
    /// A proposed copy.
    Copy(Fact<String>, CopyPlan),
    /// A remark for the decision log.
    Note(String, String),
}

impl Answer {
    /// Grants the disk exclusively only.
    pub fn exclusive(&mut self, disk: &Disk) {
        self.narrowings.push(Narrowing::Exclusive(disk.id.clone()));
    }

    /// Grants the disk read-only only. A caller who asked for read-write is refused with the code
    /// `narrowed`, unless it said beforehand that it accepts less.
    pub fn read_only(&mut self, disk: &Disk) {
        self.narrowings.push(Narrowing::ReadOnly(disk.id.clone()));
    }

    /// Sets a ceiling for local copies of the disk; the lowest of all policies holds.
    pub fn copy_at_most(&mut self, disk: &Disk, mode: CopyMode) {
        self.narrowings
            .push(Narrowing::CopyAtMost(disk.id.clone(), mode));
    }

    /// Proposes a local copy of the disk; the first proposal in file order counts, lowered to the
    /// ceiling.
    pub fn copy(&mut self, disk: &Disk, plan: CopyPlan) {
        self.narrowings.push(Narrowing::Copy(disk.id.clone(), plan));
    }

    /// Leaves a remark in the decision log; changes nothing.
    pub fn note(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.narrowings
            .push(Narrowing::Note(key.into(), value.into()));
    }

    /// What was said so far, in order.
    #[must_use]
    pub fn narrowings(&self) -> &[Narrowing] {
        &self.narrowings
    }
}

impl Denial {
    /// A refusal: `code` for programs (lower case, words joined by `-`), `message` for the person
    /// at virsh: what is wrong, where, what to do.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
        }
    }
}
