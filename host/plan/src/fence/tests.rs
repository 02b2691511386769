use super::*;

const EXPIRES: Duration = Duration::from_secs(80);
const NOT_JOINED: Said = Said::NotJoined { taken: None };

fn lv(letter: &str) -> LvUuid {
    letter.repeat(32).parse().unwrap()
}

fn lease(mode: LeaseMode) -> HeldLease {
    HeldLease {
        mode,
        version: 1,
        orphan: false,
    }
}

fn joined(renewed_ago: u64, generation: u64) -> Said {
    Said::Joined {
        renewed_ago: Duration::from_secs(renewed_ago),
        expires_after: EXPIRES,
        generation: Some(generation),
        held: BTreeMap::from([(lv("a"), lease(LeaseMode::Exclusive))]),
        leaving: false,
    }
}

/// Somebody has typed `sanlock client rem_lockspace`.
fn to_be_left(renewed_ago: u64) -> Said {
    let mut said = joined(renewed_ago, 1);
    if let Said::Joined { leaving, .. } = &mut said {
        *leaving = true;
    }
    said
}

fn silent() -> Said {
    Said::Silent {
        reason: "no sanlock".to_owned(),
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn lost(standing: &Standing) -> Option<bool> {
    match standing {
        Standing::Lost { regainable, .. } => Some(*regainable),
        _ => None,
    }
}

#[test]
fn i2_an_overdue_renewal_is_late_and_then_lost_before_others_may_take_the_leases() {
    let mut watch = LeaseWatch::default();
    assert_eq!(watch.standing(at(0)), Standing::Unknown);
    assert_eq!(watch.hear(at(0), &joined(20, 1)), Standing::Sound);
    let late = Standing::Late {
        ago: Duration::from_secs(45),
        cut_in: Duration::from_secs(15),
    };
    assert_eq!(watch.hear(at(25), &joined(45, 1)), late);
    assert_eq!(lost(&watch.hear(at(40), &joined(60, 1))), Some(true));
    assert!(cut_after(EXPIRES) < EXPIRES);
    // It is renewed again.
    assert_eq!(watch.hear(at(50), &joined(1, 1)), Standing::Sound);
}

#[test]
fn i2_a_provider_that_is_silent_does_not_stop_the_clock() {
    let mut watch = LeaseWatch::default();
    assert_eq!(watch.hear(at(0), &silent()), Standing::Unknown);
    assert_eq!(watch.hear(at(59), &silent()), Standing::Unknown);
    assert_eq!(lost(&watch.hear(at(60), &silent())), Some(true));
    watch.hear(at(0), &joined(0, 1));
    assert_eq!(watch.hear(at(39), &silent()), Standing::Sound);
    assert_eq!(lost(&watch.hear(at(60), &silent())), Some(true));
    let Standing::Lost { reason, .. } = watch.standing(at(61)) else {
        panic!("not lost");
    };
    assert!(
        reason.contains("61 s ago") && reason.contains("no sanlock"),
        "{reason}"
    );
}

/// Nobody else can have a lease before this node has let go of it.
#[test]
fn i2_a_lockspace_that_is_to_be_left_is_lost_only_when_it_is_not_renewed() {
    let mut watch = LeaseWatch::default();
    watch.hear(at(0), &joined(0, 1));
    assert_eq!(watch.hear(at(1), &to_be_left(0)), Standing::Leaving);
    assert_eq!(watch.standing(at(2)), Standing::Leaving);
    let needed = [(lv("a"), LeaseMode::Exclusive)];
    let Said::Joined { held, .. } = to_be_left(0) else {
        unreachable!()
    };
    assert!(watch.missing(&held, needed).is_empty());
    assert_eq!(lost(&watch.hear(at(70), &to_be_left(69))), Some(true));
    assert_eq!(watch.hear(at(71), &joined(0, 1)), Standing::Sound);
}

/// As long as some process has a lease, sanlock renews what it has given up.
#[test]
fn i2_a_lockspace_that_was_given_up_is_lost_however_fresh_it_is() {
    let mut watch = LeaseWatch::default();
    watch.hear(at(0), &joined(0, 1));
    assert_eq!(lost(&watch.hear(at(1), &Said::GivenUp)), Some(false));
    assert_eq!(lost(&watch.standing(at(2))), Some(false));
    watch.hear(at(3), &NOT_JOINED);
    assert_eq!(lost(&watch.hear(at(4), &NOT_JOINED)), Some(false));
    // Another join of it.
    assert_eq!(lost(&watch.hear(at(9), &joined(0, 2))), Some(false));
    assert_eq!(watch.hear(at(10), &joined(0, 2)), Standing::Sound);
}

#[test]
fn i2_a_new_generation_and_a_lockspace_that_was_left_are_lost_for_good() {
    let mut watch = LeaseWatch::default();
    watch.hear(at(0), &joined(0, 1));
    assert_eq!(lost(&watch.hear(at(1), &joined(0, 2))), Some(false));
    // What is attached from then on is so under the new one.
    assert_eq!(watch.hear(at(2), &joined(0, 2)), Standing::Sound);
    assert_eq!(watch.hear(at(3), &NOT_JOINED), Standing::Sound);
    assert_eq!(lost(&watch.hear(at(4), &NOT_JOINED)), Some(false));
    // Joined again, and never seen apart: the generation tells.
    assert_eq!(lost(&watch.hear(at(5), &joined(0, 3))), Some(false));
}

#[test]
fn i2_a_daemon_that_finds_no_lockspace_at_its_start_takes_the_leases_for_lost() {
    let mut watch = LeaseWatch::default();
    assert_eq!(watch.hear(at(0), &NOT_JOINED), Standing::Unknown);
    assert_eq!(lost(&watch.hear(at(1), &NOT_JOINED)), Some(false));
    // As after a boot.
    assert_eq!(watch.hear(at(2), &joined(0, 1)), Standing::Sound);
}

#[test]
fn who_has_this_nodes_place_is_in_the_reason_as_long_as_it_is_so() {
    let mut watch = LeaseWatch::default();
    let taken = || Said::NotJoined {
        taken: Some(HostIdTaken {
            host_id: 2,
            node: "node1".to_owned(),
            renewed: true,
        }),
    };
    watch.hear(at(0), &taken());
    let Standing::Lost { reason, .. } = watch.hear(at(1), &taken()) else {
        panic!("{watch:?}")
    };
    assert!(
        reason.contains("host-id 2") && reason.contains("node1"),
        "{reason}"
    );
    let Standing::Lost { reason, .. } = watch.hear(at(2), &NOT_JOINED) else {
        panic!("{watch:?}")
    };
    assert!(!reason.contains("node1"), "{reason}");
}

#[test]
fn i2_a_lease_that_is_missing_twice_is_lost() {
    let mut watch = LeaseWatch::default();
    let needed = [
        (lv("a"), LeaseMode::Exclusive),
        (lv("b"), LeaseMode::Shared),
    ];
    let held = BTreeMap::from([(lv("a"), lease(LeaseMode::Shared))]);
    assert!(watch.missing(&held, needed).is_empty());
    assert_eq!(watch.missing(&held, needed), [lv("a"), lv("b")].into());
    let held = BTreeMap::from([
        (lv("a"), lease(LeaseMode::Exclusive)),
        (lv("b"), lease(LeaseMode::Exclusive)),
    ]);
    assert!(watch.missing(&held, needed).is_empty());
    assert!(watch.missing(&BTreeMap::new(), needed).is_empty());
}
