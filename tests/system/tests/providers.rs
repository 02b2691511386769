//! What the two lease providers owe each other: the same devices, the same refusals, and each leaves the other's
//! leases alone.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]
#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "the long stories use them")
)]

use std::time::Duration;

use volward_system::sight::Sight;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Cut, Lab, Node, Progress, Provider};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
const PATIENCE: Duration = Duration::from_secs(60);
/// Patience with LVM commands that make several things.
const LVM: Duration = Duration::from_secs(240);

fn cluster() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// The devices of these LVs of vg0 as the kernel has them: name, UUID, mode, table.
fn devices(node: &Node, volumes: &[&str]) -> Vec<String> {
    let of_one = |name: &&str| {
        let device = format!("vg0-{}", name.replace('-', "--"));
        let script = format!(
            "dmsetup info -c --noheadings -o name,uuid,attr {device} && dmsetup table {device}"
        );
        // `attr` ends with whether it is open, which is nobody's choice here.
        node.run_ok(&script).unwrap()
    };
    volumes.iter().map(of_one).collect()
}

/// Makes LVs of many layouts on node 1, and answers their names. vg0 gets two more disks for it, of which node 2
/// knows nothing: nothing of theirs is for node 2.
fn corpus(node: &Node) -> Vec<&'static str> {
    node.run_ok_within(
        LVM,
        "set -e
         for n in 5 6; do
             truncate -s 400M /run/lab/disk$n.img && losetup /dev/loop$n /run/lab/disk$n.img
         done
         lun=$(pvs --noheadings -o pv_name -S vg_name=vg0 | tr -d ' ')
         # First extents at other places than the first disk's 1 MiB.
         pvcreate -qq --dataalignment 4M /dev/loop5
         pvcreate -qq --dataalignment 64k --dataalignmentoffset 12k /dev/loop6
         vgextend -qq vg0 /dev/loop5 /dev/loop6
         make() { lvcreate -qq -y -an --wipesignatures n -Zn \"$@\"; }
         make -n one -L 12M vg0 $lun
         make -n with-dash_and.dot -L 4M vg0 /dev/loop5
         make -n across -L 40M vg0 /dev/loop5:10-14 /dev/loop6:10-14
         make -n pieces -L 24M vg0 $lun:200-201 $lun:210-211 /dev/loop6:20-21
         make -n stripes -i 2 -I 4k -L 32M vg0 /dev/loop5 /dev/loop6
         make -n wide -i 3 -I 64k -L 24M vg0 $lun /dev/loop5 /dev/loop6
         make -n grown -L 8M vg0 /dev/loop5
         lvextend -qq -L +8M vg0/grown /dev/loop6
         lvextend -qq -i 2 -I 16k -L +16M vg0/grown /dev/loop5 /dev/loop6
         make -n shrunk -L 16M vg0 /dev/loop5 /dev/loop6
         make -n readonly -L 4M -pr vg0 /dev/loop6
         make -n moved -L 8M vg0 /dev/loop5
         lvchange -qq -aey vg0/moved
         # pvmove wants it where leases are used; a node with systemd starts it by its socket.
         mkdir -p /run/lvm && lvmpolld -t 60
         pvmove -qq -i 1 -n moved /dev/loop5 /dev/loop6
         lvchange -qq -an vg0/moved
         # Another extent size over what is there; then what is made under it.
         vgchange -qq -s 1M vg0
         make -n small -L 3M vg0 /dev/loop6
         make -n small-stripes -i 2 -I 32k -L 6M vg0 $lun /dev/loop5",
    )
    .unwrap();
    vec![
        "one",
        "with-dash_and.dot",
        "across",
        "pieces",
        "stripes",
        "wide",
        "grown",
        "shrunk",
        "readonly",
        "moved",
        "small",
        "small-stripes",
    ]
}

/// What volwardd maps is what `lvchange` maps, sector for sector, under the same names and UUIDs.
#[cfg(feature = "long")]
#[test]
fn tables_are_those_of_lvchange_for_every_layout() {
    let cluster = cluster();
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    let volumes = corpus(one);
    volward.cli_ok(1, "pool init vg0").unwrap();
    let named = |prefix: &str, suffix: &str| {
        let all = volumes.iter().map(|name| format!("{prefix}{name}{suffix}"));
        all.collect::<Vec<_>>().join(" ")
    };
    one.run_ok_within(LVM, &format!("lvchange -aey {}", named("vg0/", "")))
        .unwrap();
    let lvms = devices(one, &volumes);
    one.run_ok_within(LVM, &format!("lvchange -an {}", named("vg0/", "")))
        .unwrap();
    // A volume that LVM has read-only is attached so; LVs as such, so that nothing else has them open.
    volward
        .cli_ok(1, &format!("attach {INSTANCE} {}", named("vg0/", ":ro")))
        .unwrap();
    for (volwards, lvms) in devices(one, &volumes).iter().zip(&lvms) {
        assert_eq!(without_open(volwards), without_open(lvms));
        println!("{volwards}");
    }
    // Not by LVM's help.
    let log = volward.log(1).unwrap();
    if cluster.provider() == Provider::Direct {
        assert!(!log.contains("leased and activated through LVM"), "{log}");
    }
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    assert!(Sight::of(one).unwrap().is_empty());
}

