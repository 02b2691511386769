//! Names change, UUIDs do not: volumes that are renamed, removed and made again, or grown behind
//! Volward's back.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::DetachRequest;
use volward_control::ports::{Devices, Volumes};
use volward_model::{Bytes, CopyMode, DeviceId, LeaseMode, VolumeRef};
use volward_plan::{DiskForm, RefusalCode};
use volward_simulation::check::{clean, holds, settled};
use volward_simulation::story::{one_node, refused};
use volward_simulation::{Daemon, Lab, Say, ask, detach_ask, disk, instance};

fn names(daemon: &Daemon) -> Vec<String> {
    let attachments = daemon.node.attachments();
    attachments.iter().map(|a| a.volume.to_string()).collect()
}

/// A detach of that volume alone.
fn detach_one(n: u8, volume: &VolumeRef) -> DetachRequest {
    DetachRequest {
        volumes: vec![(volume.pool.clone(), volume.name.clone())],
        ..detach_ask(instance(n))
    }
}

#[test]
fn a_detach_follows_its_volumes_by_uuid_and_leaves_the_one_with_the_old_name_alone() {
    let (lab, n1) = one_node();
    let (web, data) = (lab.volume("web"), lab.volume("data"));
    let disks = [disk(&web), disk(&data)];
    n1.node.attach(&ask(instance(1), &disks)).unwrap();
    lab.write(&n1.kernel, web.id, instance(1), (3, 9)).unwrap();

    let renamed = lab.cluster.rename(&web, "web-old");
    assert_eq!(renamed.name.as_str(), "web-old");
    let other = lab.volume("web");
    assert_ne!(other.id, web.id);
    n1.node.attach(&ask(instance(2), &[disk(&other)])).unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);

    let done = n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(done.detached.len(), 2);
    assert_eq!(holds(&lab, &n1.kernel, web.id), None);
    assert_eq!(holds(&lab, &n1.kernel, data.id), None);
    let exclusive = Some(LeaseMode::Exclusive);
    assert_eq!(holds(&lab, &n1.kernel, other.id), exclusive);
    lab.write(&n1.kernel, other.id, instance(2), (1, 1))
        .unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_ask(instance(2))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// No device of Volward's is on the LV: nothing but the UUID keeps it from being taken down.
#[test]
fn a_volume_attached_as_the_lv_itself_is_never_deactivated_for_another() {
    let (lab, n1) = one_node();
    let web = lab.volume("web");
    let as_lv = |volume: &VolumeRef| {
        let mut lv = disk(volume);
        lv.form = DiskForm::Lv;
        lv
    };
    n1.node.attach(&ask(instance(1), &[as_lv(&web)])).unwrap();
    drop(lab.cluster.rename(&web, "web-old"));
    let other = lab.volume("web");
    n1.node.attach(&ask(instance(2), &[as_lv(&other)])).unwrap();
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert!(n1.kernel.active().contains(&other.id));
    assert!(!n1.kernel.active().contains(&web.id));
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn a_copy_hydrates_and_comes_home_under_another_name() {
    for (hydrated, complete) in [(false, false), (true, false), (true, true)] {
        let (lab, n1) = one_node();
        lab.policy.say(Say::Copy(CopyMode::Background));
        let web = lab.volume("web");
        n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
        if hydrated {
            n1.tasks.run_all();
        }
        lab.write(&n1.kernel, web.id, instance(1), (5, 77)).unwrap();
        drop(lab.cluster.rename(&web, "web-old"));
        let other = lab.volume("web");
        if !complete {
            n1.tasks.run_all();
        }
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        // And once more, in the middle of the write-back.
        drop(lab.cluster.rename(&web, "web-older"));
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0]);
        assert_eq!(lab.cluster.contents(web.id), lab.expected(web.id));
        assert_eq!(lab.cluster.contents(other.id), lab.expected(other.id));
    }
}

/// A list is read by people, who know the volume by what it is called now; also where the disks do not answer at
/// once, and the list is from memory.
#[test]
fn lists_have_the_name_that_a_volume_has_now() {
    let (lab, n1) = one_node();
    lab.policy.say(Say::Copy(CopyMode::Background));
    let web = lab.volume("web");
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    let now = lab.cluster.rename(&web, "web-new").name;
    assert_eq!(n1.node.copies_seen()[0].volume.name, now);
    assert_eq!(
        n1.node.attachments_seen()[0].now.as_ref().unwrap().name,
        now
    );
    let later = lab.cluster.rename(&web, "web-newer").name;
    for (round, name) in [now, later].iter().enumerate() {
        if round == 1 {
            // Somebody looks again.
            drop(n1.node.attachments_seen());
        }
        assert_eq!(n1.node.copies()[0].volume.name, *name);
        let remembered = n1.node.attachments_remembered();
        assert_eq!(remembered[0].now.as_ref().unwrap().name, *name);
        assert!(remembered[0].is_renamed() && !remembered[0].vanished);
    }
    // A volume of which nothing is here any more is forgotten.
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(n1.node.copies(), []);
    assert_eq!(n1.node.attachments_remembered(), []);
}

