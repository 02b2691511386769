//! Two shared pools, each on a LUN of its own: a volume goes from one to the other, and a copy of one that somebody
//! reads; what somebody has stays; of two nodes that move one volume at once one does; a daemon that dies in the middle
//! goes on, before and after the content is there. Half of it is long.
#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, reason = "the long test uses the rest")
)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests end at the first surprise"
)]

use std::time::Duration;

use serde_json::Value;
use volward_system::sight::Sight;
use volward_system::volward::{POOL, Volward, content};
use volward_system::{Cluster, ClusterSpec, Lab, Progress, SECOND_POOL};

const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
const OTHER: &str = "c0ffee02-0000-4000-8000-000000000000";
/// Patience with what copies in emulation.
const SLOW: Duration = Duration::from_secs(120);
const MIB: u64 = 72;

#[test]
fn a_volume_goes_to_another_pool_and_back() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    volward.volume("web", MIB).unwrap();
    cluster.add_lun().unwrap();
    volward.add_pool().unwrap();
    let at_rest = [1, 2].map(|node| second_pool(&volward, node));
    let story = Story { volward: &volward };
    story.what_somebody_has_stays();
    story.it_goes_and_comes_back();
    #[cfg(feature = "long")]
    {
        story.one_that_is_read_is_copied();
        story.two_nodes_move_it_at_once();
    }
    story.its_daemon_dies("move/make/after", false);
    #[cfg(feature = "long")]
    {
        story.its_daemon_dies("move/copy/after", false);
        story.its_daemon_dies("move/rename-source/after", true);
        story.its_daemon_dies("move/remove-source/before", true);
    }
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "", "node {node}");
    }
    assert_eq!([1, 2].map(|node| second_pool(&volward, node)), at_rest);
}

/// What a node has of the second pool: leases, and what is active.
fn second_pool(volward: &Volward<'_>, node: u8) -> String {
    let script = format!(
        "sanlock client status | grep '^r lvm_{SECOND_POOL}:' | cut -d : -f 1-2 | sort
         lvs --noheadings -o lv_name -S lv_active=active {SECOND_POOL}"
    );
    volward.node(node).run_ok(&script).unwrap()
}

struct Story<'a> {
    volward: &'a Volward<'a>,
}

