//! In which order leases, metadata and devices follow each other, and whose leases are touched.

use std::collections::BTreeSet;

use volward_model::{LeaseMode, VolumeId};
use volward_ports::{PortError, Unmet};

use super::fake::{FakeHere, LVMLOCKD, PID};
use super::*;
use crate::metadata::layout;
use crate::sanlock::Conversation;

mod lost;
mod through_lvm;

const PLAIN: &str = include_str!("../metadata/testdata/plain.vg");
const VG: &str = "vg-a_1";

/// The real text with a lease for each LV, and one LV that no table of ours serves.
fn text() -> String {
    let mut offset = 70_254_592 - (1 << 20);
    let leased = PLAIN.split("creation_time").collect::<Vec<_>>();
    let mut text = leased[0].to_owned();
    for part in &leased[1..] {
        offset += 1 << 20;
        text.push_str(&format!(
            "lock_args = \"1.0.0:{offset}\"\ncreation_time{part}"
        ));
    }
    let thin = "type = \"thin\"\nthin_pool = \"elsewhere\"";
    text.replacen(
        "type = \"striped\"\nstripe_count = 3",
        &format!("{thin}\nstripe_count = 3"),
        1,
    )
}

fn pool() -> PoolName {
    VG.parse().unwrap()
}

fn node() -> FakeHere {
    FakeHere::with(text())
}

fn start(here: &FakeHere, left: &LeftByUs) -> Served {
    Served::start(&pool(), Arc::new(here.clone()), left)
}

/// A volume of the text by its name.
fn volume(here: &FakeHere, name: &str) -> VolumeRef {
    let layout = layout::read(&here.state().text).unwrap();
    let lv = layout.lvs.iter().find(|(_, lv)| lv.name == name).unwrap();
    VolumeRef {
        id: VolumeId {
            vg: layout.vg,
            lv: *lv.0,
        },
        pool: pool(),
        name: name.parse().unwrap(),
    }
}

impl Served {
    fn take(&self, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        let volumes = volumes.to_vec();
        self.call("taking", &pool(), move |space| space.take(&volumes, mode))
    }

    fn convert(&self, volumes: &[VolumeRef], mode: LeaseMode) -> PortResult<()> {
        let volumes = volumes.to_vec();
        self.call("converting", &pool(), move |s| s.convert(&volumes, mode))
    }

    fn activate(&self, volumes: &[VolumeRef]) -> PortResult<()> {
        let volumes = volumes.to_vec();
        self.call("activating", &pool(), move |s| s.activate(&volumes))
    }

    fn deactivate(&self, volumes: &[VolumeRef]) -> PortResult<()> {
        let volumes = volumes.to_vec();
        self.call("deactivating", &pool(), move |s| s.deactivate(&volumes))
    }

    fn release(&self, volumes: &[VolumeRef]) -> PortResult<()> {
        let volumes = volumes.to_vec();
        self.call("releasing", &pool(), move |s| s.release(&volumes))
    }

    fn held(&self) -> Vec<(String, LeaseMode, bool)> {
        let held = self.status(&pool()).unwrap().held.into_iter();
        held.map(|(lv, lease)| (lv.to_string(), lease.mode, lease.orphan))
            .collect()
    }
}

fn ours(volume: &VolumeRef, mode: LeaseMode) -> Vec<(String, LeaseMode, bool)> {
    vec![(volume.id.lv.to_string(), mode, false)]
}

fn by_hand(error: &PortError) -> bool {
    matches!(error, PortError::Unmet(Unmet::ActiveByHand { .. }))
}

