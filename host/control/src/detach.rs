//! Detach, from ask to answer. It is never refused, works with a full state disk, and asks
//! policies for nothing but advice on copies (I32).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use volward_model::{
    AttachmentKey, InstanceId, Origin, PoolName, RequestId, VolumeId, VolumeName, VolumeRef,
};
use volward_plan::DetachPlan;
use volward_plan::detach::detach;

use crate::copies::Copies;
use crate::engine::{Engine, ExecuteError, UNASKED};
use crate::error::ControlError;
use crate::last_use::LastUseBook;
use crate::observe::Observer;
use crate::ports::{
    Afterwards, Clock, Decisions, Devices, Event, Events, LeavingVolume, Machine, Marked,
    Operation, Policy, PortError, StoredAttachment, Volumes,
};
use crate::settings::{Settings, needs};
use crate::state::{Attaching, Cancellation, State};

mod advice;
mod leaving;
mod owed;
mod unused;

/// A request to take an instance's disks back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachRequest {
    /// The id that journal, decision log and `explain` know it by.
    pub request: RequestId,
    /// Who asks, by the user id of the socket's peer.
    pub origin: Origin,
    /// The user id of the socket's peer.
    pub caller_uid: u32,
    /// The virtual machine that has the disks.
    pub instance: InstanceId,
    /// The volumes to take back; empty: everything the instance has on this node.
    pub volumes: Vec<(PoolName, VolumeName)>,
    /// Attachments that are newer than this stay.
    pub not_after: Option<NotAfter>,
    /// What somebody has open stays as it is.
    pub only_unused: bool,
    /// Nothing is executed; the steps are returned.
    pub dry_run: bool,
}

/// A release delivered late must not take a newer start's disks away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAfter {
    /// The kernel's boot id of the start that it belongs to.
    pub boot_id: String,
    /// The number of the attach request of that start.
    pub sequence: u64,
}

/// What a detach has done, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetachDone {
    /// The volumes detached, each with whether its copy is being written back; none after a dry
    /// run.
    pub detached: Vec<(VolumeRef, bool)>,
    /// Volumes whose detach failed for now and is tried again until it is done, each with the
    /// cause, a sentence.
    pub trying_again: Vec<(VolumeRef, String)>,
    /// Volumes that were left as they are because somebody has them open, or may have; where only what is unused was
    /// to go.
    pub in_use: Vec<VolumeRef>,
    /// The steps, a line each; none unless it was a dry run.
    pub plan: Vec<String>,
}

needs!(DetachPorts {
    volumes: Volumes,
    devices: Devices,
    policy: Policy,
    decisions: Decisions,
    machine: Machine,
    clock: Clock,
    events: Events,
});

/// Detach: plan, run, start what writes copies back.
pub(crate) struct Detach {
    pub(crate) ports: DetachPorts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<State>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) last_use: Arc<LastUseBook>,
}

impl Detach {
    /// Detaches. What is not attached is no error. What fails for now counts as accepted: it is
    /// tried again until it is done.
    ///
    /// # Errors
    /// If a device stays in use or something else needs a person: then the attachments are
    /// quarantined, and detaching them again tries again.
    pub(crate) fn detach(&self, ask: &DetachRequest) -> Result<DetachDone, ControlError> {
        self.wait_for_attaches(ask)?;
        let Some(guard) = self.lock_concerned(ask)? else {
            return Ok(DetachDone::default());
        };
        let mut done = DetachDone::default();
        let mut causes = Vec::new();
        if !ask.dry_run {
            causes.extend(self.settle_owed(ask, &mut done)?);
        }
        // Chosen again: another request may have been first.
        let owed = self.state.owed().keys();
        let mut selected = self.selected(ask);
        selected.retain(|attachment| !owed.contains(&attachment.key()));
        if ask.only_unused {
            done.in_use = self.set_aside_what_is_open(&mut selected);
        }
        if causes.is_empty() {
            self.detach_these(ask, &selected, &mut done)?;
        }
        drop(guard);
        match causes.is_empty() {
            true => Ok(done),
            false => Err(ControlError::Quarantined {
                request: ask.request,
                causes,
            }),
        }
    }

