use std::fs;

use volward_api::DoctorReply;
use volward_storage::exec::Tools;

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
fn a_node_without_a_shared_pool_serves_no_attach() {
    for pools in ["", "[[pool]]\nname = \"local\"\nkind = \"local\"\n"] {
        let reply = Served::new(pools, |_| {}).client().doctor().unwrap();
        assert!(find(&reply, "pools").refuses_read_write, "{pools}");
    }
}

#[test]
fn programs_that_are_gone_are_named_with_their_packages() {
    // The test's daemon has none of them.
    let reply = Served::new("", |_| {}).client().doctor().unwrap();
    let tools = find(&reply, "tools");
    assert_eq!(tools.verdict, DoctorVerdict::Failed);
    assert!(tools.refuses_read_write, "{tools:?}");
    assert_eq!(tools.found, "not installed: lvm, sanlock, lvmlockctl");
    let remedy = tools.remedy.as_deref();
    assert_eq!(remedy, Some("apt-get install lvm2 sanlock lvm2-lockd"));
}

#[test]
fn without_the_compiler_of_policies_doctor_says_what_that_means() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("program");
    fs::write(&there, "").unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
    let tools = Tools {
        lvm: there.clone(),
        sanlock: there.clone(),
        lvmlockctl: there.clone(),
    };
    let missing = system::tools(&tools, &folder.path().join("volward-policy"));
    assert_eq!(missing.verdict, DoctorVerdict::Failed);
    assert!(
        missing.found.contains("volward-policy") && !missing.refuses_read_write,
        "{missing:?}"
    );
    let whole = system::tools(&tools, &there);
    assert_eq!(
        (whole.verdict, whole.found.as_str()),
        (
            DoctorVerdict::Ok.into(),
            "lvm, sanlock, lvmlockctl, volward-policy"
        )
    );
}

/// The remedy names what packaging has.
#[test]
fn the_packaged_file_loads_what_the_remedy_says() {
    let file = include_str!("../../../../packaging/volward-modules.conf");
    let remedy = system::CLONE_REMEDY;
    let target = "/etc/modules-load.d/volward.conf";
    assert!(remedy.contains(target) && file.contains(target), "{remedy}");
    let modules: Vec<&str> = file.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(modules, ["dm-clone"]);
}