#[test]
fn i1_a_lease_a_device_and_the_same_way_back() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let across = [volume(&here, "across")];
    served.take(&across, LeaseMode::Exclusive).unwrap();
    assert_eq!(served.held(), ours(&across[0], LeaseMode::Exclusive));
    let place = here.sanlock.world().leases[0].place.clone();
    assert_eq!(place.lockspace, "lvm_vg-a_1");
    assert_eq!(place.disk, "/dev/mapper/vg--a_1-lvmlock");
    assert_eq!(place.offset, 70_254_592 + (1 << 20));

    served.activate(&across).unwrap();
    let wanted = here.state().mapped[&across[0].id].clone().unwrap();
    assert_eq!(wanted.name, "vg--a_1-across");
    assert_eq!(wanted.uuid, volward_model::device::lv_dm_uuid(across[0].id));
    assert_eq!(wanted.lines.len(), 2);
    assert!(!wanted.read_only);

    // The device first.
    let early = served.release(&across).unwrap_err();
    assert!(early.is_busy(), "{early}");
    served.deactivate(&across).unwrap();
    served.release(&across).unwrap();
    assert_eq!(served.held(), []);
    assert!(here.state().mapped.is_empty() && here.sanlock.world().leases.is_empty());
    // Once more is no error.
    served.deactivate(&across).unwrap();
    served.release(&across).unwrap();
}

#[test]
fn a_volume_that_lvm_writes_to_nobody_is_mapped_read_only() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let ro = [volume(&here, "ro")];
    served.take(&ro, LeaseMode::Shared).unwrap();
    served.activate(&ro).unwrap();
    assert!(here.state().mapped[&ro[0].id].as_ref().unwrap().read_only);
}

#[test]
fn i1_nothing_is_mapped_without_its_lease() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let error = served.activate(&[volume(&here, "plain")]).unwrap_err();
    assert!(matches!(error, PortError::NotInEffect { .. }), "{error}");
    assert!(here.state().mapped.is_empty());
}

#[test]
fn i9_the_table_is_made_of_what_the_disks_say_under_the_lease() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    // Moved between the first look and the lease.
    let moved = here.state().text.replacen("\"pv0\", 17", "\"pv1\", 40", 1);
    here.state().text = moved;
    served.activate(&plain).unwrap();
    let wanted = here.state().mapped[&plain[0].id].clone().unwrap();
    assert_eq!(wanted.lines[1].3, "8:16 83968");

    // Removed, and another one made in its name.
    let noauto = [volume(&here, "noauto")];
    served.take(&noauto, LeaseMode::Exclusive).unwrap();
    let id = noauto[0].id.lv.to_string();
    let other = here.state().text.replace(&id, &"x".repeat(32));
    here.state().text = other;
    let error = served.activate(&noauto).unwrap_err();
    assert!(matches!(error, PortError::Missing { .. }), "{error}");
}

#[test]
fn what_somebody_activated_by_hand_is_refused_and_left_alone() {
    for mode in [LeaseMode::Exclusive, LeaseMode::Shared] {
        let here = node();
        let served = start(&here, &LeftByUs::default());
        let plain = [volume(&here, "plain")];
        here.activate_by_hand(&plain[0], mode);
        for wanted in [LeaseMode::Exclusive, LeaseMode::Shared] {
            let error = served.take(&plain, wanted).unwrap_err();
            assert!(by_hand(&error), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("process 7") && text.contains("dd (process 4711)"),
                "{text}"
            );
        }
        // What the undo of a refused attach does.
        served.deactivate(&plain).unwrap();
        served.release(&plain).unwrap();
        assert_eq!(served.held(), [], "it is not Volward's");
        assert!(here.state().mapped.contains_key(&plain[0].id));
        let leases = here.sanlock.world().leases.clone();
        assert_eq!((leases.len(), leases[0].pid), (1, Some(LVMLOCKD)));
    }
}

#[test]
fn what_is_mapped_without_a_lease_is_refused_too() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    here.state().mapped.insert(plain[0].id, None);
    let error = served.take(&plain, LeaseMode::Exclusive).unwrap_err();
    assert!(
        by_hand(&error) && error.to_string().contains("without a lease"),
        "{error}"
    );
    served.deactivate(&plain).unwrap();
    assert!(here.state().mapped.contains_key(&plain[0].id));
}

