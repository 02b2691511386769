//! How much of a hydration is on its way follows the guest's own I/O.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use volward_control::ports::PortError;
use volward_model::{CopyMode, DeviceId, DeviceRole, VolumeRef};
use volward_simulation::story::attached;
use volward_simulation::{Daemon, Idle, Say};

fn clone_of(volume: &VolumeRef) -> DeviceId {
    DeviceId {
        volume: volume.id,
        role: DeviceRole::Clone,
    }
}

/// The amounts at each look, where the guest's I/Os of the second before took so many microseconds
/// each; 0: it had none. Nothing is copied meanwhile.
fn looks(n1: &Daemon, volume: &VolumeRef, seconds: &[u64]) -> Vec<(u32, u32)> {
    let (clone, id) = (clone_of(volume), volume.id);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, seconds) = (Arc::clone(&seen), seconds.to_vec());
    n1.kernel.while_waiting(move |kernel, _| {
        let mut seen = noted.lock().unwrap();
        seen.push(kernel.amounts(clone).unwrap());
        let Some(each) = seconds.get(seen.len() - 1) else {
            drop(seen);
            Idle::now();
        };
        if *each > 0 {
            let guest = DeviceId::attachment(id, volward_simulation::instance(1));
            let each = Duration::from_micros(*each);
            kernel.guest_works(guest, 100, each).unwrap();
        }
    });
    n1.tasks.run_all();
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn a_quiet_guest_gives_the_ceiling_and_one_whose_io_suffers_the_floor() {
    let (_lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    let mut seconds = vec![0; 3];
    seconds.extend([500; 30]);
    // Ten times as long, and longer with each second.
    seconds.extend((1..12).map(|n| 5000 * n));
    seconds.extend([0; 12]);
    let seen = looks(&n1, &volume, &seconds);
    let ceiling = seen[0].0;
    assert_eq!(seen[3].0, ceiling, "nothing to give way to");
    assert_eq!(seen[4].0, ceiling / 16, "at once: {seen:?}");
    assert_eq!(seen[33].0, ceiling, "it bears it");
    assert_eq!(seen[44].0, seen[4].0, "it does not: {seen:?}");
    assert_eq!(seen[56].0, ceiling, "quiet again");
    assert!(seen.iter().all(|(threshold, batch)| batch <= threshold));
}

/// Whoever cannot see what the guest does copies on as before.
#[test]
fn a_kernel_that_does_not_tell_of_the_guests_io_keeps_nothing_from_being_copied() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    for _ in 0..100 {
        let error = PortError::Io {
            what: "a test".into(),
            reason: "no stat".into(),
        };
        n1.kernel.fail_on("io", error);
    }
    n1.tasks.run_all();
    assert_eq!(volward_simulation::check::settled(&lab, &n1), [""; 0]);
    assert_eq!(n1.kernel.amounts(clone_of(&volume)), None, "linear");
}
