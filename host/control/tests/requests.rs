//! Attach and detach, from ask to answer, on a healthy node and on a broken one.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::time::Duration;

use volward_control::ports::{Devices, JournalQuery, JournalState, PortError, Volumes};
use volward_control::{AttachRequest, ControlError, DiskRequest, NotAfter};
use volward_model::home::HomeState;
use volward_model::{
    Access, AttachmentState, Bytes, Claim, DeviceId, Home, LeaseMode, NewerSlot, Origin, Outcome,
    SlotReading, VolumeRef,
};
use volward_plan::{DiskForm, RefusalCode};
use volward_simulation::check::{clean, holds, settled};
use volward_simulation::story::{failure, refused};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance, read_only, shared};

fn two_nodes() -> (Lab, Daemon, Daemon) {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    (lab, n1, n2)
}

/// What no later try can help.
fn wrong() -> PortError {
    PortError::Identity {
        what: "a test".into(),
        expected: "this".into(),
        found: "that".into(),
    }
}

fn device(volume: &VolumeRef, n: u8) -> DeviceId {
    DeviceId::attachment(volume.id, instance(n))
}

#[test]
fn i1_a_disk_comes_with_lease_device_and_path_and_goes_with_all_of_them() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let done = n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(done.grants.len(), 1);
    assert_eq!(settled(&lab, &n1), [""; 0]);
    assert_eq!(
        holds(&lab, &n1.kernel, volume.id),
        Some(LeaseMode::Exclusive)
    );
    lab.write(&n1.kernel, volume.id, instance(1), (3, 9))
        .unwrap();
    let gone = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(gone.detached, [(volume, false)]);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// libvirt's hook and nova own one attachment; and what was asked for is kept where a policy grants less.
#[test]
fn an_attachment_says_who_has_asked_for_it_and_for_what() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    lab.policy.say(Say::ReadOnly);
    let narrowed = DiskRequest {
        accept_narrowing: true,
        ..disk(&volume)
    };
    n1.node
        .attach(&ask(instance(1), std::slice::from_ref(&narrowed)))
        .unwrap();
    let by_nova = AttachRequest {
        origin: Origin::Openstack,
        ..ask(instance(1), &[narrowed])
    };
    n1.node.attach(&by_nova).unwrap();
    let says = |daemon: &Daemon| {
        let attached = daemon.node.attachments();
        let claims: Vec<Claim> = attached[0].claims.iter().copied().collect();
        (claims, attached[0].access, attached[0].asked)
    };
    let said = (
        vec![Claim::Libvirt, Claim::Openstack],
        Access::ReadOnly,
        Access::ReadWrite,
    );
    assert_eq!(says(&n1), said);
    n1.kill();
    let n1 = lab.start("n1");
    assert_eq!(says(&n1), said, "over a restart");
}

#[test]
fn i17_i18_readers_share_and_the_kernel_keeps_them_from_writing() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.shareable("a");
    for (node, n) in [(&n1, 1), (&n2, 2)] {
        node.node
            .attach(&ask(instance(n), &[read_only(&volume)]))
            .unwrap();
        assert_eq!(settled(&lab, node), [""; 0]);
        assert_eq!(
            holds(&lab, &node.kernel, volume.id),
            Some(LeaseMode::Shared)
        );
        assert!(
            lab.write(&node.kernel, volume.id, instance(n), (0, 1))
                .is_err()
        );
    }
    let unmarked = lab.volume("b");
    let (code, _) = refused(&n1.node, &ask(instance(1), &[shared(&unmarked)]));
    assert_eq!(code, RefusalCode::NotShareable);
}

