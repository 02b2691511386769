//! What policies have to say of a live migration: its destination asks them, and they can only refuse.

use volward_control::ControlError;
use volward_control::ports::PortError;
use volward_model::scenario::Hook;
use volward_model::{Combined, Fault, FaultKind, LeaseMode, Outcome, Purpose};
use volward_simulation::doubles::denied;
use volward_simulation::{ask, check, disk, shared};

use super::pair::{Pair, arrival, guest, lease};

fn stays() -> Combined {
    denied("stays", "the test's guest stays where it is".to_owned())
}

#[test]
fn a_refusal_is_said_at_the_destination_and_the_source_hears_nothing() {
    let pair = Pair::new();
    let (n1, n2) = (pair.node("n1"), pair.node("n2"));
    pair.starts_on("n1");
    pair.begins("n1");
    n2.policy.say_at(Hook::Migrate, stays());
    let error = pair.attach("n2").unwrap_err();
    assert_eq!(error.to_string(), "the test's guest stays where it is");
    assert!(matches!(&error, ControlError::Denied { .. }), "{error:?}");
    assert_eq!(pair.leases(), [Some(LeaseMode::Exclusive), None]);
    assert!(n1.node.attachments()[0].migration.is_none());
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
    pair.writes("n1", 2);
    pair.holds();
    // What the attach hook said led to nothing, and is not on record.
    assert_eq!(n2.decisions.hooks(), ["migrate"]);
    let outcome = Outcome::Refused {
        code: "stays".into(),
        message: error.to_string(),
    };
    assert_eq!(n2.decisions.outcomes(), [outcome]);
    // Asked again when it may, it goes.
    n2.policy.agree_at(Hook::Migrate);
    pair.attach("n2").unwrap();
    pair.ends("n1");
    pair.look("n2");
    assert_eq!(lease(&pair, "n2"), Some(LeaseMode::Exclusive));
}

#[test]
fn it_is_told_where_the_guest_comes_from_and_its_word_is_on_record_before_the_attach_begins() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    pair.starts_on("n1");
    pair.begins("n1");
    pair.attach("n2").unwrap();
    let asked = n2.policy.asked_at(Hook::Migrate);
    // The source was not: all nodes ask one policy here.
    assert_eq!(asked.len(), 1);
    let facts = &asked[0];
    assert_eq!(facts.peer.as_ref().unwrap().name.as_str(), "n1");
    assert_eq!(facts.node.name.as_str(), "n2");
    assert_eq!(facts.request.instance, guest());
    assert_eq!(facts.request.purpose, Purpose::MigrationIn);
    assert_eq!(facts.disks[0].id, pair.volume.id);
    assert_eq!(n2.decisions.hooks(), ["migrate", "attach"]);
    assert_eq!(n2.decisions.outcomes(), [Outcome::Done, Outcome::Done]);
    // libvirt calls its hook a second time: there is nothing left to begin.
    pair.attach("n2").unwrap();
    assert_eq!(n2.policy.asked_at(Hook::Migrate).len(), 1);
}

/// A start is no migration, whatever its policies think of those.
#[test]
fn a_start_is_not_asked_about() {
    let pair = Pair::new();
    let n1 = pair.node("n1");
    n1.policy.say_at(Hook::Migrate, stays());
    n1.node
        .attach(&ask(guest(), &[disk(&pair.volume)]))
        .unwrap();
    assert!(n1.policy.asked_at(Hook::Migrate).is_empty());
    assert!(n1.policy.asked()[0].peer.is_none());
}

/// libvirt's hook cannot tell an offline migration, whose guest is started a moment later, from a live one: where no
/// node has the volume, nothing migrates.
#[test]
fn what_arrives_from_nowhere_is_a_start_and_is_not_asked_about() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    n2.policy.say_at(Hook::Migrate, stays());
    pair.attach("n2").unwrap();
    assert!(n2.policy.asked_at(Hook::Migrate).is_empty());
    assert_eq!(n2.decisions.hooks(), ["attach"]);
    assert_eq!(lease(&pair, "n2"), Some(LeaseMode::Exclusive));
}

/// Where others may have it too, nobody knows where it comes from.
#[test]
fn what_arrives_from_nowhere_and_shares_its_volume_is_asked_about() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    let common = pair.lab.shareable("common");
    n2.policy.say_at(Hook::Migrate, stays());
    let ask = arrival(&[shared(&common)]);
    let error = n2.node.attach(&ask).unwrap_err();
    assert_eq!(error.to_string(), "the test's guest stays where it is");
}

/// Nobody knows what it would have answered.
#[test]
fn a_policy_that_fails_keeps_the_guest_where_it_is() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    pair.starts_on("n1");
    pair.begins("n1");
    let fault = Fault::new(FaultKind::Trap, "unreachable");
    let broken = Combined::Faulted(vec![("migration".into(), fault)]);
    n2.policy.say_at(Hook::Migrate, broken);
    let error = pair.attach("n2").unwrap_err();
    assert!(matches!(&error, ControlError::Faulted { .. }), "{error:?}");
    assert_eq!(pair.leases(), [Some(LeaseMode::Exclusive), None]);
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
}

#[test]
fn a_dry_run_asks_too_and_leaves_no_decision() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    pair.starts_on("n1");
    pair.begins("n1");
    let mut dry = arrival(&[disk(&pair.volume)]);
    dry.dry_run = true;
    assert!(!n2.node.attach(&dry).unwrap().plan.is_empty());
    n2.policy.say_at(Hook::Migrate, stays());
    let error = n2.node.attach(&dry).unwrap_err();
    assert_eq!(error.to_string(), "the test's guest stays where it is");
    assert!(n2.decisions.hooks().is_empty());
}

#[test]
fn without_room_for_its_word_nothing_is_begun() {
    let pair = Pair::new();
    let n2 = pair.node("n2");
    pair.starts_on("n1");
    pair.begins("n1");
    n2.decisions.set_full(true);
    let error = pair.attach("n2").unwrap_err();
    let full = matches!(
        &error,
        ControlError::State {
            error: PortError::Io { .. }
        }
    );
    assert!(full, "{error:?}");
    assert_eq!(pair.leases(), [Some(LeaseMode::Exclusive), None]);
    n2.decisions.set_full(false);
    assert_eq!(check::clean(&pair.lab, &n2), [""; 0]);
}
