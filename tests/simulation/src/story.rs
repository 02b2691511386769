//! How many tests begin, and what they ask in the end.
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ports::{Clock, PortError};
use volward_control::{AttachRequest, ControlError, Node};
use volward_model::{Home, VolumeRef};
use volward_plan::RefusalCode;

use crate::{Daemon, Lab, Say, ask, disk, instance};

/// A cluster of two nodes, and the daemon of the first.
#[must_use]
pub fn one_node() -> (Lab, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    let n1 = lab.start("n1");
    (lab, n1)
}

/// The same, where instance 1 has volume `a` and the policies say `say`.
#[must_use]
pub fn attached(say: Say) -> (Lab, Daemon, VolumeRef) {
    let (lab, n1) = one_node();
    lab.policy.say(say);
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    (lab, n1, volume)
}

/// Seconds go by, and each node looks at what the others say, tries again and works.
pub fn seconds(lab: &Lab, daemons: &[&Daemon], seconds: u64) {
    for _ in 0..seconds {
        for daemon in daemons {
            daemon.node.follow_migrations();
            daemon.node.try_again();
            daemon.tasks.run_all();
        }
        lab.cluster.clock().sleep(Duration::from_secs(1));
    }
}

/// Something that may pass.
#[must_use]
pub fn failure() -> PortError {
    PortError::Io {
        what: "a test".into(),
        reason: "a test's failure".into(),
    }
}

/// The volume's home, by its tags.
#[must_use]
pub fn home(lab: &Lab, volume: &VolumeRef) -> Home {
    let tags = lab.cluster.tags(volume);
    Home::from_tags(tags.iter().map(String::as_str)).unwrap()
}

/// The refusal of an attach that must be refused.
#[must_use]
pub fn refused(node: &Node, ask: &AttachRequest) -> (RefusalCode, String) {
    refusal(node.attach(ask))
}

/// The refusal of what must be refused.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, ControlError>) -> (RefusalCode, String) {
    match result {
        Err(ControlError::Refused { refusal, .. }) => (refusal.code, refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}

/// The daemon follows its leases and notes what it has written, so often that whatever is to be seen twice is. Whatever else waits
/// for the pool, which would be tried again for ever, stays.
pub fn follow(daemon: &Daemon) {
    for _ in 0..3 {
        daemon.node.follow_leases();
        for name in ["leases san", "record what was written last"] {
            daemon.tasks.run_named(name);
        }
    }
}
