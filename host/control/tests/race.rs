//! Two requests for one volume at the same instant, on real threads, many times over:
//! exactly one wins, and the other is told who has it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Barrier};
use std::time::Duration;

use volward_control::{AttachDone, AttachRequest, ControlError};
use volward_plan::RefusalCode;
use volward_simulation::doubles::Threads;
use volward_simulation::{Daemon, Lab, Say, ask, check, detach_ask, disk, instance, shared};

const ROUNDS: usize = 60;

/// A sleep takes real time: otherwise waiting for the other takes no time at all.
fn lab() -> Lab {
    let mut lab = Lab::new(&["n1", "n2"]);
    lab.pause = Duration::from_micros(300);
    lab
}

fn start(lab: &Lab, node: &str) -> Daemon {
    let daemon = lab.daemon(node, Some(Arc::new(Threads::default())));
    daemon.node.recover().unwrap();
    daemon
}

type Outcome = Result<AttachDone, ControlError>;

fn at_once(requests: [(&Daemon, AttachRequest); 2]) -> [Outcome; 2] {
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        requests
            .map(|(daemon, ask)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    daemon.node.attach(&ask)
                })
            })
            .map(|thread| thread.join().unwrap())
    })
}

/// The winner's place; the loser's error must say who has it.
fn one_wins(outcomes: &[Outcome; 2], round: usize) -> usize {
    match outcomes {
        [Ok(_), Err(_)] => 0,
        [Err(_), Ok(_)] => 1,
        other => panic!("round {round}: {other:?}"),
    }
}

fn refusal(outcome: &Outcome) -> (RefusalCode, String) {
    match outcome {
        Err(ControlError::Refused { refusal, .. }) => (refusal.code, refusal.message.clone()),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn i1_two_instances_race_on_one_node() {
    let lab = lab();
    let volume = lab.volume("a");
    let n1 = start(&lab, "n1");
    for round in 0..ROUNDS {
        let outcomes = at_once([1, 2].map(|i| (&n1, ask(instance(i), &[disk(&volume)]))));
        let winner = one_wins(&outcomes, round);
        let (code, message) = refusal(&outcomes[1 - winner]);
        assert_eq!(code, RefusalCode::HeldHere);
        let holder = instance(u8::try_from(winner).unwrap() + 1);
        assert!(message.contains(&holder.to_string()), "{message}");
        assert_eq!(check::settled(&lab, &n1), [""; 0], "round {round}");
        n1.node.detach(&detach_ask(holder)).unwrap();
        assert_eq!(check::clean(&lab, &n1), [""; 0], "round {round}");
    }
}

/// A limit of an instance counts what it has: two of its requests that are decided at once would both
/// be told that it has nothing.
#[test]
fn two_hot_plugs_of_one_instance_are_decided_one_after_the_other() {
    let lab = lab();
    let volumes = [lab.volume("a"), lab.volume("b")];
    let n1 = start(&lab, "n1");
    for round in 0..ROUNDS {
        let before = lab.policy.asked().len();
        let outcomes = at_once([0, 1].map(|n| (&n1, ask(instance(1), &[disk(&volumes[n])]))));
        assert!(outcomes.iter().all(Result::is_ok), "{round}: {outcomes:?}");
        let asked = lab.policy.asked()[before..].to_vec();
        let told: Vec<usize> = asked.iter().map(|facts| facts.held.len()).collect();
        assert_eq!(told, [0, 1], "round {round}");
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&lab, &n1), [""; 0], "round {round}");
    }
}

#[test]
fn i1_two_nodes_race() {
    let lab = lab();
    let volume = lab.volume("a");
    let nodes = [start(&lab, "n1"), start(&lab, "n2")];
    for round in 0..ROUNDS {
        let request = |n: usize| {
            let instance = instance(u8::try_from(n).unwrap() + 1);
            (&nodes[n], ask(instance, &[disk(&volume)]))
        };
        let outcomes = at_once([request(0), request(1)]);
        let winner = one_wins(&outcomes, round);
        let (code, message) = refusal(&outcomes[1 - winner]);
        assert_eq!(code, RefusalCode::HeldElsewhere, "{message}");
        let holder = instance(u8::try_from(winner).unwrap() + 1);
        let name = nodes[winner].kernel.name().to_string();
        assert!(
            message.contains(&name) && message.contains(&holder.to_string()),
            "{message}"
        );
        for node in &nodes {
            assert_eq!(check::settled(&lab, node), [""; 0], "round {round}");
            node.node.detach(&detach_ask(holder)).unwrap();
            assert_eq!(check::clean(&lab, node), [""; 0], "round {round}");
        }
    }
}

#[test]
fn i6_two_shared_requests_of_which_a_policy_allows_one_to_write() {
    let lab = lab();
    lab.policy.say(Say::OneWriter);
    let volume = lab.shareable("a");
    let nodes = [start(&lab, "n1"), start(&lab, "n2")];
    for round in 0..ROUNDS {
        let request = |n: usize| {
            let instance = instance(u8::try_from(n).unwrap() + 1);
            (&nodes[n], ask(instance, &[shared(&volume)]))
        };
        let outcomes = at_once([request(0), request(1)]);
        let winner = one_wins(&outcomes, round);
        let loser = outcomes[1 - winner].as_ref().unwrap_err();
        let holder = instance(u8::try_from(winner).unwrap() + 1);
        assert!(matches!(loser, ControlError::Denied { .. }), "{loser}");
        assert!(loser.to_string().contains(&holder.to_string()), "{loser}");
        for node in &nodes {
            node.node.detach(&detach_ask(holder)).unwrap();
            assert_eq!(check::clean(&lab, node), [""; 0], "round {round}");
        }
    }
}
