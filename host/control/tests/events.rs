//! What a node tells of: the log, metrics and pages are fed from it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Mutex;
use std::time::Duration;

use volward_control::ports::{Event, PortError, Subject};
use volward_model::{CopyMode, DeviceId, LeaseMode, VolumeRef};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

fn one_node() -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1"]);
    let volume = lab.volume("a");
    let daemon = lab.start("n1");
    (lab, daemon, volume)
}

/// What the node has told of since it had told of so many.
fn since(daemon: &Daemon, before: usize) -> Vec<Event> {
    daemon.events.told().split_off(before)
}

fn failure() -> PortError {
    PortError::Io {
        what: "a test".into(),
        reason: "it fails on purpose".into(),
    }
}

#[test]
fn an_attach_and_a_detach_tell_of_leases_and_of_their_end() {
    let (lab, daemon, volume) = one_node();
    let before = daemon.events.told().len();
    let (attach, detach) = (ask(instance(1), &[disk(&volume)]), detach_ask(instance(1)));
    daemon.node.attach(&attach).unwrap();
    daemon.node.detach(&detach).unwrap();
    let of = |request, operation| Subject {
        request,
        operation,
        instance: Some(instance(1)),
        volumes: vec![volume.clone()],
    };
    let volumes = vec![volume.clone()];
    let expected = [
        Event::Leased {
            pool: lab.pool.clone(),
            volumes: volumes.clone(),
            mode: LeaseMode::Exclusive,
        },
        Event::Done {
            of: of(attach.request, "attach"),
        },
        Event::Released {
            pool: lab.pool.clone(),
            volumes,
        },
        Event::Done {
            of: of(detach.request, "detach"),
        },
    ];
    assert_eq!(since(&daemon, before), expected);
}

#[test]
fn a_copy_is_told_of_from_its_begin_until_it_is_home() {
    let (lab, daemon, volume) = one_node();
    lab.policy.say(Say::Copy(CopyMode::Background));
    let attach = ask(instance(1), &[disk(&volume)]);
    daemon.node.attach(&attach).unwrap();
    daemon.tasks.run_all();
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    daemon.tasks.run_all();
    let of_copies = |event: &Event| match event {
        Event::HydrationBegun { in_background, .. } => Some(match in_background {
            true => "hydrating",
            false => "writes only",
        }),
        Event::HydrationComplete { .. } => Some("whole"),
        Event::WriteBackBegun { .. } => Some("returning"),
        Event::WriteBackDone { .. } => Some("home"),
        _ => None,
    };
    let told: Vec<_> = daemon.events.told().iter().filter_map(of_copies).collect();
    assert_eq!(told, ["hydrating", "whole", "returning", "home"]);
}

#[test]
fn a_refusal_is_told_with_its_code_and_a_failure_as_undone_first() {
    let (lab, daemon, volume) = one_node();
    let before = daemon.events.told().len();
    let request = ask(instance(1), &[disk(&volume)]);
    daemon.kernel.fail_on("link", failure());
    daemon.node.attach(&request).unwrap_err();
    let told = since(&daemon, before);
    let undone = told.iter().position(|event| {
        matches!(event, Event::Undone { of, causes }
            if of.request == request.request && causes[0].contains("on purpose"))
    });
    let refused = told.iter().position(|event| {
        matches!(event, Event::Refused { request: of, code, .. }
            if *of == request.request && code == "failed")
    });
    assert!(undone.unwrap() < refused.unwrap(), "{told:?}");

    lab.policy.say(Say::Deny);
    let before = daemon.events.told().len();
    let request = ask(instance(1), &[disk(&volume)]);
    let error = daemon.node.attach(&request).unwrap_err();
    let told = since(&daemon, before);
    let [Event::Refused { code, reason, .. }] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(reason, &error.to_string());
    assert_ne!(code, "failed");
}

#[test]
fn a_quarantine_is_told_of_with_all_its_causes() {
    let (_lab, daemon, volume) = one_node();
    let request = ask(instance(1), &[disk(&volume)]);
    daemon.node.attach(&request).unwrap();
    let open = DeviceId::attachment(volume.id, instance(1));
    daemon.kernel.set_open(open, true);
    let before = daemon.events.told().len();
    let detach = detach_ask(instance(1));
    daemon.node.detach(&detach).unwrap_err();
    let told = since(&daemon, before);
    let [Event::Quarantined { of, causes }] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!((of.request, of.operation), (detach.request, "detach"));
    assert_eq!(causes.len(), 1, "{causes:?}");
}

#[test]
fn what_a_full_disk_keeps_from_the_journal_is_told_of() {
    let (lab, daemon, volume) = one_node();
    let request = ask(instance(1), &[disk(&volume)]);
    daemon.node.attach(&request).unwrap();
    let before = daemon.events.told().len();
    lab.journal("n1").set_full(true);
    daemon.node.detach(&detach_ask(instance(1))).unwrap();
    let told = since(&daemon, before);
    let unrecorded = |event: &&Event| matches!(event, Event::Unrecorded { .. });
    assert!(told.iter().any(|event| unrecorded(&event)), "{told:?}");
    assert!(matches!(told.last(), Some(Event::Done { .. })), "{told:?}");
}

#[test]
fn i23_a_copy_that_stands_still_is_told_of_once() {
    let (lab, daemon, volume) = one_node();
    lab.policy.say(Say::Copy(CopyMode::Background));
    let (clock, waits) = (lab.cluster.clock(), Mutex::new(0));
    // The source fails for 40 waits of 5 s, which is three times `stall_after`.
    daemon.kernel.while_waiting(move |kernel, id| {
        clock.advance(Duration::from_secs(5));
        let mut waits = waits.lock().unwrap();
        *waits += 1;
        if *waits > 40 {
            kernel.hydrate(id, 8).unwrap();
        }
    });
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap();
    daemon.tasks.run_all();
    let stalled = |event: &&Event| matches!(event, Event::CopyStalled { .. });
    let told = daemon.events.told();
    assert_eq!(told.iter().filter(stalled).count(), 1, "{told:?}");
}
