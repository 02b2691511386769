//! A server that Cinder's and nova's own code gives its volumes, on nodes with a real LUN, sanlock and libvirt: it
//! boots from a volume, writes to another one that is plugged in, grown and unplugged, and moves to the other node
//! while it writes; there the other one is unplugged and copied, and it is switched off and on, and suspended. Then its
//! volume is cloned and moved to another pool. What there is not: nova-compute's manager, its database of all nodes, keystone, neutron.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use volward_system::openstack::{self, Openstack};
use volward_system::ticker::{self, Ticks};
use volward_system::volward::{Setup, VIRSH, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress, SECOND_POOL};

/// The server, one for the copy of its volume, and nobody's.
const WEB: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffee02-0000-4000-8000-000000000000";
const NOBODY: &str = "0ddba115-0000-4000-8000-000000000000";

/// Reading two GiB twice, in emulation.
const SLOW: Duration = Duration::from_secs(900);
const SOON: Duration = Duration::from_secs(120);

struct Story<'a> {
    stack: Openstack<'a>,
    volward: Volward<'a>,
    one: &'a Node,
    two: &'a Node,
}

#[test]
fn a_server_of_novas_has_cinders_volumes_and_migrates_with_them() {
    let lab = Lab::open().unwrap();
    let spec = ClusterSpec {
        // More than the second one ever has: Cinder puts what it makes where there is most room.
        lun_gib: 24,
        // Two nodes that import nova are kept from their leases for longer than the quickest that works allows.
        io_timeout: Some(10),
        ..ClusterSpec::default()
    };
    let cluster = Cluster::with_volward(&lab, &spec, Progress::shown()).unwrap();
    cluster.add_lun().unwrap();
    Volward::on(&cluster).add_pool().unwrap();
    let setup = Setup {
        config: format!(
            "{}[[pool]]\nname = \"{SECOND_POOL}\"\nprovider = \"{}\"\n",
            openstack::RIGHTS,
            cluster.provider()
        ),
        ..Setup::default()
    };
    let story = Story {
        volward: Volward::set_up(&cluster, &setup).unwrap(),
        stack: Openstack::start(&cluster).unwrap(),
        one: cluster.node(1),
        two: cluster.node(2),
    };
    let about = story.ask(1, "about", json!({}));
    println!("{about}");
    assert_eq!(about["driver"], "volward_openstack.nova_driver");
    assert_eq!(about["connector"], json!({"api": 1, "node": "node1"}));

    let root = story.make(json!({"size": 1, "name": "root"}));
    let data = story.make(json!({"size": 1, "name": "data"}));
    story.it_boots_from_a_volume(&root);
    story.a_volume_is_plugged_in_grown_and_unplugged(&data, &root);
    story.the_server_migrates(&root, &data);
    story.it_is_copied(&data, &root);
    story.it_is_suspended_and_switched_off_and_on(&root);

    story.ask(2, "delete", json!({"uuid": WEB}));
    for id in [&root, &data] {
        assert_eq!(story.status(id), "available");
    }
    story.stack.delete("volume", &data).unwrap();
    story.its_volume_is_cloned_and_moved(&root);
    let left =
        format!("lvs --noheadings -o lv_name vg0 {SECOND_POOL} | grep -v volward-registry || true");
    assert_eq!(story.one.run_ok(&left).unwrap(), "");
    for node in [1, 2] {
        assert_eq!(story.volward.left_over(node).unwrap(), "");
    }
}

