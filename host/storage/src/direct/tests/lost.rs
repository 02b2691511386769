//! Leases that are lost, and lockspaces that fail, end or are left.

use super::*;

#[test]
fn i13_the_device_of_a_lease_that_was_lost_is_removed() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    served.activate(&plain).unwrap();
    // sanlock was restarted.
    here.sanlock.world().leases.clear();
    served.deactivate(&plain).unwrap();
    served.release(&plain).unwrap();
    assert!(here.state().mapped.is_empty());
}

/// sanlock does not list it any more, and to other nodes it is this node's.
#[test]
fn a_lease_that_could_not_be_cleared_on_the_lun_is_cleared_when_it_is_given_up_again() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    here.sanlock.world().lun_fails = true;
    for _ in 0..2 {
        served.release(&plain).unwrap_err();
        assert_eq!(served.held(), []);
        assert_eq!(here.sanlock.world().left_on_lun.len(), 1);
    }
    here.sanlock.world().lun_fails = false;
    served.release(&plain).unwrap();
    assert_eq!(served.held(), []);
    assert!(here.sanlock.world().left_on_lun.is_empty());
    // Once.
    let told = here.sanlock.world().told.len();
    served.release(&plain).unwrap();
    assert_eq!(here.sanlock.world().told.len(), told);
}

#[test]
fn a_lockspace_that_is_not_joined_is_said() {
    let here = node();
    here.state().joined = false;
    let served = start(&here, &LeftByUs::default());
    let error = served
        .take(&[volume(&here, "plain")], LeaseMode::Shared)
        .unwrap_err();
    assert!(
        matches!(error, PortError::Unmet(Unmet::NotJoined { .. })),
        "{error}"
    );
    assert_eq!(here.sanlock.register(PID).inquire().unwrap(), []);
}

#[test]
fn i5_after_sanlock_ended_the_conversation_the_next_call_begins_another() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    // It takes the end of a connection for the end of the process.
    here.sanlock.end_conversations();
    served.release(&plain).unwrap();
    let told = here.sanlock.world().told.clone();
    let adopted = format!("adopt exclusive {}", plain[0].id.lv);
    assert!(told.contains(&adopted), "{told:?}");
    assert_eq!(served.held(), []);
}

/// sanlock ends whoever has leases in a lockspace that has failed, and the daemon has other pools.
#[test]
fn a_lockspace_that_fails_is_let_go_and_taken_up_again_when_it_is_renewed() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    served.activate(&plain).unwrap();
    here.state().renewed_ago = Duration::from_secs(60);
    let orphan = vec![(plain[0].id.lv.to_string(), LeaseMode::Exclusive, true)];
    // It still counts as held: nobody else of this node may have it.
    served.held();
    assert_eq!(served.held(), orphan);
    let told = here.sanlock.world().told.clone();
    assert_eq!(
        told.iter().filter(|t| *t == "hung up").count(),
        1,
        "{told:?}"
    );
    let across = [volume(&here, "across")];
    let error = served.take(&across, LeaseMode::Shared).unwrap_err();
    assert!(
        matches!(error, PortError::Unmet(Unmet::NotJoined { .. })),
        "{error}"
    );
    assert_eq!(served.held(), orphan, "nothing is adopted meanwhile");

    here.state().renewed_ago = Duration::from_secs(1);
    assert_eq!(served.held(), ours(&plain[0], LeaseMode::Exclusive));
    served.deactivate(&plain).unwrap();
    served.release(&plain).unwrap();
    assert!(here.sanlock.world().leases.is_empty());
}

#[test]
fn i13_the_device_of_a_lockspace_that_fails_is_removed() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    served.activate(&plain).unwrap();
    here.state().renewed_ago = Duration::from_secs(60);
    served.held();
    served.deactivate(&plain).unwrap();
    served.release(&plain).unwrap();
    assert!(here.state().mapped.is_empty());
    // The lease stays, and is given up when that can be.
    here.state().renewed_ago = Duration::ZERO;
    served.held();
    served.release(&plain).unwrap();
    assert_eq!(served.held(), []);
}

