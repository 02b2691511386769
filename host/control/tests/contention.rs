//! Several nodes that want the same volume at the same moment: whoever does not get it waits no
//! longer than needed, and is told who has it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::{Arc, Barrier};

use volward_control::ports::{Clock, Event};
use volward_control::{ControlError, Node};
use volward_model::{
    Access, Attachment, AttachmentState, Bytes, Outcome, PoolName, Sharing, SlotReading, VolumeRef,
};
use volward_plan::RefusalCode;
use volward_simulation::check::settled;
use volward_simulation::story::failure;
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance, read_only, shared};
use volward_storage::fake::{FakeCluster, FakeNode};

fn two_nodes() -> (Lab, Daemon, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    (lab, n1, n2)
}

/// What n1's slot is shown as when its daemon wants the volume for instance 1, and goes no further.
fn wanted(reader: &Node, pool: &PoolName, volume: &VolumeRef, since_ms: u64) -> SlotReading {
    let snapshot = reader.pool_snapshot(pool).unwrap();
    let own = snapshot
        .slots
        .iter()
        .find_map(|place| match &place.reading {
            SlotReading::Good { slot, .. } if slot.node.as_str() == "n1" => Some(slot),
            _ => None,
        });
    let mut slot = own.unwrap().as_ref().clone();
    slot.attachments = vec![Attachment {
        volume: volume.id,
        instance: instance(1),
        node: slot.node.clone(),
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        since_ms,
        state: AttachmentState::Intent,
    }];
    SlotReading::Good {
        slot: Arc::new(slot),
        torn: false,
    }
}

/// Before each of its next `times` leases the node is shown another of `readings` for n1.
fn collide(kernel: &FakeNode, pool: &PoolName, mut readings: Vec<SlotReading>) {
    let Some(reading) = readings.pop() else {
        return;
    };
    let (again, pool) = (kernel.clone(), pool.clone());
    kernel.before("activate", move |cluster: &FakeCluster| {
        cluster.show_place_as(&pool, "n1", Some(reading));
        collide(&again, &pool, readings);
    });
}

#[test]
fn an_intent_that_could_not_be_taken_back_is_passed_by_and_written_when_the_registry_answers() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.volume("a");
    let kernel = n1.kernel.clone();
    n1.kernel.before("activate", move |_| {
        kernel.fail_on("activate", failure());
        kernel.fail_on("write-registry", failure());
    });
    n1.node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    let said = n1.node.inconsistencies();
    assert!(said[0].contains("could not be written"), "{said:?}");

    let begun = lab.cluster.clock().now_ms();
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    let waited = lab.cluster.clock().now_ms() - begun;
    assert!((60_000..62_000).contains(&waited), "{waited} ms");
    assert_eq!(settled(&lab, &n2), [""; 0]);
    n2.node.detach(&detach_ask(instance(2))).unwrap();

    n1.node.try_again();
    n1.tasks.run_all();
    assert_eq!(n1.node.inconsistencies(), [""; 0]);
    assert!(n2.node.attachments_elsewhere().attachments.is_empty());
}