/// `attr` is four letters: the third says whether a table is live, the fourth nothing of the device itself.
fn without_open(device: &str) -> String {
    let (first, table) = device.split_once('\n').unwrap();
    let (named, attr) = first.rsplit_once(':').unwrap();
    // Live, and read-only or not.
    format!("{named} {}\n{table}", attr.get(..2).unwrap_or(attr))
}

fn orphans(node: &Node) -> usize {
    let said = node.run_ok("sanlock client status").unwrap();
    said.lines().filter(|line| line.contains("ORPHAN")).count()
}

fn start_lvmlockd(node: &Node) {
    node.run_ok("lvmlockd --host-id 1 --sanlock-timeout 1 --adopt 1")
        .unwrap();
}

/// The daemon, lvmlockd or both are killed and started again, in each order: neither takes nor frees what is the
/// other's, and the attachment feels nothing.
#[cfg(feature = "long")]
#[test]
fn i5_daemon_and_lvmlockd_die_in_any_order_and_keep_to_their_own_leases() {
    let cluster = cluster();
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    for name in ["disk", "hand"] {
        volward.volume(name, 8).unwrap();
    }
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/disk"))
        .unwrap();
    // Somebody else's, and refused whoever serves.
    one.run_ok("lvchange -aey vg0/hand").unwrap();
    let by_hand = || {
        let problem = volward
            .problem(1, &format!("attach {OTHER} vg0/hand"))
            .unwrap();
        assert_eq!(problem["code"], "active-by-hand", "{problem}");
    };
    by_hand();
    let whole = Sight::of(one).unwrap();
    let holders = "sanlock client status | grep ^r | grep -v VGLK | grep -v GLLK | sed 's/ p [0-9]*//' | sort";
    let leases = one.run_ok(holders).unwrap();
    let same = |when: &str| {
        volward
            .wait(1, &format!("adoption {when}"), PATIENCE, || {
                Ok(orphans(one) == 0)
            })
            .unwrap();
        assert_eq!(Sight::of(one).unwrap(), whole, "{when}");
        assert_eq!(one.run_ok(holders).unwrap(), leases, "{when}");
        let taken = cluster.node(2).run("lvchange -aey vg0/disk").unwrap();
        assert!(!taken.ok(), "{when}: {taken:?}");
    };
    let kill_lvmlockd = || {
        one.run_ok("kill -9 $(pgrep -x lvmlockd); sleep 0.5")
            .unwrap();
        assert!(orphans(one) > 0);
    };

    volward.crash(1).unwrap();
    volward.start(1, &[]).unwrap();
    same("after the daemon");

    kill_lvmlockd();
    start_lvmlockd(one);
    same("after lvmlockd");

    kill_lvmlockd();
    volward.crash(1).unwrap();
    volward.start(1, &[]).unwrap();
    start_lvmlockd(one);
    same("after both, the daemon first");

    kill_lvmlockd();
    volward.crash(1).unwrap();
    start_lvmlockd(one);
    volward.start(1, &[]).unwrap();
    same("after both, lvmlockd first");

    // Each gives up its own.
    by_hand();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    assert_eq!(volward.leases(1).unwrap(), ["hand exclusive"]);
    one.run_ok("lvchange -an vg0/hand").unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg0/hand"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
    assert!(Sight::of(one).unwrap().is_empty());
}

/// Makes a second shared pool, vg1, on node 1's own disk, and has the daemon serve it.
fn second_pool(volward: &Volward<'_>) {
    let one = volward.node(1);
    one.run_ok_within(
        LVM,
        "lvcreate -qq -n lun2 -L 1G local && losetup /dev/loop4 /dev/local/lun2
         vgcreate -qq --shared vg1 /dev/loop4
         until sanlock client status | grep -q '^s lvm_vg1:'; do sleep 0.2; done
         lvcreate -qq -an -n data -L 8M vg1
         printf '\\n[[pool]]\\nname = \"vg1\"\\n' >> /etc/volward/volward.toml",
    )
    .unwrap();
    volward.stop(1).unwrap();
    volward.start(1, &[]).unwrap();
    volward.cli_ok(1, "pool init vg1").unwrap();
}

/// Case 27: without the group that has LVM's global lock another pool goes on, and doctor has the remedy.
fn the_global_lock_is_elsewhere(volward: &Volward<'_>) {
    let one = volward.node(1);
    // On a sound node doctor must not propose to move it.
    let sound = volward.cli(1, "doctor").unwrap();
    assert!(!sound.stdout.contains("gl-enable"), "{sound:?}");
    one.run_ok_within(
        LVM,
        "lvchange -an vg0/volward-registry && vgchange --lock-stop vg0",
    )
    .unwrap();
    let attach = format!("attach {OTHER} vg1/data");
    volward.cli_ok(1, &attach).unwrap();
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
    volward.cli_ok(1, "pool init vg1").unwrap();
    let doctor = volward.cli(1, "doctor").unwrap();
    let named = doctor.stdout.contains("lvmlockctl --gl-enable");
    assert!(named, "{doctor:?}");
    one.run_ok_within(
        LVM,
        "vgchange --lock-start vg0; until sanlock client status | grep -q '^s lvm_vg0:'; do sleep 0.2; done",
    )
    .unwrap();
    let back = || Ok(volward.cli(1, "pool init vg0")?.ok());
    volward.wait(1, "pool vg0", PATIENCE, back).unwrap();
}