#[test]
fn a_renamed_volume_is_detached_by_either_name_and_its_path_keeps_the_first() {
    let (lab, n1) = one_node();
    let web = lab.volume("web");
    let attach = || n1.node.attach(&ask(instance(1), &[disk(&web)]));
    attach().unwrap();
    let renamed = lab.cluster.rename(&web, "web-old");
    let links = n1.kernel.links().unwrap();
    assert_eq!(links[0].volume.as_str(), "web");
    let seen = n1.node.attachments_seen();
    assert_eq!(seen[0].now.as_ref().unwrap().name, renamed.name);
    assert_eq!(seen[0].stored.volume.name, web.name);
    assert!(seen[0].is_renamed());

    // The path of the new name is nobody's: whoever asks for it must not be told it is there.
    let (code, message) = refused(&n1.node, &ask(instance(1), &[disk(&renamed)]));
    assert_eq!(code, RefusalCode::AttachedDifferently);
    assert!(message.contains(&format!("/{web},")), "{message}");
    let gone = attach().unwrap_err().to_string();
    assert!(gone.contains("san/web-old"), "{gone}");

    n1.node.detach(&detach_one(1, &renamed)).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);

    n1.node
        .attach(&ask(instance(1), &[disk(&renamed)]))
        .unwrap();
    drop(lab.cluster.rename(&web, "web"));
    n1.node.detach(&detach_one(1, &renamed)).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// The path of the first would be the second's, and a detach of the second would take it away.
