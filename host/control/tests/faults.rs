//! Every fault that the fakes can inject is named by what doctor, `ls` and `explain` are made of:
//! none of them says that all is well.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use volward_control::VolumeTrouble;
use volward_control::ports::PortError;
use volward_model::{CopyMode, DeviceId, SlotReading, VolumeRef};
use volward_plan::RefusalCode;
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

/// All that a look at the node finds, a sentence each.
fn found(lab: &Lab, daemon: &Daemon) -> Vec<String> {
    let node = &daemon.node;
    let mut found = node.inconsistencies();
    found.extend(node.unfinished().iter().map(|one| one.sentence()));
    found.extend(
        node.to_look_at()
            .iter()
            .map(|(volume, trouble)| match trouble {
                VolumeTrouble::Contradiction(sentences) => {
                    format!("{volume}: {}", sentences.join("; "))
                }
                VolumeTrouble::Silent(why) => format!("{volume}: {why}"),
                VolumeTrouble::WaitsForItsGuest => format!("{volume} waits for its guest"),
            }),
    );
    match node.pool_snapshot(&lab.pool) {
        Ok(snapshot) => {
            found.extend(snapshot.impostors(&node.settings().node));
            found.extend(snapshot.unreadable());
            found.extend(snapshot.slot_troubles().into_iter().map(|t| t.trouble));
            if !snapshot.watchdog_armed {
                found.push("no watchdog".to_owned());
            }
        }
        Err(error) => found.push(error.to_string()),
    }
    found.extend(node.copies().iter().filter_map(|copy| copy.trouble.clone()));
    found
}

struct Fault {
    name: &'static str,
    inject: fn(&Lab, &Daemon, &VolumeRef),
    says: &'static str,
}

fn io() -> PortError {
    PortError::Io {
        what: "the LUN".into(),
        reason: "Input/output error".into(),
    }
}

fn detach(daemon: &Daemon) {
    // How it ends is what is looked at.
    drop(daemon.node.detach(&detach_ask(instance(1))));
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "a lease lost",
        inject: |_, n1, volume| n1.kernel.lose_lease(volume.id),
        says: "its lease is not held so",
    },
    Fault {
        name: "lvmlockd died",
        inject: |_, n1, _| n1.kernel.orphan_leases(),
        says: "is an orphan",
    },
    Fault {
        name: "a lockspace that is not renewed",
        inject: |_, n1, _| n1.kernel.set_renewed_ago(Duration::from_secs(500)),
        says: "was last renewed 500 s ago",
    },
    Fault {
        name: "no watchdog",
        inject: |_, n1, _| n1.kernel.set_watchdog(false),
        says: "no watchdog",
    },
    Fault {
        name: "a detach that fails for now",
        inject: |_, n1, _| {
            n1.kernel.fail_on("deactivate", io());
            detach(n1);
        },
        says: "is tried again",
    },
    Fault {
        name: "a device in use",
        inject: |_, n1, volume| {
            let id = DeviceId::attachment(volume.id, instance(1));
            n1.kernel.set_open(id, true);
            detach(n1);
        },
        says: "quarantined",
    },
    Fault {
        name: "a slot that cannot be written",
        inject: |_, n1, _| {
            n1.kernel.fail_on("write-registry", io());
            detach(n1);
        },
        says: "could not be written",
    },
    Fault {
        name: "a pool that does not answer",
        inject: |_, n1, _| {
            for _ in 0..3 {
                n1.kernel.fail_on("pool", io());
            }
        },
        says: "Input/output error",
    },
    Fault {
        name: "another node's broken slot",
        inject: |lab, _, _| {
            let reason = "damaged".to_owned();
            lab.cluster
                .show_place_as(&lab.pool, "n2", Some(SlotReading::Broken { reason }));
        },
        says: "cannot be read",
    },
    Fault {
        name: "a home tag that nobody set",
        inject: |lab, _, volume| {
            lab.cluster.tamper(volume, |_, tags, _| {
                tags.retain(|tag| !tag.starts_with("volward.home"));
            });
        },
        says: "san/a",
    },
];

#[test]
fn every_fault_is_named() {
    for fault in FAULTS {
        let lab = Lab::new(&["n1", "n2"]);
        lab.policy.say(Say::Copy(CopyMode::WritesOnly));
        let volume = lab.volume("a");
        lab.start("n2").kill();
        let n1 = lab.start("n1");
        if fault.name.starts_with("a home tag") {
            n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        } else {
            lab.policy.say(Say::AsAsked);
            n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
            assert_eq!(found(&lab, &n1), [""; 0], "before: {}", fault.name);
        }
        (fault.inject)(&lab, &n1, &volume);
        let found = found(&lab, &n1);
        let named = found.iter().any(|sentence| sentence.contains(fault.says));
        assert!(named, "{}: {found:?}", fault.name);
    }
}

