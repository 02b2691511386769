//! Live migration between nodes (I6, I7): the source believes its own libvirt, leases go in their order,
//! and whatever is called off, dies or comes too late, one node has the volume at the end.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

#[path = "migrate/crash.rs"]
mod crash;
#[path = "migrate/pair.rs"]
mod pair;
#[path = "migrate/policy.rs"]
mod policy;

use std::time::Duration;

use pair::{Pair, arrival, code, guest, lease};
use volward_control::ports::{Clock, Event, PortError};
use volward_model::{
    AttachmentState, LeaseMode, MemberState, MigrationCall, MigrationNonce, SlotReading, VolumeTask,
};
use volward_plan::migrate::Job;
use volward_simulation::{ask, check, detach_ask, disk, instance, operation, shared};

use LeaseMode::{Exclusive, Shared};

#[test]
fn i7_a_guest_moves_there_and_back_and_the_leases_go_in_their_order() {
    let pair = Pair::new();
    let (n1, n2) = (pair.node("n1"), pair.node("n2"));
    pair.starts_on("n1");
    pair.writes("n1", 1);
    for (source, destination) in [("n1", "n2"), ("n2", "n1")] {
        pair.begins(source);
        pair.attach(destination).unwrap();
        assert_eq!(pair.leases(), [Some(Shared), Some(Shared)]);
        pair.holds();
        // The guest writes where it runs, until it stops there.
        pair.writes(source, 2);
        pair.ends(source);
        assert_eq!(lease(&pair, source), None);
        assert_eq!(lease(&pair, destination), Some(Shared));
        pair.look(destination);
        assert_eq!(lease(&pair, destination), Some(Exclusive));
        pair.writes(destination, 3);
        pair.holds();
        let node = pair.node(destination);
        assert_eq!(check::settled(&pair.lab, &node), [""; 0]);
        assert!(node.node.attachments()[0].migration.is_none());
        assert_eq!(check::clean(&pair.lab, &pair.node(source)), [""; 0]);
        let told = node.events.told();
        assert!(told.iter().any(|e| matches!(e, Event::Arrived { .. })));
    }
    n1.node.detach(&detach_ask(guest())).unwrap();
    assert_eq!(check::clean(&pair.lab, &n1), [""; 0]);
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
}

/// Two disks, one of them shared with others: all of the guest's go together.
#[test]
fn i7_a_guest_with_a_shared_disk_moves_and_the_other_reader_stays() {
    let pair = Pair::new();
    let common = pair.lab.shareable("common");
    let (n1, n2, n3) = (pair.node("n1"), pair.node("n2"), pair.node("n3"));
    let disks = [disk(&pair.volume), shared(&common)];
    n1.node.attach(&ask(guest(), &disks)).unwrap();
    let beside = ask(instance(9), &[shared(&common)]);
    n3.node.attach(&beside).unwrap();
    pair.look("n1");
    pair.begins("n1");
    pair.with_looks("n1", || n2.node.attach(&arrival(&disks)))
        .unwrap();
    pair.holds();
    pair.ends("n1");
    pair.look("n2");
    assert_eq!(lease(&pair, "n2"), Some(Exclusive));
    assert_eq!(check::settled(&pair.lab, &n2), [""; 0]);
    assert_eq!(check::settled(&pair.lab, &n3), [""; 0]);
}

/// Its device writes to the copy too, whose lease stays where it is.
#[test]
fn i7_a_guest_does_not_leave_while_its_volume_is_copied() {
    let pair = Pair::new();
    let n1 = pair.node("n1");
    pair.starts_on("n1");
    let task = VolumeTask::Snapshot {
        pool: pair.lab.pool.clone(),
        from: pair.volume.name.clone(),
        name: "moment".parse().unwrap(),
    };
    n1.node.ask_operation(&operation("s1", task)).unwrap();
    n1.tasks.run_all();
    assert!(!n1.kernel.mirrors().is_empty());
    pair.begins("n1");
    let error = pair.attach("n2").unwrap_err();
    let said = error.to_string();
    assert!(said.contains("`volward op wait s1`"), "{said}");
    assert_eq!(pair.leases(), [Some(Exclusive), None]);
}