#[test]
fn a_new_volume_of_the_old_name_does_not_get_the_path_of_the_first() {
    let (lab, n1) = one_node();
    let web = lab.volume("web");
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    drop(lab.cluster.rename(&web, "web-old"));
    let other = lab.volume("web");
    let mut request = ask(instance(1), &[disk(&other)]);
    for dry_run in [true, false] {
        request.dry_run = dry_run;
        let (code, message) = refused(&n1.node, &request);
        assert_eq!(code, RefusalCode::PathTaken);
        assert!(message.contains(&web.id.lv.to_string()), "{message}");
    }
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.node.detach(&detach_one(1, &web)).unwrap();
    n1.node.attach(&ask(instance(1), &[disk(&other)])).unwrap();
    assert_eq!(names(&n1), ["san/web"]);
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

/// Between two steps: what was planned for a volume is done to it, or to none.
#[test]
fn a_rename_in_the_middle_of_an_attach_touches_no_other_volume() {
    for before in [
        "activate",
        "disable-autoactivation",
        "write-registry",
        "create-device",
        "link",
    ] {
        let (lab, n1) = one_node();
        let web = lab.volume("web");
        let then = web.clone();
        n1.kernel.before(before, move |cluster| {
            drop(cluster.rename(&then, "web-old"));
            cluster.volume(&then.pool, "web", Bytes::mib(2));
        });
        drop(n1.node.attach(&ask(instance(1), &[disk(&web)])));
        let pool = n1.kernel.pool(&lab.pool).unwrap();
        let other = pool.named(&web.name).unwrap();
        assert!(other.volume.id != web.id && !other.active, "{before}");
        let is_ours = |id: &DeviceId| id.volume == web.id;
        assert!(n1.kernel.devices().iter().all(is_ours), "{before}");
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(clean(&lab, &n1), [""; 0], "{before}");
    }
}

#[test]
fn a_volume_that_was_removed_and_made_again_is_another() {
    let (lab, n1) = one_node();
    let (web, data) = (lab.volume("web"), lab.volume("data"));
    let mut as_lv = disk(&web);
    as_lv.form = DiskForm::Lv;
    let disks = [as_lv, disk(&data)];
    n1.node.attach(&ask(instance(1), &disks)).unwrap();
    assert!(!n1.kernel.lvremove(&data), "a device of ours is on it");
    assert!(
        n1.kernel.lvremove(&web),
        "nothing holds an LV that no guest has open yet"
    );
    let again = lab.volume("web");
    // Nobody has the new one: it is attached, here and for another instance.
    n1.node.attach(&ask(instance(2), &[disk(&again)])).unwrap();
    let missing = n1.node.attachments_seen();
    let missing = missing.iter().find(|a| a.stored.volume.id == web.id);
    assert!(missing.unwrap().now.is_none());
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    assert_eq!(names(&n1), ["san/web"]);
    let exclusive = Some(LeaseMode::Exclusive);
    assert_eq!(holds(&lab, &n1.kernel, again.id), exclusive);
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

#[test]
fn the_size_of_a_device_stays_when_its_volume_grows_and_that_is_shown() {
    let (lab, n1) = one_node();
    let web = lab.volume("web");
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    assert!(n1.node.attachments_seen()[0].grown().is_none());
    lab.cluster.tamper(&web, |size, _, _| *size = Bytes::mib(8));
    let (device, volume) = n1.node.attachments_seen()[0].grown().unwrap();
    assert_eq!((device, volume), (Bytes::mib(2), Bytes::mib(8)));
    let notes = n1.node.attachments_seen()[0].notes();
    assert!(notes[0].contains("keeps its size"), "{notes:?}");
    lab.cluster.tamper(&web, |size, _, _| *size = Bytes::mib(1));
    let notes = n1.node.attachments_seen()[0].notes();
    assert!(notes[0].contains("lvextend"), "{notes:?}");
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    assert!(n1.node.attachments_seen()[0].grown().is_none());
    assert_eq!(settled(&lab, &n1), [""; 0]);
}

/// `vgchange -aln` of libvirt's pool-destroy, or `blkdeactivate`.
#[test]
fn a_registry_that_was_deactivated_is_activated_at_the_next_need() {
    let (lab, n1) = one_node();
    let (web, data) = (lab.volume("web"), lab.volume("data"));
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    n1.kernel.deactivate_unused(&lab.pool);
    n1.node.attach(&ask(instance(2), &[disk(&data)])).unwrap();
    assert_eq!(settled(&lab, &n1), [""; 0]);
    n1.kernel.deactivate_unused(&lab.pool);
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.kernel.deactivate_unused(&lab.pool);
    n1.node.detach(&detach_ask(instance(2))).unwrap();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

#[test]
fn the_copy_of_a_volume_that_was_removed_and_made_again_is_nobodys_and_named() {
    let (lab, n1) = one_node();
    lab.policy.say(Say::Copy(CopyMode::WritesOnly));
    let web = lab.volume("web");
    n1.node.attach(&ask(instance(1), &[disk(&web)])).unwrap();
    lab.write(&n1.kernel, web.id, instance(1), (3, 9)).unwrap();
    assert_eq!(n1.node.orphaned_copies(), []);
    n1.kill();
    lab.reboot("n1");
    let n1 = lab.start("n1");
    assert_eq!(n1.node.orphaned_copies(), [], "it is split, and waits");
    lab.cluster.vanish(&web);
    let again = lab.volume("web");
    let orphans = n1.node.orphaned_copies();
    assert!(!orphans.is_empty() && orphans.iter().all(|(_, of)| *of == web.id));
    // Nothing of the old one stands in the way of the new one, and none of it is in it.
    n1.node.attach(&ask(instance(1), &[disk(&again)])).unwrap();
    let read = lab.read(&n1.kernel, again.id, instance(1)).unwrap();
    assert_eq!(read, lab.expected(again.id));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(lab.cluster.contents(again.id), lab.expected(again.id));
    assert_eq!(n1.node.orphaned_copies(), orphans);
}

/// Sizes that are no multiple of a region, smaller than one, and of no extent of the local pool.
#[test]
fn volumes_of_odd_sizes_hydrate_switch_and_come_home_whole() {
    for kib in [4, 60, 64, 68, 4100] {
        let (lab, n1) = one_node();
        lab.policy.say(Say::Copy(CopyMode::Background));
        let volume = lab.cluster.volume(&lab.pool, "odd", Bytes::kib(kib));
        lab.cluster.fill(volume.id, |block| block + 1);
        let before = lab.cluster.contents(volume.id);
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        let device = n1.node.attachments_seen()[0].device_size.unwrap();
        assert_eq!(device, Bytes::kib(kib), "not the copy's whole extents");
        n1.tasks.run_all();
        let id = DeviceId::attachment(volume.id, instance(1));
        let last = before.len() as u64 - 1;
        n1.kernel.guest_write(id, last, 77).unwrap();
        n1.node.detach(&detach_ask(instance(1))).unwrap();
        n1.tasks.run_all();
        assert_eq!(clean(&lab, &n1), [""; 0], "{kib} KiB");
        let after = lab.cluster.contents(volume.id);
        let mut expected = before;
        *expected.last_mut().unwrap() = 77;
        assert_eq!(after, expected, "{kib} KiB");
    }
}

/// "Nothing was attached" is no "it is released": whoever asks the wrong node hears which one has it.
#[test]
fn a_detach_on_the_wrong_node_or_of_a_name_that_nobody_has_is_told_so() {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let [a, b] = ["a", "b"].map(|name| lab.volume(name));
    n2.node.attach(&ask(instance(2), &[disk(&a)])).unwrap();
    n1.node.attach(&ask(instance(1), &[disk(&b)])).unwrap();
    let [all] = &n1.node.not_here(instance(2), &[])[..] else {
        panic!("one sentence")
    };
    assert!(all.contains(&format!("{a} on node n2")), "{all}");
    let told = |volume: &str| {
        let named = (a.pool.clone(), volume.parse().unwrap());
        n1.node.not_here(instance(2), &[named]).join("; ")
    };
    assert!(
        told("a").contains("on node n2 to instance"),
        "{}",
        told("a")
    );
    assert!(
        told("b").contains("on this node to instance"),
        "{}",
        told("b")
    );
    assert!(
        told("nosuch").contains("there is no volume"),
        "{}",
        told("nosuch")
    );
    n2.node.detach(&detach_ask(instance(2))).unwrap();
    assert!(told("a").contains("attached nowhere"), "{}", told("a"));
    assert_eq!(n1.node.not_here(instance(2), &[]), [""; 0]);
}
