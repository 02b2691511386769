//! Guests whose start was asked for and never came: libvirtd that ends between `prepare` and the start
//! of qemu never says `release`, and nobody else knows that the guest is not there.

use std::collections::BTreeMap;
use std::time::Duration;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::{Clock, StoredAttachment};
use volward_model::{InstanceId, Origin, Purpose};

use super::bad;
use crate::system::SystemClock;
use crate::wiring::Daemon;

/// libvirt gives its hook a minute; qemu has its disks open seconds later, or after the memory of a
/// saved guest was read back.
const LATE: Duration = Duration::from_secs(10 * 60);

pub(super) fn examine(daemon: &Daemon) -> Vec<DoctorCheck> {
    let now = SystemClock::new().now_ms();
    let mut idle: BTreeMap<InstanceId, Vec<StoredAttachment>> = BTreeMap::new();
    for attachment in daemon.node.not_in_use() {
        let of = idle.entry(attachment.instance).or_default();
        of.push(attachment);
    }
    let late = idle.into_iter().filter_map(|(instance, disks)| {
        let since = disks.iter().map(|a| a.since_ms).max()?;
        let waiting = Duration::from_millis(now.saturating_sub(since));
        (waiting >= LATE && was_for_a_start(daemon, instance))
            .then(|| check(instance, &disks, waiting))
    });
    late.collect()
}

/// Whether libvirt's hook asked for them, so that a guest was to open them at once. What somebody
/// attached by hand may wait for its user.
fn was_for_a_start(daemon: &Daemon, instance: InstanceId) -> bool {
    let last = daemon.decisions.latest(&instance.to_string(), |logged| {
        logged.record.hook == "attach" && logged.record.facts.request.instance == instance
    });
    last.ok().flatten().is_some_and(|logged| {
        let request = &logged.record.facts.request;
        let starts = matches!(request.purpose, Purpose::Boot | Purpose::Restore);
        request.origin == Origin::Libvirt && starts
    })
}

fn check(instance: InstanceId, disks: &[StoredAttachment], waiting: Duration) -> DoctorCheck {
    let volumes: Vec<String> = disks.iter().map(|a| a.volume.to_string()).collect();
    bad(
        &format!("instance {instance}"),
        DoctorVerdict::Warning,
        format!(
            "libvirt asked for {} {} min ago to start it, and nothing has them open: libvirtd may have \
             ended during the start, and does not say then that there is no guest; other nodes are \
             refused meanwhile",
            volumes.join(", "),
            waiting.as_secs() / 60
        ),
        // Not done by itself: nobody can tell a start that is slow from one that is gone.
        format!(
            "see whether it runs (`virsh domstate {instance}`); where it does not, `volward detach \
             {instance}` frees them"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_volumes_time_and_what_to_do() {
        let instance: InstanceId = "11111111-2222-3333-4444-555555555555".parse().unwrap();
        let found = check(instance, &[], Duration::from_secs(14 * 60));
        assert_eq!(found.verdict, DoctorVerdict::Warning);
        assert!(!found.refuses_read_write);
        assert!(found.found.contains("14 min ago"), "{found:?}");
        let remedy = found.remedy.unwrap();
        assert!(remedy.contains("volward detach 11111111-"), "{remedy}");
    }
}
