//! A lie is a fault: for everything that the fakes can break, doctor names it, and what it says of
//! read-write attaches is what happens to one in each pool. What it answers is kept for the command
//! line's tests, which print it (`host/cli/tests/faults`).

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use volward_api::{DoctorReply, DoctorVerdict};
use volward_control::ports::Decisions;
use volward_model::{Answer, Bytes, Combined, DecisionRecord, DeviceId, Outcome, VolumeRef};
use volward_simulation::{Daemon as Simulated, Lab, Say, ask, detach_ask, disk, instance};
use volward_storage::lvm::{FakeDiagnosis, SeenDisks};
use volward_storage::probe::FakeSystem;

use super::reply;
use crate::http::testing::{daemon_over, daemon_with};
use crate::wiring::Daemon;

mod table;

use table::faults;

/// What the command line's tests read.
const KEPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../cli/tests/faults/replies.json"
);

/// Served as the simulation serves them.
const POOLS: &str = "[[pool]]\nname = \"san\"\nprovider = \"lvmlockd\"\n\
                     [[pool]]\nname = \"other\"\nprovider = \"lvmlockd\"\n\
                     [[pool]]\nname = \"nvme-n1\"\nkind = \"local\"\n";

/// A node with two shared pools and a local one; instance 1 has `san/a`.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) n1: Simulated,
    pub(crate) volume: VolumeRef,
    /// One in each shared pool that nobody has.
    pub(crate) spares: [VolumeRef; 2],
    /// What LVM says of the disks of the first pool.
    pub(crate) disks: Arc<Mutex<SeenDisks>>,
}

pub(crate) fn stage(policy: Say) -> Stage {
    let mut lab = Lab::new(&["n1", "n2"]);
    let other = lab.add_pool("other");
    let volume = lab.volume("a");
    lab.start("n2").kill();
    let n1 = lab.start("n1");
    let pools = [lab.pool.clone(), other];
    let spares = pools.map(|pool| lab.cluster.volume(&pool, "spare", Bytes::mib(2)));
    // Attached once, so that LVM activates them at no boot any more.
    n1.node
        .attach(&ask(instance(9), &spares.each_ref().map(disk)))
        .unwrap();
    n1.node.detach(&detach_ask(instance(9))).unwrap();
    lab.policy.say(policy);
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    // A guest has its disks open, but for one that ends when it is detached.
    lab.policy.say(Say::AsAsked);
    Stage {
        lab,
        n1,
        volume,
        spares,
        disks: Arc::default(),
    }
}

/// The daemon of a node that is set up as the guide says, over the simulated pools.
pub(crate) fn daemon(stage: &Stage, folder: &Path) -> Arc<Daemon> {
    let policies = folder.join("policies.d");
    std::fs::DirBuilder::new()
        .mode(0o755)
        .create(&policies)
        .unwrap();
    let mut daemon = daemon_with(folder, POOLS).unwrap();
    daemon.node = Arc::clone(&stage.n1.node);
    daemon.leases = Arc::new(stage.n1.kernel.clone());
    daemon.machine = Arc::new(stage.n1.kernel.clone());
    daemon.lvm = Arc::new(FakeDiagnosis {
        global_lock: "san".to_owned(),
        disks: [(stage.lab.pool.clone(), Arc::clone(&stage.disks))].into(),
    });
    let system = FakeSystem::default()
        .with_program("/nonexistent", "")
        .with_program("/etc/libvirt/hooks/qemu.d/volward", "")
        .with_file("/etc/lvm/lvm.conf", "global {\n\tuse_lvmlockd = 1\n}\n")
        .running("sanlock -e n1")
        .running("lvmlockd --adopt 1");
    daemon.probes = Arc::new(system);
    // Loaded, though the simulation has policies of its own.
    daemon.policies.begin();
    assert!(daemon.policies.ready_within(Duration::from_secs(60)));
    Arc::new(daemon)
}

/// Where doctor says that read-write attaches are refused.
pub(crate) fn refused(reply: &DoctorReply) -> BTreeSet<String> {
    let failed = reply
        .checks
        .iter()
        .filter(|c| c.verdict == DoctorVerdict::Failed);
    let refusing = failed.filter(|check| check.refuses_read_write);
    let pools = refusing.flat_map(|check| match check.pools.is_empty() {
        true => reply.pools.clone(),
        false => check.pools.clone(),
    });
    pools.collect()
}

/// Where they are: the volume that nobody has is attached in each pool.
fn is_refused(stage: &Stage) -> BTreeSet<String> {
    let tried = stage.spares.iter().filter(|spare| {
        let asked = ask(instance(9), &[disk(spare)]);
        stage.n1.node.attach(&asked).is_err()
    });
    tried.map(|spare| spare.pool.to_string()).collect()
}

/// What is wrong, without what a node of the tests has anyway.
pub(crate) fn bad(reply: &DoctorReply) -> Vec<&volward_api::DoctorCheck> {
    let checks = reply.checks.iter();
    let checks = checks.filter(|c| c.name != "baseline policy");
    checks.filter(|c| c.verdict != DoctorVerdict::Ok).collect()
}

