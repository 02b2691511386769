//! What is missing on this node, in the order of a bring-up, each with its remedy.

use std::sync::Arc;

use volward_api::{DoctorCheck, DoctorReply, DoctorVerdict};
use volward_control::ports::StoredAttachment;
use volward_control::{Operated, Unfinished};
use volward_model::{AttachmentState, PoolName};
use volward_plan::fence::Standing;
use volward_plan::permit::{Account, Unasked, permit, unasked};
use volward_plan::{Action, CallerKind};
use volward_policy::{Level, PluginState, PluginStatus, Stray};

use crate::config::{PoolKind, Switch};
use crate::http::policies::{differing, rolled_back};
use crate::http::rights::uids_of;
use crate::wiring::Daemon;

mod copies;
mod disks;
mod groups;
pub(crate) mod known;
mod leases;
mod libvirt;
mod lvm;
mod order;
mod pools;
mod sides;
mod starts;
mod state;
mod system;

pub(crate) use sides::not_compared;

/// What `GET /v1/doctor` answers.
pub(crate) fn reply(daemon: &Arc<Daemon>) -> DoctorReply {
    let pools = &daemon.node.settings().pools;
    let few = |(few, _): (String, String)| few;
    let (checks, unanswered) = examine(daemon);
    DoctorReply {
        checks,
        unanswered: unanswered.iter().map(ToString::to_string).collect(),
        pools: pools.iter().map(ToString::to_string).collect(),
        cut_off: known::cut_off(daemon).into_iter().map(few).collect(),
        unfinished: known::unfinished(daemon).into_iter().map(few).collect(),
    }
}

/// Every check, and the shared pools that did not answer. What may hang is looked at side by side, and not waited
/// for longer than somebody waits for an answer.
fn examine(daemon: &Arc<Daemon>) -> (Vec<DoctorCheck>, Vec<PoolName>) {
    let probes = &*daemon.probes;
    let mut checks = vec![
        system::tools(probes, &daemon.tools, &daemon.workbench),
        system::sanlock(probes, daemon.node.settings().node.as_str()),
        system::watchdog(daemon),
        system::lvmlockd(probes, &daemon.config.pool, is_joined(daemon)),
        system::lvm_locking(probes),
        system::configuration(daemon),
        state::examine(daemon),
        state::decisions(&daemon.decisions),
        system::clone_target(daemon),
    ];
    let looked = sides::look(daemon);
    checks.extend(looked.checks);
    let mut pools = daemon.config.pool.iter();
    if !pools.any(|pool| pool.kind == PoolKind::Shared) {
        let remedy = "add a [[pool]] section to /etc/volward/volward.toml, for the volume group on the \
                      LUN";
        checks.push(refusing(bad(
            "pools",
            DoctorVerdict::Failed,
            "no shared pool is configured",
            remedy,
        )));
    }
    checks.push(callers(daemon));
    checks.push(permitted(daemon));
    checks.push(done_unasked(daemon));
    checks.push(libvirt::hook(probes));
    checks.push(order::examine(probes));
    checks.extend(policies(daemon));
    checks.extend(system::exchanged(&daemon.held));
    checks.extend(leases::examine(daemon));
    checks.push(consistency(daemon, looked.inconsistent));
    checks.extend(unfinished(&daemon.node.unfinished()));
    checks.extend(operations(&daemon.node.operations()));
    checks.extend(copies::examine(daemon));
    checks.extend(looked.volumes);
    checks.extend(starts::examine(daemon));
    (checks, looked.unanswered)
}

/// Whether this node is in the lockspace of some pool.
fn is_joined(daemon: &Daemon) -> bool {
    let standings = daemon.node.lease_standings();
    let mut each = standings.iter().map(|(_, standing)| standing);
    each.any(|standing| {
        matches!(
            standing,
            Standing::Sound | Standing::Late { .. } | Standing::Leaving
        )
    })
}

fn fine(name: &str, found: impl Into<String>) -> DoctorCheck {
    DoctorCheck {
        name: name.to_owned(),
        verdict: DoctorVerdict::Ok.into(),
        found: found.into(),
        remedy: None,
        refuses_read_write: false,
        pools: Vec::new(),
    }
}

