//! After a crash, or a reboot: every attachment is whole, gone, or quarantined with its causes
//! (I30). No plugin is asked (I32).

use std::sync::Arc;

use volward_model::{AttachmentKey, Outcome, PoolName, RequestId};
use volward_plan::Step;

use crate::copies::Copies;
use crate::detach::Detach;
use crate::engine::{DueWriteBack, Engine};
use crate::observe::Observer;
use crate::pools::Pools;
use crate::ports::{
    Clock, Decisions, Devices, Event, Events, Finish, Journal, JournalEntry, JournalState, Machine,
    OpenEntries, Operation, PortError, PortResult, StepMark, StoredAttachment, Tasks,
};
use crate::settings::{Settings, needs};
use crate::state::{Need, State};

mod claim;
mod left_alone;
mod left_over;

/// What recovery did, for the log and for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Requests whose operation was completed.
    pub completed: Vec<RequestId>,
    /// Requests whose operation was undone.
    pub undone: Vec<RequestId>,
    /// Requests of which neither was possible for now: they are tried again.
    pub owed: Vec<RequestId>,
    /// Requests of which neither was possible: their attachments are quarantined.
    pub quarantined: Vec<RequestId>,
    /// Attachments of an earlier boot, forgotten: their devices and leases went with it.
    pub forgotten: Vec<AttachmentKey>,
    /// Devices nobody knew of, removed (I13).
    pub strays: Vec<String>,
}

needs!(RecoveryPorts {
    journal: Journal,
    decisions: Decisions,
    devices: Devices,
    machine: Machine,
    clock: Clock,
    tasks: Tasks,
    events: Events,
});

/// Recovery, once at the start.
pub(crate) struct Recovery {
    pub(crate) ports: RecoveryPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) detach: Arc<Detach>,
}

impl Recovery {
    /// Looks at what was left, and makes it whole. Runs once, before the first request.
    ///
    /// # Errors
    /// If the state cannot be read at all; trouble with one pool or request is logged and kept
    /// with it instead.
    pub(crate) fn recover(&self) -> PortResult<Recovered> {
        let mut recovered = Recovered::default();
        self.resume_suspended();
        let boot_id = self.ports.machine.boot_id();
        recovered.forgotten = self.load_attachments(&boot_id)?;
        let entries = self.open_entries(&boot_id, &mut recovered)?;
        // What an interrupted attach has told the others stays told until it is undone.
        for entry in entries.iter().filter(|e| e.boot_id == boot_id) {
            self.tell_again(entry);
        }
        let mut open = Vec::new();
        for pool in &self.settings.pools {
            match self.pools.make_registry_active(pool) {
                Ok(()) => open.push(pool),
                Err(error) => {
                    self.ports.events.tell(&Event::PoolUnusable {
                        pool: pool.clone(),
                        reason: error.to_string(),
                    });
                    self.is_needed(pool, Need::Open);
                }
            }
        }
        // Before this node's slots are written anew: what is in use stays shown to the others.
        self.claim_what_is_open(&entries);
        for pool in &open {
            self.show(pool);
        }
        let mut write_backs = Vec::new();
        for entry in &entries {
            write_backs.extend(self.recover_entry(entry, &boot_id, &mut recovered));
        }
        self.complete_lost();
        recovered.strays = self.remove_strays();
        // Last: until every attachment is known, a guest may be using the copy.
        self.copies.start_write_backs(write_backs);
        for pool in &self.settings.pools {
            // On a LUN that hangs each look takes until LVM is given up, and libvirt and its guests wait for the
            // start: one look is enough.
            if !open.contains(&pool) {
                self.is_needed(pool, Need::TakeUp);
                continue;
            }
            if let Err(error) = self.take_up_pool(pool) {
                tracing::debug!(%pool, %error, "not taken up yet");
                self.is_needed(pool, Need::TakeUp);
            }
        }
        Ok(recovered)
    }

    /// Looks at a pool that recovery could not look at, or not at all of it. Harmless to repeat.
    ///
    /// # Errors
    /// If not all could be looked at, a sentence: then it is to be repeated.
    pub(crate) fn take_up_pool(&self, pool: &PoolName) -> Result<(), String> {
        self.claim();
        let taken_up = self.take_up_copies(pool);
        self.show(pool);
        taken_up.map_err(|error| error.to_string())?;
        match self.state.unclaimed().is_empty() {
            true => Ok(()),
            false => Err("a device in use belongs to a volume that cannot be named yet".to_owned()),
        }
    }

    /// Opens a pool that was not ready at the start, and takes up what is in it.
    pub(crate) fn open_pool(&self, pool: &PoolName) -> PortResult<()> {
        self.pools.make_registry_active(pool)?;
        tracing::info!(%pool, "pool open");
        if let Err(error) = self.take_up_pool(pool) {
            tracing::debug!(%pool, %error, "not taken up yet");
            self.is_needed(pool, Need::TakeUp);
        }
        Ok(())
    }