/// The case is in the interface, and what it would be told of is nobody's yet.
#[test]
fn a_policy_is_never_told_of_an_intent_as_the_interfaces_document_says() {
    let (lab, n1, n2) = two_nodes();
    let (wanted, held) = (lab.shareable("a"), lab.shareable("b"));
    n1.node.attach(&ask(instance(3), &[shared(&held)])).unwrap();
    // n1 wants the first, too, and gets no further: its intent stays in its slot.
    let kernel = n1.kernel.clone();
    n1.kernel.before("activate", move |_| {
        kernel.fail_on("activate", failure());
        kernel.fail_on("write-registry", failure());
    });
    n1.node
        .attach(&ask(instance(1), &[shared(&wanted)]))
        .unwrap_err();
    let snapshot = n2.node.pool_snapshot(&lab.pool).unwrap();
    let shown = snapshot.slots.iter().any(|place| match &place.reading {
        SlotReading::Good { slot, .. } => slot
            .attachments
            .iter()
            .any(|a| a.volume == wanted.id && a.state == AttachmentState::Intent),
        _ => false,
    });
    assert!(shown);
    n2.node
        .attach(&ask(instance(2), &[shared(&wanted), shared(&held)]))
        .unwrap();
    let facts = lab.policy.asked().pop().unwrap();
    let told: Vec<Vec<AttachmentState>> = facts
        .disks
        .iter()
        .map(|disk| disk.attachments.iter().map(|a| a.state).collect())
        .collect();
    assert_eq!(told, [vec![], vec![AttachmentState::Attached]]);
    let says = include_str!("../../../docs/wit-evolution.md");
    assert!(says.contains("The case `intent` of `attachment-state` is never told."));
}

#[test]
fn collisions_do_not_count_as_changes_and_end_in_time_with_the_name_of_who_was_first() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.volume("a");
    let now = lab.cluster.clock().now_ms();
    let readings = |times: u64| -> Vec<SlotReading> {
        let each = |n| wanted(&n2.node, &lab.pool, &volume, now + n);
        (0..times).map(each).collect()
    };
    // n1 comes in between look and lease once: when it stands still, n2 goes on.
    collide(&n2.kernel, &lab.pool, readings(1));
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    n2.node.detach(&detach_ask(instance(2))).unwrap();

    // It does so again and again.
    let begun = lab.cluster.clock().now_ms();
    collide(&n2.kernel, &lab.pool, readings(9));
    let error = n2
        .node
        .attach(&ask(instance(2), &[disk(&volume)]))
        .unwrap_err();
    let ControlError::Refused { refusal, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(refusal.code, RefusalCode::KeepsChanging);
    for word in ["n1", &instance(1).to_string(), &volume.to_string()] {
        assert!(refusal.message.contains(word), "{refusal}");
    }
    let waited = lab.cluster.clock().now_ms() - begun;
    assert!((120_000..185_000).contains(&waited), "{waited} ms");
    drop(n1);
}

/// Before each of its next `times` leases another reader comes elsewhere.
fn readers_come(kernel: &FakeNode, elsewhere: &Arc<Node>, volume: &VolumeRef, times: u8) {
    if times == 0 {
        return;
    }
    let (again, node, volume) = (kernel.clone(), Arc::clone(elsewhere), volume.clone());
    kernel.before("activate", move |_| {
        node.attach(&ask(instance(100 + times), &[read_only(&volume)]))
            .unwrap();
        readers_come(&again, &node, &volume, times - 1);
    });
}

/// A common volume of a cluster that is powered on.
#[test]
fn readers_that_come_elsewhere_meanwhile_cost_no_try() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.shareable("common");
    readers_come(&n2.kernel, &n1.node, &volume, 5);
    n2.node
        .attach(&ask(instance(2), &[read_only(&volume)]))
        .unwrap();
    assert_eq!(settled(&lab, &n2), [""; 0]);
    // Its lease was taken once: nobody came before a second time.
    assert_eq!(n1.node.attachments().len(), 1);
}

/// Nor is anything undone for them: the policies are asked again, with the newcomer.
#[test]
fn a_reader_that_comes_elsewhere_meanwhile_undoes_nothing_where_the_same_is_granted() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.shareable("common");
    readers_come(&n2.kernel, &n1.node, &volume, 1);
    let wants = ask(instance(2), &[read_only(&volume)]);
    n2.node.attach(&wants).unwrap();
    assert_eq!(settled(&lab, &n2), [""; 0]);
    let told = n2.events.told();
    let again = |e: &&Event| matches!(e, Event::DecidedAgain { .. } | Event::Undone { .. });
    assert_eq!(told.iter().filter(again).count(), 0, "{told:?}");
    let asked = lab.policy.asked();
    let last = asked.last().unwrap();
    assert_eq!(last.request.id, wants.request);
    assert_eq!(
        last.disks[0].attachments.len(),
        1,
        "it knew of the newcomer"
    );
    // The decision that the lease was taken for is on record too.
    let [first, last] = &n2.decisions.outcomes()[..] else {
        panic!("{:?}", n2.decisions.outcomes());
    };
    assert!(
        matches!(first, Outcome::Failed { message } if message.contains("under the lease")),
        "{first:?}"
    );
    assert_eq!(*last, Outcome::Done);
}

