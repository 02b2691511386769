//! What the fakes can break, and what doctor says of it.

use std::sync::Arc;
use std::time::Duration;

use volward_api::DoctorVerdict;
use volward_control::ports::PortError;
use volward_model::{CopyMode, DeviceId, SlotReading};
use volward_simulation::{Say, detach_ask, instance};
use volward_storage::lvm::{DeviceEntry, MissingDisk, WhyMissing};

use super::Stage;

pub(super) struct Fault {
    pub(super) name: &'static str,
    /// What instance 1 has it with.
    pub(super) policy: Say,
    pub(super) inject: fn(&Stage),
    /// In doctor's words.
    pub(super) says: &'static str,
    pub(super) verdict: DoctorVerdict,
}

fn io() -> PortError {
    PortError::Io {
        what: "the LUN".into(),
        reason: "Input/output error".into(),
    }
}

fn detach(stage: &Stage) {
    // How it ends is what is looked at.
    drop(stage.n1.node.detach(&detach_ask(instance(1))));
}

fn fault(
    name: &'static str,
    inject: fn(&Stage),
    says: &'static str,
    verdict: DoctorVerdict,
) -> Fault {
    Fault {
        name,
        policy: Say::AsAsked,
        inject,
        says,
        verdict,
    }
}

/// Whoever adds a way to break the fakes adds what doctor says of it.
pub(super) fn faults() -> Vec<Fault> {
    use DoctorVerdict::{Failed, Warning};
    let with_copy = |fault| Fault {
        policy: Say::Copy(CopyMode::WritesOnly),
        ..fault
    };
    vec![
        fault(
            "a lease lost",
            |s| s.n1.kernel.lose_lease(s.volume.id),
            "its lease is not held so",
            Failed,
        ),
        fault(
            "lvmlockd died",
            |s| {
                s.n1.kernel.orphan_leases();
                // What LVM answers without it, in each pool.
                for _ in 0..2 {
                    s.n1.kernel.fail_on("activate", io());
                }
            },
            "lvmlockd that has died",
            Failed,
        ),
        fault(
            "lockspaces that are not renewed",
            |s| {
                s.n1.kernel.set_renewed_ago(Duration::from_secs(500));
                s.n1.node.follow_leases();
                s.n1.tasks.run_all();
            },
            "500 s ago",
            Failed,
        ),
        fault(
            "no watchdog",
            |s| s.n1.kernel.set_watchdog(false),
            "without a watchdog",
            Failed,
        ),
        fault(
            "a detach that fails for now",
            |s| {
                s.n1.kernel.fail_on("deactivate", io());
                detach(s);
            },
            "is tried again",
            Warning,
        ),
        fault(
            "a device in use",
            |s| {
                s.n1.kernel
                    .set_open(DeviceId::attachment(s.volume.id, instance(1)), true);
                detach(s);
            },
            "quarantined",
            Failed,
        ),
        fault(
            "a slot that cannot be written",
            |s| {
                s.n1.kernel.fail_on("write-registry", io());
                detach(s);
            },
            "could not be written",
            Failed,
        ),
        fault(
            "a pool that fails",
            |s| s.n1.kernel.set_silent(&s.lab.pool, true),
            "Input/output error",
            Failed,
        ),
        fault(
            "a local pool that fails",
            |s| s.n1.kernel.set_silent(&s.lab.local("n1").unwrap(), true),
            "no copies can be made here",
            Failed,
        ),
        with_copy(fault(
            "a local pool that fails and a tag that is lost",
            |s| {
                s.lab.cluster.tamper(&s.volume, |_, tags, _| tags.clear());
                s.n1.kernel.set_silent(&s.lab.local("n1").unwrap(), true);
            },
            "volume san/a",
            Failed,
        )),
        fault(
            "a pool that lacks a disk which is there",
            |s| lack(s, WhyMissing::NotListed { path: disk() }),
            "does not list /dev/sdc",
            Warning,
        ),
        fault(
            "a pool that lacks a disk which LVM calls missing",
            |s| lack(s, WhyMissing::Flagged { path: disk() }),
            "LVM's metadata that it is missing",
            Warning,
        ),
        fault(
            "a pool that lacks a disk",
            |s| lack(s, WhyMissing::Gone),
            "is on no device of this node",
            Warning,
        ),
        fault(
            "a local pool that lacks a disk",
            |s| s.lab.cluster.set_partial(&s.lab.local("n1").unwrap(), true),
            "no copies are made here",
            Warning,
        ),
        fault(
            "disks with other metadata",
            |s| s.disks.lock().unwrap().differing = vec!["/dev/sdb".to_owned(), disk()],
            "do not all hold the same metadata",
            Warning,
        ),
        fault(
            "a devices file with a disk that was taken out",
            |s| {
                let entry = DeviceEntry {
                    device: disk(),
                    pv: None,
                };
                s.disks.lock().unwrap().stale = vec![entry];
            },
            "still lists /dev/sdc",
            Warning,
        ),
        fault(
            "another node's broken slot",
            |s| {
                let reason = "damaged".to_owned();
                let broken = SlotReading::Broken { reason };
                s.lab.cluster.show_place_as(&s.lab.pool, "n2", Some(broken));
            },
            "cannot be read",
            Failed,
        ),
        fault(
            "another node of this name",
            impostor,
            "is called n1 too",
            Failed,
        ),
        with_copy(fault(
            "a home tag that is lost",
            |s| s.lab.cluster.tamper(&s.volume, |_, tags, _| tags.clear()),
            "contradicts itself",
            Failed,
        )),
        fault(
            "no dm-clone",
            |s| {
                s.n1.kernel
                    .set_dm_clone_unfit(Some("the module is not there"))
            },
            "the module is not there",
            Warning,
        ),
        fault(
            "a registry of 0.1.0",
            |s| s.lab.cluster.age_registry(&s.lab.pool),
            "layout of 0.1.0",
            Warning,
        ),
        fault(
            "a volume that was renamed",
            |s| drop(s.lab.cluster.rename(&s.volume, "b")),
            "is called san/b now",
            Warning,
        ),
        fault(
            "a volume that was removed",
            |s| s.lab.cluster.vanish(&s.volume),
            "not in the pool any more",
            Warning,
        ),
        fault(
            "a guest that was cut off",
            |s| {
                s.n1.node.fence(None, &[]);
                s.n1.node.follow_leases();
                s.n1.tasks.run_all();
            },
            "cut off",
            Failed,
        ),
    ]
}

fn disk() -> String {
    "/dev/sdc".to_owned()
}

fn lack(stage: &Stage, why: WhyMissing) {
    stage.lab.cluster.set_partial(&stage.lab.pool, true);
    let id = "p".repeat(32).parse().unwrap();
    stage.disks.lock().unwrap().missing = vec![MissingDisk { id, why }];
}

fn impostor(stage: &Stage) {
    let snapshot = stage.n1.node.pool_snapshot(&stage.lab.pool).unwrap();
    let theirs = snapshot.live_slots().next().unwrap().clone();
    let renamed = volward_model::Slot {
        node: stage.n1.node.settings().node.clone(),
        ..theirs
    };
    let reading = SlotReading::Good {
        slot: Arc::new(renamed),
        torn: false,
    };
    stage
        .lab
        .cluster
        .show_place_as(&stage.lab.pool, "n2", Some(reading));
}
