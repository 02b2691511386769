//! How much of a hydration is on its way follows the guest's own I/O.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use volward_control::ports::PortError;
use volward_model::{Bytes, CopyMode, DeviceId, DeviceRole, VolumeRef};
use volward_simulation::story::attached;
use volward_simulation::{Daemon, Idle, Lab, Say, ask, detach_ask, disk, instance};

fn clone_of(volume: &VolumeRef) -> DeviceId {
    DeviceId {
        volume: volume.id,
        role: DeviceRole::Clone,
    }
}

/// Regions of 4 KiB in what the fake copies at a time, 64 KiB.
const REGIONS: u32 = 16;

/// The amounts at each look, where the guest's I/Os of the second before took so many microseconds
/// each; 0: it had none. `speed` times 64 KiB are copied in each.
fn looks(
    lab: &Lab,
    n1: &Daemon,
    volume: &VolumeRef,
    speed: u64,
    seconds: &[u64],
) -> Vec<(u32, u32)> {
    let (clone, id) = (clone_of(volume), volume.id);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, seconds) = (Arc::clone(&seen), seconds.to_vec());
    let (cluster, ticks) = (lab.cluster.clone(), seconds.len());
    n1.kernel.while_waiting(move |kernel, _| {
        let mut seen = noted.lock().unwrap();
        seen.push(kernel.amounts(clone).unwrap());
        let Some(each) = seconds.get(seen.len() - 1) else {
            drop(seen);
            Idle::now();
        };
        cluster.clock().advance(Duration::from_secs(1));
        kernel.hydrate(clone, speed).unwrap();
        if *each > 0 {
            let guest = DeviceId::attachment(id, instance(1));
            let each = Duration::from_micros(*each);
            kernel.guest_works(guest, 100, each).unwrap();
        }
    });
    n1.tasks.run_all();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), ticks + 1, "it ended before");
    seen.clone()
}

/// A volume of 4 GiB, which takes a minute to copy.
fn attached_large() -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1"]);
    // Room for it, in place of the one that is there.
    lab.cluster.local_pool("n1", "nvme-n1", Bytes::mib(8192));
    let n1 = lab.start("n1");
    lab.policy.say(Say::Copy(CopyMode::Background));
    let volume = lab.cluster.volume(&lab.pool, "large", Bytes::mib(4096));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    (lab, n1, volume)
}

#[test]
fn a_quiet_guest_gives_the_ceiling_and_one_whose_io_suffers_the_floor() {
    let (lab, n1, volume) = attached_large();
    let mut seconds = vec![0; 8];
    seconds.extend([500; 30]);
    // Ten times as long, and longer with each second.
    seconds.extend((1..12).map(|n| 5000 * n));
    seconds.extend([0; 8]);
    // Somewhat more than 64 MiB a second, of which a quarter is the ceiling.
    let seen = looks(&lab, &n1, &volume, 1100, &seconds);
    let (floor, ceiling) = (16 * REGIONS, 256 * REGIONS);
    assert_eq!(seen[0].0, floor, "as it is loaded");
    assert_eq!(seen[8].0, ceiling, "nothing to give way to: {seen:?}");
    assert_eq!(seen[9].0, floor, "at once: {seen:?}");
    assert_eq!(seen[38].0, ceiling, "it bears it");
    assert_eq!(seen[49].0, floor, "it does not: {seen:?}");
    assert_eq!(seen[57].0, ceiling, "quiet again: {seen:?}");
    assert!(seen.iter().all(|(threshold, batch)| batch <= threshold));
}

/// sanlock's renewals wait behind what is copied.
#[test]
fn i2_a_slow_lun_is_not_filled_however_quiet_the_guest_is() {
    let (lab, n1, volume) = attached_large();
    // 4 MiB a second.
    let seen = looks(&lab, &n1, &volume, 64, &[0; 20]);
    assert!(
        seen.iter().all(|(threshold, _)| *threshold == 16 * REGIONS),
        "{seen:?}"
    );
}

/// No guest is beside them, and sanlock is: the most is what a quarter of a second copies, and no less where that is enough.
#[test]
fn i2_a_copy_before_the_start_and_a_write_back_are_paced_too() {
    for (speed, most) in [(64, 16), (512, 128), (1100, 256)] {
        let lab = Lab::new(&["n1"]);
        lab.cluster.local_pool("n1", "nvme-n1", Bytes::mib(8192));
        let n1 = lab.start("n1");
        lab.policy.say(Say::Copy(CopyMode::BeforeStart));
        let volume = lab.cluster.volume(&lab.pool, "large", Bytes::mib(1024));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, cluster) = (Arc::clone(&seen), lab.cluster.clone());
        n1.kernel.while_waiting(move |kernel, id| {
            noted
                .lock()
                .unwrap()
                .push((id, kernel.amounts(id).unwrap().0));
            cluster.clock().advance(Duration::from_secs(1));
            kernel.hydrate(id, speed).unwrap();
        });
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        let seen = seen.lock().unwrap();
        for role in [DeviceRole::Clone, DeviceRole::Return] {
            let id = DeviceId {
                volume: volume.id,
                role,
            };
            let amounts = seen.iter().filter(|(of, _)| *of == id);
            let highest = amounts.map(|(_, threshold)| *threshold).max().unwrap();
            let most = most * REGIONS;
            assert!(
                highest <= most && highest + 1 >= most - most / 8,
                "{highest} of {most} at {speed} times 64 KiB a second"
            );
        }
    }
}

#[test]
fn a_copy_before_the_start_is_given_no_more_than_was_granted() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    lab.policy
        .say(Say::CopyWithin(CopyMode::BeforeStart, Bytes::kib(256)));
    let volume = lab.volume("a");
    let (clone, cluster) = (clone_of(&volume), lab.cluster.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    n1.kernel.while_waiting(move |kernel, _| {
        noted.lock().unwrap().push(kernel.amounts(clone).unwrap().0);
        cluster.clock().advance(Duration::from_secs(1));
        kernel.hydrate(clone, 4).unwrap();
    });
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let seen = seen.lock().unwrap();
    let granted = 4 * REGIONS;
    assert!(
        seen.len() > 4 && seen.iter().all(|n| *n == granted),
        "{seen:?}"
    );
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
