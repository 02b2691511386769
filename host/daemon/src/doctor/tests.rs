use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use volward_api::DoctorReply;
use volward_plan::{NodeRole, NodeRoles};
use volward_storage::exec::Tools;
use volward_storage::probe::FakeSystem;

use super::*;
use crate::config::{PoolSection, Provider};
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

/// What this node does, and for whom, is the matrix itself: each row with its callers, whatever the role.
#[test]
fn the_lines_on_what_is_permitted_are_this_nodes_part_of_the_matrix() {
    for roles in NodeRoles::ALL {
        let own = rustix::process::geteuid().as_raw();
        let served = Served::on_node(roles, &format!("openstack-uids = [{own}]"));
        let reply = served.client().doctor().unwrap();
        let permitted = find(&reply, "permitted");
        assert_eq!(permitted.verdict, DoctorVerdict::Ok);
        let mut rows = permitted.found.split("; ");
        assert_eq!(rows.next(), Some(format!("the node is {roles}").as_str()));
        for action in Action::ALL {
            let kinds = CallerKind::ALL.into_iter();
            let may = kinds.filter(|kind| permit(action, *kind, roles).is_ok());
            let may: Vec<String> = may.map(|kind| kind.to_string()).collect();
            let expected = match may.is_empty() {
                true => format!("{action}: nobody here"),
                false => format!("{action}: {}", may.join(", ")),
            };
            assert_eq!(rows.next(), Some(expected.as_str()), "{roles}");
        }
        assert_eq!(rows.next(), None, "{roles}");
        assert_eq!(
            find(&reply, "unasked").found,
            "by itself: set-home, disable-autoactivation, carry-on; \
             on another node's word: extend, copy, snapshot, relocate",
            "{roles}"
        );
    }
}

