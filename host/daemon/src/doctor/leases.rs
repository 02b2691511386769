//! Leases that are lost or may be, and attachments that are cut off.

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_plan::fence::Standing;

use super::{bad, fine, in_pool, refusing};
use crate::wiring::Daemon;

/// What the leases of each shared pool are worth, and what is cut off.
pub(super) fn examine(daemon: &Daemon) -> Vec<DoctorCheck> {
    let mut checks: Vec<DoctorCheck> = Vec::new();
    for (pool, standing) in daemon.node.lease_standings() {
        let check = format!("lockspace of {pool}");
        let remedy = &format!(
            "look at the path to the LUN and at `systemctl status sanlock`; where the lockspace is not renewed again \
             by itself, restart this node; where sanlock has given it up and the LUN is back, stop what is attached \
             in {pool} here, then lvchange -an {pool}/volward-registry, vgchange --lock-stop {pool}, vgchange \
             --lock-start {pool}"
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
            Standing::Lost { reason, .. } => {
                refusing(bad(&check, DoctorVerdict::Failed, reason, remedy))
            }
        };
        checks.push(in_pool(said, &pool));
    }
    checks.extend(fenced(daemon));
    checks
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
