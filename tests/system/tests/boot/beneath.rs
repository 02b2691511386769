//! What is done to the daemon, to the units around it and to its package, beneath a guest and a program that have
//! volumes and write to them: one booted node, a chapter each.

use std::time::{Duration, Instant};

use volward_system::guest::{Guest, Wish};
use volward_system::sight::Sight;
use volward_system::volward::Volward;
use volward_system::writer::Writer;
use volward_system::{Cluster, Lab, Node, Output};

use super::{NOBODY, one_node, succeeded};

/// Unpacking the package, in emulation.
const DPKG: Duration = Duration::from_secs(300);

/// Restarting the daemon, which waits for what is under way.
const RESTART: Duration = Duration::from_secs(120);

/// Who has what, beneath which things are done.
struct Users<'a> {
    volward: Volward<'a>,
    node: &'a Node,
    guest: Guest,
    writer: Writer<'a>,
    /// What the node showed when all was attached.
    attached: Sight,
    /// The last pattern that the guest wrote.
    pattern: u8,
}

impl<'a> Users<'a> {
    fn begin(cluster: &'a Cluster) -> Self {
        let (volward, node) = (Volward::on(cluster), cluster.node(1));
        for volume in ["own", "disk"] {
            volward.volume(volume, 32).unwrap();
        }
        let guest = Guest::new("web", 1).disk("disk", Wish::Plain);
        guest.start(node).unwrap();
        let writer = Writer::begin(&volward, 1, NOBODY, "own").unwrap();
        let attached = Sight::of(node).unwrap();
        assert_eq!(attached.leases.len(), 2, "{attached:#?}");
        assert_eq!(attached.devices.len(), 2, "{attached:#?}");
        Self {
            volward,
            node,
            guest,
            writer,
            attached,
            pattern: 0x10,
        }
    }

    /// Nothing is detached, and none of what was written has failed; both go on.
    #[track_caller]
    fn have_what_they_had(&mut self, after: &str) {
        assert_eq!(Sight::of(self.node).unwrap(), self.attached, "{after}");
        assert!(self.writer.goes_on().unwrap(), "{after}");
        let failed = self.writer.last_failed();
        assert!(failed.is_err(), "{after}: {failed:?}");
        let read = format!("read -P {:#x} 1M 64k", self.pattern);
        if self.pattern > 0x10 {
            succeeded(&self.guest.io(self.node, 0, &read).unwrap());
        }
        self.pattern += 1;
        let write = format!("write -P {:#x} 1M 64k", self.pattern);
        succeeded(&self.guest.io(self.node, 0, &write).unwrap());
    }

    /// And the daemon knows of both.
    #[track_caller]
    fn are_on_record(&self, after: &str) {
        let instances = [NOBODY, &self.guest.uuid];
        let listed = self.volward.cli_ok(1, "ls").unwrap();
        for instance in instances {
            assert!(listed.contains(instance), "{after}: {listed}");
        }
        let doctor = self.volward.cli(1, "doctor").unwrap().stdout;
        assert!(!doctor.contains("FAILED"), "{after}: {doctor}");
    }
}

fn property(node: &Node, name: &str) -> String {
    let script = format!("systemctl show --value -p {name} volwardd");
    node.run_ok(&script).unwrap().trim().to_owned()
}