#[test]
fn i7_a_migration_that_is_called_off_leaves_all_as_it_was() {
    let pair = Pair::new();
    let (n1, n2) = (pair.node("n1"), pair.node("n2"));
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    n1.kernel.set_job(guest(), Job::None);
    // libvirt has not released it at the destination yet.
    for _ in 0..4 {
        pair.look("n1");
        assert_eq!(pair.leases(), [Some(Shared), Some(Shared)]);
    }
    n2.node.detach(&detach_ask(guest())).unwrap();
    pair.look("n1");
    assert_eq!(pair.leases(), [Some(Exclusive), None]);
    pair.writes("n1", 5);
    assert_eq!(check::settled(&pair.lab, &n1), [""; 0]);
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
    // And again, to its end.
    pair.begins("n1");
    pair.attach("n2").unwrap();
    pair.ends("n1");
    pair.look("n2");
    assert_eq!(lease(&pair, "n2"), Some(Exclusive));
}

#[test]
fn i6_without_a_migration_nobody_shares_and_the_reason_reaches_the_destination() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    pair.starts_on("n1");
    let error = pair.attach("n2").unwrap_err();
    assert_eq!(code(&error), "migration-refused");
    assert!(error.to_string().contains("no-migration"), "{error}");
    pair.node("n1")
        .kernel
        .set_job(guest(), Job::Unknown("libvirtd is down".into()));
    let error = pair.attach("n2").unwrap_err();
    assert!(error.to_string().contains("libvirtd is down"), "{error}");
    assert_eq!(pair.leases(), [Some(Exclusive), None]);
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
    // A refusal is forgotten with its call.
    pair.look("n1");
    assert!(pair.slot("n1").messages.answers.is_empty());
    assert!(pair.slot("n2").messages.calls.is_empty());
}

/// What a policy at the destination says is said before anybody is asked.
#[test]
fn i6_a_migration_that_a_policy_refuses_asks_nobody() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.lab.policy.say(volward_simulation::Say::Deny);
    pair.attach("n2").unwrap_err();
    assert_eq!(pair.leases(), [Some(Exclusive), None]);
    assert!(pair.node("n1").node.attachments()[0].migration.is_none());
}

#[test]
fn i6_a_source_that_says_nothing_fails_it_in_time() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    pair.starts_on("n1");
    pair.begins("n1");
    let clock = pair.lab.cluster.clock();
    let before = clock.monotonic();
    let error = n2.node.attach(&arrival(&[disk(&pair.volume)])).unwrap_err();
    assert_eq!(code(&error), "migration-unanswered");
    assert!(error.to_string().contains("node n1"), "{error}");
    let waited = clock.monotonic() - before;
    assert!(waited < Duration::from_secs(45), "{waited:?}");
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
}

/// The destination's daemon was killed, and what it asked stands in its slot. Days later the guest
/// migrates, to a third node.
#[test]
fn i6_a_stale_call_is_answered_by_nobody() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.leaves_a_call("n2");
    // The source has seen it come and go by; or its daemon finds it at its start.
    for seen_before in [true, false] {
        match seen_before {
            true => {
                pair.look("n1");
                pair.lab
                    .cluster
                    .clock()
                    .advance(Duration::from_secs(200_000));
            }
            false => pair.restart("n1"),
        }
        pair.begins("n1");
        for _ in 0..20 {
            pair.look("n1");
            pair.lab.cluster.clock().advance(Duration::from_secs(1));
        }
        assert_eq!(lease(&pair, "n1"), Some(Exclusive), "{seen_before}");
        pair.attach("n3").unwrap();
        assert_eq!(lease(&pair, "n3"), Some(Shared));
        let n3 = pair.node("n3");
        n3.node.detach(&detach_ask(guest())).unwrap();
        pair.node("n1").kernel.set_job(guest(), Job::None);
        pair.look("n1");
        pair.look("n1");
        assert_eq!(lease(&pair, "n1"), Some(Exclusive));
    }
}