    /// What is being attached is not in the attachment table yet. An attach that is newer than what is asked
    /// about, or of other volumes, is somebody else's.
    fn wait_for_attaches(&self, ask: &DetachRequest) -> Result<(), ControlError> {
        let wait = self.settings.detach_lock_wait;
        let concerns = |attach: &Attaching| {
            let wanted = &attach.wanted;
            let mut volumes = ask.volumes.iter();
            let named =
                ask.volumes.is_empty() || volumes.any(|(pool, name)| wanted.names(pool, name));
            let old_enough = ask.not_after.as_ref().is_none_or(|mark| {
                attach.is_cancelled() || attach.sequence.is_some_and(|n| n <= mark.sequence)
            });
            wanted.instance == ask.instance && named && old_enough
        };
        if ask.dry_run || self.state.in_flight.wait(wait, concerns) {
            return Ok(());
        }
        Err(ControlError::Waiting {
            volume: format!("the disks of {}", ask.instance),
            seconds: wait.as_secs(),
        })
    }

    fn selected(&self, ask: &DetachRequest) -> Vec<StoredAttachment> {
        let boot_id = self.ports.machine.boot_id();
        let renamed = self.renamed(ask);
        let wanted = |a: &&StoredAttachment| {
            let named = ask.volumes.is_empty()
                || names(&ask.volumes, &a.volume)
                || renamed.contains(&a.volume.id);
            let old_enough = ask.not_after.as_ref().is_none_or(|mark| {
                mark.boot_id == boot_id && a.boot_id == boot_id && a.sequence <= mark.sequence
            });
            named && old_enough
        };
        self.state
            .attachment_table()
            .of_instance(ask.instance)
            .filter(wanted)
            .cloned()
            .collect()
    }

    /// Volumes asked for by a name that none of the instance's attachments has: by the name they have
    /// now. A path keeps the name that its volume had when it was attached, so that one counts first.
    fn renamed(&self, ask: &DetachRequest) -> BTreeSet<VolumeId> {
        let attachment_table = self.state.attachment_table();
        let of_instance = attachment_table.of_instance(ask.instance);
        let has: Vec<StoredAttachment> = of_instance.cloned().collect();
        drop(attachment_table);
        let unknown = ask.volumes.iter();
        let unknown = unknown.filter(|named| {
            !has.iter()
                .any(|a| names(std::slice::from_ref(named), &a.volume))
        });
        let mut found = BTreeSet::new();
        for (pool, name) in unknown {
            if !has.iter().any(|a| a.volume.pool == *pool) {
                continue;
            }
            match self.ports.volumes.validated_pool(pool) {
                Ok(info) => found.extend(info.named(name).map(|v| v.volume.id)),
                Err(error) => {
                    let what =
                        format!("looking for {pool}/{name}, by which name nothing is attached");
                    self.trouble(what, &error);
                }
            }
        }
        found
    }

    fn detach_these(
        &self,
        ask: &DetachRequest,
        selected: &[StoredAttachment],
        done: &mut DetachDone,
    ) -> Result<(), ControlError> {
        if ask.dry_run {
            let leaving = self.leaving(ask.instance, selected);
            let plan = detach(&self.settings.node, ask.instance, &leaving);
            // No step of the detach, but what follows it, and what keeps others from the volume.
            let afterwards = plan
                .write_back
                .iter()
                .map(|volume| format!("write the copy of {volume} back, in the background"));
            let steps = plan.steps.iter().map(ToString::to_string);
            done.plan = steps.chain(afterwards).collect();
            return Ok(());
        }
        if selected.is_empty() {
            return Ok(());
        }
        let on_record = self.take_advice(ask, selected);
        let ended = self.execute_detach(ask.request, ask.instance, selected, done);
        if on_record {
            self.end_advice(ask.request, &ended);
        }
        ended
    }

    /// Plans, journals and runs a detach; asks nobody (I32). What is of one pool is one operation:
    /// a pool that does not answer keeps back no other's volumes.
    pub(crate) fn execute_detach(
        &self,
        request: RequestId,
        instance: InstanceId,
        selected: &[StoredAttachment],
        done: &mut DetachDone,
    ) -> Result<(), ControlError> {
        let mut pools: BTreeMap<&PoolName, Vec<StoredAttachment>> = BTreeMap::new();
        for attachment in selected {
            let of_pool = pools.entry(&attachment.volume.pool).or_default();
            of_pool.push(attachment.clone());
        }
        let mut causes = Vec::new();
        let mut unrecorded = None;
        for selected in pools.values() {
            match self.execute_in_pool(request, instance, selected, done) {
                Ok(()) => {}
                Err(ControlError::Quarantined { causes: more, .. }) => causes.extend(more),
                Err(error) => unrecorded = Some(error),
            }
        }
        match (causes.is_empty(), unrecorded) {
            (true, None) => Ok(()),
            (true, Some(error)) => Err(error),
            (false, _) => Err(ControlError::Quarantined { request, causes }),
        }
    }