#[test]
fn a_disk_given_as_the_lv_gets_lease_and_activation_only() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let mut lv = disk(&volume);
    lv.form = DiskForm::Lv;
    n1.node.attach(&ask(instance(1), &[lv])).unwrap();
    assert!(n1.kernel.devices().is_empty() && n1.kernel.active().contains(&volume.id));
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn attach_and_detach_are_idempotent_also_with_a_full_disk() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let request = ask(instance(1), &[disk(&volume)]);
    n1.node.attach(&request).unwrap();
    assert!(n1.node.attach(&request).unwrap().grants[0].already);
    // Nothing to do, and nothing to undo either.
    n1.journal.set_full(true);
    assert!(n1.node.attach(&request).is_err());
    n1.journal.set_full(false);
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    let again = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert!(again.detached.is_empty());
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn all_or_none_restores_what_was_before_volume_by_volume() {
    let (lab, n1, n2) = two_nodes();
    let volumes = ["a", "b", "c"].map(|name| lab.shareable(name));
    // This node reads c already; the other has b without saying so in the registry.
    n1.node
        .attach(&ask(instance(9), &[read_only(&volumes[2])]))
        .unwrap();
    let one = std::slice::from_ref(&volumes[1]);
    volward_control::ports::Leases::take(&n2.kernel, &lab.pool, one, LeaseMode::Exclusive).unwrap();
    let disks = [disk(&volumes[0]), disk(&volumes[1]), shared(&volumes[2])];
    let (code, message) = refused(&n1.node, &ask(instance(1), &disks));
    assert_eq!(code, RefusalCode::HeldElsewhere);
    assert!(message.contains("node n2"), "{message}");
    assert_eq!(holds(&lab, &n1.kernel, volumes[0].id), None);
    assert_eq!(
        holds(&lab, &n1.kernel, volumes[2].id),
        Some(LeaseMode::Shared)
    );
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn i30_a_failed_undo_quarantines_and_a_later_detach_cleans_up() {
    let (lab, n1, _) = two_nodes();
    let volumes = [lab.volume("a"), lab.volume("b")];
    n1.kernel.fail_on("link", failure());
    n1.kernel.fail_on("deactivate", wrong());
    let error = n1
        .node
        .attach(&ask(instance(1), &volumes.each_ref().map(disk)))
        .unwrap_err();
    let ControlError::Quarantined { causes, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert_eq!(settled(&lab, &n1), [""; 0]);
    let states: Vec<_> = n1.node.attachments().iter().map(|a| a.state).collect();
    assert_eq!(states, [AttachmentState::Quarantined; 2]);
    let (code, _) = refused(&n1.node, &ask(instance(1), &[disk(&volumes[0])]));
    assert_eq!(code, RefusalCode::Quarantined);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// QEMU has the LV itself open, and closes it a moment after libvirt says release.
#[test]
fn a_disk_given_as_the_lv_that_is_in_use_is_tried_for_a_while() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let mut as_is = disk(&volume);
    as_is.form = DiskForm::Lv;
    n1.node.attach(&ask(instance(1), &[as_is])).unwrap();
    n1.kernel
        .fail_on("deactivate", PortError::Busy { what: "it".into() });
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_request_that_fails_before_it_is_decided_is_known_to_explain() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let request = ask(instance(1), &[disk(&volume)]);
    let slow = PortError::Deadline {
        what: "vgs".into(),
        after: Duration::from_secs(30),
    };
    n1.kernel.fail_on("write-registry", slow);
    n1.node.attach(&request).unwrap_err();
    let query = JournalQuery::Request(request.request);
    let known = n1.node.history(&query, 1).unwrap();
    assert_eq!(known[0].state, JournalState::Undone);
    assert!(
        known[0].causes[0].contains("did not finish"),
        "{:?}",
        known[0].causes
    );
    assert!(n1.decisions.outcomes().is_empty());

    // A policy's denial stands in the decision log, and only there.
    lab.policy.say(Say::Deny);
    let request = ask(instance(1), &[disk(&volume)]);
    n1.node.attach(&request).unwrap_err();
    let query = JournalQuery::Request(request.request);
    assert!(n1.node.history(&query, 1).unwrap().is_empty());
    assert_eq!(n1.decisions.outcomes().len(), 1);
}

/// The wrong instance was named: its guest goes on, by device and by path, and nobody says that all
/// is well.
#[test]
fn a_guest_that_is_detached_while_it_runs_keeps_its_path_and_is_said_to_be_quarantined() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let named = AttachRequest {
        instance_name: "web1".to_owned(),
        ..ask(instance(1), &[disk(&volume)])
    };
    n1.node.attach(&named).unwrap();
    n1.kernel.set_open(device(&volume, 1), true);
    let error = n1.node.detach(&detach_ask(instance(1))).unwrap_err();
    assert!(matches!(error, ControlError::Quarantined { .. }), "{error}");
    // Who has it, and what ends that: no other detach does.
    let told = error.to_string();
    assert!(
        told.contains("in use by qemu-system-x86") && told.contains("guest web1"),
        "{told}"
    );
    assert!(told.contains("stop it, and its end releases"), "{told}");
    assert_eq!(n1.node.attachments()[0].causes, [told]);
    assert_eq!(n1.kernel.links().unwrap().len(), 1);
    lab.write(&n1.kernel, volume.id, instance(1), (3, 9))
        .unwrap();
    let disks = [(volume.pool.clone(), volume.name.clone())];
    assert_eq!(n1.node.missing(instance(1), &disks), disks);

    n1.kernel.set_open(device(&volume, 1), false);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_quarantine_spares_what_the_instance_had_before() {
    let (lab, n1, _) = two_nodes();
    let volumes = [lab.volume("a"), lab.volume("b")];
    n1.node
        .attach(&ask(instance(1), &[disk(&volumes[0])]))
        .unwrap();
    n1.kernel.fail_on("link", failure());
    n1.kernel.fail_on("deactivate", wrong());
    let both = ask(instance(1), &volumes.each_ref().map(disk));
    assert!(n1.node.attach(&both).is_err());
    let states: Vec<_> = n1
        .node
        .attachments()
        .iter()
        .map(|a| (a.volume.name.to_string(), a.state))
        .collect();
    let expected = [
        ("a".to_owned(), AttachmentState::Attached),
        ("b".to_owned(), AttachmentState::Quarantined),
    ];
    assert_eq!(states, expected);
}

#[test]
fn every_single_failure_leaves_all_or_nothing() {
    for n in 1..80 {
        let (lab, n1, _) = two_nodes();
        let volumes = [lab.volume("a"), lab.volume("b")];
        lab.policy
            .say(Say::Copy(volward_model::CopyMode::Background));
        let before = n1.kernel.changes_made();
        n1.kernel.fail_at(n);
        let outcome = n1
            .node
            .attach(&ask(instance(1), &volumes.each_ref().map(disk)));
        let reached = n1.kernel.changes_made() - before >= n;
        let attached = n1.node.attachments();
        let whole = attached.len() == 2
            && attached
                .iter()
                .all(|a| a.state == AttachmentState::Attached);
        assert_eq!(outcome.is_ok(), whole, "failure {n}: {outcome:?}");
        n1.tasks.run_all();
        assert_eq!(settled(&lab, &n1), [""; 0], "failure {n}: {outcome:?}");
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0], "failure {n}: {outcome:?}");
        if !reached {
            assert!(n > 20, "the plan has more calls than {n}");
            return;
        }
    }
    panic!("the plan never ended");
}