/// A call under a generation that its node has left, or of a node that is dead, is nobody's.
#[test]
fn i6_a_call_of_a_dead_generation_is_stale() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.leaves_a_call("n2");
    pair.lab.cluster.node("n2").rejoin();
    pair.look("n1");
    let answers = pair.slot("n1").messages.answers;
    let refused = format!("{answers:?}");
    assert!(refused.contains("migration-stale"), "{refused}");
    assert_eq!(lease(&pair, "n1"), Some(Exclusive));
}

#[test]
fn i6_a_third_node_gets_nothing_in_the_shared_window() {
    let pair = Pair::new();
    let n3 = pair.node("n3");
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    // It migrates there too, it starts there, another guest starts there, shared or not.
    let to_third = pair.attach("n3").unwrap_err();
    assert_eq!(code(&to_third), "held-elsewhere");
    let own = ask(guest(), &[disk(&pair.volume)]);
    let other = ask(instance(7), &[disk(&pair.volume)]);
    let reader = ask(instance(7), &[shared(&pair.volume)]);
    for request in [own, other, reader] {
        n3.node.attach(&request).unwrap_err();
        pair.holds();
    }
    assert_eq!(check::clean(&pair.lab, &n3), [""; 0]);
    assert_eq!(pair.leases(), [Some(Shared), Some(Shared)]);
}

/// Between the answer and the destination's lease, where no attachment of the destination's is shown
/// yet.
#[test]
fn i6_a_third_node_that_asks_while_another_one_does_is_refused() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.leaves_a_call("n2");
    pair.look("n1");
    assert_eq!(lease(&pair, "n1"), Some(Shared));
    let error = pair.attach("n3").unwrap_err();
    assert!(error.to_string().contains("migration-elsewhere"), "{error}");
    let n3 = pair.node("n3");
    let other = ask(instance(7), &[shared(&pair.volume)]);
    assert_eq!(code(&n3.node.attach(&other).unwrap_err()), "not-shareable");
    assert_eq!(lease(&pair, "n3"), None);
}

#[test]
fn i6_a_normal_start_is_refused_at_every_moment() {
    let pair = Pair::new();
    let start = |node: &str| {
        let node = pair.node(node);
        let had = node.node.attachments();
        let error = node
            .node
            .attach(&ask(guest(), &[disk(&pair.volume)]))
            .unwrap_err();
        assert_eq!(node.node.attachments(), had);
        code(&error)
    };
    pair.starts_on("n1");
    assert_eq!(start("n2"), "held-elsewhere");
    pair.begins("n1");
    assert_eq!(start("n2"), "held-elsewhere");
    pair.attach("n2").unwrap();
    // A libvirt that was started anew at the destination knows nothing of the migration.
    assert_eq!(start("n2"), "arriving");
    assert_eq!(start("n3"), "held-elsewhere");
    pair.ends("n1");
    assert_eq!(start("n1"), "held-elsewhere");
    assert_eq!(start("n3"), "held-elsewhere");
    assert_eq!(start("n2"), "arriving");
    pair.look("n2");
    // It has what it asks for, as ever.
    let n2 = pair.node("n2");
    n2.node
        .attach(&ask(guest(), &[disk(&pair.volume)]))
        .unwrap();
    assert_eq!(start("n1"), "held-elsewhere");
}

/// No node has the volume for the instance: what arrives is given it exclusively, as a start is.
#[test]
fn an_arrival_without_a_source_is_a_start() {
    let pair = Pair::new();
    pair.attach("n2").unwrap();
    assert_eq!(lease(&pair, "n2"), Some(Exclusive));
    assert!(pair.node("n2").node.attachments()[0].migration.is_none());
}

