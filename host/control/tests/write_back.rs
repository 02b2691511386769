//! Writing back what is in the copy and nothing else, compared over whole volumes (I24).

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use volward_control::ports::{Devices, PortError};
use volward_model::{CopyMode, DeviceId, DeviceRole, VolumeRef};
use volward_simulation::check::clean;
use volward_simulation::story::attached;
use volward_simulation::{Daemon, Lab, Say, detach_ask, instance};

fn device(volume: &VolumeRef, role: DeviceRole) -> DeviceId {
    DeviceId {
        volume: volume.id,
        role,
    }
}

/// Regions in the copy, and in all.
fn in_copy(daemon: &Daemon, volume: &VolumeRef) -> (u64, u64) {
    let status = daemon
        .kernel
        .clone_status(device(volume, DeviceRole::Clone))
        .unwrap()
        .unwrap();
    (status.hydrated, status.total)
}

/// Detaches, and says how many regions dm-clone has copied home.
fn goes_home(daemon: &Daemon, volume: &VolumeRef) -> u64 {
    let (moved, back) = (
        Arc::new(AtomicU64::new(0)),
        device(volume, DeviceRole::Return),
    );
    let count = Arc::clone(&moved);
    daemon.kernel.while_waiting(move |kernel, id| {
        // The fake copies 64 KiB at a time, regions have 4 KiB.
        let copied = 16 * kernel.hydrate(id, 3).unwrap();
        if id == back {
            count.fetch_add(copied, Ordering::SeqCst);
        }
    });
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    daemon.tasks.run_all();
    moved.load(Ordering::SeqCst)
}

fn write(lab: &Lab, daemon: &Daemon, volume: &VolumeRef, blocks: &[u64]) {
    for block in blocks {
        let write = (*block, 70_000 + block);
        lab.write(&daemon.kernel, volume.id, instance(1), write)
            .unwrap();
    }
}

#[test]
fn i24_only_what_is_in_the_copy_is_written_back() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, &[3, 4, 17]);
    let (copied, total) = in_copy(&n1, &volume);
    assert!(copied < total / 2, "{copied} of {total}");
    assert_eq!(goes_home(&n1, &volume), copied);
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

#[test]
fn a_copy_that_nobody_wrote_to_moves_nothing() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    assert_eq!(goes_home(&n1, &volume), 0);
    assert_eq!(clean(&lab, &n1), [""; 0]);
    assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
}

/// Metadata that cannot be read, that is not the latest, and a kernel that takes no discards.
#[test]
fn i24_where_nobody_can_tell_what_is_in_the_copy_all_of_it_is_written_back() {
    let error = || PortError::Io {
        what: "a test".into(),
        reason: "a test's failure".into(),
    };
    for doubt in ["regions", "lags", "pass-over"] {
        let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
        write(&lab, &n1, &volume, &[3, 4, 17]);
        let (_, total) = in_copy(&n1, &volume);
        match doubt {
            "lags" => n1.kernel.set_metadata_lags(true),
            call => n1.kernel.fail_on(call, error()),
        }
        assert_eq!(goes_home(&n1, &volume), total, "{doubt}");
        assert_eq!(clean(&lab, &n1), [""; 0], "{doubt}");
        let contents = lab.cluster.contents(volume.id);
        assert_eq!(contents, lab.expected(volume.id), "{doubt}");
    }
}

/// Something is added to the copy after its metadata was read: then what was read proves nothing.
#[test]
fn i24_a_region_that_comes_while_it_is_looked_at_is_written_back() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, &[3]);
    let (_, total) = in_copy(&n1, &volume);
    let (kernel, clone) = (n1.kernel.clone(), device(&volume, DeviceRole::Clone));
    n1.kernel.before("regions", move |_| {
        let after = kernel.clone();
        // The next look at the status is the one that follows the metadata.
        kernel.before("clone-status", move |_| {
            after.guest_write(clone, 20, 99).unwrap();
        });
    });
    assert_eq!(goes_home(&n1, &volume), total);
    assert_eq!(lab.cluster.contents(volume.id)[20], 99);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Guests write, dm-clone copies, the daemon dies and the node boots, in any order.
    #[test]
    fn i24_no_write_is_passed_over_whatever_came_before(
        steps in proptest::collection::vec((0u64..32, 0u64..4, 0u8..8), 0..12),
    ) {
        let (lab, mut n1, volume) = attached(Say::Copy(CopyMode::Background));
        for (n, (block, copied, then)) in steps.into_iter().enumerate() {
            let write = (block, 80_000 + n as u64);
            lab.write(&n1.kernel, volume.id, instance(1), write).unwrap();
            n1.kernel.hydrate(device(&volume, DeviceRole::Clone), copied).unwrap();
            if then == 0 {
                n1.kill();
                n1 = lab.start("n1");
            }
        }
        goes_home(&n1, &volume);
        prop_assert_eq!(clean(&lab, &n1), [""; 0]);
        prop_assert_eq!(lab.cluster.contents(volume.id), lab.expected(volume.id));
    }
}