/// Homes name nodes: two of one name take each other's copies for their own.
#[test]
fn two_nodes_of_one_name_are_found_and_refused() {
    let lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let snapshot = n1.node.pool_snapshot(&lab.pool).unwrap();
    let theirs = snapshot.live_slots().next().unwrap().clone();
    let renamed = volward_model::Slot {
        node: n1.node.settings().node.clone(),
        ..theirs
    };
    let reading = SlotReading::Good {
        slot: std::sync::Arc::new(renamed),
        torn: false,
    };
    lab.cluster.show_place_as(&lab.pool, "n2", Some(reading));
    let named = found(&lab, &n1);
    assert!(
        named.iter().any(|s| s.contains("is called n1 too")),
        "{named:?}"
    );
    let error = n1
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    let volward_control::ControlError::Refused { refusal, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(refusal.code, RefusalCode::SlotUnreadable);
    assert!(refusal.message.contains("called n1 too"), "{refusal}");
    // `ls --all` says so, too.
    let listed = n1.node.attachments_elsewhere().unreadable;
    assert!(
        listed.iter().any(|s| s.contains("is called n1 too")),
        "{listed:?}"
    );
    drop(n2);
}

/// sanlock looks at other nodes once in its renewal: a node that has just joined again may count as
/// dead, in the generation before.
#[test]
fn the_slot_of_a_node_that_has_just_joined_again_holds_what_it_names() {
    let lab = Lab::new(&["n1", "n2"]);
    let volume = lab.volume("a");
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    let snapshot = n1.node.pool_snapshot(&lab.pool).unwrap();
    let theirs = snapshot.live_slots().next().unwrap().clone();
    lab.cluster
        .set_member("n2", volward_model::MemberState::Dead);
    let shown = |generation| {
        let slot = volward_model::Slot {
            generation,
            ..theirs.clone()
        };
        let reading = SlotReading::Good {
            slot: std::sync::Arc::new(slot),
            torn: false,
        };
        lab.cluster.show_place_as(&lab.pool, "n2", Some(reading));
        n1.node.attachments_elsewhere().attachments.len()
    };
    assert_eq!(shown(theirs.generation), 0, "it is dead");
    assert_eq!(shown(theirs.generation + 1), 1, "it has joined again");
}

/// What is told on the other nodes fits whether a guest there has the volume or none does.
#[test]
fn a_volume_that_is_split_elsewhere_is_refused_with_the_way_out_that_there_is() {
    let lab = Lab::new(&["n1", "n2"]);
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let volume = lab.volume("a");
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let refused = || {
        let wants = ask(instance(2), &[disk(&volume)]);
        n2.node.attach(&wants).unwrap_err().to_string()
    };
    let said = refused();
    assert!(said.contains("stop its guest there"), "{said}");
    n1.kill();
    lab.reboot("n1");
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    let said = refused();
    assert!(
        said.contains("no guest there has it") && said.contains("attach and detach"),
        "{said}"
    );
}

#[test]
fn leases_that_cannot_be_asked_for_are_not_called_well() {
    let lab = Lab::new(&["n1"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    for _ in 0..2 {
        n1.kernel.fail_on("held", io());
        n1.kernel.fail_on("freshness", io());
    }
    let said = n1.node.inconsistencies();
    assert!(said[0].contains("cannot be said"), "{said:?}");
}

/// `pool init` on a node that has not joined: nothing is formatted, and nothing is meant to be.
#[test]
fn a_pool_of_a_lockspace_that_is_not_joined_is_not_formatted_again() {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let not_joined = || {
        PortError::Unmet(volward_plan::Unmet::NotJoined {
            pool: "san".parse().unwrap(),
            taken: None,
        })
    };
    n1.kernel.fail_on("held", not_joined());
    let before = n1.kernel.journal().len();
    let request = ask(instance(1), &[]).request;
    let error = n1.node.init_pool(request, &lab.pool).unwrap_err();
    assert!(error.to_string().contains("has not joined"), "{error}");
    let calls = n1.kernel.journal();
    let formats = calls[before..]
        .iter()
        .filter(|call| call.starts_with("format"));
    assert_eq!(formats.count(), 0, "{calls:?}");
}