    fn execute_in_pool(
        &self,
        request: RequestId,
        instance: InstanceId,
        selected: &[StoredAttachment],
        done: &mut DetachDone,
    ) -> Result<(), ControlError> {
        // To the end of all that follows: what fails is owed before this is dropped.
        let going = selected.iter().map(StoredAttachment::key);
        let _going = self.state.leaving.begin(going);
        let leaving = self.leaving(instance, selected);
        let plan = detach(&self.settings.node, instance, &leaving);
        let leaving = selected.iter().map(|attachment| LeavingVolume {
            volume: attachment.volume.clone(),
            then: afterwards(&plan, &attachment.volume),
        });
        let leaving: Vec<LeavingVolume> = leaving.collect();
        let operation = Operation::Detach {
            instance,
            steps: Marked::waiting(plan.steps),
            leaving: leaving.clone(),
        };
        self.last_use.leave(selected);
        let entry = self.engine.new_entry(request, operation);
        let begun = self
            .engine
            .begin(&entry)
            .map_err(|error| ControlError::State { error })?;
        match self
            .engine
            .execute(begun, &Cancellation::default(), UNASKED)
        {
            Ok(due) => {
                self.copies.start_write_backs(due);
                let let_go = leaving.iter().filter(|l| is_let_go(l));
                let let_go = let_go.map(|l| (l.volume.clone(), is_written_back(l)));
                done.detached.extend(let_go);
                let causes: Vec<String> = leaving.into_iter().filter_map(why_kept).collect();
                match causes.is_empty() {
                    true => Ok(()),
                    false => Err(ControlError::Quarantined { request, causes }),
                }
            }
            Err(ExecuteError::Owed { causes }) => {
                let cause = causes.last().cloned().unwrap_or_default();
                let recorded = begun.number.is_some();
                let volumes = leaving.into_iter().map(|l| (l.volume, cause.clone()));
                done.trying_again.extend(volumes);
                known(recorded, instance, cause)
            }
            Err(ExecuteError::Quarantined { causes, due }) => {
                self.copies.start_write_backs(due);
                self.note_let_go(instance, &leaving, done);
                Err(ControlError::Quarantined { request, causes })
            }
            // No step of a detach has an undo.
            Err(ExecuteError::Undone(failure)) => Err(ControlError::Quarantined {
                request,
                causes: vec![failure.cause()],
            }),
        }
    }

    /// What a detach let go, although others of its volumes need a person.
    fn note_let_go(&self, instance: InstanceId, leaving: &[LeavingVolume], done: &mut DetachDone) {
        let table = self.state.attachment_table();
        let has = |volume: VolumeId| table.has(AttachmentKey { volume, instance });
        let gone = leaving.iter().filter(|l| !has(l.volume.id));
        let gone = gone.map(|l| (l.volume.clone(), is_written_back(l)));
        done.detached.extend(gone);
    }

    fn trouble(&self, what: String, error: &PortError) {
        let reason = error.to_string();
        self.ports.events.tell(&Event::Trouble { what, reason });
    }
}

/// A detach that is tried again counts as accepted where its entry outlives this daemon; otherwise
/// whoever asked should remember it too.
fn known(recorded: bool, instance: InstanceId, cause: String) -> Result<(), ControlError> {
    if recorded {
        return Ok(());
    }
    let what = format!("the detach of {instance}'s disks, which failed for now");
    let error = PortError::Io {
        what,
        reason: cause,
    };
    Err(ControlError::State { error })
}

/// Whether that was the volume's name when it was attached: the one that its path has.
fn names(volumes: &[(PoolName, VolumeName)], volume: &VolumeRef) -> bool {
    let mut volumes = volumes.iter();
    volumes.any(|(pool, name)| *pool == volume.pool && *name == volume.name)
}

fn is_let_go(leaving: &LeavingVolume) -> bool {
    !matches!(leaving.then, Afterwards::Keep { .. })
}

fn is_written_back(leaving: &LeavingVolume) -> bool {
    leaving.then == Afterwards::WriteBack
}

fn why_kept(leaving: LeavingVolume) -> Option<String> {
    match leaving.then {
        Afterwards::Keep { why } => Some(why),
        Afterwards::Nothing | Afterwards::WriteBack => None,
    }
}

/// What becomes of a volume once the plan's steps are done.
fn afterwards(plan: &DetachPlan, volume: &VolumeRef) -> Afterwards {
    if let Some((_, why)) = plan.kept.iter().find(|(kept, _)| kept == volume) {
        let why = format!("lease and copy of {volume} are kept: {why}");
        return Afterwards::Keep { why };
    }
    match plan.write_back.contains(volume) {
        true => Afterwards::WriteBack,
        false => Afterwards::Nothing,
    }
}