/// A writer that comes meanwhile, where one may write.
#[test]
fn what_a_policy_refuses_beside_a_newcomer_is_undone_and_refused() {
    let (lab, n1, n2) = two_nodes();
    lab.policy.say(Say::OneWriter);
    let volume = lab.shareable("common");
    let (node, newcomer) = (Arc::clone(&n1.node), volume.clone());
    n2.kernel.before("activate", move |_| {
        node.attach(&ask(instance(1), &[shared(&newcomer)]))
            .unwrap();
    });
    let error = n2
        .node
        .attach(&ask(instance(2), &[shared(&volume)]))
        .unwrap_err();
    assert!(matches!(error, ControlError::Denied { .. }), "{error}");
    assert_eq!(settled(&lab, &n2), [""; 0]);
    assert!(n2.node.attachments().is_empty());
}

#[test]
fn a_registry_that_hangs_keeps_back_no_other_pool() {
    let mut lab = Lab::new(&["n1"]);
    let well = lab.add_pool("well");
    let sick = lab.volume("a");
    let other = lab.cluster.volume(&well, "b", Bytes::mib(2));
    let n1 = lab.start("n1");
    // Whoever writes from the thread of that name waits until it is let go.
    let (hangs, let_go) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (enter, leave) = (Arc::clone(&hangs), Arc::clone(&let_go));
    let once = std::sync::Once::new();
    lab.cluster.set_pace(move |_, call| {
        if call == "write-registry" && std::thread::current().name() == Some("sick") {
            once.call_once(|| {
                enter.wait();
                leave.wait();
            });
        }
    });
    std::thread::scope(|scope| {
        let attach = || n1.node.attach(&ask(instance(1), &[disk(&sick)]));
        let slow = std::thread::Builder::new()
            .name("sick".into())
            .spawn_scoped(scope, attach)
            .unwrap();
        hangs.wait();
        n1.node.attach(&ask(instance(2), &[disk(&other)])).unwrap();
        assert!(!slow.is_finished());
        let_go.wait();
        slow.join().unwrap().unwrap();
    });
}

/// Two requests for one guest, of a node that died in their middle: they are waited for together.
#[test]
fn two_intents_that_stand_still_are_waited_for_once() {
    let (lab, _n1, n2) = two_nodes();
    let volumes = [lab.volume("a"), lab.volume("b")];
    let now = lab.cluster.clock().now_ms();
    let stuck = |n: usize| wanted(&n2.node, &lab.pool, &volumes[n], now + n as u64);
    let both = match (stuck(0), stuck(1)) {
        (SlotReading::Good { slot: first, .. }, SlotReading::Good { slot: second, .. }) => {
            let mut slot = first.as_ref().clone();
            slot.attachments.extend(second.attachments.iter().cloned());
            SlotReading::Good {
                slot: Arc::new(slot),
                torn: false,
            }
        }
        other => panic!("{other:?}"),
    };
    lab.cluster.show_place_as(&lab.pool, "n1", Some(both));
    let begun = lab.cluster.clock().now_ms();
    n2.node
        .attach(&ask(instance(2), &volumes.each_ref().map(disk)))
        .unwrap();
    let waited = lab.cluster.clock().now_ms() - begun;
    assert!((60_000..62_000).contains(&waited), "{waited} ms");
}
