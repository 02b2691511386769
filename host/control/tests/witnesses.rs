//! Where a volume's data is, told by more than one witness: home tag, record, devices and copies. What
//! contradicts itself costs no data, and can be mended.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::{Devices, Leases, Volumes};
use volward_control::{ControlError, SaidBy, VolumeTrouble};
use volward_model::home::HomeState;
use volward_model::{
    AttachmentState, Bytes, CopyMode, DeviceId, DeviceRole, Home, LeaseMode, RequestId, VolumeRef,
};
use volward_plan::RefusalCode;
use volward_simulation::check::{clean, data, holds, settled};
use volward_simulation::story::{attached, failure, home};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};
use volward_storage::journal::FakeJournal;

/// Where a write-back is about to unload the clone: the home is `pool` already.
const UNLOAD_CLONE: usize = 16;

fn clone_of(volume: &VolumeRef) -> DeviceId {
    DeviceId {
        volume: volume.id,
        role: DeviceRole::Clone,
    }
}

fn write(lab: &Lab, n1: &Daemon, volume: &VolumeRef, what: (u64, u64)) {
    lab.write(&n1.kernel, volume.id, instance(1), what).unwrap();
}

fn refused(daemon: &Daemon, n: u8, volume: &VolumeRef) -> (RefusalCode, String) {
    match daemon.node.attach(&ask(instance(n), &[disk(volume)])) {
        Err(ControlError::Refused { refusal, .. }) => (refusal.code, refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}

/// The daemon dies, its state is gone, and the guest goes on.
fn lose_state(lab: &mut Lab, n1: Daemon, volume: &VolumeRef) -> Daemon {
    let device = DeviceId::attachment(volume.id, instance(1));
    n1.kernel.set_open(device, true);
    n1.kill();
    let empty = FakeJournal::new(lab.cluster.node("n1"));
    lab.set_journal("n1", empty);
    lab.start("n1")
}

fn end_guest(n1: &Daemon, volume: &VolumeRef) {
    let device = DeviceId::attachment(volume.id, instance(1));
    n1.kernel.set_open(device, false);
}

#[test]
fn a_guest_whose_record_is_lost_keeps_its_volume_from_everybody_else() {
    let (mut lab, n1, volume) = attached(Say::AsAsked);
    let n2 = lab.start("n2");
    write(&lab, &n1, &volume, (3, 7));
    let n1 = lose_state(&mut lab, n1, &volume);
    let found = n1.node.attachments();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].state, AttachmentState::Quarantined);
    assert!(found[0].causes[0].contains("restored"), "{found:?}");
    assert_eq!(n1.kernel.links().unwrap().len(), 1, "its path stays");
    assert!(n1.node.inconsistencies()[0].contains("quarantined"));

    let (code, message) = refused(&n1, 2, &volume);
    assert_eq!(code, RefusalCode::HeldHere, "{message}");
    assert!(message.contains(&instance(1).to_string()), "{message}");
    let (code, message) = refused(&n2, 3, &volume);
    assert_eq!(code, RefusalCode::HeldElsewhere, "{message}");
    write(&lab, &n1, &volume, (4, 8));

    end_guest(&n1, &volume);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_copy_whose_record_is_lost_is_not_written_back_beneath_its_guest() {
    let (mut lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, (3, 7));
    let n1 = lose_state(&mut lab, n1, &volume);
    n1.tasks.run_all();
    write(&lab, &n1, &volume, (4, 8));
    assert!(matches!(home(&lab, &volume).state, HomeState::Split { .. }));
    assert_eq!(settled(&lab, &n1), [""; 0]);

    end_guest(&n1, &volume);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// The clone is linear, so nothing holds the shared LV: only the witnesses keep the copy.
#[test]
fn a_home_tag_that_is_lost_costs_neither_lease_nor_copy() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    let n2 = lab.start("n2");
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    write(&lab, &n1, &volume, (4, 8));
    let tags = lab.cluster.tags(&volume);
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());

    for _ in 0..2 {
        let error = n1.node.detach(&detach_ask(instance(1))).unwrap_err();
        let ControlError::Quarantined { causes, .. } = error else {
            panic!("{error:?}");
        };
        assert!(causes[0].contains("kept"), "{causes:?}");
        assert_eq!(
            holds(&lab, &n1.kernel, volume.id),
            Some(LeaseMode::Exclusive)
        );
        assert!(n1.kernel.devices().contains(&clone_of(&volume)));
    }
    let troubles = n1.node.to_look_at();
    assert!(
        matches!(&troubles[..], [(of, VolumeTrouble::Contradiction(_))] if *of == volume),
        "{troubles:?}"
    );
    let (code, message) = refused(&n1, 2, &volume);
    assert_eq!(code, RefusalCode::Contradiction, "{message}");
    assert!(message.contains("volward recover"), "{message}");
    assert_eq!(refused(&n2, 3, &volume).0, RefusalCode::HeldElsewhere);

    // The restart decides nothing else, and neither does what works in the background.
    n1.kill();
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert_eq!(refused(&n1, 2, &volume).0, RefusalCode::Contradiction);

    // Somebody puts the tag back, and everything comes home.
    lab.cluster.tamper(&volume, |_, now, _| *now = tags);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// `volward recover` prints a command, and a person types it later.
#[test]
fn the_home_that_a_person_says_is_right_is_compared_with_the_witnesses_again() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
    n1.node.detach(&detach_ask(instance(1))).unwrap_err();
    let request = RequestId(uuid::Uuid::nil());
    let (pool, name) = (&volume.pool, &volume.name);
    let heard = n1.node.testimony(request, pool, name).unwrap();
    let [right] = &heard.homes[..] else {
        panic!("{heard:?}")
    };
    let said = SaidBy {
        uid: 0,
        because: None,
    };
    let set = |right: &Home| {
        n1.node
            .set_home(request, (pool, name), &Home::POOL, right, &said)
    };
    let refused = |right: &Home| match set(right).unwrap_err() {
        ControlError::Refused { refusal, .. } => {
            assert_eq!(refusal.code, RefusalCode::HomeChanged);
            refusal.message
        }
        other => panic!("{other:?}"),
    };
    // Somebody has changed the tag since: there are never two.
    let other = Home {
        state: HomeState::Pool,
        generation: 9,
    };
    let tags = vec![other.tag()];
    lab.cluster.tamper(&volume, |_, now, _| *now = tags.clone());
    assert!(refused(right).contains("says pool (generation 9) now"));
    assert_eq!(lab.cluster.tags(&volume), tags);
    lab.cluster.tamper(&volume, |_, now, _| now.clear());
    // No home that nobody printed.
    assert!(refused(&other).contains("not among the homes that can be chosen"));

    set(right).unwrap();
    assert_eq!(home(&lab, &volume), *right);
    assert!(refused(right).contains("its home tag says"));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// The daemon has died with the home at `pool` and the clone still loaded, and with no record of the
/// write-back, because the state's disk was full.
fn outlived() -> (Lab, VolumeRef) {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    n1.journal.set_full(true);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.points.die_at(UNLOAD_CLONE);
    n1.tasks.run_all();
    let last = n1.points.passed().last().cloned();
    assert_eq!(last.as_deref(), Some("write-back/unload-clone/before"));
    n1.journal.set_full(false);
    n1.kill();
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    (lab, volume)
}

/// A clone that outlived its write-back would show the earlier copy's data.
#[test]
fn what_outlived_a_write_back_is_cleared_away_before_the_next_copy() {
    let (lab, _) = outlived();
    // The next start takes it up, with nothing on record.
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn an_attach_clears_away_what_outlived_a_write_back_and_reads_what_others_wrote_since() {
    let (lab, volume) = outlived();
    let n1 = lab.start("n1");
    // Background work has not begun; somebody has given the lease up by hand, and node 2 writes.
    Leases::release(&n1.kernel, &lab.pool, std::slice::from_ref(&volume)).unwrap();
    lab.policy.say(Say::AsAsked);
    let n2 = lab.start("n2");
    n2.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    lab.write(&n2.kernel, volume.id, instance(2), (5, 55))
        .unwrap();
    n2.node.detach(&detach_ask(instance(2))).unwrap();

    lab.policy.say(Say::Copy(CopyMode::Background));
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(data(&lab, &n1), [""; 0]);
    n1.tasks.run_all();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_volume_that_is_grown_while_its_data_is_on_a_copy_comes_home_and_keeps_its_new_end() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    write(&lab, &n1, &volume, (3, 7));
    let grown =
        Bytes(lab.cluster.contents(volume.id).len() as u64 * 2 * volward_storage::fake::BLOCK.0);
    lab.cluster.tamper(&volume, |size, _, _| *size = grown);
    // Its guest goes on with what it has, also when it is started anew before the copy is home.
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    write(&lab, &n1, &volume, (4, 8));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    assert!(n1.node.attachments().is_empty() && n1.node.copies().is_empty());
    let now = lab.cluster.contents(volume.id);
    let expected = lab.expected(volume.id);
    assert_eq!(now[..expected.len()], expected);
    let info = n1.kernel.pool(&lab.pool).unwrap();
    assert_eq!(info.volume(volume.id).unwrap().size, grown);
    lab.policy.say(Say::AsAsked);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
}

/// Takes the copy's own word away, as on a copy of 0.1.0.
fn silence_copy(lab: &Lab, n1: &Daemon, volume: &VolumeRef) -> VolumeRef {
    let local = lab.local("n1").unwrap();
    let copy = n1.kernel.pool(&local).unwrap();
    let name = format!("volward-copy-{}", volume.id.lv).parse().unwrap();
    let copy = copy.named(&name).unwrap().volume.clone();
    lab.cluster.tamper(&copy, |_, tags, _| {
        tags.retain(|tag| !tag.starts_with("volward.copy-stage="));
    });
    copy
}

/// The home tag is rolled back to a time when the pool had everything, after a reboot, and the copy
/// does not say what is in it: nothing but a record of a write-back would speak for removing it.
#[test]
fn a_copy_that_says_nothing_is_not_removed_on_the_word_of_an_older_home() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::WritesOnly));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    let older = lab.cluster.tags(&volume);
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    write(&lab, &n1, &volume, (3, 7));
    let copy = silence_copy(&lab, &n1, &volume);
    let newer = lab.cluster.tags(&volume);
    n1.kill();
    lab.reboot("n1");
    lab.cluster.tamper(&volume, |_, tags, _| *tags = older);
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    assert_eq!(refused(&n1, 2, &volume).0, RefusalCode::Contradiction);
    let local = n1.kernel.pool(&copy.pool).unwrap();
    assert!(local.volume(copy.id).is_some(), "the copy is gone");

    lab.cluster.tamper(&volume, |_, tags, _| *tags = newer);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert_eq!(data(&lab, &n1), [""; 0]);
}