/// A pool whose LUN is gone ends neither the daemon nor what it does in other pools.
#[cfg(feature = "long")]
#[test]
fn a_pool_that_is_lost_keeps_back_no_other() {
    let cluster = cluster();
    let volward = Volward::on(&cluster);
    let one = cluster.node(1);
    volward.volume("disk", 8).unwrap();
    second_pool(&volward);
    the_global_lock_is_elsewhere(&volward);
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/disk vg1/data"))
        .unwrap();
    let pid = one.run_ok("cat /run/volwardd.pid").unwrap();

    one.cut_lun(Cut::Errors).unwrap();
    // sanlock tells whoever has leases in a lockspace to end 8 s after its last renewal, each second anew.
    let is_cut = || {
        let all = volward.json(1, "ls")?;
        let all = all.as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|one| one["fenced"]["cut"] == true))
    };
    volward.wait(1, "fence", PATIENCE, is_cut).unwrap();
    one.run_ok("sleep 12").unwrap();
    assert!(volward.runs(1).unwrap(), "{}", volward.log(1).unwrap());
    assert_eq!(one.run_ok("cat /run/volwardd.pid").unwrap(), pid);
    // The other pool goes on.
    let device = format!("/dev/volward/{INSTANCE}/vg1/data");
    one.run_ok(&format!(
        "dd if=/dev/zero of={device} bs=4k count=1 oflag=direct status=none"
    ))
    .unwrap();
    volward
        .cli_ok(1, &format!("detach {INSTANCE} vg1/data"))
        .unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg1/data"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
    let doctor = volward.cli(1, "doctor").unwrap();
    println!("{}", doctor.stdout);
    assert!(doctor.stdout.contains("FAILED   fenced"), "{doctor:?}");
}

/// The daemon is dead, somebody deactivates the registry, which keeps the lockspace from being stopped, and stops it:
/// sanlock waits for the dead daemon's lease and lets nobody adopt it. The next daemon gives it up when its guest
/// has gone. (Through lvmlockd the LV's own lease is what refuses to have the lockspace stopped.)
#[cfg(feature = "long")]
#[test]
fn a_lockspace_that_is_stopped_over_a_dead_daemons_lease_is_left_once_its_guest_has_gone() {
    let cluster = cluster();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    volward.volume("disk", 8).unwrap();
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/disk"))
        .unwrap();
    volward.crash(1).unwrap();
    one.run_ok("lvchange -an vg0/volward-registry").unwrap();
    let stopped = one
        .run("timeout -s KILL 15 vgchange --lock-stop vg0")
        .unwrap();
    println!("lock-stop: {stopped:?}");
    if cluster.provider() == Provider::Lvmlockd {
        assert!(!stopped.ok(), "{stopped:?}");
    }
    let is_member = "sanlock client status | grep -q -e '^s lvm_vg0:' -e '^r lvm_vg0:'";
    assert!(one.run(is_member).unwrap().ok());
    volward.start(1, &[]).unwrap();
    // Its guest may still write: other nodes stay out.
    let taken = two.run("lvchange -aey vg0/disk").unwrap();
    assert!(!taken.ok(), "{taken:?}");

    // Accepted, and tried again until the pool is there again.
    let detached = volward.cli(1, &format!("detach {INSTANCE}")).unwrap();
    println!("detach: {detached:?}");
    if cluster.provider() == Provider::Direct {
        volward
            .wait(1, "end of the lockspace", PATIENCE, || {
                Ok(!one.run(is_member)?.ok())
            })
            .unwrap();
        // lvmlockd may be ending the one before still, and takes that for a lockspace that is there.
        one.run_ok_within(
            LVM,
            "until sanlock client status | grep -q '^s lvm_vg0:'; do vgchange --lock-start vg0; sleep 1; done",
        )
        .unwrap();
    }
    volward
        .wait(1, "end of the detach", PATIENCE, || {
            Ok(volward.left_over(1)?.is_empty())
        })
        .unwrap();
    // Node 1 has nothing any more; what it says of it is written once the registry is there again.
    let ask = format!("attach {OTHER} vg0/disk");
    let attached = || Ok(volward.cli(2, &ask)?.ok());
    volward
        .wait(2, "attach on node 2", PATIENCE, attached)
        .unwrap();
    volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
    let again = || Ok(volward.cli(1, &format!("attach {INSTANCE} vg0/disk"))?.ok());
    volward.wait(1, "attach", PATIENCE, again).unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    assert!(Sight::of(one).unwrap().is_empty());
}
