//! Bad input is a clear error and leaves nothing behind. (Bad policies: policies.rs.)

#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use volward_system::guest::{Guest, Wish};
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

const HOOK: &str = "/etc/libvirt/hooks/qemu.d/volward";

/// Gives the hook this text as a domain's XML, as `script` makes it; answers status and stderr.
fn hook(node: &Node, script: &str) -> (i32, String) {
    let answer = node
        .run(&format!(
            "{script} > /run/lab/bad.xml; {HOOK} web prepare begin - < /run/lab/bad.xml"
        ))
        .unwrap();
    println!("{}", answer.stderr);
    (answer.status, answer.stderr)
}

#[test]
fn bad_input_is_refused_with_its_reason_and_leaves_nothing_behind() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    let web = Guest::new("web", 1).disk("root", Wish::Plain);

    // A typo in the configuration: with file and line, checked beforehand and at start.
    node.run_ok("sed 's/^kind/kund/' /etc/volward/volward.toml > /run/lab/typo.toml")
        .unwrap();
    for check in ["--check", ""] {
        let answer = node
            .run(&format!("volwardd {check} --config /run/lab/typo.toml"))
            .unwrap();
        println!("{}", answer.stderr);
        assert_eq!(answer.status, 6, "{answer:?}");
        assert!(
            answer
                .stderr
                .contains("/run/lab/typo.toml line 10: unknown field `kund`, expected"),
            "{answer:?}"
        );
    }
    node.run_ok("volwardd --check").unwrap();

    // XML that libvirt would never write; only who names a managed device is refused.
    let managed = web.device("root");
    for (xml, reason) in [
        (
            format!(
                "printf '<domain><uuid>{}</uuid><devices><disk><source dev=\"{managed}\"/>'",
                web.uuid
            ),
            "it ends in the middle",
        ),
        (
            format!("printf '<domain><name>\\377</name><x y=\"{managed}\"/></domain>'"),
            "it is not UTF-8",
        ),
        (
            format!(
                "{{ printf '<domain><x y=\"{managed}\"/><title>'; head -c 5000000 /dev/zero | tr '\\0' x; }}"
            ),
            "it is larger than 4 MiB",
        ),
    ] {
        let (status, said) = hook(node, &xml);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains(reason) && said.lines().count() == 1, "{said}");
        let (status, said) = hook(node, &xml.replace(&managed, "/dev/sda"));
        assert_eq!((status, &*said), (0, ""));
    }

    // Pools and volumes that are not there, alone and beside a good one: all or none.
    for (words, exit, said) in [
        ("nopool/root", 10, "nopool"),
        ("vg0/gone", 10, "vg0/gone"),
        ("vg0/root vg0/gone", 10, "vg0/gone"),
        ("vg0/root vg0/root", 4, "vg0/root"),
        ("vg0/volward-registry", 4, "volward-registry"),
    ] {
        let answer = volward
            .cli(1, &format!("attach {} {words}", web.uuid))
            .unwrap();
        println!("{words}: {} {}", answer.status, answer.stderr);
        assert_eq!(answer.status, exit, "{words}: {answer:?}");
        assert!(answer.stderr.contains(said), "{words}: {answer:?}");
        assert_eq!(volward.left_over(1).unwrap(), "", "{words}");
    }
    let unknown = Guest::new("lost", 2).disk_at(
        web.device("root")
            .replace("c0ffee01", "c0ffee02")
            .replace("/vg0/", "/vg9/"),
        Wish::Plain,
    );
    let refused = unknown.try_start(node).unwrap();
    println!("{}", refused.stderr);
    assert!(
        !refused.ok() && refused.stderr.contains("guest lost was not started"),
        "{refused:?}"
    );

    // A volume that vanished since the guest was defined.
    web.start(node).unwrap();
    web.stop(node).unwrap();
    node.run_ok("lvremove -qq -y vg0/root").unwrap();
    let refused = web.try_start(node).unwrap();
    println!("{}", refused.stderr);
    assert!(
        !refused.ok() && refused.stderr.contains("vg0/root"),
        "{refused:?}"
    );
    assert_eq!(volward.left_over(1).unwrap(), "");
}
