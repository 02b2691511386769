//! What is served through LVM and lvmlockd all the same.

use super::*;

#[test]
fn what_an_earlier_daemon_attached_through_lvm_is_given_up_through_lvm() {
    let here = node();
    let plain = [volume(&here, "plain")];
    here.activate_by_hand(&plain[0], LeaseMode::Exclusive);
    let left = LeftByUs {
        leased: BTreeSet::from([plain[0].id]),
        attached: BTreeSet::from([plain[0].id]),
    };
    let served = start(&here, &left);
    assert_eq!(served.held(), ours(&plain[0], LeaseMode::Exclusive));
    served.deactivate(&plain).unwrap();
    served.release(&plain).unwrap();
    assert_eq!(here.state().done, ["lvm release vg-a_1/plain"]);
    assert_eq!(served.held(), []);
}

#[test]
fn what_no_table_of_ours_serves_goes_through_lvm() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let both = [volume(&here, "stri-ped"), volume(&here, "plain")];
    served.take(&both, LeaseMode::Exclusive).unwrap();
    served.activate(&both).unwrap();
    assert_eq!(served.held().len(), 2);
    served.convert(&both, LeaseMode::Shared).unwrap();
    served.deactivate(&both).unwrap();
    served.release(&both).unwrap();
    assert_eq!(
        here.state().done,
        [
            "lvm take exclusive vg-a_1/stri-ped",
            "map vg--a_1-plain",
            "lvm take shared vg-a_1/stri-ped",
            "unmap vg-a_1/plain",
            // What it finds no device of it does not take.
            "lvmlockd adopts, 2 held",
            "lvm release vg-a_1/stri-ped",
        ]
    );
    assert_eq!(served.held(), []);
}

/// It is what keeps `vgchange --lock-stop` from taking the lockspace away under our leases.
#[test]
fn the_registrys_lease_is_lvmlockds() {
    let here = node();
    let text = here.state().text.replace("noauto", "volward-registry");
    here.state().text = text;
    let registry = [volume(&here, "volward-registry")];
    // Activated by an earlier daemon, of which the journal says nothing.
    here.activate_by_hand(&registry[0], LeaseMode::Exclusive);
    let served = start(&here, &LeftByUs::default());
    assert_eq!(served.held(), ours(&registry[0], LeaseMode::Exclusive));
    served.take(&registry, LeaseMode::Shared).unwrap();
    assert_eq!(served.held(), ours(&registry[0], LeaseMode::Shared));
    served.activate(&registry).unwrap();
    served.convert(&registry, LeaseMode::Exclusive).unwrap();
    served.release(&registry).unwrap();
    let done = here.state().done.clone();
    assert!(done.iter().all(|done| done.starts_with("lvm ")), "{done:?}");
    assert_eq!(done.len(), 3);
}

/// What an operator forbids LVM is not done past it.
#[test]
fn what_lvm_conf_keeps_back_goes_through_lvm() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    here.state().keeps_back = true;
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    assert_eq!(here.state().done, ["lvm take exclusive vg-a_1/plain"]);
    served.release(&plain).unwrap();
    here.state().keeps_back = false;
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    served.activate(&plain).unwrap();
    assert!(here.state().done.contains(&"map vg--a_1-plain".to_owned()));
}
