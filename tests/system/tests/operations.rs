//! Operations on volumes where it is hardest for them: over all that another tenant has left in the pool, read by a guest;
//! with extents that are zeroed when they are given up; a daemon that dies while somebody has the volume; two nodes that
//! grow, attach and delete one volume at the same time; and a node whose power is cut while it copies.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use serde_json::Value;
use volward_system::guest::{Guest, Wish};
use volward_system::sight::Sight;
use volward_system::volward::{Volward, content};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Output, Progress, power};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffee02-0000-4000-8000-000000000000";
/// Patience with what writes gigabytes in emulation.
const SLOW: Duration = Duration::from_secs(600);
const MIB: u64 = 1 << 20;
/// What a guest reads at once.
const AT_ONCE_MIB: u64 = 64;

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

impl<'a> Story<'a> {
    fn on(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            volward: Volward::on(cluster),
        }
    }
}

#[test]
fn i27_what_another_tenant_has_left_is_read_by_nobody() {
    let cluster = ready();
    let story = Story::on(&cluster);
    story.a_guest_reads_nothing_of_another_tenant_in_the_whole_pool();
    story.extents_are_zeroed_when_they_are_given_up();
}

#[test]
fn i30_operations_end_whoever_dies_and_whatever_is_asked_beside_them() {
    let cluster = ready();
    let story = Story::on(&cluster);
    story.two_nodes_grow_attach_and_delete_it_at_once();
    story.its_daemon_dies_beside_a_user();
    story.a_copy_goes_on_after_a_power_cut();
}

struct Story<'a> {
    cluster: &'a Cluster,
    volward: Volward<'a>,
}

