//! Local copies: a guest runs on a local copy, and what it wrote comes home whole.
//!
//! Beside each volume lies a model on node 1's own disk: the same content, and every write of
//! the guest once more. In the end the whole volume is compared with it.

#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "the long tests use the rest")
)]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::{Duration, Instant};

use volward_system::guest::{Guest, Wish};
use volward_system::sight::{self, Sight};
use volward_system::volward::{Setup, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

/// Who runs on node 1, and who would like to have the volume.
const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
const MIB: u64 = 96;
/// The LUN's speed while a copy must take long enough to be looked at: 96 MiB in 24 s. LVM and the
/// registry are on it too: at 1 MiB/s an attach takes longer than the hook waits.
const SLOW: u32 = 4 << 20;
/// While this file is there, node 1's clones do not hydrate.
const HELD: &str = "/run/hydration-held";
/// Sends a message to each clone from which a guest reads.
const CLONES: &str = "dmsetup ls --target clone | grep -o ^volward-clone-[^[:space:]]* | \
                      xargs -r -n 1 -I CLONE dmsetup message CLONE 0";
/// Patience with what copies 96 MiB at the speed of emulation.
const PATIENCE: Duration = Duration::from_secs(90);

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// A guest, its volume of known content, and the model of it.
struct Fixture<'a> {
    volward: Volward<'a>,
    guest: Guest,
}

impl<'a> Fixture<'a> {
    /// Every copy is proposed, and where it will lie another tenant's data is.
    fn begin(cluster: &'a Cluster) -> Self {
        let one = cluster.node(1);
        one.run_ok_within(
            PATIENCE,
            "lvcreate -qq -n old -L 104M local && yes OLD-TENANT | head -c 104M | \
             dd of=/dev/local/old bs=1M iflag=fullblock oflag=direct status=none && \
             lvchange -an local/old && lvremove -qq local/old",
        )
        .unwrap();
        let volward = Volward::on(cluster);
        volward
            .add_policy(1, "hydrate-local", "reserve = \"64MiB\"")
            .unwrap();
        volward.volume("disk", MIB).unwrap();
        // At the end of the local pool, so that the copy comes to lie where the old data is.
        let script = format!(
            "lvcreate -qq -n model -L {MIB}M local $(pvs --noheadings -o pv_name -S vg_name=local | \
             tr -d ' '):1500- && lvchange -aey vg0/disk && \
             dd if=/dev/vg0/disk of=/dev/local/model bs=1M iflag=direct oflag=direct status=none && \
             lvchange -an vg0/disk"
        );
        one.run_ok_within(PATIENCE, &script).unwrap();
        let guest = Guest::new("web", 1).disk("disk", Wish::Plain);
        Self { volward, guest }
    }

    fn one(&self) -> &Node {
        self.volward.node(1)
    }

    fn two(&self) -> &Node {
        self.volward.node(2)
    }

    /// The guest's device and the model hold the same in this MiB.
    fn same(&self, mib: u64) {
        let script = format!(
            "for what in {} /dev/local/model; do dd if=$what bs=1M skip={mib} count=1 iflag=direct \
             status=none | cksum; done | uniq | wc -l",
            self.guest.device("disk")
        );
        assert_eq!(self.one().run_ok(&script).unwrap().trim(), "1", "MiB {mib}");
    }

    /// The guest writes; so does the model.
    fn write(&self, byte: u8, offset: u64, length: u64) {
        let command = format!("write -P {byte} {offset} {length}");
        let said = self.guest.io(self.one(), 0, &command).unwrap();
        assert!(said.contains(&format!("wrote {length}/{length}")), "{said}");
        let script = format!(
            "head -c {length} /dev/zero | tr '\\0' '\\{byte:03o}' | dd of=/dev/local/model bs=512 \
             seek={} conv=notrunc,fsync status=none",
            offset / 512
        );
        self.one().run_ok(&script).unwrap();
    }

    fn flush(&self) {
        let device = "/machine/peripheral/virtio-disk0/virtio-backend";
        let script = format!("virsh qemu-monitor-command web --hmp 'qemu-io -d {device} flush'");
        self.one().run_ok(&script).unwrap();
    }