fn bad(
    name: &str,
    verdict: DoctorVerdict,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> DoctorCheck {
    DoctorCheck {
        verdict: verdict.into(),
        remedy: Some(remedy.into()),
        ..fine(name, found)
    }
}

/// Who may ask.
fn callers(daemon: &Daemon) -> DoctorCheck {
    let kinds = CallerKind::ALL.into_iter().filter_map(|kind| {
        let uids = uids_of(kind, &daemon.config.api);
        let uids: Vec<String> = uids.iter().map(ToString::to_string).collect();
        (!uids.is_empty()).then(|| format!("{kind} ({})", uids.join(", ")))
    });
    let kinds: Vec<String> = kinds.collect();
    fine("callers", kinds.join("; "))
}

/// What is done here, and for whom: this node's part of the matrix.
fn permitted(daemon: &Daemon) -> DoctorCheck {
    let roles = daemon.node.settings().roles;
    let rows = Action::ALL.into_iter().map(|action| {
        let may = |kind: &CallerKind| permit(action, *kind, roles).is_ok();
        let kinds: Vec<String> = CallerKind::ALL
            .into_iter()
            .filter(may)
            .map(|kind| kind.to_string())
            .collect();
        match kinds.is_empty() {
            true => format!("{action}: nobody here"),
            false => format!("{action}: {}", kinds.join(", ")),
        }
    });
    let rows: Vec<String> = rows.collect();
    fine(
        "permitted",
        format!("the node is {roles}; {}", rows.join("; ")),
    )
}

/// What is done here without a caller: this node's part of the second table.
fn done_unasked(daemon: &Daemon) -> DoctorCheck {
    let roles = daemon.node.settings().roles;
    let of = |account: Account| {
        let rows = Unasked::ALL.into_iter().filter(|what| {
            let (whose, on) = unasked(*what);
            whose == account && on.is_met_by(roles)
        });
        let rows: Vec<String> = rows.map(|what| what.to_string()).collect();
        let rows = match rows.is_empty() {
            true => "nothing here".to_owned(),
            false => rows.join(", "),
        };
        format!("{account}: {rows}")
    };
    let parts = [Account::Own, Account::AnotherNode].map(of);
    fine("unasked", parts.join("; "))
}

fn policies(daemon: &Daemon) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    if daemon.config.policy.baseline == Switch::Off {
        checks.push(bad(
            "baseline policy",
            DoctorVerdict::Warning,
            "switched off: what the folder's policies allow is allowed",
            "remove baseline = \"off\" from [policy]",
        ));
    }
    if let Some(reason) = daemon.policies.closed() {
        checks.push(state::policies(&reason));
        return checks;
    }
    checks.extend(daemon.policies.status().into_iter().map(policy));
    checks.extend(daemon.policies.strays().into_iter().map(stray));
    checks
}

/// A file that somebody put there to count, and that does not.
fn stray(stray: Stray) -> DoctorCheck {
    let folder = "rename or remove it; `volward policy ls` shows what is read";
    bad(
        "policies folder",
        DoctorVerdict::Warning,
        format!("{} does not count: {}", stray.file, stray.reason),
        folder,
    )
}

fn policy(policy: PluginStatus) -> DoctorCheck {
    let check = format!("policy {}", policy.name);
    let remedy = policy_remedy(&policy);
    match policy.state {
        PluginState::Serving => fine(&check, format!("{}, serving", policy.level)),
        PluginState::Off => fine(&check, "off"),
        PluginState::Kept { reason } => bad(
            &check,
            DoctorVerdict::Warning,
            format!("the last good one serves; what is in the folder cannot be loaded: {reason}"),
            remedy,
        ),
        PluginState::RolledBack { from } => bad(
            &check,
            DoctorVerdict::Warning,
            rolled_back(
                &policy.name,
                &policy.digest,
                &from,
                &differing(&policy.meant),
            ),
            "mend it and drop it in again: the rollback is over by itself then",
        ),
        PluginState::Waiting { reason, refuses } if refuses && policy.level != Level::Monitor => {
            refusing(bad(
                &check,
                DoctorVerdict::Failed,
                format!("not loaded yet: {reason}; every attach is refused until it is"),
                remedy,
            ))
        }
        PluginState::Waiting { reason, .. } => bad(
            &check,
            DoctorVerdict::Warning,
            format!(
                "not loaded yet: {reason}; attaches are decided without it until then, as before"
            ),
            remedy,
        ),
        PluginState::Refused { reason } if policy.level == Level::Monitor => bad(
            &check,
            DoctorVerdict::Warning,
            format!("could not be loaded: {reason}; its level is monitor, so nothing is refused"),
            remedy,
        ),
        PluginState::Refused { reason } => refusing(bad(
            &check,
            DoctorVerdict::Failed,
            format!("could not be loaded: {reason}; every attach is refused while it is there"),
            remedy,
        )),
    }
}

