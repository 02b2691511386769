//! What LVM makes of a volume, and what the node's LVM does not do for it: kinds of LVs without a
//! lease, lists of lvm.conf, a pool that misses a disk.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ControlError;
use volward_model::{CopyMode, Sharing};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, holds, settled};
use volward_simulation::story::{one_node, refused};
use volward_simulation::{Say, ask, detach_ask, disk, instance, shared};

#[test]
fn what_has_no_lease_of_its_own_is_refused_before_any_step() {
    let (lab, n1) = one_node();
    let volume = lab.volume("thin1");
    for (segment_type, roles, leased, code) in [
        ("thin", "public", false, RefusalCode::NoOwnLease),
        ("vdo", "public", false, RefusalCode::NoOwnLease),
        ("linear", "snapshot", false, RefusalCode::NoOwnLease),
        ("linear", "public", false, RefusalCode::NoOwnLease),
        ("thin-pool", "private", true, RefusalCode::SegmentType),
        ("vdo-pool", "private", true, RefusalCode::SegmentType),
    ] {
        let roles = [roles];
        lab.cluster.set_kind(&volume, segment_type, &roles, leased);
        let mut request = ask(instance(1), &[disk(&volume)]);
        let before = n1.kernel.journal();
        request.dry_run = true;
        assert_eq!(refused(&n1.node, &request).0, code, "{segment_type}");
        assert_eq!(n1.kernel.journal(), before, "a dry run changes nothing");
        request.dry_run = false;
        assert_eq!(refused(&n1.node, &request).0, code, "{segment_type}");
        let after = n1.kernel.journal();
        let commands = after[before.len()..].iter();
        let stepped = |call: &&String| call.starts_with("activate") || call.contains("deactivate");
        assert_eq!(commands.filter(stepped).count(), 0, "{after:?}");
        assert_eq!(clean(&lab, &n1), [""; 0]);
    }
}

/// A mark that could never have an effect is no mark.
#[test]
fn what_cannot_be_shared_is_not_marked_shareable() {
    let (lab, n1) = one_node();
    let volume = lab.volume("a");
    let mark = |shareable| {
        let request = ask(instance(1), &[]).request;
        let pool = &volume.pool;
        n1.node
            .set_shareable(request, pool, &volume.name, shareable)
    };
    for (segment_type, roles, leased, code) in [
        ("thin", "public", false, RefusalCode::NoOwnLease),
        ("thin-pool", "private", true, RefusalCode::SegmentType),
        ("raid1", "public", true, RefusalCode::ExclusiveOnly),
    ] {
        lab.cluster
            .set_kind(&volume, segment_type, &[roles], leased);
        let Err(ControlError::Refused { refusal, .. }) = mark(true) else {
            panic!("{segment_type} was marked");
        };
        assert_eq!(refusal.code, code, "{refusal}");
    }
    lab.cluster.set_kind(&volume, "linear", &["public"], true);
    mark(true).unwrap();
    // Taken away from whatever it has become.
    lab.cluster.set_kind(&volume, "raid1", &["public"], true);
    mark(false).unwrap();
}

#[test]
fn raid_and_origins_are_served_to_one_and_refused_to_several() {
    let (lab, n1) = one_node();
    let volume = lab.shareable("mirrored");
    for (segment_type, roles) in [
        ("raid1", &["public"][..]),
        ("linear", &["public", "origin", "thickorigin"]),
    ] {
        lab.cluster.set_kind(&volume, segment_type, roles, true);
        let together = ask(instance(1), &[shared(&volume)]);
        let (code, message) = refused(&n1.node, &together);
        assert_eq!(code, RefusalCode::ExclusiveOnly, "{message}");
        let mut alone = disk(&volume);
        alone.sharing = Some(Sharing::Exclusive);
        n1.node.attach(&ask(instance(1), &[alone])).unwrap();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(clean(&lab, &n1), [""; 0]);
    }
    lab.cluster.set_kind(&volume, "striped,linear", &[], true);
    n1.node
        .attach(&ask(instance(1), &[shared(&volume)]))
        .unwrap();
}

