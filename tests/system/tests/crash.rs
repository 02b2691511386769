//! The daemon dies between any two steps, and lvmlockd under it. Afterwards every
//! attachment is whole, gone or quarantined, and nothing is left that belongs to none.
//!
//! The points come from an uninterrupted run, so a new step joins by itself. What is after one
//! step is before the next: the daemon dies before each, and after the last.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(feature = "long")]
use volward_system::Provider;
use volward_system::sight::{self, Sight};
use volward_system::volward::{Volward, content};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const DEVICE: &str = "/dev/volward/c0ffee01-0000-4000-8000-000000000000/vg0/disk";
const TRACE: &str = "/run/volward-test-trace";
/// The volume's content as it must be.
const MODEL: &str = "/run/model";
const MIB: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(60);

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// How far a run came before the daemon died, if it did.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    Ended,
    Died,
}

struct Fixture<'a> {
    volward: Volward<'a>,
    one: &'a Node,
    copies: bool,
}

impl<'a> Fixture<'a> {
    fn begin(cluster: &'a Cluster, copies: bool) -> Self {
        let volward = Volward::on(cluster);
        let one = cluster.node(1);
        volward.volume("disk", MIB).unwrap();
        one.run_ok(&format!("{} > {MODEL}", content("disk", MIB)))
            .unwrap();
        if copies {
            volward
                .add_policy(1, "hydrate-local", "reserve = \"64MiB\"")
                .unwrap();
        }
        Self {
            volward,
            one,
            copies,
        }
    }

    /// Everything once: attach, hydrate, write, detach, write back.
    fn live(&self, byte: u8) -> Run {
        let attached = self
            .volward
            .cli(1, &format!("attach {INSTANCE} vg0/disk"))
            .unwrap();
        if !self.alive() {
            return Run::Died;
        }
        assert!(attached.ok(), "{attached:?}");
        if self.copies && self.until("hydrated", || self.copy_state() == Some("complete".into())) {
            return Run::Died;
        }
        self.write(byte);
        let detached = self.volward.cli(1, &format!("detach {INSTANCE}")).unwrap();
        if !self.alive() {
            return Run::Died;
        }
        assert!(detached.ok(), "{detached:?}");
        // The last step's end is not seen from outside: wait until the daemon has said so.
        let over = || Sight::of(self.one).unwrap().is_empty() && self.copy_state().is_none();
        match self.copies && self.until("end of the copy", over) {
            true => Run::Died,
            false => Run::Ended,
        }
    }

    /// Waits; says whether the daemon died meanwhile.
    fn until(&self, what: &str, done: impl Fn() -> bool) -> bool {
        let mut died = false;
        self.volward
            .wait(1, what, PATIENCE, || {
                // In this order: the end of the daemon is an end of much else.
                let over = done();
                died = !self.alive();
                Ok(died || over)
            })
            .unwrap();
        died
    }

    fn alive(&self) -> bool {
        self.volward.runs(1).unwrap()
    }

    /// `None` also if the daemon has just died.
    fn copy_state(&self) -> Option<String> {
        let copies = self.volward.json(1, "hydration ls").ok()?;
        Some(copies.as_array()?.first()?["state"].as_str()?.to_owned())
    }

    fn write(&self, byte: u8) {
        let script = format!(
            "head -c 65536 /dev/zero | tr '\\0' '\\{byte:03o}' > /run/write
             dd if=/run/write of={DEVICE} bs=64k seek=35 oflag=direct conv=fsync status=none
             dd if=/run/write of={MODEL} bs=64k seek=35 conv=notrunc status=none"
        );
        self.one.run_ok(&script).unwrap();
    }

    /// What an uninterrupted run passes, each point with its number if it is passed again.
    fn points(&self) -> Vec<String> {
        // `pool init` has turned it off for all (I4), and that step is to be among those that are tried.
        self.one
            .run_ok("vgchange -qq --setautoactivation y vg0")
            .unwrap();
        self.restart(&[format!("VOLWARD_TEST_TRACE={TRACE}")]);
        assert_eq!(self.live(1), Run::Ended);
        self.volward.stop(1).unwrap();
        let trace = self.one.run_ok(&format!("cat {TRACE}")).unwrap();
        let mut passed: BTreeMap<&str, u32> = BTreeMap::new();
        let numbered = trace.lines().map(|point| {
            let n = passed.entry(point).or_default();
            *n += 1;
            format!("{point}#{n}")
        });
        let all: Vec<String> = numbered.collect();
        let last = all.last().cloned();
        let before = all.into_iter().filter(|point| point.contains("/before#"));
        before.chain(last).collect()
    }

    /// Another daemon, whether or not there still is one.
    fn restart(&self, environment: &[String]) {
        if self.alive() {
            self.volward.crash(1).unwrap();
        }
        self.volward.start(1, environment).unwrap();
    }

    /// Whole, gone or quarantined, with what belongs to it and nothing else.
    fn is_accounted_for(&self, point: &str) {
        let listed = self.volward.json(1, "ls").unwrap();
        let listed = listed.as_array().unwrap();
        assert!(listed.len() <= 1, "{point}: {listed:?}");
        let Some(attachment) = listed.first() else {
            return self.nothing_is_left(point);
        };
        if attachment["state"] == "attached" {
            let seen = Sight::of(self.one).unwrap();
            let found = (&seen.leases, &seen.paths, seen.devices.len());
            let lease = ["disk exclusive".to_owned()].into();
            assert_eq!(found, (&lease, &[DEVICE.to_owned()].into(), 1), "{point}");
            let split = sight::home(self.one, "disk").unwrap() == "split:node1";
            let has = (!seen.clones.is_empty(), !seen.copies.is_empty());
            assert_eq!(has, (split, split), "{point}: {seen:?}");
            self.one.run_ok(&format!("cmp {DEVICE} {MODEL}")).unwrap();
        } else {
            assert_eq!(attachment["state"], "quarantined", "{point}");
            assert_ne!(attachment["causes"][0], "", "{point}");
        }
        println!("  {point}: {}", attachment["state"]);
        self.volward
            .cli_ok(1, &format!("detach {INSTANCE}"))
            .unwrap();
        self.nothing_is_left(point);
    }