#[test]
fn with_a_full_state_disk_attach_is_refused_and_detach_works() {
    let (lab, n1, _) = two_nodes();
    let volumes = [lab.volume("a"), lab.volume("b")];
    n1.node
        .attach(&ask(instance(1), &[disk(&volumes[0])]))
        .unwrap();
    n1.journal.set_full(true);
    let refused = n1.node.attach(&ask(instance(2), &[disk(&volumes[1])]));
    assert!(
        matches!(refused, Err(ControlError::State { .. })),
        "{refused:?}"
    );
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert!(n1.node.attachments().is_empty() && n1.kernel.devices().is_empty());
    assert_eq!(holds(&lab, &n1.kernel, volumes[0].id), None);
    // The daemon ends before there is space again: the next one completes what was lost.
    n1.kill();
    lab.journal("n1").set_full(false);
    let n1 = lab.start("n1");
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// It has no device of Volward's whose absence would tell.
#[test]
fn a_detach_of_an_lv_itself_that_was_not_recorded_leaves_no_ghost() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.volume("a");
    let lv = DiskRequest {
        form: DiskForm::Lv,
        ..disk(&volume)
    };
    n1.node.attach(&ask(instance(1), &[lv])).unwrap();
    n1.kill();
    let n1 = lab.start("n1");
    assert_eq!(n1.node.attachments().len(), 1, "it is held, so it is there");
    n1.journal.set_full(true);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.kill();
    lab.journal("n1").set_full(false);
    let n1 = lab.start("n1");
    assert_eq!(clean(&lab, &n1), [""; 0]);
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
}