/// What becomes of it by itself, and what somebody has to do.
fn policy_remedy(policy: &PluginStatus) -> String {
    // No policy's name has a slash in it: this stands for the folder, of which nothing could be read.
    if policy.name.contains('/') {
        let folder = &policy.name;
        return format!(
            "make the folder, also where there are no policies (`mkdir -m 755 {folder}`), and give it to root \
             alone (`ls -ld {folder}`); if another one is meant, set `policies` under [paths] and restart \
             volwardd"
        );
    }
    match &policy.state {
        PluginState::Waiting { .. } => {
            "wait: it is loaded by itself, and `volward policy ls` shows how far that is".to_owned()
        }
        _ if policy.tried_again => {
            "it is tried again by itself, at once with `volward policy load`; if it \
             stays, mend what the message says"
                .to_owned()
        }
        _ => "mend or remove the file, then `volward policy load`".to_owned(),
    }
}

/// `in_pools`: what the looks at the pools have found.
fn consistency(daemon: &Daemon, in_pools: Vec<String>) -> DoctorCheck {
    let mut found = daemon.node.unwritten_slots();
    found.extend(in_pools);
    let attachments = daemon.node.attachments();
    if found.is_empty() {
        return fine("attachments", format!("{} on this node", attachments.len()));
    }
    let looks =
        "volward ls shows them, volward explain --volume POOL/NAME tells more of what is on record";
    let quarantined = |a: &StoredAttachment| a.state == AttachmentState::Quarantined;
    let remedy = match attachments.iter().any(quarantined) {
        true => format!(
            "{looks}; what is quarantined is detached when its guest ends, or by volward detach once nothing has \
             its device open"
        ),
        false => format!("mend what it says; {looks}"),
    };
    bad(
        "attachments",
        DoctorVerdict::Failed,
        found.join("; "),
        remedy,
    )
}

/// One check for each operation that is tried again: nothing has to be done but what its cause says.
fn unfinished(found: &[Unfinished]) -> Vec<DoctorCheck> {
    let check = |one: &Unfinished| {
        bad(
            &format!("request {}", one.request),
            DoctorVerdict::Warning,
            one.sentence(),
            "mend what it says failed (dmesg, `sanlock client status`, `vgs`); it goes on by itself \
             then, at once with `volward detach`; only these volumes wait for it",
        )
    };
    found.iter().map(check).collect()
}

/// Operations on volumes that do not get on: their volumes are nobody's until they end.
fn operations(found: &[Operated]) -> Vec<DoctorCheck> {
    let stuck = found.iter().filter_map(|one| {
        let trouble = one.trouble.as_ref().filter(|_| one.operation.end().is_none())?;
        let (id, task) = (&one.operation.id, &one.operation.task);
        Some(bad(
            &format!("operation {id}"),
            DoctorVerdict::Warning,
            format!("{task}: {trouble}; failed {} time(s), tried again", one.failures),
            format!(
                "mend what it says failed; it goes on by itself then, and `volward op cancel {id}` has it \
                 taken back where that is possible"
            ),
        ))
    });
    stuck.collect()
}

fn refusing(check: DoctorCheck) -> DoctorCheck {
    DoctorCheck {
        refuses_read_write: true,
        ..check
    }
}

/// The same, where it is about one pool: the others are served.
fn in_pool(check: DoctorCheck, pool: &PoolName) -> DoctorCheck {
    let pools = match check.refuses_read_write {
        true => vec![pool.to_string()],
        false => Vec::new(),
    };
    DoctorCheck { pools, ..check }
}

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod tests;
