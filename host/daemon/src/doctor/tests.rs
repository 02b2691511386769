use std::fs;

use volward_api::DoctorReply;

use super::*;
use crate::http::testing::Served;

/// A file that is no component, and its settings.
fn broken_policy(settings: &str) -> Served {
    Served::new("", |folder| {
        fs::write(folder.join("50-broken.wasm"), "no component").unwrap();
        fs::write(folder.join("50-broken.toml"), settings).unwrap();
    })
}

fn find<'a>(reply: &'a DoctorReply, name: &str) -> &'a DoctorCheck {
    let mut checks = reply.checks.iter();
    let found = checks.find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check {name} in {reply:?}"))
}

/// The last line of `volward doctor` says that read-write is served unless a check says no.
#[test]
fn a_policy_that_could_not_be_loaded_refuses_read_write() {
    let reply = broken_policy("").client().doctor().unwrap();
    let policy = find(&reply, "policy broken");
    assert_eq!(policy.verdict, DoctorVerdict::Failed);
    assert!(policy.refuses_read_write, "{policy:?}");
    assert!(
        policy.found.contains("every attach is refused"),
        "{policy:?}"
    );
}

#[test]
fn on_level_monitor_it_refuses_nothing_and_doctor_does_not_say_so() {
    let reply = broken_policy("level = \"monitor\"")
        .client()
        .doctor()
        .unwrap();
    let policy = find(&reply, "policy broken");
    assert_eq!(policy.verdict, DoctorVerdict::Warning);
    assert!(!policy.refuses_read_write, "{policy:?}");
    assert!(
        policy.found.contains("monitor") && !policy.found.contains("every attach"),
        "{policy:?}"
    );
}

#[test]
fn a_node_without_pools_serves_no_attach() {
    let reply = Served::new("", |_| {}).client().doctor().unwrap();
    assert!(find(&reply, "pools").refuses_read_write);
}

/// Its attaches are refused with `slot-unreadable`.
#[test]
fn the_broken_slot_of_a_node_that_may_be_alive_refuses_read_write_and_a_dead_ones_does_not() {
    let slot = "the slot of host-id 2 cannot be read";
    let seen = |unreadable: Option<&str>| SeenPool {
        host_id: 1,
        nodes: 2,
        partial: false,
        unreadable: unreadable.map(str::to_owned),
        slot: Some(slot.to_owned()),
    };
    let alive = seen_pool("pool vg0", seen(Some("... and that node may be alive")));
    assert_eq!(alive.verdict, DoctorVerdict::Failed);
    assert!(alive.refuses_read_write, "{alive:?}");
    let dead = seen_pool("pool vg0", seen(None));
    assert_eq!(
        (dead.verdict, dead.found.as_str()),
        (DoctorVerdict::Warning, slot)
    );
    assert!(!dead.refuses_read_write, "{dead:?}");
}