/// A daemon that replaces 0.1.0 under running guests makes their copies say that they are in use.
#[test]
fn a_copy_that_says_nothing_says_that_it_is_in_use_when_it_is_taken_up() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    let copy = silence_copy(&lab, &n1, &volume);
    n1.kill();
    let n1 = lab.start("n1");
    let tags = lab.cluster.tags(&copy);
    assert!(
        tags.iter().any(|tag| tag.contains("copy-stage=used:1:")),
        "{tags:?}"
    );
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// Grown while it hydrates and after it was switched, and with a failure at each change of the
/// write-back.
#[test]
fn a_grown_volume_comes_home_whatever_fails_on_the_way() {
    for mode in [CopyMode::WritesOnly, CopyMode::Background] {
        for n in 1..40 {
            let (lab, n1, volume) = attached(Say::Copy(mode));
            write(&lab, &n1, &volume, (3, 7));
            lab.cluster.tamper(&volume, |size, _, _| size.0 += 64 << 20);
            n1.tasks.run_all();
            write(&lab, &n1, &volume, (4, 8));
            n1.node.detach(&detach_ask(instance(1))).unwrap();
            n1.kernel.fail_at(n);
            n1.tasks.run_all();
            n1.kill();
            let n1 = lab.start("n1");
            n1.tasks.run_all();
            assert_eq!(home(&lab, &volume).state, HomeState::Pool, "{mode:?} {n}");
            let now = lab.cluster.contents(volume.id);
            let expected = lab.expected(volume.id);
            assert_eq!(now[..expected.len()], expected, "{mode:?} {n}");
            let left = lab.cluster.volumes(&lab.local("n1").unwrap());
            assert!(left.is_empty(), "{mode:?} {n}: {left:?}");
        }
    }
}