#[test]
fn another_nodes_lease_is_in_the_way() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Shared).unwrap();
    let place = here.sanlock.world().leases[0].place.clone();
    here.sanlock.put(&place, LeaseMode::Shared, None, false);
    let error = served.convert(&plain, LeaseMode::Exclusive).unwrap_err();
    assert!(error.is_busy(), "{error}");
    assert_eq!(served.held(), ours(&plain[0], LeaseMode::Shared));
    served.release(&plain).unwrap();
    let error = served.take(&plain, LeaseMode::Exclusive).unwrap_err();
    assert!(error.to_string().contains("another node"), "{error}");
    assert_eq!(served.held(), []);
}

#[test]
fn a_lease_is_converted_both_ways() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    for mode in [
        LeaseMode::Shared,
        LeaseMode::Exclusive,
        LeaseMode::Exclusive,
    ] {
        served.convert(&plain, mode).unwrap();
        assert_eq!(served.held(), ours(&plain[0], mode));
    }
    let told = here.sanlock.world().told.clone();
    assert_eq!(told.iter().filter(|t| t.starts_with("convert")).count(), 2);
}

#[test]
fn i5_a_restarted_daemon_adopts_its_own_leases_and_no_others() {
    let here = node();
    let (plain, across) = (volume(&here, "plain"), volume(&here, "across"));
    let first = start(&here, &LeftByUs::default());
    first
        .take(std::slice::from_ref(&plain), LeaseMode::Exclusive)
        .unwrap();
    first.activate(std::slice::from_ref(&plain)).unwrap();
    drop(first);
    wait_for(|| here.sanlock.world().leases[0].orphan);
    // lvmlockd died too.
    here.activate_by_hand(&across, LeaseMode::Exclusive);
    here.sanlock.world().leases[1].orphan = true;

    let left = LeftByUs {
        leased: BTreeSet::from([plain.id]),
        attached: BTreeSet::from([plain.id]),
    };
    let second = start(&here, &left);
    let held: BTreeSet<_> = second.held().into_iter().collect();
    let of = |volume: &VolumeRef, orphan| (volume.id.lv.to_string(), LeaseMode::Exclusive, orphan);
    assert_eq!(held, BTreeSet::from([of(&plain, false), of(&across, true)]));
    assert!(by_hand_or_orphan(&second, &across));
    second.deactivate(std::slice::from_ref(&plain)).unwrap();
    second.release(&[plain, across.clone()]).unwrap();
    let leases = here.sanlock.world().leases.clone();
    assert_eq!(leases.len(), 1, "{leases:?}");
    assert!(leases[0].orphan && leases[0].pid == Some(LVMLOCKD));
}

fn by_hand_or_orphan(served: &Served, volume: &VolumeRef) -> bool {
    let volumes = std::slice::from_ref(volume);
    served.take(volumes, LeaseMode::Exclusive).is_err()
        && served.convert(volumes, LeaseMode::Shared).is_err()
}

/// The pool's thread ends by itself, soon.
fn wait_for(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it did not happen");
}

#[test]
fn many_leases_are_taken_eight_at_a_time() {
    let here = node();
    let text = here.state().text.clone();
    let begin = text.find("plain {").unwrap();
    let end = text[begin..].find("across {").unwrap() + begin;
    let mut more = String::new();
    for n in 10..30 {
        let one = text[begin..end].replace("plain {", &format!("plain{n} {{"));
        let id = volume(&here, "plain").id.lv.to_string();
        more.push_str(&one.replace(&id, &format!("{n}{}", "y".repeat(30))));
    }
    here.state().text = format!("{}{more}{}", &text[..begin], &text[begin..]);
    let all: Vec<VolumeRef> = (10..30)
        .map(|n| volume(&here, &format!("plain{n}")))
        .collect();
    let served = start(&here, &LeftByUs::default());
    served.take(&all, LeaseMode::Exclusive).unwrap();
    assert_eq!(served.held().len(), 20);
    served.release(&all).unwrap();
    let told = here.sanlock.world().told.clone();
    assert_eq!(told.len(), 6, "{told:?}");
}