/// `volume_list` and `read_only_volume_list` of lvm.conf.
#[test]
fn what_lvm_does_not_activate_is_refused_after_one_try_and_the_lease_given_back() {
    let (lab, n1) = one_node();
    let web = lab.volume("web");
    n1.kernel.set_activation_refused(&lab.pool, true);
    let request = ask(instance(1), &[disk(&web)]);
    let (code, message) = refused(&n1.node, &request);
    assert_eq!(code, RefusalCode::NotActivated);
    assert!(message.contains("volume_list"), "{message}");
    let tries = n1.kernel.journal();
    let tries = tries.iter().filter(|call| call.starts_with("activate"));
    assert_eq!(tries.count(), 1);
    assert_eq!(holds(&lab, &n1.kernel, web.id), None);
    assert_eq!(clean(&lab, &n1), [""; 0]);

    n1.kernel.set_activation_refused(&lab.pool, false);
    n1.kernel.set_activation_read_only(&lab.pool, true);
    assert_eq!(
        refused(&n1.node, &request).0,
        RefusalCode::ActivatedReadOnly
    );
    assert_eq!(clean(&lab, &n1), [""; 0]);
    let readable = volward_simulation::read_only(&web);
    n1.node.attach(&ask(instance(1), &[readable])).unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

/// A copy is a proposal: where LVM can make none, the guest is served from the pool.
#[test]
fn a_local_pool_that_misses_a_disk_keeps_no_guest_from_its_start() {
    let (lab, n1) = one_node();
    let web = lab.volume("web");
    let local = lab.local("n1").unwrap();
    lab.cluster.set_partial(&local, true);
    lab.policy.say(Say::Copy(CopyMode::Background));
    let done = n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    assert!(done.grants[0].copy.is_none(), "{done:?}");
    let note = done.notes.join("; ");
    assert!(note.contains("physical volume of the local pool"), "{note}");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    lab.cluster.set_partial(&local, false);
    let done = n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    assert!(done.grants[0].copy.is_some(), "{done:?}");
}

/// A pool that was extended on another node, whose new disk this node's devices file does not list.
#[test]
fn a_pool_that_misses_a_disk_refuses_what_needs_it_and_serves_the_rest() {
    let (lab, n1) = one_node();
    let (web, data) = (lab.volume("web"), lab.volume("data"));
    // The attach takes autoactivation off, so that the next one has nothing to change.
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    lab.cluster.set_partial(&lab.pool, true);
    lab.policy.say(Say::Copy(CopyMode::Background));
    let done = n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    assert!(
        done.grants[0].copy.is_none() && done.notes.len() == 1,
        "{done:?}"
    );
    let mut request = ask(instance(2), &[disk(&data)]);
    for dry_run in [true, false] {
        request.dry_run = dry_run;
        let (code, message) = refused(&n1.node, &request);
        assert_eq!(code, RefusalCode::PoolIncomplete);
        assert!(message.contains("`volward doctor` says which"), "{message}");
    }
    assert_eq!(holds(&lab, &n1.kernel, data.id), None);
    n1.node.detach(&detach_ask(instance(1))).unwrap();

    // What LVM does not activate, because it is on the missing disk.
    let failure = volward_control::ports::PortError::Command {
        command: "lvm lvchange".into(),
        status: "exit status: 5".into(),
        stdout: String::new(),
        stderr: "  Refusing activation of partial LV".into(),
    };
    for _ in 0..3 {
        n1.kernel.fail_on("activate", failure.clone());
    }
    let (code, _) = refused(&n1.node, &ask(instance(1), &[disk(&web)]));
    assert_eq!(code, RefusalCode::PoolIncomplete);
    lab.cluster.set_partial(&lab.pool, false);
    n1.node.attach(&request).unwrap();
}