/// Waits until systemd says that another process serves; answers what that took.
fn serves_again(node: &Node, before: &str) -> Duration {
    let begun = Instant::now();
    let script = format!(
        "for _ in $(seq 600); do
             [ \"$(systemctl is-active volwardd)\" = active ] &&
                 [ \"$(systemctl show --value -p MainPID volwardd)\" != {before} ] && exit
             sleep 0.2
         done
         systemctl --no-pager status volwardd >&2; exit 1"
    );
    node.run_ok_within(RESTART, &script).unwrap();
    begun.elapsed()
}

#[test]
fn neither_restarts_nor_upgrades_nor_a_removal_take_anything_from_beneath_its_users() {
    let lab = Lab::open().unwrap();
    let later = volward_system::later_package(&lab).unwrap();
    let cluster = one_node();
    let mut users = Users::begin(&cluster);
    a_daemon_that_was_killed_is_started_again(&mut users);
    a_restart_is_no_detach(&mut users);
    what_cannot_start_is_not_started_for_ever(&mut users);
    blkdeactivate_leaves_alone_what_is_open(&mut users);
    a_package_is_exchanged_for_a_later_one_and_back(&mut users, &later);
    removal_is_refused(&mut users);
    what_is_purged_is_not_on_the_lun(&cluster, users);
}

fn a_daemon_that_was_killed_is_started_again(users: &mut Users<'_>) {
    let node = users.node;
    assert_eq!(property(node, "NRestarts"), "0");
    let before = property(node, "MainPID");
    node.run_ok(&format!("kill -9 {before}")).unwrap();
    let took = serves_again(node, &before);
    println!(
        "killed; systemd has it serve again: {:.1} s",
        took.as_secs_f32()
    );
    assert_eq!(property(node, "NRestarts"), "1");
    users.have_what_they_had("after kill -9");
    users.are_on_record("after kill -9");
}

fn a_restart_is_no_detach(users: &mut Users<'_>) {
    let before = property(users.node, "MainPID");
    let begun = Instant::now();
    users
        .node
        .run_ok_within(RESTART, "systemctl restart volwardd")
        .unwrap();
    println!("systemctl restart: {:.1} s", begun.elapsed().as_secs_f32());
    assert_ne!(property(users.node, "MainPID"), before);
    users.have_what_they_had("after systemctl restart");
    users.are_on_record("after systemctl restart");
}

/// Once, and with the reason; it starts when the configuration is mended.
fn what_cannot_start_is_not_started_for_ever(users: &mut Users<'_>) {
    let node = users.node;
    let file = "/etc/volward/volward.toml";
    node.run_ok(&format!(
        "cp {file} /run/lab/sound.toml && echo '[pools]' >> {file}"
    ))
    .unwrap();
    let tried = node
        .run_within(
            RESTART,
            "date +%s > /run/lab/since; systemctl restart volwardd",
        )
        .unwrap();
    assert!(!tried.ok(), "{tried:?}");
    std::thread::sleep(Duration::from_secs(10));
    let state = node.run("systemctl is-active volwardd").unwrap().stdout;
    assert_eq!(state.trim(), "failed");
    let said = node
        .run_ok("journalctl -b -u volwardd -o cat --no-pager --since @$(cat /run/lab/since)")
        .unwrap();
    println!("{said}");
    let reasons = said
        .lines()
        .filter(|line| line.contains("volward.toml line"));
    assert_eq!(reasons.count(), 1, "it was tried again: {said}");
    users.have_what_they_had("with a configuration that is wrong");
    node.run_ok_within(
        RESTART,
        &format!("cp /run/lab/sound.toml {file} && systemctl start volwardd"),
    )
    .unwrap();
    users.are_on_record("with a configuration that was mended");
}

/// Which is what `blk-availability` runs when it stops; volwardd is ordered before it, and here it is stopped alone.
fn blkdeactivate_leaves_alone_what_is_open(users: &mut Users<'_>) {
    let node = users.node;
    node.run_ok("systemctl start blk-availability").unwrap();
    node.run_ok_within(RESTART, "systemctl stop blk-availability")
        .unwrap();
    let said = node
        .run_ok("journalctl -b -u blk-availability -o cat --no-pager")
        .unwrap();
    println!("{said}");
    users.have_what_they_had("after blkdeactivate");
    users.are_on_record("after blkdeactivate");
    // The registry, too, is there for the next attach.
    users.volward.volume("next", 32).unwrap();
    let nobody = NOBODY.replace("0ddba115", "0ddba116");
    users
        .volward
        .cli_ok(1, &format!("attach {nobody} vg0/next"))
        .unwrap();
    users
        .volward
        .cli_ok(1, &format!("detach {nobody}"))
        .unwrap();
}

fn a_package_is_exchanged_for_a_later_one_and_back(users: &mut Users<'_>, later: &str) {
    let node = users.node;
    let registry = "systemctl show --value -p ActiveEnterTimestampMonotonic -p NRestarts \
                    volward-registry volward-release libvirtd";
    let others = node.run_ok(registry).unwrap();
    for package in [later, "/host/debian/volward_*.deb"] {
        let before = property(node, "MainPID");
        let begun = Instant::now();
        let said = node
            .run_ok_within(DPKG, &format!("dpkg -i {package} 2>&1"))
            .unwrap();
        println!("{said}{:.1} s", begun.elapsed().as_secs_f32());
        assert_ne!(property(node, "MainPID"), before, "it was not restarted");
        // The one that serves is the one that was installed.
        node.run_ok(
            "cmp /proc/$(systemctl show --value -p MainPID volwardd)/exe /usr/sbin/volwardd",
        )
        .unwrap();
        let version = node
            .run_ok(&format!(
                "dpkg-query --show --showformat='${{Version}}\\n' volward; dpkg-deb --field {package} Version"
            ))
            .unwrap();
        let mut versions = version.lines();
        assert_eq!(versions.next(), versions.next());
        users.have_what_they_had(&format!("with {package}"));
        users.are_on_record(&format!("with {package}"));
        assert_eq!(
            node.run_ok(registry).unwrap(),
            others,
            "units beside it were restarted"
        );
    }
}

#[track_caller]
pub(super) fn refused(node: &Node, words: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = node
        .run_within(DPKG, "apt-get remove -q -y volward")
        .unwrap();
    assert_ne!(status, 0, "{stdout}");
    let said = stdout + &stderr;
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("volward:"))
        .collect();
    println!("{}", ours.join("\n"));
    // What is wrong, and what to do.
    assert_eq!(ours.len(), 2, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    let status = node
        .run_ok("dpkg-query --show --showformat='${db:Status-Status}' volward")
        .unwrap();
    assert_eq!(status, "installed", "{said}");
}

fn removal_is_refused(users: &mut Users<'_>) {
    let node = users.node;
    refused(
        node,
        &[
            "it is not removed: volumes are attached on this node",
            NOBODY,
            &users.guest.uuid,
            "volward detach INSTANCE",
        ],
    );
    let state = node.run_ok("systemctl is-active volwardd").unwrap();
    assert_eq!(state.trim(), "active");
    users.have_what_they_had("after a removal that was refused");

    node.run_ok_within(RESTART, "systemctl stop volwardd")
        .unwrap();
    refused(
        node,
        &[
            "it is not removed: devices of attachments",
            NOBODY,
            "systemctl start volwardd",
        ],
    );
    users.have_what_they_had("after a removal that was refused, with the daemon down");
    node.run_ok_within(RESTART, "systemctl start volwardd")
        .unwrap();
    users.are_on_record("after removals that were refused");
}

/// Names, sizes, tags and UUIDs of the pool's volumes, and the content of those that are named.
fn on_the_lun(node: &Node) -> String {
    let script = "set -e
        vgs --noheadings -o vg_name,vg_uuid,vg_lock_type,lv_count vg0
        lvs -a --noheadings -o lv_name,lv_uuid,lv_size,lv_tags,seg_pe_ranges vg0
        for lv in own disk volward-registry; do
            lvchange -qq -asy vg0/$lv
            sha256sum /dev/vg0/$lv
            lvchange -qq -an vg0/$lv
        done";
    node.run_ok_within(RESTART, script).unwrap()
}

fn what_is_purged_is_not_on_the_lun(cluster: &Cluster, users: Users<'_>) {
    let Users {
        volward,
        node,
        guest,
        writer,
        pattern,
        ..
    } = users;
    guest.stop(node).unwrap();
    writer.end().unwrap();
    let last = writer.last_ok().unwrap();
    volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    node.run_ok_within(DPKG, "apt-get remove -q -y volward")
        .unwrap();
    let active = node
        .run("systemctl is-active volwardd volward-registry volward-release")
        .unwrap();
    assert!(
        !active.stdout.lines().any(|state| state == "active"),
        "{active:?}"
    );
    let before = on_the_lun(node);
    println!("{before}");
    node.run_ok_within(DPKG, "apt-get purge -q -y volward")
        .unwrap();
    let gone =
        "! ls -d /etc/volward /var/lib/volward /etc/libvirt/hooks/qemu.d/volward 2> /dev/null";
    node.run_ok(gone).unwrap();
    assert_eq!(on_the_lun(node), before);

    cluster.install_again(1).unwrap();
    volward
        .cli_ok(1, &format!("attach {NOBODY} vg0/disk vg0/own"))
        .unwrap();
    // What the guest wrote last, and what the program did.
    let other_bytes = node
        .run_ok(&format!(
            "tail -c +{} /dev/volward/{NOBODY}/vg0/disk | head -c 65536 | tr -d '\\{pattern:03o}' | wc -c",
            (1 << 20) + 1
        ))
        .unwrap();
    assert_eq!(other_bytes.trim(), "0");
    let number = node
        .run_ok(&format!("head -c 8 /dev/volward/{NOBODY}/vg0/own"))
        .unwrap();
    // One may have landed that was not noted any more.
    assert!(
        number.parse::<u64>().unwrap() >= last.number,
        "{number} {last:?}"
    );
    volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    let doctor = volward.cli_ok(1, "doctor").unwrap();
    assert!(!doctor.contains("->"), "{doctor}");
}
