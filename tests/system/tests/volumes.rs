//! What operators do to volumes and to LVM beneath the daemon: kinds that have no lease of their own, renames,
//! lists in lvm.conf, libvirt's own pools. One cluster for all of it; each part leaves it as it was.
#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "the long story uses them")
)]
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::sight::Sight;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
/// Patience with an LVM command that makes several things.
const LVM: Duration = Duration::from_secs(120);

#[cfg(feature = "long")]
#[test]
fn what_is_done_to_volumes_beneath_the_daemon_is_refused_or_followed() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    renames_are_followed(&volward);
    lists_of_lvm_conf_refuse(&volward);
    libvirts_pool_comes_and_goes(&volward);
    kinds_without_a_lease_are_refused(&volward);
}

fn nothing_is_left(node: &Node) {
    let left = Sight::of(node).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

fn active(node: &Node) -> Vec<String> {
    Sight::of(node).unwrap().active.into_iter().collect()
}

/// Case 23: the identity of what is attached is its UUID, also where another volume has its old name.
fn renames_are_followed(volward: &Volward<'_>) {
    let one = volward.node(1);
    volward.volume("web", 8).unwrap();
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/web"))
        .unwrap();
    // LVM lets its own leases' holder rename; what volwardd holds itself needs a word more.
    one.run_ok("lvrename -qq vg0 web web-old || lvrename -qq --lockopt skiplv vg0 web web-old")
        .unwrap();
    volward.volume("web", 8).unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg0/web"))
        .unwrap();
    assert_eq!(active(one), ["web", "web-old"]);
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    // The one with the name that the first had is not touched.
    let listed = volward.json(1, "ls").unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["state"], "attached", "{listed}");
    assert_eq!(active(one), ["web"]);
    assert_eq!(volward.leases(1).unwrap(), ["web exclusive"]);
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
    nothing_is_left(one);
    one.run_ok("lvremove -qq -y vg0/web-old").unwrap();
}