#[test]
fn an_end_that_could_not_be_recorded_never_undoes_a_newer_attach() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let full = lab.journal("n1");
    n1.kernel.before("link", move |_| full.set_full(true));
    assert!(n1.node.attach(&ask(instance(1), &[disk(&volume)])).is_err());
    n1.journal.set_full(false);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    n1.kill();
    let n1 = lab.start("n1");
    assert_eq!(n1.node.attachments().len(), 1);
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn a_release_delivered_late_does_nothing_to_a_newer_start() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let request = ask(instance(1), &[disk(&volume)]);
    let first = n1.node.attach(&request).unwrap().sequence;
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.node.attach(&request).unwrap();
    let boot_id = n1.node.attachments()[0].boot_id.clone();
    let mut late = detach_ask(instance(1));
    late.not_after = Some(NotAfter {
        boot_id,
        sequence: first,
    });
    assert!(n1.node.detach(&late).unwrap().detached.is_empty());
    late.not_after = Some(NotAfter {
        boot_id: "an earlier boot".into(),
        sequence: 1_000,
    });
    assert!(n1.node.detach(&late).unwrap().detached.is_empty());
    assert_eq!(settled(&lab, &n1), [""; 0]);
    assert_eq!(n1.node.attachments().len(), 1);
}

#[test]
fn a_device_in_use_is_tried_for_a_while_then_quarantined_and_keeps_its_lease() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let request = ask(instance(1), &[disk(&volume)]);
    n1.node.attach(&request).unwrap();
    let id = device(&volume, 1);
    // Closed only after a while: the first try finds it open.
    n1.kernel.set_open(id, true);
    let closes = n1.kernel.clone();
    let busy = move |_: &_| closes.set_open(id, false);
    n1.kernel
        .fail_on("remove-device", PortError::Busy { what: "it".into() });
    n1.kernel.before("unlink", busy);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);

    n1.node.attach(&request).unwrap();
    n1.kernel.set_open(id, true);
    let began = lab.cluster.clock();
    let began = volward_control::ports::Clock::monotonic(&began);
    let error = n1.node.detach(&detach_ask(instance(1))).unwrap_err();
    let now = volward_control::ports::Clock::monotonic(&lab.cluster.clock());
    assert!(
        now - began >= Duration::from_secs(2),
        "it was tried for a while"
    );
    assert!(matches!(error, ControlError::Quarantined { .. }), "{error}");
    assert_eq!(
        holds(&lab, &n1.kernel, volume.id),
        Some(LeaseMode::Exclusive)
    );
    n1.kernel.set_open(id, false);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_dry_run_changes_nothing() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let mut request = ask(instance(1), &[disk(&volume)]);
    request.dry_run = true;
    let before = n1.kernel.changes_made();
    assert!(n1.node.attach(&request).unwrap().plan.len() > 3);
    request.dry_run = false;
    n1.node.attach(&request).unwrap();
    let attached = n1.kernel.changes_made();
    assert!(attached > before);
    let mut gone = detach_ask(instance(1));
    gone.dry_run = true;
    assert!(n1.node.detach(&gone).unwrap().plan.len() > 3);
    assert_eq!(n1.kernel.changes_made(), attached);
}

#[test]
fn i6_who_holds_it_elsewhere_is_named() {
    let (lab, n1, n2) = two_nodes();
    let volume = lab.volume("a");
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    for n in [1, 2] {
        let (code, message) = refused(&n1.node, &ask(instance(n), &[disk(&volume)]));
        assert_eq!(code, RefusalCode::HeldElsewhere);
        assert!(message.contains("node n2"), "{message}");
    }
    let (_, message) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
    assert!(message.contains(&instance(2).to_string()), "{message}");
}

#[test]
fn a_broken_slot_of_a_live_node_refuses_and_of_a_dead_one_does_not() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let reading = SlotReading::Broken {
        reason: "checksum".into(),
    };
    lab.cluster.show_place_as(&lab.pool, "n2", Some(reading));
    let request = ask(instance(1), &[disk(&volume)]);
    assert_eq!(refused(&n1.node, &request).0, RefusalCode::SlotUnreadable);
    lab.cluster
        .set_member("n2", volward_model::MemberState::Dead);
    n1.node.attach(&request).unwrap();
}