    fn nothing_is_left(&self, point: &str) {
        let gone = || Sight::of(self.one).unwrap().is_empty();
        let died = self.until(&format!("end after {point}"), gone);
        assert!(!died, "{point}: the daemon that took over died");
        assert_eq!(sight::home(self.one, "disk").unwrap(), "pool", "{point}");
        let compare = format!(
            "lvchange -aey vg0/disk && cmp /dev/vg0/disk {MODEL}; same=$?; \
             lvchange -an vg0/disk; exit $same"
        );
        self.one.run_ok(&compare).unwrap();
    }

    /// At every point, or where `stride` is larger at each that many, the last one included.
    fn dies_at_each(&self, stride: usize) {
        let points = self.points();
        println!("{} points, one in {stride} is tried", points.len());
        for (n, point) in points.iter().enumerate().rev().step_by(stride) {
            // The first attach has turned it off (I4), and every run must find the same to do.
            self.one
                .run_ok("lvchange -qq --setautoactivation y vg0/disk")
                .unwrap();
            self.restart(&[format!("VOLWARD_TEST_CRASH={point}")]);
            let byte = 2 + n as u8;
            assert_eq!(self.live(byte), Run::Died, "{point} was not reached");
            self.restart(&[]);
            self.is_accounted_for(point);
        }
    }
}

/// Two thirds of the points wait for the long tier: each costs two starts of the daemon.
#[test]
fn the_daemon_dies_between_two_steps_of_attach_and_detach() {
    let cluster = ready();
    Fixture::begin(&cluster, false).dies_at_each(3);
}

#[cfg(feature = "long")]
#[test]
fn the_daemon_dies_between_any_two_steps_of_attach_and_detach() {
    let cluster = ready();
    Fixture::begin(&cluster, false).dies_at_each(1);
}

#[cfg(feature = "long")]
#[test]
fn the_daemon_dies_between_any_two_steps_with_a_copy() {
    let cluster = ready();
    Fixture::begin(&cluster, true).dies_at_each(1);
}

/// I5: its leases are orphans until a new lvmlockd adopts them; the attachment feels nothing.
/// Long: beside loss.rs, which kills lvmlockd for longer.
#[cfg(feature = "long")]
#[test]
fn i5_lvmlockd_dies_under_an_attachment_and_its_leases_are_adopted() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster, false);
    let (volward, one) = (&fixture.volward, fixture.one);
    volward.volume("other", 8).unwrap();
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/disk"))
        .unwrap();
    let whole = Sight::of(one).unwrap();
    one.run_ok("kill -9 $(pgrep -x lvmlockd)").unwrap();
    let orphans = || Ok(one.run("sanlock client status | grep -q ORPHAN")?.ok());
    volward.wait(1, "orphans", PATIENCE, orphans).unwrap();

    // Without it nothing new is had through LVM, and what there is goes on.
    let other = "c0ffee02-0000-4000-8000-000000000000";
    let attached = volward
        .cli(1, &format!("attach {other} vg0/other"))
        .unwrap();
    println!("without lvmlockd: {attached:?}");
    assert_eq!(attached.ok(), cluster.provider() == Provider::Direct);
    if attached.ok() {
        volward.cli_ok(1, &format!("detach {other}")).unwrap();
    }
    fixture.write(7);
    fixture.restart(&[]);
    assert_eq!(Sight::of(one).unwrap(), whole);

    one.run_ok("lvmlockd --host-id 1 --sanlock-timeout 1 --adopt 1")
        .unwrap();
    let adopted = || Ok(!one.run("sanlock client status | grep -q ORPHAN")?.ok());
    volward.wait(1, "adoption", PATIENCE, adopted).unwrap();
    assert_eq!(Sight::of(one).unwrap(), whole);
    let taken = cluster.node(2).run("lvchange -aey vg0/disk").unwrap();
    assert!(!taken.ok(), "{taken:?}");
    volward
        .cli_ok(1, &format!("attach {other} vg0/other"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {other}")).unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    fixture.nothing_is_left("adoption");
}

/// What the packaged unit runs when a node shuts down lets the lockspace be stopped, and the next
/// start takes the registry up again.
#[test]
fn the_registry_is_released_before_the_lockspace_is_stopped() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster, false);
    let (volward, one) = (&fixture.volward, fixture.one);
    let unit = include_str!("../../../packaging/volward-registry.service");
    let release = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStop="))
        .unwrap();
    volward.stop(1).unwrap();
    let stop = "vgchange --lock-stop vg0 && ! sanlock client status | grep -q '^s lvm_vg0:'";
    let early = one.run(stop).unwrap();
    assert!(!early.ok(), "the lockspace stopped under the registry");
    one.run_ok(release).unwrap();
    one.run_ok(stop).unwrap();

    let start = "vgchange --lock-start vg0; until sanlock client status | grep -q '^s lvm_vg0:'; \
                 do sleep 0.2; done";
    one.run_ok(start).unwrap();
    volward.start(1, &[]).unwrap();
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/disk"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    fixture.nothing_is_left("start");
}