/// Somebody deactivated the registry and stopped the lockspace over what a dead daemon had: sanlock waits for the
/// orphan, and lets nobody adopt it.
#[test]
fn an_orphan_whose_lockspace_is_being_left_is_given_up_once_its_device_is_gone() {
    // sanlock lists such a lockspace as joined, until nothing is left of it.
    for listed in [true, false] {
        orphan_of_a_lockspace_that_is_being_left(listed);
    }
}

fn orphan_of_a_lockspace_that_is_being_left(listed: bool) {
    let here = node();
    let (plain, across) = (volume(&here, "plain"), volume(&here, "across"));
    let first = start(&here, &LeftByUs::default());
    let plain = [plain];
    first.take(&plain, LeaseMode::Exclusive).unwrap();
    first.activate(&plain).unwrap();
    drop(first);
    wait_for(|| here.sanlock.world().leases[0].orphan);
    // An orphan of lvmlockd's is not Volward's to give up.
    here.activate_by_hand(&across, LeaseMode::Exclusive);
    here.sanlock.world().leases[1].orphan = true;
    here.state().joined = listed;
    here.sanlock.world().leaving = listed;

    let left = LeftByUs {
        leased: BTreeSet::from([plain[0].id]),
        attached: BTreeSet::from([plain[0].id]),
    };
    let second = start(&here, &left);
    let early = second.release(&plain).unwrap_err();
    assert!(early.is_busy(), "{early}");
    second
        .deactivate(&[plain[0].clone(), across.clone()])
        .unwrap();
    second.release(&[plain[0].clone(), across.clone()]).unwrap();
    let leases = here.sanlock.world().leases.clone();
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].place.name, across.id.lv.to_string());
    assert!(here.state().mapped.contains_key(&across.id));
    // A lockspace that is joined keeps its orphans: other nodes stay out until they are adopted.
    let told = here.sanlock.world().told.clone();
    assert_eq!(
        told.iter().filter(|t| t.starts_with("give up")).count(),
        1,
        "{told:?}"
    );
}

/// Without a watchdog: the leases are lost, and the lockspace is listed, renewed too, as long as lvmlockd has a lease.
#[test]
fn a_lockspace_that_sanlock_has_given_up_gives_no_lease_and_its_orphans_are_given_up() {
    let here = node();
    let served = start(&here, &LeftByUs::default());
    let plain = [volume(&here, "plain")];
    served.take(&plain, LeaseMode::Exclusive).unwrap();
    served.activate(&plain).unwrap();
    here.state().renewed_ago = Duration::from_secs(60);
    served.held();
    here.state().given_up = true;
    lets_go_and_takes_nothing(&here, &served, &plain);
    assert!(here.state().mapped.is_empty());
    assert_eq!(served.held(), []);
}

/// A lockspace in which there is nothing to be had: what is held is given up as ever.
fn lets_go_and_takes_nothing(here: &FakeHere, served: &Served, held: &[VolumeRef]) {
    let across = [volume(here, "across")];
    let error = served.take(&across, LeaseMode::Shared).unwrap_err();
    assert!(
        matches!(error, PortError::Unmet(Unmet::GivenUp { .. })),
        "{error}"
    );
    served.deactivate(held).unwrap();
    served.release(held).unwrap();
}

/// Somebody has typed `sanlock client rem_lockspace`: what is held stays held, whoever the daemon is, and is given up as ever.
#[test]
fn i2_a_lockspace_that_is_to_be_left_keeps_what_is_held_and_gives_nothing() {
    for restarted in [false, true] {
        let here = node();
        let mut served = start(&here, &LeftByUs::default());
        let plain = [volume(&here, "plain")];
        served.take(&plain, LeaseMode::Exclusive).unwrap();
        served.activate(&plain).unwrap();
        here.state().leaving = true;
        here.sanlock.world().leaving = true;
        if restarted {
            drop(served);
            wait_for(|| here.sanlock.world().leases[0].orphan);
            let left = LeftByUs {
                leased: BTreeSet::from([plain[0].id]),
                attached: BTreeSet::from([plain[0].id]),
            };
            served = start(&here, &left);
        }
        let lv = plain[0].id.lv.to_string();
        assert_eq!(served.held(), [(lv, LeaseMode::Exclusive, restarted)]);
        lets_go_and_takes_nothing(&here, &served, &plain);
        assert_eq!(served.held(), [], "restarted: {restarted}");
    }
}