impl Story<'_> {
    fn it_boots_from_a_volume(&self, root: &str) {
        ticker::install(&self.volward, &lv(root)).unwrap();
        self.known(1, "node1", WEB, &self.boots_from(root, WEB));
        self.ask(1, "boot", json!({"uuid": WEB}));
        assert_eq!(self.status(root), "in-use");
        self.has(1, &[root]);
        self.has(2, &[]);
        self.goes_on(self.one, root);
    }

    fn a_volume_is_plugged_in_grown_and_unplugged(&self, data: &str, root: &str) {
        self.plugged(data);
        self.has(1, &[root, data]);
        self.io(self.one, data, "write -P 0x5a 0 1M");

        let path = format!("/volumes/{data}");
        let grow = json!({"os-extend": {"new_size": 2}});
        let action = format!("{path}/action");
        self.stack.cinder("POST", &action, &grow).unwrap();
        let grown = self.stack.settled(&path).unwrap();
        assert_eq!(grown["status"], "in-use", "{grown}");
        assert_eq!(grown["size"], 2, "{grown}");
        self.ask(1, "extend", json!({"uuid": WEB, "volume": data}));
        // What the guest sees, and where it can write to now.
        let web = Openstack::guest(WEB).name;
        let seen = format!("virsh domblkinfo {web} vdb | grep Capacity");
        let seen = self.one.run_ok_within(VIRSH, &seen).unwrap();
        assert!(seen.contains("2147483648"), "{seen}");
        self.io(self.one, data, "write -P 0xc3 2047M 1M");
        self.io(self.one, data, "read -P 0x5a 0 1M");

        self.ask(1, "detach", json!({"uuid": WEB, "volume": data}));
        assert_eq!(self.status(data), "available");
        self.has(1, &[root]);
        self.goes_on(self.one, root);
    }

    /// With both volumes, and while it writes to them.
    fn the_server_migrates(&self, root: &str, data: &str) {
        self.plugged(data);
        let before = self.goes_on(self.one, root);
        let attachments = self.attachments();
        let volumes = self.ask(1, "volumes", json!({"uuid": WEB}));
        self.known(2, "node1", WEB, &volumes);
        // First it comes to nothing, before libvirt has begun.
        let ready = self.prepared(root, data);
        self.ask(2, "stays", json!({"uuid": WEB, "data": ready}));
        self.has(1, &[root, data]);
        assert_eq!(self.attachments(), attachments);
        assert_eq!(self.volward.left_over(2).unwrap(), "");

        let ready = self.prepared(root, data);
        let leave = json!({"uuid": WEB, "to": "node2", "data": ready});
        let seconds = self.ask(1, "leaves", leave);
        println!("libvirt's migration, as nova waited for it: {seconds} s");
        self.ask(2, "arrived", json!({"uuid": WEB}));
        self.has(2, &[root, data]);
        assert_eq!(self.volward.left_over(1).unwrap(), "");

        let after = self.goes_on(self.two, root);
        assert!(after.last > before.last, "{before:?}, {after:?}");
        // One may be on its way while it is read.
        assert!(after.lost <= 1, "{after:?}");
        self.io(self.two, data, "read -P 0xc3 2047M 1M");
        assert_eq!([self.status(root), self.status(data)], ["in-use", "in-use"]);
        // Those of the source are gone.
        let now = self.attachments();
        for volume in [root, data] {
            assert_ne!(now[volume], attachments[volume]);
        }
        self.ask(2, "detach", json!({"uuid": WEB, "volume": data}));
        assert_eq!(self.status(data), "available");
        self.has(2, &[root]);
    }

    /// What both nodes of nova's do before libvirt knows of a migration. Until it does, all is the source's.
    fn prepared(&self, root: &str, data: &str) -> Value {
        let checked = self.ask(2, "can_arrive", json!({"uuid": WEB}));
        let checked = self.ask(1, "can_leave", json!({"uuid": WEB, "data": checked}));
        self.ask(2, "checked", json!({"data": checked}));
        let ready = self.ask(2, "arrives", json!({"uuid": WEB, "data": checked}));
        self.has(1, &[root, data]);
        self.has(2, &[]);
        ready
    }

    /// What the guest writes to is kept while it writes on, on the other node than Cinder's. Of what nobody has there
    /// is a copy that another server has on another node: byte by byte the same.
    fn it_is_copied(&self, data: &str, root: &str) {
        let before = self.goes_on(self.two, root);
        let wish = json!({"volume_id": root, "force": true});
        let moment = self.stack.make("snapshot", &wish).unwrap();
        let after = self.goes_on(self.two, root);
        assert!(after.last > before.last, "{before:?}, {after:?}");
        self.stack.delete("snapshot", &moment).unwrap();

        let kept = self.stack.make("snapshot", &json!({"volume_id": data}));
        let kept = kept.unwrap();
        let copy = self.make(json!({"snapshot_id": kept}));
        self.known(1, "node1", OTHER, &self.boots_from(&copy, OTHER));
        self.ask(1, "boot", json!({"uuid": OTHER}));
        self.has(1, &[&copy]);
        let original = lv(data);
        let attach = format!("attach {NOBODY} vg0/{original}:ro");
        self.volward.cli_ok(1, &attach).unwrap();
        let compare = format!(
            "cmp {} /dev/volward/{NOBODY}/vg0/{original} && blockdev --getsize64 /dev/volward/{NOBODY}/vg0/{original}",
            device(OTHER, &copy)
        );
        let same = self.one.run_ok_within(SLOW, &compare).unwrap();
        assert_eq!(same.trim(), "2147483648");
        self.volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
        self.ask(1, "delete", json!({"uuid": OTHER}));
        self.has(1, &[]);
        assert_eq!(self.status(&copy), "available");
        self.stack.delete("volume", &copy).unwrap();
        self.stack.delete("snapshot", &kept).unwrap();
    }

    /// By nova's calls: the guest is there again on what it had, goes on where it was, and begins anew.
    fn it_is_suspended_and_switched_off_and_on(&self, root: &str) {
        let before = self.goes_on(self.two, root);
        self.ask(2, "suspend", json!({"uuid": WEB}));
        // Its memory is a file, and nobody has the volume; for Cinder it is the server's.
        self.has(2, &[]);
        assert_eq!(self.status(root), "in-use");
        self.ask(2, "resume", json!({"uuid": WEB}));
        self.has(2, &[root]);
        let after = self.goes_on(self.two, root);
        assert!(after.last > before.last, "{before:?}, {after:?}");
        assert!(after.lost <= 1, "{after:?}");

        // A guest that begins anew counts from one on.
        let first = || ticker::first(self.two, &device(WEB, root));
        let wait = |what, so: &dyn Fn(u64) -> bool| {
            let so = || Ok(so(first()?));
            self.volward.wait(2, what, SOON, so).unwrap();
        };
        wait("a write of the guest's second round", &|number| number > 1);
        self.ask(2, "power_off", json!({"uuid": WEB}));
        self.has(2, &[]);
        assert_eq!(self.status(root), "in-use");
        self.ask(2, "power_on", json!({"uuid": WEB}));
        self.has(2, &[root]);
        wait("a guest's first write", &|number| number == 1);
    }

    /// It is nobody's any more: Cinder has it copied, and moved to the other pool by the daemon. Byte by byte the three are
    /// the same.
    fn its_volume_is_cloned_and_moved(&self, root: &str) {
        let clone = self.make(json!({"source_volid": root}));
        self.are_the_same(("vg0", root), ("vg0", &clone));
        let action = format!("/volumes/{root}/action");
        let to = json!({"host": format!("h@volward#{SECOND_POOL}"), "force_host_copy": false, "lock_volume": false});
        self.stack
            .cinder("POST", &action, &json!({"os-migrate_volume": to}))
            .unwrap();
        let moved = self.stack.migrated(root).unwrap();
        assert_eq!(moved["migration_status"], "success", "{moved}");
        assert_eq!(moved["status"], "available", "{moved}");
        let place = &moved["os-vol-host-attr:host"];
        assert_eq!(place, &format!("h@volward#{SECOND_POOL}"), "{moved}");
        let listed = self.volward.cli_ok(1, "--json op ls").unwrap();
        assert!(listed.contains(&format!("cinder:move:{root}:")), "{listed}");
        self.are_the_same((SECOND_POOL, root), ("vg0", &clone));
        for volume in [root, &clone] {
            self.stack.delete("volume", volume).unwrap();
        }
    }

    /// Two volumes of nobody's, each with its pool.
    fn are_the_same(&self, one: (&str, &str), other: (&str, &str)) {
        let names = [one, other].map(|(pool, volume)| format!("{pool}/{}", lv(volume)));
        let attach = format!("attach {NOBODY} {}:ro {}:ro", names[0], names[1]);
        self.volward.cli_ok(1, &attach).unwrap();
        let at = format!("/dev/volward/{NOBODY}");
        let compare = format!(
            "cmp {at}/{} {at}/{} && blockdev --getsize64 {at}/{}",
            names[0], names[1], names[0]
        );
        let same = self.one.run_ok_within(SLOW, &compare).unwrap();
        assert_eq!(same.trim(), "1073741824");
        self.volward.cli_ok(1, &format!("detach {NOBODY}")).unwrap();
    }

    /// What nova's part of a node says.
    #[track_caller]
    fn ask(&self, node: u8, what: &str, request: Value) -> Value {
        self.stack
            .compute(node, &merged(json!({"do": what}), request))
            .unwrap()
    }

    fn make(&self, wish: Value) -> String {
        self.stack.make("volume", &wish).unwrap()
    }

    fn status(&self, volume: &str) -> String {
        let found = self.stack.settled(&format!("/volumes/{volume}")).unwrap();
        found["status"].as_str().unwrap_or_default().to_owned()
    }

    /// The volume of a server that has no other one, reserved for it as nova's API does it.
    fn boots_from(&self, volume: &str, instance: &str) -> Value {
        let attachment = self.stack.reserve(volume, instance).unwrap();
        json!([{"volume": volume, "device": "/dev/vda", "attachment": attachment, "boot": true}])
    }

    /// Cinder's attachments of the server: of each volume one.
    fn attachments(&self) -> BTreeMap<String, String> {
        let path = format!("/attachments/detail?instance_id={WEB}");
        let found = self.stack.cinder("GET", &path, &Value::Null).unwrap();
        let all = found["attachments"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let ids: BTreeMap<_, _> = all
            .iter()
            .map(|one| (text(&one["volume_id"]), text(&one["id"])))
            .collect();
        assert_eq!(ids.len(), all.len(), "{all:?}");
        ids
    }

    /// Tells a node of a server and its volumes.
    fn known(&self, node: u8, host: &str, uuid: &str, volumes: &Value) {
        let server = json!({"uuid": uuid, "name": "web", "host": host, "volumes": volumes});
        self.ask(node, "know", server);
    }

    fn plugged(&self, data: &str) {
        let disk = json!({"uuid": WEB, "volume": data, "device": "/dev/vdb"});
        println!("{}", self.ask(1, "attach", disk));
        assert_eq!(self.status(data), "in-use");
    }

    /// A node has these volumes, each for itself alone, and no others.
    #[track_caller]
    fn has(&self, node: u8, volumes: &[&str]) {
        let mut wanted: Vec<String> = volumes
            .iter()
            .map(|id| format!("{} exclusive", lv(id)))
            .collect();
        wanted.sort();
        let so = || Ok(self.volward.leases(node)? == wanted);
        self.volward
            .wait(node, &format!("exclusive leases of {wanted:?}"), SOON, so)
            .unwrap();
    }

    /// By the QEMU of the server, on the disk as it has it open.
    #[track_caller]
    fn io(&self, node: &Node, volume: &str, command: &str) {
        let said = Openstack::guest(WEB)
            .io_on(node, &device(WEB, volume), command)
            .unwrap();
        assert!(
            said.contains("bytes at offset") && !said.contains("failed"),
            "{command}: {said}"
        );
    }

    /// Waits until the server has written so many times more to what it has booted from.
    #[track_caller]
    fn goes_on(&self, node: &Node, root: &str) -> Ticks {
        let ticks = || ticker::ticks(node, &device(WEB, root));
        let before = ticks().unwrap().last;
        let done = || Ok(ticks()?.last > before + 50);
        self.volward
            .wait(node.number(), "write of the guest", SOON, done)
            .unwrap();
        ticks().unwrap()
    }
}

/// What Cinder's driver calls a volume's LV.
fn lv(volume: &str) -> String {
    format!("volume-{volume}")
}

fn device(instance: &str, volume: &str) -> String {
    format!("/dev/volward/{instance}/vg0/{}", lv(volume))
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(into), Value::Object(from)) = (one.as_object_mut(), other) {
        into.extend(from);
    }
    one
}