/// An undo that breaks off between the copy's word and the home's is finished by the next detach.
#[test]
fn an_undo_that_breaks_off_at_the_home_is_no_contradiction_for_good() {
    for n in 1..8 {
        let lab = Lab::new(&["n1"]);
        lab.policy.say(Say::Copy(CopyMode::Background));
        let n1 = lab.start("n1");
        let volume = lab.volume("a");
        let kernel = n1.kernel.clone();
        n1.kernel.fail_on("link", failure());
        n1.kernel.before("link", move |_| kernel.fail_at(n));
        n1.node
            .attach(&ask(instance(1), &[disk(&volume)]))
            .unwrap_err();
        n1.kill();
        let n1 = lab.start("n1");
        n1.tasks.run_all();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0], "failure {n} of the undo");
    }
}

#[test]
fn a_detach_that_cannot_look_at_the_devices_keeps_lease_and_copy() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    let tags = lab.cluster.tags(&volume);
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
    n1.kernel.fail_on("list-devices", failure());
    n1.node.detach(&detach_ask(instance(1))).unwrap_err();
    assert_eq!(
        holds(&lab, &n1.kernel, volume.id),
        Some(LeaseMode::Exclusive)
    );
    lab.cluster.tamper(&volume, |_, now, _| *now = tags);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn a_dead_local_pool_keeps_back_no_guest_that_does_not_need_it() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    lab.cluster.lose_pool(&lab.local("n1").unwrap());
    let done = n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    assert!(done.grants[0].copy.is_none());
    assert!(done.notes[0].contains("nvme-n1"), "{:?}", done.notes);
}

