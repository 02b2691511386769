//! The journal of a node's calls, and what is to go wrong at which of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use volward_model::DeviceId;
use volward_ports::{PortError, PortResult};

use super::{FakeCluster, FakeNode};

type Hook = Box<dyn FnOnce(&FakeCluster) + Send>;
type Waiting = Arc<dyn Fn(&FakeNode, DeviceId) + Send + Sync>;

/// What a call does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Reads,
    Changes,
}

/// Where the daemon dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The call had no effect.
    Before,
    /// The call had its effect, and nobody heard of it.
    After,
}

#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) journal: Vec<String>,
    /// The names of all calls there ever were, those that only look included.
    pub(crate) calls: BTreeSet<String>,
    /// The LVM commands that the calls stand for.
    pub(crate) commands: Vec<String>,
    pub(crate) changes: usize,
    fail_change: Option<usize>,
    fail_named: Vec<(String, PortError)>,
    ignored: Vec<String>,
    crash: Option<(usize, Crash)>,
    pub(crate) crashed: bool,
    hooks: Vec<(String, Hook)>,
    pub(crate) waiting: Option<Waiting>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("journal", &self.journal)
            .field("crashed", &self.crashed)
            .finish_non_exhaustive()
    }
}

/// What the real adapter runs for a changing call; reports are noted where they are made.
fn commands_of(call: &str) -> &'static [&'static str] {
    match call {
        "create" => &["lvcreate"],
        "grow" => &["lvextend"],
        "remove-volume" => &["lvchange -an", "lvremove"],
        "activate" | "deactivate" | "change-tags" | "disable-autoactivation" => &["lvchange"],
        "disable-pool-autoactivation" => &["vgchange"],
        _ => &[],
    }
}

/// What every call gets after a crash.
fn dead() -> PortError {
    PortError::Io {
        what: "the daemon is dead".to_owned(),
        reason: "a test's crash".to_owned(),
    }
}

impl Faults {
    pub(crate) fn fail_change(&mut self, n: usize) {
        self.fail_change = Some(self.changes + n);
    }

    pub(crate) fn fail_named(&mut self, name: &str, error: PortError) {
        self.fail_named.push((name.to_owned(), error));
    }

    pub(crate) fn ignore_named(&mut self, name: &str) {
        self.ignored.push(name.to_owned());
    }

    /// Whether this call is to report success and do nothing.
    pub(crate) fn is_ignored(&mut self, name: &str) -> bool {
        let at = self.ignored.iter().position(|wanted| wanted == name);
        at.is_some_and(|at| {
            self.ignored.remove(at);
            true
        })
    }

    pub(crate) fn crash_at(&mut self, n: usize, crash: Crash) {
        self.crash = Some((self.changes + n, crash));
    }

    pub(crate) fn hook(&mut self, name: &str, hook: Hook) {
        self.hooks.push((name.to_owned(), hook));
    }

    pub(crate) fn take_hooks(&mut self, name: &str) -> Vec<Hook> {
        let (now, later) = std::mem::take(&mut self.hooks)
            .into_iter()
            .partition(|(wanted, _)| wanted == name);
        self.hooks = later;
        now.into_iter().map(|(_, hook)| hook).collect()
    }

    /// Forgets what was to go wrong.
    pub(crate) fn clear(&mut self) {
        let journal = std::mem::take(&mut self.journal);
        let commands = std::mem::take(&mut self.commands);
        let changes = self.changes;
        let waiting = self.waiting.take();
        let calls = std::mem::take(&mut self.calls);
        *self = Self {
            journal,
            calls,
            commands,
            changes,
            waiting,
            ..Self::default()
        };
    }

    /// Notes the call; an error means it has no effect.
    pub(crate) fn enter(&mut self, name: &str, detail: &str, kind: Kind) -> PortResult<()> {
        if self.crashed {
            return Err(dead());
        }
        if !self.calls.contains(name) {
            self.calls.insert(name.to_owned());
        }
        if kind == Kind::Changes {
            self.changes += 1;
            if self.crash == Some((self.changes, Crash::Before)) {
                self.crashed = true;
                return Err(dead());
            }
            self.journal.push(format!("{name} {detail}"));
            let commands = commands_of(name).iter();
            self.commands
                .extend(commands.map(|command| format!("{command} {detail}")));
            if self.fail_change == Some(self.changes) {
                return Err(PortError::Io {
                    what: format!("{name} {detail}"),
                    reason: "a test's failure".to_owned(),
                });
            }
        }
        match self
            .fail_named
            .iter()
            .position(|(wanted, _)| wanted == name)
        {
            Some(index) => Err(self.fail_named.remove(index).1),
            None => Ok(()),
        }
    }

    /// After the call had its effect.
    pub(crate) fn leave(&mut self, kind: Kind) -> PortResult<()> {
        if kind == Kind::Changes && self.crash == Some((self.changes, Crash::After)) {
            self.crashed = true;
            return Err(dead());
        }
        Ok(())
    }
}