    /// What `volward hydration ls` says: state, bytes done, bytes in all.
    fn copy(&self) -> Option<(String, u64, u64)> {
        let copies = self.volward.json(1, "hydration ls").unwrap();
        let copy = copies.as_array().unwrap().first()?;
        Some((
            copy["state"].as_str().unwrap().to_owned(),
            copy["done"].as_u64().unwrap(),
            copy["total"].as_u64().unwrap(),
        ))
    }

    /// Nothing but what the guest touches is copied from here on, however long the test takes. Said
    /// again and again: the clone is not there yet, and the daemon turns hydration on.
    fn hold_hydration(&self) {
        let script = format!(
            "touch {HELD}; while test -e {HELD}; do {CLONES} disable_hydration; sleep 0.3; done"
        );
        self.one()
            .run_ok(&format!("nohup sh -c '{script}' > /dev/null 2>&1 &"))
            .unwrap();
    }

    fn go_on_hydrating(&self) {
        // The loop may be at its last turn.
        let script = format!("rm {HELD}; sleep 1; {CLONES} enable_hydration");
        self.one().run_ok(&script).unwrap();
    }

    fn is_under_way(&self, state: &str) {
        let (now, done, total) = self.copy().unwrap();
        assert_eq!(now, state);
        assert!(done < total, "{state} is over: {done} of {total}");
    }

    fn home(&self) -> String {
        sight::home(self.two(), "disk").unwrap()
    }

    fn wait_home(&self, home: &str) {
        self.volward
            .wait(1, &format!("home {home}"), PATIENCE, || {
                Ok(sight::home(self.one(), "disk")? == home)
            })
            .unwrap();
    }

    /// Refused on a node, with a sentence that contains all of `words`.
    fn is_refused(&self, node: u8, code: &str, words: &[&str]) {
        let problem = self
            .volward
            .problem(node, &format!("attach {OTHER} vg0/disk"))
            .unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        let message = problem["message"].as_str().unwrap();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }

    /// Refused on a node whenever it is asked, in the end with `code`.
    fn is_soon_refused(&self, node: u8, code: &str) {
        let ask = format!("attach {OTHER} vg0/disk");
        let refused = || Ok(self.volward.problem(node, &ask)?["code"] == code);
        self.volward
            .wait(node, &format!("refusal {code}"), PATIENCE, refused)
            .unwrap();
    }

    /// Home again: nothing is left of the copy, and node 2 reads what the model holds and nothing
    /// else, nowhere what was on node 1's disk before.
    fn comes_home_whole(&self) {
        self.wait_home("pool");
        self.volward
            .wait(1, "end of the copy", PATIENCE, || {
                Ok(Sight::of(self.one())?.is_empty())
            })
            .unwrap();
        let model = self.one().run_ok("cksum < /dev/local/model").unwrap();
        self.volward
            .cli_ok(2, &format!("attach {OTHER} vg0/disk"))
            .unwrap();
        let read = format!("cat /dev/volward/{OTHER}/vg0/disk");
        let found = self.two().run_ok(&format!("{read} | cksum")).unwrap();
        let old = self
            .two()
            .run_ok(&format!("{read} | grep -c OLD-TENANT || true"))
            .unwrap();
        assert_eq!((&*found, old.trim()), (&*model, "0"));
        self.volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
    }

    fn no_error_was_seen(&self) {
        let errors = self
            .one()
            .run_ok("virsh domblkerror web; dmesg | grep -i 'i/o error' || true")
            .unwrap();
        assert_eq!(errors.trim(), "No errors found");
    }
}