#[test]
fn i7_a_volume_with_a_local_copy_does_not_migrate_and_says_why() {
    let pair = Pair::new();
    pair.lab.policy.say(volward_simulation::Say::Copy(
        volward_model::CopyMode::WritesOnly,
    ));
    pair.starts_on("n1");
    pair.begins("n1");
    let error = pair.attach("n2").unwrap_err();
    assert_eq!(code(&error), "home-elsewhere");
    assert!(error.to_string().contains("node n1"), "{error}");
    assert_eq!(pair.leases(), [Some(Exclusive), None]);
}

/// A copy that the destination's policies would make is not: it needs the lease alone.
#[test]
fn i7_no_copy_is_made_for_what_arrives() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.lab.policy.say(volward_simulation::Say::Copy(
        volward_model::CopyMode::Background,
    ));
    pair.begins("n1");
    let done = pair.attach("n2").unwrap();
    assert!(done.grants[0].copy.is_none());
    assert!(done.notes[0].contains("live migration"), "{:?}", done.notes);
}

#[test]
fn i7_a_kind_that_lvm_has_on_one_node_does_not_migrate() {
    let pair = Pair::new();
    pair.lab.cluster.set_kind(&pair.volume, "raid1", &[], true);
    pair.starts_on("n1");
    pair.begins("n1");
    let error = pair.attach("n2").unwrap_err();
    assert_eq!(code(&error), "exclusive-only");
    assert_eq!(pair.leases(), [Some(Exclusive), None]);
}

#[test]
fn a_registry_of_0_1_0_has_no_words_for_it() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.lab.cluster.age_registry(&pair.lab.pool);
    let error = pair.attach("n2").unwrap_err();
    assert_eq!(code(&error), "registry-old");
    assert_eq!(check::clean(&pair.lab, &pair.node("n2")), [""; 0]);
}

/// The source dies: its lease counts until sanlock says that it does not.
#[test]
fn i7_a_source_that_dies_after_the_switch_leaves_one_owner() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    let n2 = pair.node("n2");
    pair.lab.cluster.node("n1").power_cut();
    pair.look("n2");
    assert_eq!(lease(&pair, "n2"), Some(Shared), "it may be alive");
    pair.lab.cluster.set_member("n1", MemberState::Dead);
    pair.look("n2");
    assert_eq!(lease(&pair, "n2"), Some(Exclusive));
    pair.writes("n2", 8);
    assert_eq!(check::settled(&pair.lab, &n2), [""; 0]);
}

/// It died before libvirt was ready: the destination lets go, and the guest starts anywhere.
#[test]
fn i7_a_source_that_dies_half_way_leaves_the_volume_to_whoever_starts_the_guest() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    let n2 = pair.node("n2");
    pair.lab.cluster.node("n1").power_cut();
    pair.lab.cluster.set_member("n1", MemberState::Dead);
    n2.node.detach(&detach_ask(guest())).unwrap();
    let n3 = pair.node("n3");
    n3.node
        .attach(&ask(guest(), &[disk(&pair.volume)]))
        .unwrap();
    assert_eq!(lease(&pair, "n3"), Some(Exclusive));
    assert_eq!(check::settled(&pair.lab, &n3), [""; 0]);
}

#[test]
fn i7_a_destination_that_dies_gives_the_source_its_volume_back() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    pair.lab.cluster.node("n2").power_cut();
    pair.node("n1").kernel.set_job(guest(), Job::None);
    for _ in 0..3 {
        pair.look("n1");
    }
    assert_eq!(lease(&pair, "n1"), Some(Shared), "it may be alive");
    pair.lab.cluster.set_member("n2", MemberState::Dead);
    pair.look("n1");
    assert_eq!(lease(&pair, "n1"), Some(Exclusive));
    pair.writes("n1", 9);
    assert_eq!(check::settled(&pair.lab, &pair.node("n1")), [""; 0]);
}