/// A rolling upgrade seen from the node that is not upgraded yet: what the newer node names is
/// held, however the copy before it looked; the rest of the pool goes on.
#[test]
fn i6_the_slot_of_a_newer_version_holds_what_it_names_and_what_it_names_is_refused_with_a_code() {
    let (lab, n1, n2) = two_nodes();
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let newer = |held: Option<Vec<volward_model::VolumeId>>, generation| {
        SlotReading::Newer(NewerSlot {
            node: Some("n2".parse().unwrap()),
            generation,
            held,
            reason: "format 9".into(),
        })
    };
    let show = |reading| lab.cluster.show_place_as(&lab.pool, "n2", Some(reading));
    show(newer(Some(vec![a.id]), None));
    let wants_a = ask(instance(1), &[disk(&a)]);
    let (code, message) = refused(&n1.node, &wants_a);
    assert_eq!(code, RefusalCode::SlotNewer);
    for word in ["node n2", "newer Volward", "upgrade this node", "format 9"] {
        assert!(message.contains(word), "{message}");
    }
    n1.node.attach(&ask(instance(2), &[disk(&b)])).unwrap();
    let sight = n1.node.pool_snapshot(&lab.pool).unwrap();
    assert!(sight.slot_troubles()[0].trouble.contains("newer"));
    assert!(n1.node.attachments_elsewhere().unreadable[0].contains("1 volume"));

    // Not even the volumes can be told: any may be held.
    show(newer(None, None));
    let (code, message) = refused(&n1.node, &ask(instance(3), &[disk(&a)]));
    assert_eq!(code, RefusalCode::SlotNewer);
    assert!(message.contains("does not tell"), "{message}");

    // What a node had in an earlier life it may have still, until it says otherwise. A dead node
    // holds nothing.
    show(newer(Some(vec![a.id]), Some(u64::MAX)));
    let (code, _) = refused(&n1.node, &wants_a);
    assert_eq!(code, RefusalCode::SlotNewer);
    show(newer(None, None));
    drop(n2);
    lab.cluster
        .set_member("n2", volward_model::MemberState::Dead);
    n1.node.attach(&wants_a).unwrap();
}

#[test]
fn an_orphan_lease_refuses() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let request = ask(instance(1), &[disk(&volume)]);
    n1.node.attach(&request).unwrap();
    n1.kernel.orphan_leases();
    let (code, _) = refused(&n1.node, &ask(instance(2), &[disk(&volume)]));
    assert!(matches!(
        code,
        RefusalCode::LeaseOrphaned | RefusalCode::HeldHere
    ));
    assert!(n1.node.inconsistencies()[0].contains("orphan"));
    // Its lease cannot be given up until lvmlockd adopts it, so the attachment is not forgotten.
    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!((done.detached.len(), done.trying_again.len()), (0, 1));
    assert_eq!(n1.node.attachments().len(), 1);
    assert_eq!(n1.node.unfinished().len(), 1);
}

#[test]
fn i1_a_home_that_changes_before_the_lease_is_undone_and_asked_again() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let changed = volume.clone();
    n1.kernel.before("activate", move |cluster| {
        let home = Home {
            state: HomeState::Pool,
            generation: 4,
        };
        cluster.tamper(&changed, |_, tags, _| tags.push(home.tag()));
    });
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let asked = lab.policy.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].disks[0].home.generation, 4);
    assert!(
        matches!(&n1.decisions.outcomes()[0], Outcome::Failed { message } if message.contains("home"))
    );
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn i1_a_home_that_moves_away_is_refused_and_nothing_is_left() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let changed = volume.clone();
    n1.kernel.before("activate", move |cluster| {
        let state = HomeState::Split {
            node: "n2".parse().unwrap(),
            copy: changed.id.lv,
        };
        let home = Home {
            state,
            generation: 1,
        };
        cluster.tamper(&changed, |_, tags, _| tags.push(home.tag()));
    });
    let (code, message) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
    assert_eq!(code, RefusalCode::HomeElsewhere);
    assert!(message.contains("n2"), "{message}");
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn i18_a_mark_that_is_taken_away_before_the_lease_is_seen_under_it() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.shareable("a");
    let changed = volume.clone();
    n1.kernel.before("activate", move |cluster| {
        cluster.tamper(&changed, |_, tags, _| tags.clear());
    });
    let (code, message) = refused(&n1.node, &ask(instance(1), &[shared(&volume)]));
    assert_eq!(code, RefusalCode::NotShareable, "{message}");
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn i9_a_size_that_changes_is_decided_anew_and_one_that_keeps_changing_is_refused() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let grow = |volume: VolumeRef| {
        move |cluster: &volward_storage::fake::FakeCluster| {
            cluster.tamper(&volume, |size, _, _| *size = Bytes(size.0 + (4 << 20)));
        }
    };
    n1.kernel.before("activate", grow(volume.clone()));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(lab.policy.asked().len(), 2);
    n1.node.detach(&detach_ask(instance(1))).unwrap();

    // Once before each lease.
    let kernel = n1.kernel.clone();
    let wild = volume.clone();
    n1.kernel.before("activate", move |cluster| {
        grow(wild.clone())(cluster);
        let (again, kernel_again) = (wild.clone(), kernel.clone());
        kernel.before("activate", move |cluster| {
            grow(again.clone())(cluster);
            kernel_again.before("activate", grow(again.clone()));
        });
    });
    let (code, _) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
    assert_eq!(code, RefusalCode::KeepsChanging);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_volume_that_vanishes_is_said_and_leaves_nothing() {
    let (lab, n1, _) = two_nodes();
    let volumes = [lab.volume("a"), lab.volume("b")];
    let gone = volumes[1].clone();
    n1.kernel
        .before("activate", move |cluster| cluster.vanish(&gone));
    let error = n1
        .node
        .attach(&ask(instance(1), &volumes.each_ref().map(disk)))
        .unwrap_err();
    assert!(
        !matches!(error, ControlError::Quarantined { .. }),
        "{error}"
    );
    assert_eq!(clean(&lab, &n1), [""; 0]);
    let error = n1.node.attach(&ask(instance(1), &[disk(&volumes[1])]));
    assert!(matches!(error, Err(ControlError::NotFound(_))), "{error:?}");
}

