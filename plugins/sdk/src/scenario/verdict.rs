//! What a policy says, and what it is expected to say: the same form, of which an expectation may
//! leave out parts.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::words::{Access, Copy, CopyFate, CopyMode, Sharing};
use crate::answer::{self, Narrowing};
use crate::facts::Request;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Granted(Answer),
    Advised(Vec<(String, Option<CopyFate>)>),
    Denied(Denial),
    Faulted(Fault),
    Absent,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answer {
    disks: Vec<DiskAnswer>,
    /// All of them in this order; absent: not compared.
    notes: Option<Vec<Note>>,
}

/// What is left out is expected as asked, without ceiling and copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DiskAnswer {
    /// Absent: the disk at this place of the request.
    volume: Option<String>,
    sharing: Option<Sharing>,
    access: Option<Access>,
    copy_at_most: Option<CopyMode>,
    copy: Option<Copy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    key: String,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Denial {
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    retry_after_ms: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) message: Option<String>,
    /// In records: where it happened. Nothing is expected of it.
    #[serde(default, skip_serializing)]
    pub(super) backtrace: Vec<String>,
}

impl From<answer::Denial> for Denial {
    fn from(denial: answer::Denial) -> Self {
        Self {
            code: denial.code,
            message: Some(denial.message),
            retry_after_ms: denial.retry_after_ms,
        }
    }
}

impl Answer {
    /// As asked, in every part.
    fn as_asked(request: &Request) -> Self {
        let disks = request.disks.iter().map(|disk| DiskAnswer {
            volume: Some(disk.id.clone()),
            sharing: Some(disk.asked_sharing.into()),
            access: Some(disk.asked_access.into()),
            copy_at_most: Some(CopyMode::BeforeStart),
            copy: None,
        });
        Self {
            disks: disks.collect(),
            notes: Some(Vec::new()),
        }
    }

    /// What the daemon makes of an answer.
    pub(super) fn made(request: &Request, said: &answer::Answer) -> Self {
        let mut made = Self::as_asked(request);
        for narrowing in said.narrowings() {
            match narrowing {
                Narrowing::Exclusive(id) => made.disk(id).sharing = Some(Sharing::Exclusive),
                Narrowing::ReadOnly(id) => made.disk(id).access = Some(Access::ReadOnly),
                Narrowing::CopyAtMost(id, mode) => {
                    let disk = made.disk(id);
                    disk.copy_at_most = disk.copy_at_most.min(Some((*mode).into()));
                }
                Narrowing::Copy(id, plan) => made.disk(id).copy = Some(plan.into()),
                Narrowing::Note(key, value) => {
                    let (key, value) = (key.clone(), value.clone());
                    let notes = made.notes.get_or_insert_default();
                    notes.push(Note { key, value });
                }
            }
        }
        made
    }

    fn disk(&mut self, id: &str) -> &mut DiskAnswer {
        let place = self
            .disks
            .iter()
            .position(|d| d.volume.as_deref() == Some(id));
        match place {
            Some(place) => &mut self.disks[place],
            // On a node it is a trap, too.
            None => panic!("the answer speaks of disk {id:?}, which was not asked for"),
        }
    }
}

/// Where what was said is not as expected, line by line.
pub(super) struct Differences {
    place: String,
    pub(super) found: Vec<String>,
}

impl Differences {
    pub(super) fn at(place: &str) -> Self {
        let place = place.to_owned();
        let found = Vec::new();
        Self { place, found }
    }

    fn same<T: PartialEq + Serialize>(&mut self, what: &str, expected: &T, said: &T) {
        if expected != said {
            let text = |value| serde_json::to_string(value).unwrap_or_default();
            let (place, expected, said) = (&self.place, text(expected), text(said));
            self.found
                .push(format!("{place}{what}: expected {expected}, found {said}"));
        }
    }

    pub(super) fn compare(&mut self, request: &Request, expected: &Verdict, said: &Verdict) {
        match (expected, said) {
            (Verdict::Granted(expected), Verdict::Granted(said)) => {
                self.answers(request, expected, said);
            }
            (Verdict::Denied(expected), Verdict::Denied(said)) => {
                self.same(".code", &expected.code, &said.code);
                if expected.message.is_some() {
                    self.same(".message", &expected.message, &said.message);
                }
                if expected.retry_after_ms.is_some() {
                    let place = ".retry_after_ms";
                    self.same(place, &expected.retry_after_ms, &said.retry_after_ms);
                }
            }
            (Verdict::Faulted(expected), Verdict::Faulted(said)) => {
                self.same(".kind", &expected.kind, &said.kind);
                if expected.message.is_some() {
                    self.same(".message", &expected.message, &said.message);
                }
            }
            _ => self.same("", expected, said),
        }
    }

    fn answers(&mut self, request: &Request, expected: &Answer, said: &Answer) {
        let asked = Answer::as_asked(request);
        for (n, asked) in asked.disks.iter().enumerate() {
            let named = expected.disks.iter().find(|d| d.volume == asked.volume);
            let here = expected.disks.get(n).filter(|d| d.volume.is_none());
            let one = named.or(here).cloned().unwrap_or_default();
            let whole = DiskAnswer {
                volume: asked.volume.clone(),
                sharing: one.sharing.or(asked.sharing),
                access: one.access.or(asked.access),
                copy_at_most: one.copy_at_most.or(asked.copy_at_most),
                copy: one.copy,
            };
            match said.disks.iter().find(|d| d.volume == asked.volume) {
                Some(said) => self.same(&format!(".disks[{n}]"), &whole, said),
                None => self.stray(n, "no answer"),
            }
        }
        for (n, disk) in expected.disks.iter().enumerate() {
            let known = match &disk.volume {
                Some(_) => asked.disks.iter().any(|d| d.volume == disk.volume),
                None => n < asked.disks.len(),
            };
            if !known {
                self.stray(n, "no such disk in the request");
            }
        }
        if expected.notes.is_some() {
            // Records leave an empty list out.
            let said = Some(said.notes.clone().unwrap_or_default());
            self.same(".notes", &expected.notes, &said);
        }
    }

    fn stray(&mut self, n: usize, why: &str) {
        let place = &self.place;
        self.found.push(format!("{place}.disks[{n}]: {why}"));
    }
}