/// What a detach keeps is kept, and quarantined, also when it is the next start that completes it.
#[test]
fn i30_a_detach_that_keeps_a_copy_is_completed_so_after_a_crash() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    let tags = lab.cluster.tags(&volume);
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
    // Before its second step, with the path gone.
    let passed = n1.points.passed().len();
    n1.points.die_at(2);
    n1.try_detach(&detach_ask(instance(1)));
    assert!(n1.kernel.crashed());
    let at = n1.points.passed()[passed..].last().cloned();
    assert_eq!(at.as_deref(), Some("detach/remove-device/before"));

    n1.kill();
    let n1 = lab.start("n1");
    n1.tasks.run_all();
    let attachments = n1.node.attachments();
    let [kept] = attachments.as_slice() else {
        panic!("{attachments:?}");
    };
    assert_eq!(kept.state, AttachmentState::Quarantined);
    assert!(kept.causes[0].contains("kept"), "{:?}", kept.causes);
    assert_eq!(
        holds(&lab, &n1.kernel, volume.id),
        Some(LeaseMode::Exclusive)
    );
    assert!(n1.kernel.devices().contains(&clone_of(&volume)));

    lab.cluster.tamper(&volume, |_, now, _| *now = tags);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// The state is lost while a guest runs on `/dev/POOL/LV`: it has no device of Volward's, and only
/// the lease tells of it.
#[test]
fn a_lease_that_no_record_explains_is_a_holder_until_it_is_given_up() {
    let mut lab = Lab::new(&["n1"]);
    let volume = lab.volume("a");
    let n1 = lab.start("n1");
    let mut as_lv = disk(&volume);
    as_lv.form = volward_plan::DiskForm::Lv;
    n1.node.attach(&ask(instance(1), &[as_lv])).unwrap();
    n1.kill();
    let fresh = FakeJournal::new(lab.cluster.node("n1"));
    lab.set_journal("n1", fresh);

    let n1 = lab.start("n1");
    for dry_run in [true, false] {
        let mut wants = ask(instance(2), &[disk(&volume)]);
        wants.dry_run = dry_run;
        let error = n1.node.attach(&wants).unwrap_err();
        let ControlError::Refused { refusal, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(refusal.code, RefusalCode::Contradiction);
        assert!(refusal.message.contains("lvchange -an san/a"), "{refusal}");
    }
    let (named, trouble) = n1.node.to_look_at().remove(0);
    assert_eq!(named, volume);
    assert!(
        format!("{trouble:?}").contains("holds its lease"),
        "{trouble:?}"
    );

    let one = std::slice::from_ref(&volume);
    n1.kernel.release(&lab.pool, one).unwrap();
    n1.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
}

/// Home tag and devices are read one after the other, and a write-back goes on in between.
fn whole_write_back_before_the_devices_are_listed(n1: &Daemon) {
    let tasks = std::sync::Arc::clone(&n1.tasks);
    n1.kernel.before("list-devices", move |_| {
        tasks.run_all();
    });
}

#[test]
fn a_look_beside_a_write_back_calls_no_healthy_volume_contradictory() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    whole_write_back_before_the_devices_are_listed(&n1);
    assert_eq!(n1.node.to_look_at(), []);
    assert_eq!(home(&lab, &volume).state, HomeState::Pool);
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn an_attach_beside_a_write_back_is_not_refused_for_what_changes_meanwhile() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    whole_write_back_before_the_devices_are_listed(&n1);
    n1.node.attach(&ask(instance(2), &[disk(&volume)])).unwrap();
    assert_eq!(data(&lab, &n1), [""; 0]);
}

/// A contradiction that is there under the lock is told, and one beneath a request is its own to tell.
#[test]
fn what_contradicts_itself_under_the_lock_is_named() {
    let (lab, n1, volume) = attached(Say::Copy(CopyMode::Background));
    write(&lab, &n1, &volume, (3, 7));
    n1.tasks.run_all();
    lab.cluster.tamper(&volume, |_, tags, _| tags.clear());
    let found = n1.node.to_look_at();
    assert!(
        matches!(&found[..], [(of, VolumeTrouble::Contradiction(_))] if *of == volume),
        "{found:?}"
    );
}