#[test]
fn i26_without_a_watchdog_nothing_is_written() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.shareable("a");
    n1.kernel.set_watchdog(false);
    let (code, _) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
    assert_eq!(code, RefusalCode::NoWatchdog);
    n1.node
        .attach(&ask(instance(1), &[read_only(&volume)]))
        .unwrap();
}

#[test]
fn a_denial_leaves_nothing_and_is_recorded() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    lab.policy.say(Say::Deny);
    let error = n1
        .node
        .attach(&ask(instance(1), &[disk(&volume)]))
        .unwrap_err();
    assert_eq!(error.to_string(), "the test says no");
    let outcome = Outcome::Refused {
        code: "no".into(),
        message: "the test says no".into(),
    };
    assert_eq!(n1.decisions.outcomes(), [outcome]);
    assert_eq!(clean(&lab, &n1), [""; 0]);
    lab.policy.say(Say::ReadOnly);
    let (code, _) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
    assert_eq!(code, RefusalCode::Narrowed);
}

#[test]
fn i13_what_nobody_knows_of_is_removed_at_the_start() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    let key = n1.node.attachments()[0].key();
    volward_control::ports::Journal::change_attachments(&n1.journal, &[], &[key]).unwrap();
    n1.kill();
    let n1 = lab.start("n1");
    assert!(n1.kernel.devices().is_empty());
    assert!(Devices::links(&n1.kernel).unwrap().is_empty());
}

#[test]
fn a_policy_that_leaves_out_a_disk_has_the_request_refused_and_nothing_attached() {
    let (lab, n1, _) = two_nodes();
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let request = ask(instance(1), &[disk(&a), disk(&b)]);
    lab.policy.say(Say::AllButTheLast);
    let (code, message) = refused(&n1.node, &request);
    assert_eq!(code, RefusalCode::AnswerMismatch);
    assert!(message.contains(&b.to_string()), "{message}");
    assert_eq!(clean(&lab, &n1), [""; 0]);
    lab.policy.say(Say::Reversed);
    let done = n1.node.attach(&request).unwrap();
    let granted: Vec<_> = done.grants.into_iter().map(|g| g.volume).collect();
    assert_eq!(granted, [a, b]);
}

#[test]
fn a_home_tag_nobody_can_read_is_refused_with_its_code() {
    let (lab, n1, _) = two_nodes();
    let volume = lab.volume("a");
    let broken = "volward.home=x".to_owned();
    n1.kernel.change_tags(&volume, &[], &[broken]).unwrap();
    let (code, message) = refused(&n1.node, &ask(instance(1), &[disk(&volume)]));
    assert_eq!(code, RefusalCode::HomeUnreadable);
    assert!(
        message.contains("`volward.home=x`") && message.contains("lvchange --deltag"),
        "{message}"
    );
}