impl Story<'_> {
    /// As `volward --json WORDS` answers when it has ended.
    fn operate(&self, node: u8, words: &str) -> Value {
        let words = format!("volward --json {words}");
        let said = self.volward.node(node).run_ok_within(SLOW, &words);
        let text = said.unwrap_or_else(|error| {
            let asked = self.volward.cli(node, "op ls").map(|said| said.stdout);
            let log = self.volward.log(node).unwrap_or_default();
            let log: Vec<&str> = log.lines().rev().take(40).collect();
            panic!("{error}\n{asked:?}\n{}", log.join("\n"))
        });
        serde_json::from_str(&text).unwrap()
    }

    /// The volumes of a pool, Volward's own aside, with their tags.
    fn volumes(&self, pool: &str) -> Vec<String> {
        let script = format!(
            "lvs --noheadings -o lv_name,lv_tags {pool} | grep -v volward-registry | sed 's/ *$//; s/^ *//'"
        );
        let listed = self.volward.node(1).run(&script).unwrap().stdout;
        listed.lines().map(str::to_owned).collect()
    }

    /// It holds what was written when it was made, and is in one pool only.
    fn is_whole(&self, node: u8, pool: &str, name: &str) {
        self.volward
            .cli_ok(node, &format!("attach {INSTANCE} {pool}/{name}"))
            .unwrap();
        let script = format!(
            "{} | cmp - /dev/volward/{INSTANCE}/{pool}/{name} && echo same",
            content("web", MIB)
        );
        let compared = self
            .volward
            .node(node)
            .run_ok_within(SLOW, &script)
            .unwrap();
        assert_eq!(compared, "same\n");
        self.volward
            .cli_ok(node, &format!("detach {INSTANCE}"))
            .unwrap();
    }

    fn what_somebody_has_stays(&self) {
        self.volward
            .cli_ok(2, &format!("attach {OTHER} {POOL}/web"))
            .unwrap();
        for (node, code) in [(1, "held-elsewhere"), (2, "held-here")] {
            let words = format!("volume mv {POOL}/web {SECOND_POOL}/");
            let problem = self.volward.problem(node, &words).unwrap();
            assert_eq!(problem["code"], code, "{problem}");
        }
        assert_eq!(self.volumes(SECOND_POOL), [""; 0]);
        self.volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
    }

    fn it_goes_and_comes_back(&self) {
        let gone = self.operate(1, &format!("volume mv {POOL}/web {SECOND_POOL}/"));
        assert_eq!(gone["state"], "done", "{gone}");
        assert_eq!(self.volumes(POOL), [""; 0]);
        assert_eq!(self.volumes(SECOND_POOL), ["web"]);
        self.is_whole(2, SECOND_POOL, "web");
        let back = self.operate(2, &format!("volume mv {SECOND_POOL}/web {POOL}/back"));
        assert_eq!(back["state"], "done", "{back}");
        assert_eq!(self.volumes(POOL), ["back"]);
        assert_eq!(self.volumes(SECOND_POOL), [""; 0]);
        self.is_whole(1, POOL, "back");
        self.operate(1, &format!("volume mv {POOL}/back web"));
    }

    fn one_that_is_read_is_copied(&self) {
        self.volward
            .cli_ok(2, &format!("attach {OTHER} {POOL}/web:ro"))
            .unwrap();
        // One that is not shareable is read by one node alone, and copied there.
        let copied = self.operate(
            2,
            &format!("volume cp {POOL}/web {SECOND_POOL}/copy --size 96M"),
        );
        assert_eq!(copied["state"], "done", "{copied}");
        self.volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
        self.volward
            .cli_ok(2, &format!("attach {INSTANCE} {SECOND_POOL}/copy"))
            .unwrap();
        let device = format!("/dev/volward/{INSTANCE}/{SECOND_POOL}/copy");
        let script = format!(
            "{} | cmp -n {} - {device} && dd if={device} bs=1M skip={MIB} iflag=direct status=none \
             | tr -d '\\0' | wc -c",
            content("web", MIB),
            MIB << 20
        );
        let behind = self.volward.node(2).run_ok_within(SLOW, &script).unwrap();
        assert_eq!(behind.trim(), "0");
        self.volward
            .cli_ok(2, &format!("detach {INSTANCE}"))
            .unwrap();
        self.operate(1, &format!("volume rm {SECOND_POOL}/copy"));
    }

    fn two_nodes_move_it_at_once(&self) {
        let words = |name: &str| format!("volume mv {POOL}/web {SECOND_POOL}/{name}");
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| self.volward.cli(1, &words("one")).unwrap());
            let two = scope.spawn(|| self.volward.cli(2, &words("two")).unwrap());
            (one.join().unwrap(), two.join().unwrap())
        });
        assert!(
            one.ok() != two.ok(),
            "one of them moves it: {one:?}\n{two:?}"
        );
        let moved = if one.ok() { "one" } else { "two" };
        assert_eq!(self.volumes(POOL), [""; 0]);
        assert_eq!(self.volumes(SECOND_POOL), [moved]);
        self.is_whole(1, SECOND_POOL, moved);
        self.operate(1, &format!("volume mv {SECOND_POOL}/{moved} {POOL}/web"));
    }

    /// Whoever asks again under the same id finds it done.
    fn its_daemon_dies(&self, point: &str, back: bool) {
        let (from, to) = match back {
            false => (POOL, SECOND_POOL),
            true => (SECOND_POOL, POOL),
        };
        if self.volumes(from).is_empty() {
            self.operate(2, &format!("volume mv {to}/web {from}/"));
        }
        self.volward.stop(1).unwrap();
        let seam = format!("VOLWARD_TEST_CRASH={point}");
        self.volward.start(1, &[seam]).unwrap();
        let id = point.replace('/', ".");
        let words = format!("volume mv {from}/web {to}/ --id {id}");
        self.volward.cli(1, &format!("{words} --no-wait")).unwrap();
        self.volward.wait_ended(1).unwrap();
        println!("{point}: {:?}, {:?}", self.volumes(from), self.volumes(to));
        self.volward.start(1, &[]).unwrap();
        let ended = self.operate(1, &words);
        assert_eq!(ended["state"], "done", "{point}: {ended}");
        assert_eq!(self.volumes(from), [""; 0], "{point}");
        assert_eq!(self.volumes(to), ["web"], "{point}");
        self.is_whole(2, to, "web");
        for node in [1, 2] {
            let left = Sight::of(self.volward.node(node)).unwrap();
            assert!(left.is_empty(), "{point}: node {node}: {left:?}");
        }
    }
}