impl Story<'_> {
    fn one(&self) -> &Node {
        self.volward.node(1)
    }

    /// As `volward --json WORDS` answers when it has ended.
    fn operate(&self, node: u8, words: &str) -> Value {
        let script = format!("volward --json {words}");
        let text = self.volward.node(node).run_ok_within(SLOW, &script);
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    fn done(&self, node: u8, words: &str) {
        let ended = self.operate(node, words);
        assert_eq!(ended["state"], "done", "{words}: {ended}");
    }

    /// Volumes of the pool, Volward's own aside, with their tags.
    fn volumes(&self) -> Vec<String> {
        let script = "lvs --noheadings -o lv_name,lv_tags vg0 | grep -v volward-registry | sed 's/ *$//; s/^ *//'";
        let listed = self.one().run(script).unwrap().stdout;
        listed.lines().map(str::to_owned).collect()
    }

    fn nothing_is_left(&self, when: &str) {
        for node in [1, 2] {
            let left = Sight::of(self.volward.node(node)).unwrap();
            assert!(left.is_empty(), "{when}: node {node}: {left:?}");
        }
    }

    /// So much of the pool is free.
    fn free_mib(&self) -> u64 {
        let script = "vgs --noheadings --nosuffix --units m -o vg_free vg0";
        let free = self.one().run_ok(script).unwrap();
        let whole = free.trim().split('.').next().unwrap();
        whole.parse().unwrap()
    }

    /// On each free extent of the pool.
    fn another_tenants_data_is_everywhere(&self) {
        let script = "lvcreate -qq -aey -n old -l 100%FREE vg0 && \
             tr '\\0' 'X' < /dev/zero | dd of=/dev/vg0/old bs=1M iflag=fullblock oflag=direct status=none; \
             tail -c 4096 /dev/vg0/old | tr -d X | wc -c; lvchange -an vg0/old && lvremove -qq vg0/old";
        let other = self.one().run_ok_within(SLOW, script).unwrap();
        assert_eq!(other.trim(), "0", "it is full to its end");
    }

    /// Made in the first half, grown under the guest over the rest.
    fn a_guest_reads_nothing_of_another_tenant_in_the_whole_pool(&self) {
        self.another_tenants_data_is_everywhere();
        let all = self.free_mib() / AT_ONCE_MIB * AT_ONCE_MIB;
        let half = all / 2 / AT_ONCE_MIB * AT_ONCE_MIB;
        println!("{all} MiB of the pool are free, all of them written");
        self.done(1, &format!("volume create vg0/all {half}M"));
        let guest = Guest::new("reader", 9).disk("all", Wish::Plain);
        let two = self.volward.node(2);
        guest.start(two).unwrap();
        let reads_zeroes = |from: u64, to: u64| {
            for at in (from..to).step_by(AT_ONCE_MIB as usize) {
                let read = format!("read -P 0 {at}M {AT_ONCE_MIB}M");
                let said = guest.io(two, 0, &read).unwrap();
                let is_zero = said.contains("bytes at offset") && !said.contains("failed");
                assert!(is_zero, "{read}: {said}");
            }
        };
        reads_zeroes(0, half);
        self.done(1, &format!("volume extend vg0/all {all}M"));
        let resize = format!("virsh blockresize reader vda {all}M");
        two.run_ok(&resize).unwrap();
        reads_zeroes(half, all);
        // The last block of it: the guest has all of it.
        let last = format!("read -P 0 {}k 4k", all * 1024 - 4);
        assert!(guest.io(two, 0, &last).unwrap().contains("4096/4096 bytes"));
        guest.stop(two).unwrap();
        self.done(2, "volume rm vg0/all");
        self.nothing_is_left("after the guest");
    }

    /// As the pool says. Looked at beneath LVM: nobody may have the volume any more.
    fn extents_are_zeroed_when_they_are_given_up(&self) {
        self.wipes("after-use");
        self.done(1, "volume create vg0/gone 64M");
        self.volward
            .cli_ok(1, &format!("attach {INSTANCE} vg0/gone"))
            .unwrap();
        let write = format!(
            "tr '\\0' 'S' < /dev/zero | dd of=/dev/volward/{INSTANCE}/vg0/gone bs=1M count=64 iflag=fullblock oflag=direct status=none
             start=$(pvs --noheadings --nosuffix --units b -o pe_start -S vg_name=vg0)
             extent=$(vgs --noheadings --nosuffix --units b -o vg_extent_size vg0)
             range=$(lvs --noheadings -o seg_pe_ranges vg0/gone)
             first=$(echo $range | sed 's/.*:\\([0-9]*\\)-.*/\\1/')
             echo $(echo $range | cut -d : -f 1) $((start + first * extent))"
        );
        let found = self.one().run_ok_within(SLOW, &write).unwrap();
        let (disk, at) = found.trim().split_once(' ').unwrap();
        let secret = || {
            let script = format!(
                "dd if={disk} bs=1M iflag=direct,skip_bytes skip={at} count=64 status=none | tr -d -c S | wc -c"
            );
            let counted = self.one().run_ok_within(SLOW, &script).unwrap();
            counted.trim().parse::<u64>().unwrap()
        };
        assert_eq!(secret(), 64 * MIB, "it is looked for in the right place");
        self.volward
            .cli_ok(1, &format!("detach {INSTANCE}"))
            .unwrap();
        self.done(1, "volume rm vg0/gone");
        assert_eq!(secret(), 0);
        self.wipes("before-use");
    }

    /// When node 1 zeroes the pool's extents, from now on.
    fn wipes(&self, when: &str) {
        let script = format!(
            "sed -i '/^wipe = /d; /^name = \"vg0\"/a wipe = \"{when}\"' /etc/volward/volward.toml"
        );
        self.volward.stop(1).unwrap();
        self.one().run_ok(&script).unwrap();
        self.volward.start(1, &[]).unwrap();
    }

    /// Dies at a point of an operation, is started again, and ends it.
    fn dies_at(&self, point: &str, words: &str) {
        self.volward.stop(1).unwrap();
        let seam = format!("VOLWARD_TEST_CRASH={point}");
        self.volward.start(1, &[seam]).unwrap();
        let words = format!("{words} --id {}", point.replace('/', "."));
        self.volward.cli(1, &format!("{words} --no-wait")).unwrap();
        self.volward.wait_ended(1).unwrap();
        println!("{point}: {:?}", self.volumes());
        self.volward.start(1, &[]).unwrap();
        self.done(1, &words);
    }

    fn attached_mib(&self, node: u8, name: &str) -> u64 {
        let script = format!("blockdev --getsize64 /dev/volward/{INSTANCE}/vg0/{name}");
        let bytes = self.volward.node(node).run_ok(&script).unwrap();
        bytes.trim().parse::<u64>().unwrap() / MIB
    }

    /// `from` to `to` MiB of an attached volume are zero; what is before is what was written.
    fn is_whole_and_zero_behind(&self, node: u8, name: &str, from: u64, to: u64) {
        let device = format!("/dev/volward/{INSTANCE}/vg0/{name}");
        let script = format!(
            "{} | cmp -n {} - {device} && \
             dd if={device} bs=1M skip={from} count={} iflag=direct status=none | tr -d '\\0' | wc -c",
            content("held", from),
            from * MIB,
            to - from
        );
        let other = self.volward.node(node).run_ok_within(SLOW, &script);
        assert_eq!(other.unwrap().trim(), "0", "{name}");
    }

    /// Grown under somebody who has it open, copied within the pool, renamed.
    fn its_daemon_dies_beside_a_user(&self) {
        self.volward.volume("held", 48).unwrap();
        self.volward
            .cli_ok(1, &format!("attach {INSTANCE} vg0/held"))
            .unwrap();
        let user = format!(
            "setsid sleep 900 < /dev/volward/{INSTANCE}/vg0/held > /dev/null 2>&1 & echo $! > /run/lab/user.pid"
        );
        self.one().run_ok(&user).unwrap();
        let mut mib = 48;
        for point in [
            "extend/mark/after",
            "extend/grow/after",
            "extend/zero/after",
            "extend/lengthen/before",
            "extend/lengthen/after",
        ] {
            mib += 16;
            self.dies_at(point, &format!("volume extend vg0/held {mib}M"));
            assert_eq!(self.attached_mib(1, "held"), mib, "{point}");
            self.is_whole_and_zero_behind(1, "held", 48, mib);
        }
        self.one()
            .run_ok("kill $(cat /run/lab/user.pid); sleep 0.2")
            .unwrap();
        self.volward
            .cli_ok(1, &format!("detach {INSTANCE}"))
            .unwrap();
        for point in [
            "copy/make/after",
            "copy/mark-source/after",
            "copy/copy/after",
            "copy/unmark-source/before",
        ] {
            self.dies_at(point, "volume cp vg0/held vg0/twin");
            self.volward
                .cli_ok(2, &format!("attach {INSTANCE} vg0/twin"))
                .unwrap();
            self.is_whole_and_zero_behind(2, "twin", 48, mib);
            self.volward
                .cli_ok(2, &format!("detach {INSTANCE}"))
                .unwrap();
            self.done(2, "volume rm vg0/twin");
        }
        for (point, from, to) in [
            ("rename/rename/before", "held", "named"),
            ("rename/rename/after", "named", "held"),
        ] {
            self.dies_at(point, &format!("volume mv vg0/{from} {to}"));
            assert_eq!(self.volumes(), [to], "{point}");
        }
        self.nothing_is_left("after the deaths");
        self.done(1, "volume rm vg0/held");
    }

    /// I1: whoever comes first, each is done or told why not in one word, and what is left fits all that was answered.
    fn two_nodes_grow_attach_and_delete_it_at_once(&self) {
        let mut deleted = 0;
        for round in 0..12 {
            self.done(1, "volume create vg0/wanted 32M");
            let (grower, keeper) = if round % 2 == 0 { (1, 2) } else { (2, 1) };
            let ask = |node: u8, words: &str| self.volward.cli(node, words).unwrap();
            let attach = format!("--json attach {INSTANCE} vg0/wanted");
            let after = |ms: u64| std::thread::sleep(Duration::from_millis(ms));
            let (grown, attached, gone) = std::thread::scope(|scope| {
                let grown = scope.spawn(|| ask(grower, "--json volume extend vg0/wanted 64M"));
                let attached = scope.spawn(|| {
                    after(round % 4 * 600);
                    ask(keeper, &attach)
                });
                let gone = scope.spawn(|| {
                    after(round / 4 * 900);
                    ask(grower, "--json volume rm vg0/wanted")
                });
                (
                    grown.join().unwrap(),
                    attached.join().unwrap(),
                    gone.join().unwrap(),
                )
            });
            let told = [&grown, &attached, &gone].map(what_was_told);
            println!("round {round}: extend, attach, rm: {told:?}");
            let is_there = !self.volumes().is_empty();
            assert_eq!(gone.ok(), !is_there, "round {round}: {gone:?}");
            assert!(
                !(gone.ok() && attached.ok()),
                "round {round}: deleted beneath who has it"
            );
            if attached.ok() {
                let mib = self.attached_mib(keeper, "wanted");
                let expected = if grown.ok() { 64 } else { 32 };
                assert_eq!(mib, expected, "round {round}");
                let device = format!("/dev/volward/{INSTANCE}/vg0/wanted");
                let read = format!("tr -d '\\0' < {device} | wc -c");
                let other = self.volward.node(keeper).run_ok_within(SLOW, &read);
                assert_eq!(other.unwrap().trim(), "0", "round {round}");
                self.volward
                    .cli_ok(keeper, &format!("detach {INSTANCE}"))
                    .unwrap();
            }
            if is_there {
                self.done(2, "volume rm vg0/wanted");
            }
            deleted += u32::from(gone.ok());
            self.nothing_is_left(&format!("round {round}"));
            assert_eq!(self.volumes(), [""; 0], "round {round}");
        }
        println!("deleted first in {deleted} of 12 rounds");
    }

    /// What was copied before is not trusted beyond what is on record, and nobody sees half of it meanwhile.
    fn a_copy_goes_on_after_a_power_cut(&self) {
        let mib = 1536;
        let one = self.one();
        power::makes_room(one).unwrap();
        let make = format!(
            "lvcreate -qq -aey -n long -L {mib}M vg0 && {} | dd of=/dev/vg0/long bs=1M iflag=fullblock oflag=direct status=none; \
             lvchange -an vg0/long",
            content("long", mib)
        );
        one.run_ok_within(SLOW, &make).unwrap();
        let words = "volume cp vg0/long vg0/twin --id cut";
        self.volward
            .cli_ok(1, &format!("{words} --no-wait"))
            .unwrap();
        let far = || {
            let shown = self.volward.json(1, "op show cut")?;
            Ok(shown["done"].as_u64() > Some(256 * MIB))
        };
        self.volward.wait(1, "part of the copy", SLOW, far).unwrap();
        power::cut(one).unwrap();
        // Half a volume is nobody's to have, and what is copied is nobody's to write.
        for name in ["long", "twin"] {
            let attach = format!("attach {OTHER} vg0/{name}");
            let problem = self.volward.problem(2, &attach).unwrap();
            println!("{name}: {}: {}", problem["code"], problem["message"]);
        }
        let spec = ClusterSpec::default();
        power::boot(self.cluster, &spec, &self.volward, 1).unwrap();
        let shown = self.operate(1, "op show cut");
        println!("after the boot: {shown}");
        self.done(1, words);
        let attach = format!("attach {OTHER} vg0/twin");
        self.volward.cli_ok(2, &attach).unwrap();
        let same = format!(
            "{} | cmp - /dev/volward/{OTHER}/vg0/twin && echo same",
            content("long", mib)
        );
        let compared = self.volward.node(2).run_ok_within(SLOW, &same).unwrap();
        assert_eq!(compared, "same\n");
        self.volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
        self.nothing_is_left("after the power cut");
    }
}

/// The code of a refusal or of how an operation ended, or `done`.
fn what_was_told(output: &Output) -> String {
    if output.ok() {
        return "done".to_owned();
    }
    let said: Value = match output.stderr.is_empty() {
        // One that was begun is shown as it ended.
        true => serde_json::from_str(&output.stdout).unwrap(),
        false => serde_json::from_str(&output.stderr).unwrap(),
    };
    let code = said["problem"]["code"].as_str();
    let code = code.or_else(|| said["trouble"]["code"].as_str());
    code.map_or_else(|| said.to_string(), str::to_owned)
}
