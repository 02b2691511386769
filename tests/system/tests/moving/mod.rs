//! Two nodes, guests that write all the time, and `virsh migrate`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    dead_code,
    reason = "tests measure time and end at the first surprise, and each tier needs its part"
)]

use std::time::{Duration, Instant};

use volward_system::guest::{self, Guest, Wish};
use volward_system::ticker::{self, Ticks};
use volward_system::volward::{POOL, VIRSH, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Output, Progress};

/// The destination looks each second; a node has one processor, and others have work to do.
const SOON: Duration = Duration::from_secs(60);
/// So slow that a guest that weighs is on its way for some twenty seconds.
pub(crate) const SLOWLY: &str = "--bandwidth 1";

/// A disk of 4 MiB that each node has for itself.
const OWN_DISK: &str = "/dev/loop5";

pub(crate) fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// A guest that writes to a volume of its own, which has its name.
pub(crate) struct Mover {
    pub(crate) guest: Guest,
}

impl Mover {
    /// Makes its volume. It runs nowhere yet.
    pub(crate) fn new(volward: &Volward<'_>, name: &str, number: u8) -> Self {
        ticker::volume(volward, name).unwrap();
        let guest = Guest::new(name, number).weighs().disk(name, Wish::Plain);
        Self { guest }
    }

    /// Gives it a second disk, vdb, that is none of Volward's: [`put_own_disks`] makes it.
    pub(crate) fn with_own_disk(self) -> Self {
        let guest = self.guest.disk_at(OWN_DISK, Wish::Plain);
        Self { guest }
    }

    pub(crate) fn volume(&self) -> &str {
        &self.guest.name
    }

    pub(crate) fn ticks(&self, node: &Node) -> Ticks {
        ticker::ticks(node, &self.guest.device(self.volume())).unwrap()
    }

    /// Waits until the guest has written so many times more, and to each place once; nothing that it wrote is lost, and one write
    /// may be on its way while it is read.
    #[track_caller]
    pub(crate) fn goes_on(&self, volward: &Volward<'_>, node: &Node) -> Ticks {
        let enough = (self.ticks(node).last + 50).max(ticker::RING);
        let device = self.guest.device(self.volume());
        let done = || Ok(ticker::ticks(node, &device)?.last > enough);
        let what = "write of the guest";
        volward.wait(node.number(), what, SOON, done).unwrap();
        let now = self.ticks(node);
        assert!(now.lost <= 1, "{now:?}");
        now
    }

    /// Starts it where it is defined and may have its volume, with nothing written: the program begins to count again.
    /// Answers what it wrote before.
    #[track_caller]
    pub(crate) fn starts_anew(&self, volward: &Volward<'_>, node: &Node) -> Ticks {
        let (uuid, volume) = (&self.guest.uuid, self.volume());
        let number = node.number();
        let attach = format!("attach {uuid} {POOL}/{volume}");
        volward.cli_ok(number, &attach).unwrap();
        let before = self.ticks(node);
        // What was on its way when it ended.
        assert!(before.lost <= 1, "{before:?}");
        ticker::empty(node, &self.guest.device(volume)).unwrap();
        volward.cli_ok(number, &format!("detach {uuid}")).unwrap();
        let start = format!("virsh start {}", self.guest.name);
        node.run_ok_within(VIRSH, &start).unwrap();
        before
    }

    /// Waits until the node has the exclusive lease of the volume.
    #[track_caller]
    pub(crate) fn is_exclusive_on(&self, volward: &Volward<'_>, node: &Node, within: Duration) {
        let wanted = format!("{} exclusive", self.volume());
        let has = || Ok(volward.leases(node.number())?.contains(&wanted));
        volward.wait(node.number(), &wanted, within, has).unwrap();
    }

    /// One node has it, alone and whole, and the other has nothing of it.
    #[track_caller]
    pub(crate) fn is_alone_on(&self, volward: &Volward<'_>, node: &Node, other: &Node) {
        self.is_exclusive_on(volward, node, SOON);
        let left = volward.left_over(other.number()).unwrap();
        assert!(!left.contains(self.volume()), "{left}");
        assert!(!left.contains(&self.guest.uuid), "{left}");
        let all = volward.json(node.number(), "ls").unwrap();
        let of_it = all.as_array().into_iter().flatten();
        let mut of_it = of_it.filter(|one| one["instance"] == self.guest.uuid.as_str());
        let one = of_it.next().unwrap();
        assert_eq!(one["state"], "attached", "{one}");
        assert!(one["fenced"].is_null(), "{one}");
    }