/// A lease that is lost on one side cuts that side off, and costs the other nothing.
#[test]
fn i2_a_lease_that_is_lost_in_the_shared_window_cuts_off_its_own_side_only() {
    for side in ["n1", "n2"] {
        let pair = Pair::new();
        pair.starts_on("n1");
        pair.begins("n1");
        pair.attach("n2").unwrap();
        // Shared is what both need now: nobody is cut off for that.
        for _ in 0..3 {
            pair.follow_leases("n1");
            pair.follow_leases("n2");
        }
        pair.writes("n1", 4);
        pair.lab.cluster.node(side).lose_lease(pair.volume.id);
        for _ in 0..3 {
            pair.follow_leases("n1");
            pair.follow_leases("n2");
        }
        let fenced = ["n1", "n2"].map(|node| pair.node(node).node.fenced().len());
        assert_eq!(
            fenced,
            [usize::from(side == "n1"), usize::from(side == "n2")]
        );
        // What is cut off converts nothing.
        pair.node("n1").kernel.set_job(guest(), Job::None);
        for _ in 0..3 {
            pair.look("n1");
            pair.look("n2");
        }
        assert_ne!(lease(&pair, side), Some(Exclusive), "{side}");
    }
}

/// The state's disk is full, or the registry cannot be written: nothing is shared that is not durable.
#[test]
fn i7_what_is_not_durable_is_not_shared() {
    // A look that finds the mark in the state goes on to the slot.
    for (call, failures) in [("journal-attachments", 1), ("write-registry", 2)] {
        let pair = Pair::new();
        pair.starts_on("n1");
        pair.begins("n1");
        pair.leaves_a_call("n2");
        let kernel = pair.node("n1").kernel.clone();
        for _ in 0..failures {
            let error = PortError::Io {
                what: "a write in a test".into(),
                reason: "no space".into(),
            };
            kernel.fail_on(call, error);
        }
        pair.look("n1");
        assert_eq!(lease(&pair, "n1"), Some(Exclusive), "{call}");
        // The next look goes on.
        let before = kernel.journal().len();
        pair.look("n1");
        assert_eq!(lease(&pair, "n1"), Some(Shared), "{call}");
        // Shown to the others before the conversion, and after it that it is done.
        let calls = kernel.journal().split_off(before);
        let changes = calls.iter().map(|call| call.split(' ').next().unwrap());
        let changes = changes.filter(|c| ["write-registry", "activate"].contains(c));
        let changes: Vec<_> = changes.collect();
        assert_eq!(
            changes,
            ["write-registry", "activate", "write-registry"],
            "{calls:?}"
        );
    }
}

/// A slot that cannot be read may say that the volume has arrived.
#[test]
fn i6_a_destination_that_cannot_be_read_keeps_the_volume_shared() {
    let pair = Pair::new();
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    let broken = SlotReading::Broken {
        reason: "torn".into(),
    };
    let cluster = &pair.lab.cluster;
    cluster.show_place_as(&pair.lab.pool, "n2", Some(broken));
    pair.node("n1").kernel.set_job(guest(), Job::None);
    for _ in 0..4 {
        pair.look("n1");
    }
    assert!(pair.node("n1").node.attachments()[0].migration.is_some());
    cluster.show_place_as(&pair.lab.pool, "n2", None);
}

#[test]
fn a_call_of_what_is_not_here_is_refused_by_name() {
    let pair = Pair::new();
    let other = ask(instance(2), &[disk(&pair.lab.volume("other"))]);
    pair.node("n1").node.attach(&other).unwrap();
    let call = MigrationCall {
        volume: pair.volume.id,
        instance: guest(),
        nonce: MigrationNonce(uuid::Uuid::from_u128(5)),
        source: 1,
    };
    pair.write_call("n2", call, AttachmentState::Intent);
    pair.look("n1");
    let answers = format!("{:?}", pair.slot("n1").messages.answers);
    assert!(answers.contains("migration-unknown"), "{answers}");
}
