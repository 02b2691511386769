//! What `doctor` looks at that may hang: each pool, and LVM. All are looked at side by side; one that does
//! not answer is said not to, and keeps back nothing that is known of the others.

use std::sync::Arc;
use std::time::Duration;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_model::PoolName;

use super::{bad, copies, in_pool, leases, lvm, pools};
use crate::config::{PoolKind, PoolSection};
use crate::looks::{Look, Work};
use crate::wiring::Daemon;

/// What was found, of all of them.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) checks: Vec<DoctorCheck>,
    /// Attachments, leases and sharing that cannot all be true at once, or that nobody can compare.
    pub(super) inconsistent: Vec<String>,
    /// One for each volume that somebody should look at.
    pub(super) volumes: Vec<DoctorCheck>,
    /// Shared pools that did not answer in time.
    pub(super) unanswered: Vec<PoolName>,
}

pub(super) fn look(daemon: &Arc<Daemon>) -> Looked {
    let sections = &daemon.config.pool;
    let mut looks: Vec<Work<Looked>> = sections.iter().map(|pool| at_pool(daemon, pool)).collect();
    let of = Arc::clone(daemon);
    let at_lvm = move || Looked {
        checks: lvm::examine(&of),
        ..Looked::default()
    };
    looks.push(("LVM".to_owned(), Box::new(at_lvm)));
    let mut all = Looked::default();
    for (at, (what, look)) in daemon.looks.at_all(looks).into_iter().enumerate() {
        let one = match (look, sections.get(at)) {
            (Look::Seen(one), _) => one,
            (Look::Silent(time), Some(pool)) => silent_pool(daemon, &what, pool, time),
            (Look::Silent(time), None) => Looked {
                checks: vec![bad(
                    &what,
                    DoctorVerdict::Warning,
                    format!("has not answered for {} s", time.as_secs()),
                    "look at the disks that LVM reads (dmesg, `lvs -vvvv`)",
                )],
                ..Looked::default()
            },
        };
        all.checks.extend(one.checks);
        all.inconsistent.extend(one.inconsistent);
        all.volumes.extend(one.volumes);
        all.unanswered.extend(one.unanswered);
    }
    all
}

fn at_pool(daemon: &Arc<Daemon>, pool: &PoolSection) -> Work<Looked> {
    let (of, pool) = (Arc::clone(daemon), pool.clone());
    let what = name(&pool);
    let look = move || match pool.kind {
        PoolKind::Local => Looked {
            checks: pools::examine(&of, &pool),
            ..Looked::default()
        },
        PoolKind::Shared => {
            let mut checks = pools::examine(&of, &pool);
            // That it cannot be asked is among the checks already.
            let status = of.leases.status(&pool.name).ok();
            checks.extend(status.and_then(|status| leases::orphans(&pool, &status)));
            let checks = checks.into_iter();
            Looked {
                checks: checks.map(|check| in_pool(check, &pool.name)).collect(),
                inconsistent: of.node.inconsistencies_in(&pool.name),
                volumes: copies::volumes(&of, &pool.name),
                unanswered: Vec::new(),
            }
        }
    };
    (what, Box::new(look))
}

fn name(pool: &PoolSection) -> String {
    match pool.kind {
        PoolKind::Shared => format!("pool {}", pool.name),
        PoolKind::Local => format!("local pool {}", pool.name),
    }
}

fn silent_pool(daemon: &Daemon, what: &str, pool: &PoolSection, time: Duration) -> Looked {
    let found = format!("has not answered for {} s", time.as_secs());
    let remedy = "look at its disks and the paths to them (dmesg, multipath -ll) and at `sanlock client \
                  status`; other pools are served meanwhile";
    let failed = |found| bad(what, DoctorVerdict::Failed, found, remedy);
    match pool.kind {
        PoolKind::Local => {
            let found = format!(
                "{found}; no copies can be made here, and volumes whose copy is here are refused; all \
                 others are served from their pools"
            );
            Looked {
                checks: vec![failed(found)],
                ..Looked::default()
            }
        }
        // A look that is late is no refusal: an attach has more time, and may well be served.
        PoolKind::Shared => Looked {
            checks: vec![failed(found)],
            inconsistent: not_compared(daemon, &pool.name).into_iter().collect(),
            volumes: Vec::new(),
            unanswered: vec![pool.name.clone()],
        },
    }
}

/// A sentence where there are attachments whose leases nobody could be asked for.
pub(crate) fn not_compared(daemon: &Daemon, pool: &PoolName) -> Option<String> {
    let attachments = daemon.node.attachments();
    let count = attachments
        .iter()
        .filter(|a| a.volume.pool == *pool)
        .count();
    (count > 0).then(|| {
        format!(
            "whether the leases of {count} attachment(s) in pool {pool} are held cannot be said: it does \
             not answer"
        )
    })
}