    /// `virsh migrate`, to its end.
    pub(crate) fn migrate(&self, from: &Node, to: &Node, options: &str) -> Output {
        let command = self.command(to, options);
        let begun = Instant::now();
        let said = from.run_within(VIRSH, &command).unwrap();
        println!("{command} ({:.1?}): {said:?}", begun.elapsed());
        said
    }

    /// The same, in the background.
    pub(crate) fn leaves(&self, from: &Node, to: &Node, options: &str) {
        let command = self.command(to, options);
        println!("{command}");
        let at = self.said_at();
        let script = format!(
            "rm -f {at}*; (setsid sh -c '{command} > {at}.out 2> {at}.err; echo $? > {at}.rc') > /dev/null 2>&1 &"
        );
        from.run_ok(&script).unwrap();
    }

    /// Waits for its end there.
    #[track_caller]
    pub(crate) fn has_left(&self, from: &Node, within: Duration) -> Output {
        let at = self.said_at();
        let seconds = within.as_secs();
        let script = format!(
            "for _ in $(seq {}); do [ -s {at}.rc ] && break; sleep 0.5; done
             [ -s {at}.rc ] || {{ echo 'not at its end after {seconds} s' >&2; exit 99; }}
             cat {at}.out; cat {at}.err >&2; exit $(cat {at}.rc)",
            seconds * 2
        );
        let said = from
            .run_within(within + Duration::from_secs(30), &script)
            .unwrap();
        println!("{}: {said:?}", self.guest.name);
        assert_ne!(said.status, 99, "{said:?}");
        said
    }

    /// Waits until its memory is on its way: both nodes have the volume then.
    #[track_caller]
    pub(crate) fn is_on_its_way(&self, volward: &Volward<'_>, from: &Node, to: &Node) {
        let script = format!(
            "virsh domjobinfo --rawstats {} | sed -n 's/^memory_processed: //p'",
            self.guest.name
        );
        let sent = || {
            let sent = from.run(&script)?.stdout;
            Ok(sent.trim().parse().unwrap_or(0_u64) > 1 << 20)
        };
        let what = "memory on its way";
        volward.wait(from.number(), what, SOON, sent).unwrap();
        for node in [from, to] {
            let leases = volward.leases(node.number()).unwrap();
            let shared = format!("{} shared", self.volume());
            assert!(leases.contains(&shared), "{leases:?}");
        }
    }

    fn said_at(&self) -> String {
        format!("/run/lab/migrate-{}", self.guest.name)
    }

    fn command(&self, to: &Node, options: &str) -> String {
        let (name, number) = (&self.guest.name, to.number());
        format!("virsh migrate {options} {name} qemu+tcp://10.9.0.{number}/system")
    }
}

/// Makes each node a disk of its own: node 1's has content.
pub(crate) fn put_own_disks(cluster: &Cluster) {
    cluster
        .on_all(|node| {
            let content = if node.number() == 1 {
                "yes"
            } else {
                "cat /dev/zero"
            };
            let file = "/run/lab/own-disk";
            node.run_ok(&format!(
                "{content} | head -c 4M > {file}; losetup {OWN_DISK} {file}"
            ))
            .map(drop)
        })
        .unwrap();
}

/// The digest of a node's own disk.
pub(crate) fn own_disk(node: &Node) -> String {
    node.run_ok(&format!("sync; sha256sum < {OWN_DISK}"))
        .unwrap()
}

/// What guests that weigh need on each node.
pub(crate) fn put_weights(cluster: &Cluster) {
    cluster
        .on_all(|node| {
            guest::put_weight(node)?;
            // Debian's package sets it, which here nobody reads: QEMU may take a guest's memory behind it.
            node.run_ok("echo 1 > /proc/sys/vm/unprivileged_userfaultfd")
                .map(drop)
        })
        .unwrap();
}