/// Case 20: LVM does not activate what its lists leave out, and says nothing of it.
fn lists_of_lvm_conf_refuse(volward: &Volward<'_>) {
    let one = volward.node(1);
    one.run_ok("cp /etc/lvm/lvm.conf /run/lab/lvm.conf")
        .unwrap();
    for (setting, code) in [
        ("volume_list = [ \"debian-vg\" ]", "not-activated"),
        ("read_only_volume_list = [ \"vg0\" ]", "activated-read-only"),
    ] {
        one.run_ok(&format!(
            "{{ cat /run/lab/lvm.conf; printf 'activation {{\\n {setting}\\n}}\\n'; }} > /etc/lvm/lvm.conf"
        ))
        .unwrap();
        let problem = volward
            .problem(1, &format!("attach {INSTANCE} vg0/web"))
            .unwrap();
        println!("{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        nothing_is_left(one);
        let doctor = volward.cli(1, "doctor").unwrap();
        let name = setting.split(' ').next().unwrap();
        assert!(!doctor.ok() && doctor.stdout.contains(name), "{doctor:?}");
    }
    one.run_ok("cp /run/lab/lvm.conf /etc/lvm/lvm.conf")
        .unwrap();
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/web"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    nothing_is_left(one);
}

/// Case 08: a pool of libvirt on the same volume group activates what it can, and takes it away again, with nothing
/// attached the registry too, which volwardd takes up by itself.
fn libvirts_pool_comes_and_goes(volward: &Volward<'_>) {
    let one = volward.node(1);
    volward.volume("kept", 8).unwrap();
    volward
        .cli_ok(1, &format!("attach {OTHER} vg0/kept"))
        .unwrap();
    // So that pool-destroy finds it open.
    one.run_ok(&format!(
        "setsid sleep 600 < /dev/volward/{OTHER}/vg0/kept > /dev/null 2>&1 & echo $! > /run/lab/user.pid"
    ))
    .unwrap();
    let xml = "<pool type='logical'><name>vg0</name><source><name>vg0</name><format type='lvm2'/></source>\
               <target><path>/dev/vg0</path></target></pool>";
    one.put_file("/run/lab/pool.xml", 0o644, xml).unwrap();
    one.run_ok("virsh pool-define /run/lab/pool.xml").unwrap();
    // It fails at the registry, which another node has too; what it came to before is active by hand.
    let started = one.run_within(LVM, "virsh pool-start vg0").unwrap();
    println!("pool-start: {started:?}");
    let doctor = volward.cli(1, "doctor").unwrap();
    assert!(doctor.stdout.contains("libvirt pool vg0"), "{doctor:?}");
    assert!(active(one).contains(&"web".to_owned()));
    let problem = volward
        .problem(1, &format!("attach {INSTANCE} vg0/web"))
        .unwrap();
    assert_eq!(problem["code"], "active-by-hand", "{problem}");
    // What pool-destroy takes away where nothing of the group is open; else LVM refuses it as a whole.
    let refused = one.run_within(LVM, "vgchange -an vg0").unwrap();
    assert!(!refused.ok(), "{refused:?}");
    one.run_ok("lvchange -an vg0/web").unwrap();
    // As long as something is attached the registry is in use.
    let refused = one.run("lvchange -an vg0/volward-registry").unwrap();
    assert!(!refused.ok(), "{refused:?}");
    assert_eq!(active(one), ["kept"]);
    one.run_ok("virsh pool-undefine vg0").unwrap();

    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/web"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    one.run_ok("kill $(cat /run/lab/user.pid); sleep 0.2")
        .unwrap();
    volward.cli_ok(1, &format!("detach {OTHER}")).unwrap();
    nothing_is_left(one);
    assert_eq!(volward.left_over(1).unwrap(), "");
    one.run_ok("lvchange -an vg0/volward-registry").unwrap();
    volward
        .cli_ok(1, &format!("attach {INSTANCE} vg0/web"))
        .unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
}

/// Cases 14 and 15: what shares another volume's lease, or has none, is refused before any step, in a dry
/// run too; what has one is served as far as LVM can.
fn kinds_without_a_lease_are_refused(volward: &Volward<'_>) {
    let one = volward.node(1);
    // A second disk for raid1, which only node 1 sees: nothing on it is for node 2.
    one.run_ok_within(
        LVM,
        "truncate -s 256M /run/lab/second.img && losetup /dev/loop6 /run/lab/second.img
         vgextend -qq vg0 /dev/loop6
         lvcreate -qq -y -an --type raid1 -m 1 --nosync -n mirrored -L 16M vg0
         lvcreate -qq -y -an -n two-pvs -i 2 -L 16M vg0
         lvcreate -qq -y --type thin-pool -n tpool -L 64M vg0
         lvcreate -qq -y -n thin1 -V 32M --thinpool vg0/tpool
         lvchange -qq -an vg0/thin1; lvchange -qq -an vg0/tpool
         lvchange -qq -aey vg0/kept && lvcreate -qq -y -s -n kept-snap -L 16M vg0/kept; lvchange -qq -an vg0/kept",
    )
    .unwrap();
    volward.cli_ok(1, "pool init vg0").unwrap();
    // The mark would be of no use; by hand it can be made all the same.
    let useless = volward.problem(1, "volume set vg0/mirrored --shareable yes");
    assert_eq!(useless.unwrap()["code"], "exclusive-only");
    one.run_ok_within(LVM, "lvchange --addtag volward.shareable vg0/mirrored")
        .unwrap();
    nothing_is_left(one);
    let steps = |log: &str| log.matches(" leased pool=").count();
    let before = steps(&volward.log(1).unwrap());
    assert!(before > 0, "the log names no lease");
    for (disk, code) in [
        ("vg0/thin1", "no-own-lease"),
        ("vg0/tpool", "segment-type"),
        ("vg0/kept-snap", "no-own-lease"),
        ("vg0/mirrored:ro,shared", "exclusive-only"),
    ] {
        for dry in ["--dry-run ", ""] {
            let words = format!("attach {dry}{INSTANCE} {disk}");
            let problem = volward.problem(1, &words).unwrap();
            println!("{dry}{disk}: {problem}");
            assert_eq!(problem["code"], code, "{disk}: {problem}");
        }
        nothing_is_left(one);
    }
    assert_eq!(steps(&volward.log(1).unwrap()), before, "a step was begun");
    // An origin, a mirror and stripes are attached, all at once.
    let all = "vg0/kept vg0/mirrored vg0/two-pvs";
    volward
        .cli_ok(1, &format!("attach {INSTANCE} {all}"))
        .unwrap();
    // The snapshot's lease is its origin's, which this node has: no way in.
    let problem = volward
        .problem(1, &format!("attach {OTHER} vg0/kept-snap"))
        .unwrap();
    assert_eq!(problem["code"], "no-own-lease", "{problem}");
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    nothing_is_left(one);
}