    fn is_needed(&self, pool: &PoolName, need: Need) {
        let now = self.ports.clock.monotonic();
        self.state.owed().need(pool, need, now);
    }

    fn show(&self, pool: &PoolName) {
        if let Err(error) = self.state.write_slot(pool) {
            self.ports.events.tell(&Event::Unseen {
                pool: pool.clone(),
                what: "what this node has",
                reason: error.to_string(),
            });
        }
    }

    /// Remembers the attachments of this boot. Those of an earlier one are forgotten, and returned.
    fn load_attachments(&self, boot_id: &str) -> PortResult<Vec<AttachmentKey>> {
        let attachments = self.ports.journal.attachments()?;
        let (ours, gone): (Vec<_>, Vec<_>) =
            attachments.into_iter().partition(|a| a.boot_id == boot_id);
        let gone: Vec<AttachmentKey> = gone.iter().map(StoredAttachment::key).collect();
        if !gone.is_empty() {
            let end = Finish {
                remove: gone.clone(),
                ..Finish::new(JournalState::Done)
            };
            if let Err(error) = self.engine.end(None, end) {
                let what = "that an earlier boot's attachments are gone".to_owned();
                self.engine.unrecorded(what, &error);
            }
        }
        self.state.attachment_table().put(ours);
        Ok(gone)
    }

    /// A crash between suspend and resume leaves a guest's I/O waiting: first of all, resume.
    fn resume_suspended(&self) {
        let devices = self.ports.devices.list().unwrap_or_else(|error| {
            self.trouble("listing this node's devices".to_owned(), &error);
            Vec::new()
        });
        for device in devices.iter().filter(|d| d.suspended && d.target.is_some()) {
            match self.ports.devices.resume(device.id) {
                Ok(_) => {
                    let device = device.id;
                    self.ports.events.tell(&Event::Resumed { device });
                }
                Err(error) => {
                    let what = format!("resuming {}, which was left suspended", device.id);
                    self.trouble(what, &error);
                }
            }
        }
    }

    fn trouble(&self, what: String, error: &PortError) {
        let reason = error.to_string();
        self.ports.events.tell(&Event::Trouble { what, reason });
    }

    /// The open entries that can be taken up, oldest first; the others are quarantined.
    fn open_entries(
        &self,
        boot_id: &str,
        recovered: &mut Recovered,
    ) -> PortResult<Vec<JournalEntry>> {
        let OpenEntries { mut whole, damaged } = self.ports.journal.open_entries()?;
        for damaged in damaged {
            if damaged.entry.boot_id == boot_id {
                self.engine.give_up(&damaged);
                self.end_decision(&damaged.entry, JournalState::Quarantined, false);
                recovered.quarantined.push(damaged.entry.request);
            } else {
                // The node's restart has ended every step, whatever its mark was.
                whole.push(damaged.entry);
            }
        }
        whole.sort_by_key(|entry| entry.id);
        Ok(whole)
    }

    /// Says which write-backs are due after it.
    fn recover_entry(
        &self,
        entry: &JournalEntry,
        boot_id: &str,
        recovered: &mut Recovered,
    ) -> Vec<DueWriteBack> {
        let restarted = entry.boot_id != boot_id;
        let request = entry.request;
        let of = entry.into();
        self.ports.events.tell(&Event::TakenUp { of, restarted });
        let taken_up = self.engine.take_up(entry, restarted);
        match taken_up.state {
            JournalState::Done => recovered.completed.push(request),
            JournalState::Undone => recovered.undone.push(request),
            JournalState::Quarantined => recovered.quarantined.push(request),
            JournalState::Open if taken_up.owed => recovered.owed.push(request),
            // It goes on in the background.
            JournalState::Open => {}
        }
        self.end_decision(entry, taken_up.state, restarted);
        taken_up.due
    }

    /// The decision that the request was carried out for was left without an outcome. A write-back
    /// has none: it follows from a detach.
    fn end_decision(&self, entry: &JournalEntry, state: JournalState, restarted: bool) {
        if let Operation::WriteBack { .. } = entry.operation {
            return;
        }
        let died = match restarted {
            true => "the node was restarted before it was done",
            false => "the daemon ended before it was done",
        };
        let outcome = match state {
            JournalState::Open => return,
            JournalState::Done => Outcome::Done,
            JournalState::Undone => Outcome::Failed {
                message: format!("{died}, and it was taken back"),
            },
            JournalState::Quarantined => Outcome::Failed {
                message: format!("{died}, and could be neither completed nor taken back"),
            },
        };
        if let Err(error) = self.ports.decisions.end(entry.request, &outcome) {
            let what = format!("the outcome of request {}", entry.request);
            self.engine.unrecorded(what, &error);
        }
    }

    fn tell_again(&self, entry: &JournalEntry) {
        for (step, mark) in entry.operation.steps() {
            if let (Step::Publish { pool, attachments }, StepMark::Started | StepMark::Done) =
                (step, mark)
            {
                let puts = entry.operation.puts();
                let mut table = self.state.attachment_table();
                table.publish(pool, attachments, puts);
            }
        }
    }
}
