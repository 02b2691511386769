//! Leases that are lost or may be, and attachments that are cut off.

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::{LeaseStatus, PortError, Unmet};
use volward_model::PoolName;
use volward_plan::HostIdTaken;
use volward_plan::fence::Standing;

use super::{bad, fine, in_pool, refusing};
use crate::config::{PoolSection, Provider};
use crate::wiring::Daemon;

/// What waits for lvmlockd where volwardd takes the leases.
pub(super) const WAITS_DIRECT: &str = "local copies, and volumes that are neither linear nor striped, are neither \
                                       attached nor detached, and no volume is made, changed or deleted";

/// What the leases of each shared pool are worth, and what is cut off.
pub(super) fn examine(daemon: &Daemon) -> Vec<DoctorCheck> {
    let mut checks: Vec<DoctorCheck> = Vec::new();
    for (pool, standing) in daemon.node.lease_standings() {
        let check = format!("lockspace of {pool}");
        let rejoin = &format!(
            "stop what is attached in {pool} here, then lvchange -an {pool}/volward-registry, vgchange --lock-stop \
             {pool}, vgchange --lock-start {pool}; where one of these hangs, restart this node"
        );
        let remedy = &format!(
            "look at the path to the LUN and at `systemctl status sanlock`; where the lockspace is not renewed again \
             by itself, restart this node; where sanlock has given it up and the LUN is back, {rejoin}"
        );
        let seconds = |time: std::time::Duration| time.as_secs();
        let said = match standing {
            Standing::Unknown => fine(&check, "not followed yet"),
            Standing::Sound => fine(&check, "renewed"),
            Standing::Late { ago, cut_in } => refusing(bad(
                &check,
                DoctorVerdict::Failed,
                format!(
                    "last renewed {} s ago; attachments are cut off in {} s",
                    seconds(ago),
                    seconds(cut_in)
                ),
                remedy,
            )),
            Standing::Leaving => refusing(bad(
                &check,
                DoctorVerdict::Failed,
                "sanlock was told to leave it, and does so once nothing of the pool is attached here: what is attached goes on, \
                 and nothing else can be attached",
                rejoin,
            )),
            Standing::Lost { reason, .. } => {
                let taken = taken(daemon, &pool);
                let remedy = taken.map_or_else(|| remedy.clone(), |taken| taken.remedy(&pool));
                refusing(bad(&check, DoctorVerdict::Failed, reason, remedy))
            }
        };
        checks.push(in_pool(said, &pool));
    }
    checks.extend(fenced(daemon));
    checks
}

/// Another node has this one's place in the lockspace: nothing else is to be mended then.
fn taken(daemon: &Daemon, pool: &PoolName) -> Option<HostIdTaken> {
    match daemon.leases.status(pool) {
        Err(PortError::Unmet(Unmet::NotJoined { taken, .. })) => taken,
        _ => None,
    }
}

fn fenced(daemon: &Daemon) -> Option<DoctorCheck> {
    let fenced = daemon.node.fenced();
    let attachments = daemon.node.attachments();
    let lines: Vec<String> = attachments
        .iter()
        .filter_map(|a| {
            let fenced = fenced.get(&a.key())?;
            let how = if fenced.cut {
                "cut off"
            } else {
                "to be cut off"
            };
            let (volume, instance, reason) = (&a.volume, a.instance, &fenced.reason);
            Some(format!(
                "{volume} of instance {instance} is {how}: {reason}"
            ))
        })
        .collect();
    let by_itself = fenced.values().find_map(|f| daemon.node.comes_back(f));
    let by_hand = "`volward unfence INSTANCE` gives I/O back where nobody can have had the volume \
                   meanwhile; else stop the guest, which releases it";
    let remedy = match by_itself {
        None => by_hand.to_owned(),
        Some(pause) => format!(
            "what lost its leases gets its I/O back by itself when they have been sound for {} s, or \
             longer where that happened before; {by_hand}",
            pause.as_secs()
        ),
    };
    (!lines.is_empty()).then(|| bad("fenced", DoctorVerdict::Failed, lines.join("; "), remedy))
}

/// Leases that belong to an lvmlockd that has died: until a new one adopts them, no lease can be taken or given up
/// through it. volwardd's own are none of them: it adopts these itself.
pub(super) fn orphans(pool: &PoolSection, status: &LeaseStatus) -> Option<DoctorCheck> {
    // Of a lockspace that fails volwardd has let its own go, and what to do is said of the lockspace.
    if status.freshness.is_failing() {
        return None;
    }
    let count = status.held.values().filter(|lease| lease.orphan).count();
    let (waits, all_wait) = match pool.provider() {
        Some(Provider::Direct) => (WAITS_DIRECT, false),
        Some(Provider::Lvmlockd) | None => ("nothing is attached or detached", true),
    };
    let orphaned = bad(
        &format!("leases of {}", pool.name),
        DoctorVerdict::Failed,
        format!("{count} belong to an lvmlockd that has died: {waits} until one adopts them"),
        "restart lvmlockd with --adopt 1 (systemctl edit lvmlockd, systemctl restart lvmlockd); \
         guests go on meanwhile",
    );
    (count > 0).then(|| {
        if all_wait {
            refusing(orphaned)
        } else {
            orphaned
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PoolKind;

    #[test]
    fn orphaned_leases_refuse_and_the_remedy_is_adoption() {
        let status = |orphan| {
            let lease = volward_model::HeldLease {
                mode: volward_model::LeaseMode::Exclusive,
                version: 1,
                orphan,
            };
            LeaseStatus {
                held: [("a".repeat(32).parse().unwrap(), lease)].into(),
                by_hand: [].into(),
                watchdog_armed: true,
                freshness: volward_control::ports::Freshness::Unknown,
                generation: None,
            }
        };
        let pool = |provider| PoolSection {
            name: "vg0".parse().unwrap(),
            kind: PoolKind::Shared,
            devices_file: None,
            provider: Some(provider),
            wipe: None,
        };
        let direct = orphans(&pool(Provider::Direct), &status(true)).unwrap();
        assert!(!direct.refuses_read_write, "{direct:?}");
        assert!(direct.found.contains("local copies"), "{direct:?}");
        let pool = pool(Provider::Lvmlockd);
        assert_eq!(orphans(&pool, &status(false)), None);
        let found = orphans(&pool, &status(true)).unwrap();
        assert!(found.refuses_read_write, "{found:?}");
        assert!(found.remedy.unwrap().contains("--adopt 1"));
        let mut failing = status(true);
        failing.freshness = volward_control::ports::Freshness::Renewed {
            ago: std::time::Duration::from_secs(60),
            expires_after: std::time::Duration::from_secs(80),
        };
        assert_eq!(orphans(&pool, &failing), None);
    }
}