#[test]
fn a_guest_runs_on_a_copy_from_the_first_moment_and_node_2_reads_what_it_wrote() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.is_under_way("hydrating");
    fixture.same(0);
    fixture.same(MIB - 1);
    // Whole regions and parts of some, copied already and not yet.
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.write(0xcc, (27 << 20) - 512, 1 << 20);
    fixture.same(30);

    // A discard now would be taken for a copied region that reads as the old tenant's data.
    let device = guest.device("disk");
    let refused = one
        .run(&format!("blkdiscard -o 24M -l 1M {device}"))
        .unwrap();
    assert!(!refused.ok(), "a discard while hydrating: {refused:?}");
    guest.io(one, 0, "discard 24M 1M").unwrap();
    fixture.is_under_way("hydrating");
    fixture.same(24);
    one.restore_lun().unwrap();
    fixture.go_on_hydrating();

    // Hydration ends although the guest goes on writing.
    let begun = Instant::now();
    let mut writes = 0;
    while fixture.copy().unwrap().0 != "complete" {
        fixture.write(0xd0 + writes as u8 % 16, (12 << 20) + writes * 8192, 4096);
        writes += 1;
        assert!(
            begun.elapsed() < PATIENCE,
            "not hydrated: {:?}",
            fixture.copy()
        );
    }
    let clones = Sight::of(one).unwrap().clones;
    assert_eq!(clones.len(), 1);
    assert!(clones.iter().all(|c| c.ends_with(" linear")), "{clones:?}");
    fixture.write(0xee, 5 << 20, 4096);
    fixture.no_error_was_seen();

    // From now on a discard goes to the copy. Zeroes or not: what the guest sees stays.
    let said = guest.io(one, 0, "discard 16M 1M").unwrap();
    assert!(!said.contains("failed"), "{said}");
    let keep = "bs=1M skip=16 seek=16 count=1 iflag=direct conv=notrunc,fsync status=none";
    one.run_ok(&format!("dd if={device} of=/dev/local/model {keep}"))
        .unwrap();
    guest.stop(one).unwrap();
    fixture.comes_home_whole();
}

#[test]
fn a_guest_stopped_in_the_middle_of_hydration_is_written_back_whole() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    guest.io(one, 0, "discard 24M 1M").unwrap();
    fixture.is_under_way("hydrating");

    // The data is in two places, and node 2 gets neither. While the guest runs, that it does is
    // the nearer reason.
    assert_eq!(fixture.home(), "split:node1");
    fixture.is_refused(2, "in-use", &["node1", INSTANCE]);
    guest.stop(one).unwrap();
    fixture.wait_home("returning:node1");
    fixture
        .volward
        .wait(1, "progress", PATIENCE, || {
            Ok(fixture.copy().is_some_and(|c| c.1 > 0))
        })
        .unwrap();
    fixture.is_refused(2, "returning", &["node1", "% done", "again"]);
    fixture.is_refused(1, "returning", &["node1", "% done", "again"]);

    // The daemon dies: the kernel goes on, and the next daemon finishes it.
    fixture.volward.crash(1).unwrap();
    fixture.volward.start(1, &[]).unwrap();
    // On a busy machine the kernel is done before the daemon is there again. (A slower LUN would
    // cost sanlock its lease.)
    if let Some((state, _, total)) = fixture.copy() {
        assert_eq!((state.as_str(), total), ("returning", MIB << 20));
    }
    one.restore_lun().unwrap();
    fixture.comes_home_whole();
}

#[cfg(feature = "long")]
#[test]
fn a_node_that_dies_in_split_or_returning_loses_nothing() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest) = (fixture.one(), &fixture.guest);
    one.run_ok("lvcreate -qq -n keep -L 64M local").unwrap();
    // A node of the lab boots with a fresh root; a real one keeps these folders.
    let folders = "etc/volward etc/lvm/devices var/lib/volward";
    let cut_power = || {
        let keep = format!("tar -C / -cf /dev/local/keep {folders} && sync");
        one.run_ok(&keep).unwrap();
        one.kill().unwrap();
    };
    let boot = || {
        cluster.rejoin(1, &ClusterSpec::default()).unwrap();
        one.run_ok("lvchange -ay local/model local/keep && tar -C / -xf /dev/local/keep")
            .unwrap();
        fixture.volward.install_node(1, &Setup::default()).unwrap();
    };

    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.flush();
    fixture.is_under_way("hydrating");
    cut_power();
    // Until sanlock counts node 1 dead, what its slot says holds. Then the lease is free; the tag is
    // not.
    fixture.is_refused(2, "in-use", &["node1", INSTANCE]);
    fixture.is_soon_refused(2, "home-elsewhere");
    fixture.is_refused(2, "home-elsewhere", &["node1", "stop its guest"]);
    boot();
    assert_eq!(fixture.home(), "split:node1");

    // Its guest may start there again, on what it had.
    one.slow_lun(SLOW).unwrap();
    guest.start(one).unwrap();
    fixture.same(1);
    fixture.same(30);
    fixture.write(0xcc, 20 << 20, 64 << 10);
    fixture.flush();
    guest.stop(one).unwrap();
    fixture.wait_home("returning:node1");
    cut_power();
    fixture.is_refused(2, "returning", &["node1"]);
    boot();
    fixture.comes_home_whole();
}