#[test]
fn every_fault_is_named_and_what_is_served_is_what_doctor_says() {
    let mut kept: Vec<Value> = Vec::new();
    let mut lies: Vec<String> = Vec::new();
    for fault in faults() {
        let name = fault.name;
        let stage = stage(fault.policy.clone());
        let folder = tempfile::tempdir().unwrap();
        let daemon = daemon(&stage, folder.path());
        let before = reply(&daemon);
        assert!(bad(&before).is_empty(), "before {name}: {:?}", bad(&before));

        (fault.inject)(&stage);
        let found = reply(&daemon);
        let wrong = bad(&found);
        let named = |c: &&volward_api::DoctorCheck| {
            (c.found.contains(fault.says) || c.name.contains(fault.says)) && c.remedy.is_some()
        };
        if !wrong.iter().any(named) {
            lies.push(format!("{name} is not named: {wrong:#?}"));
        }
        let failed = wrong.iter().any(|c| c.verdict == DoctorVerdict::Failed);
        if failed != (fault.verdict == DoctorVerdict::Failed) {
            lies.push(format!("{name}, the exit status: {wrong:#?}"));
        }
        let (said, is) = (refused(&found), is_refused(&stage));
        if said != is {
            lies.push(format!(
                "{name}: refused is {is:?}, and doctor says {said:?}: {wrong:#?}"
            ));
        }
        // An id that is new each time.
        let mut wrong: Vec<_> = wrong.into_iter().cloned().collect();
        let requests = wrong.iter_mut().filter(|c| c.name.starts_with("request "));
        requests.for_each(|check| check.name = format!("request {}", uuid::Uuid::nil()));
        kept.push(json!({
            "fault": name,
            "reply": {
                "checks": wrong,
                "pools": found.pools,
                "cut_off": found.cut_off,
                "unfinished": found.unfinished,
            },
        }));
    }
    assert!(lies.is_empty(), "{}", lies.join("\n"));
    let text = format!("{}\n", serde_json::to_string_pretty(&kept).unwrap());
    keep(KEPT, &text);
}

/// libvirtd ended during the start: nothing has the disks open, and nobody says `release`.
#[test]
fn a_guest_whose_start_never_came_is_named_until_its_disks_are_open() {
    let stage = stage(Say::AsAsked);
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(&stage, folder.path());
    let guest = instance(1);
    let named = || {
        let found = reply(&daemon);
        let mut wrong = bad(&found).into_iter();
        wrong
            .find(|c| c.name == format!("instance {guest}"))
            .cloned()
    };
    // Attached by hand, for all the decision log says.
    assert_eq!(named(), None);
    let asked = stage.lab.policy.asked();
    let facts = asked.iter().find(|facts| facts.request.instance == guest);
    let decision = DecisionRecord {
        hook: "attach".to_owned(),
        facts: facts.unwrap().clone(),
        copies: Vec::new(),
        plugins: Vec::new(),
        combined: Combined::Granted(Answer::default()),
        micros: 0,
    };
    daemon.decisions.record(&decision, &Outcome::Done).unwrap();
    let found = named().unwrap();
    assert_eq!(found.verdict, DoctorVerdict::Warning);
    assert!(found.found.contains("san/a"), "{found:?}");
    let detach = format!("volward detach {guest}");
    assert!(found.remedy.unwrap().contains(&detach));
    let id = DeviceId::attachment(stage.volume.id, guest);
    stage.n1.kernel.set_open(id, true);
    assert_eq!(named(), None, "it runs");
    stage.n1.kernel.set_open(id, false);
    stage.n1.node.detach(&detach_ask(guest)).unwrap();
    assert_eq!(named(), None);
}

/// A policies folder that is gone refuses everything, and is no empty one.
#[test]
fn a_policies_folder_that_is_gone_is_said_to_refuse() {
    let stage = stage(Say::AsAsked);
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(&stage, folder.path());
    std::fs::remove_dir(folder.path().join("policies.d")).unwrap();
    daemon.policies.load_now().unwrap();
    let found = reply(&daemon);
    assert_eq!(refused(&found).len(), 2, "{:?}", bad(&found));
    let found = bad(&found)[0].clone();
    assert!(found.found.contains("there is no folder"), "{found:?}");
    let remedy = found.remedy.unwrap();
    assert!(
        remedy.contains("mkdir -m 755") && !remedy.contains("remove"),
        "{remedy}"
    );
}

/// Nobody is to mend what only has to be waited for.
#[test]
fn policies_that_are_being_loaded_are_to_be_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon_over(folder.path()).unwrap();
    let found = super::policies(&daemon);
    let loading = found.last().unwrap();
    assert_eq!(loading.verdict, DoctorVerdict::Failed);
    assert!(loading.found.contains("being loaded"), "{loading:?}");
    let remedy = loading.remedy.as_ref().unwrap();
    assert!(remedy.starts_with("wait"), "{remedy}");
}

/// The state's folders of the policies: said once, with what is in the way.
#[test]
fn a_folder_of_the_state_that_cannot_be_opened_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon_over(folder.path()).unwrap();
    drop(daemon);
    let place = folder.path().join("state/compiled");
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "").unwrap();
    let daemon = daemon_over(folder.path()).unwrap();
    daemon.policies.begin();
    let found = super::policies(&daemon);
    let found: Vec<_> = found
        .iter()
        .filter(|c| c.name.starts_with("polic"))
        .collect();
    let [found] = found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(found.verdict, DoctorVerdict::Failed);
    assert!(found.refuses_read_write && found.found.contains("detaches go on"));
    let path = place.display().to_string();
    assert!(found.found.contains(&path), "{found:?}");
    let remedy = found.remedy.as_ref().unwrap();
    assert!(remedy.contains("move aside"), "{remedy}");
}

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
pub(crate) fn keep(path: &str, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == text, "{path} differs; UPDATE_GOLDEN=1 rewrites it");
}