/// In the operator's words, as the guide has them: a compute node makes and deletes nothing for anybody.
#[test]
fn a_compute_node_says_that_nobody_has_volumes_made_there() {
    let compute = NodeRoles::of(&[NodeRole::Compute]).unwrap();
    let reply = Served::on_node(compute, "").client().doctor().unwrap();
    let said = &find(&reply, "permitted").found;
    assert!(
        said.starts_with("the node is compute; look: root, "),
        "{said}"
    );
    for action in [
        "create", "delete", "extend", "copy", "move", "rename", "mark",
    ] {
        assert!(said.contains(&format!("; {action}: nobody here")), "{said}");
    }
    assert!(
        said.contains("; attach: root, openstack, nova, cinder;"),
        "{said}"
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
    let there = PathBuf::from("/usr/sbin/program");
    let node = FakeSystem::default().with_program(&there, "");
    let tools = Tools {
        lvm: there.clone(),
        sanlock: there.clone(),
        lvmlockctl: there.clone(),
        virsh: None,
    };
    let missing = system::tools(&node, &tools, Path::new("/usr/sbin/volward-policy"));
    assert_eq!(missing.verdict, DoctorVerdict::Failed);
    assert!(
        missing.found.contains("volward-policy") && !missing.refuses_read_write,
        "{missing:?}"
    );
    let whole = system::tools(&node, &tools, &there);
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

#[test]
fn sanlocks_name_is_its_argument_or_in_its_configuration_and_should_be_the_nodes() {
    let conf = "/etc/sanlock/sanlock.conf";
    let daemon = |line: &str| FakeSystem::default().running(line);
    let named = |name: &str| format!("# our_host_name = x\nour_host_name = {name}\n");
    for (node, verdict, says) in [
        (FakeSystem::default(), DoctorVerdict::Failed, "not running"),
        (daemon("sanlock daemon"), DoctorVerdict::Warning, "stable"),
        (daemon("sanlock -e n1"), DoctorVerdict::Ok, "as n1"),
        (daemon("sanlock -e n2"), DoctorVerdict::Warning, "as n2"),
        (
            daemon("sanlock daemon").with_file(conf, named("n1")),
            DoctorVerdict::Ok,
            "as n1",
        ),
    ] {
        let check = system::sanlock(&node, "n1");
        assert_eq!(check.verdict, verdict, "{check:?}");
        assert!(check.found.contains(says), "{check:?}");
    }
}

#[test]
fn lvm_by_hand_needs_use_lvmlockd() {
    let with = |text: &str| FakeSystem::default().with_file("/etc/lvm/lvm.conf", text);
    for (node, verdict) in [
        (FakeSystem::default(), DoctorVerdict::Warning),
        (with("# use_lvmlockd = 1\n"), DoctorVerdict::Warning),
        (
            with("global {\n\tuse_lvmlockd = 0\n}\n"),
            DoctorVerdict::Warning,
        ),
        (with("global {\n\tuse_lvmlockd = 1\n}\n"), DoctorVerdict::Ok),
        (with("global {\n\tuse_lvmlockd=1\n}\n"), DoctorVerdict::Ok),
    ] {
        assert_eq!(system::lvm_locking(&node).verdict, verdict, "{node:?}");
    }
}

#[test]
fn what_is_tried_again_is_named_with_its_cause_and_refuses_nothing() {
    let one = Unfinished {
        request: volward_model::RequestId(uuid::Uuid::nil()),
        operation: "detach",
        leaving: true,
        attachments: Vec::new(),
        causes: vec!["lvchange did not finish within 120 s".to_owned()],
        failures: 3,
        next: Duration::from_secs(12),
    };
    let checks = unfinished(&[one]);
    assert_eq!(checks[0].verdict, DoctorVerdict::Warning);
    assert!(!checks[0].refuses_read_write);
    for words in ["failed 3 time(s)", "again in 12 s", "did not finish"] {
        assert!(checks[0].found.contains(words), "{checks:?}");
    }
}

#[test]
fn lvmlockd_should_adopt_its_leases() {
    for (node, verdict) in [
        (FakeSystem::default(), DoctorVerdict::Failed),
        (
            FakeSystem::default().running("lvmlockd --foreground"),
            DoctorVerdict::Warning,
        ),
        (
            FakeSystem::default().running("lvmlockd -A 1"),
            DoctorVerdict::Ok,
        ),
        (
            FakeSystem::default().running("lvmlockd --adopt=1"),
            DoctorVerdict::Ok,
        ),
    ] {
        assert_eq!(
            system::lvmlockd(&node, &[], false).verdict,
            verdict,
            "{node:?}"
        );
    }
}

/// sanlock forgets its lockspaces when it ends, and lvmlockd asks it for them only when it is started itself.
#[test]
fn an_lvmlockd_that_is_older_than_sanlock_is_to_be_restarted() {
    let boot = FakeSystem::default()
        .running("sanlock daemon")
        .running("lvmlockd --adopt 1");
    let verdict = |node: &FakeSystem, joined| system::lvmlockd(node, &[], joined).verdict;
    assert_eq!(verdict(&boot, false), DoctorVerdict::Ok);
    let after = boot.clone().running("sanlock daemon");
    let said = system::lvmlockd(&after, &[], false);
    assert!(said.refuses_read_write, "{said:?}");
    let remedy = said.remedy.unwrap_or_default();
    assert!(remedy.starts_with("systemctl restart lvmlockd"), "{remedy}");
    let again = boot.running("sanlock daemon").running("lvmlockd --adopt 1");
    assert_eq!(verdict(&again, false), DoctorVerdict::Ok);
    // It has had lockspaces joined since.
    assert_eq!(verdict(&after, true), DoctorVerdict::Ok);
    // As Debian's units start them at each boot: one without its LUN, say.
    let without_lun = FakeSystem::default()
        .running("lvmlockd --adopt 1")
        .running_after(Duration::from_secs(3), "sanlock daemon");
    assert_eq!(verdict(&without_lun, false), DoctorVerdict::Ok);
}

#[test]
fn without_lvmlockd_read_write_is_refused_only_where_it_serves() {
    let pool = |name: &str, provider| PoolSection {
        name: name.parse().unwrap(),
        kind: PoolKind::Shared,
        devices_file: None,
        provider,
        wipe: None,
    };
    let both = [pool("own", None), pool("lvms", Some(Provider::Lvmlockd))];
    let found = system::lvmlockd(&FakeSystem::default(), &both, false);
    assert!(found.refuses_read_write, "{found:?}");
    assert_eq!(found.pools, ["lvms"]);
    let direct = system::lvmlockd(&FakeSystem::default(), &both[..1], false);
    assert_eq!(direct.verdict, DoctorVerdict::Failed);
    assert!(!direct.refuses_read_write, "{direct:?}");
    assert!(direct.found.contains("local copies"), "{direct:?}");
}

#[test]
fn a_folder_that_was_exchanged_under_the_daemon_is_named() {
    let served = Served::new("", |_| {});
    let checks = || served.client().doctor().unwrap();
    let names = |reply: &DoctorReply| reply.checks.iter().any(|check| check.name == "folders");
    assert!(!names(&checks()));
    let marks = served.daemon.config.paths.marks.clone();
    fs::rename(&marks, marks.with_file_name("away")).unwrap();
    fs::create_dir(&marks).unwrap();
    let reply = checks();
    let folders = find(&reply, "folders");
    assert_eq!(folders.verdict, DoctorVerdict::Warning);
    assert!(
        folders.found.contains(&marks.display().to_string()),
        "{folders:?}"
    );
}
