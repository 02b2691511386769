//! A guest on a local copy, and a model of what it wrote.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests end at the first surprise, and each program needs its part"
)]

use std::time::Duration;

use volward_system::guest::{Guest, Wish};
use volward_system::sight::{self, Sight};
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

/// Who runs on node 1, and who would like to have the volume.
pub(crate) const INSTANCE: &str = "c0ffee01-0000-4000-8000-000000000000";
pub(crate) const OTHER: &str = "c0ffeeff-0000-4000-8000-000000000000";
/// Enough for what the stories write and where; whole volumes are compared, which is slow in emulation.
pub(crate) const MIB: u64 = 40;
/// The LUN's speed while a copy must take long enough to be held: 40 MiB in 10 s. LVM, sanlock and the
/// registry are on it too: at 1 MiB/s an attach takes longer than the hook waits.
pub(crate) const SLOW: u32 = 4 << 20;
/// While there are such files, node 1's clones of that name do not copy.
const HELD: &str = "/run/lab/held";
/// Patience with what copies 40 MiB at the speed of emulation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// A guest, its volume of known content, and the model of it.
pub(crate) struct Fixture<'a> {
    pub(crate) volward: Volward<'a>,
    pub(crate) guest: Guest,
}

impl<'a> Fixture<'a> {
    /// Every copy is proposed, and where it will lie another tenant's data is.
    pub(crate) fn begin(cluster: &'a Cluster) -> Self {
        let one = cluster.node(1);
        one.run_ok_within(
            PATIENCE,
            "lvcreate -qq -n old -L 48M local && yes OLD-TENANT | head -c 48M | \
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

    pub(crate) fn one(&self) -> &Node {
        self.volward.node(1)
    }

    pub(crate) fn two(&self) -> &Node {
        self.volward.node(2)
    }

    /// The guest's device and the model hold the same in this MiB.
    pub(crate) fn same(&self, mib: u64) {
        let script = format!(
            "for what in {} /dev/local/model; do dd if=$what bs=1M skip={mib} count=1 iflag=direct \
             status=none | cksum; done | uniq | wc -l",
            self.guest.device("disk")
        );
        assert_eq!(self.one().run_ok(&script).unwrap().trim(), "1", "MiB {mib}");
    }

    /// The guest writes; so does the model.
    pub(crate) fn write(&self, byte: u8, offset: u64, length: u64) {
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

    pub(crate) fn flush(&self) {
        let device = "/machine/peripheral/virtio-disk0/virtio-backend";
        let script = format!("virsh qemu-monitor-command web --hmp 'qemu-io -d {device} flush'");
        self.one().run_ok(&script).unwrap();
    }

    /// What `volward hydration ls` says: state, bytes done, bytes in all.
    pub(crate) fn copy(&self) -> Option<(String, u64, u64)> {
        let copies = self.volward.json(1, "hydration ls").unwrap();
        let copy = copies.as_array().unwrap().first()?;
        Some((
            copy["state"].as_str().unwrap().to_owned(),
            copy["done"].as_u64().unwrap(),
            copy["total"].as_u64().unwrap(),
        ))
    }

    /// Nothing but what the guest touches is copied from here on, however long the test takes.
    pub(crate) fn hold_hydration(&self) {
        self.hold("volward-clone-", "");
    }

    /// What is written back stands still once something of it is back.
    pub(crate) fn hold_write_back(&self) {
        let begun = "case $(dmsetup status $clone | cut -d ' ' -f 7) in 0/*) continue ;; esac";
        self.hold("volward-return-", begun);
    }

    pub(crate) fn go_on_copying(&self) {
        // The loop may be at its last turn.
        let script = format!(
            "rm -f {HELD}-*; sleep 2.5; for clone in $(dmsetup ls --target clone | cut -f 1); do
                 dmsetup message $clone 0 enable_hydration || true
             done"
        );
        self.one().run_ok(&script).unwrap();
    }

    /// Stops the copying of each such clone, while there is a file that says so: again and again, for the daemon
    /// turns it on when it has made the clone. By the shell alone where there is none: a node has one processor.
    fn hold(&self, prefix: &str, unless: &str) {
        let script = format!(
            "touch {HELD}-{prefix}; held=0
             while test -e {HELD}-{prefix}; do
                 for name in /sys/block/dm-*/dm/name; do
                     read clone < $name || continue
                     case $clone in {prefix}*) ;; *) continue ;; esac
                     {unless}
                     dmsetup message $clone 0 disable_hydration && held=$((held + 1))
                 done
                 if [ $held -lt 5 ]; then sleep 0.2; else sleep 2; fi
             done"
        );
        let path = format!("/run/lab/hold-{prefix}");
        self.one().put_file(&path, 0o755, script).unwrap();
        self.one()
            .run_ok(&format!("nohup sh {path} > /dev/null 2>&1 &"))
            .unwrap();
    }

    /// Regions that node 1's clone of that name counts as copied, and how many there are.
    pub(crate) fn regions(&self, prefix: &str) -> (u64, u64) {
        let script = format!(
            "for clone in $(dmsetup ls --target clone | cut -f 1); do
                 case $clone in {prefix}*) dmsetup status --noflush $clone | cut -d ' ' -f 7 ;; esac
             done"
        );
        let said = self.one().run_ok(&script).unwrap();
        let (copied, all) = said.trim().split_once('/').unwrap();
        (copied.parse().unwrap(), all.parse().unwrap())
    }

    /// From now on until its copy is home: how many regions each clone may have on its way, a line each time it is seen.
    pub(crate) fn watch_amounts(&self) {
        let script = "seen=0
             while [ $seen -lt 1000 ]; do
                 seen=$((seen + 1))
                 dmsetup status --noflush --target clone
                 sleep 0.3
             done | sed -uEn 's/^(volward-[a-z]*)-.*hydration_threshold ([0-9]*) .*/\\1 \\2/p' \
                 > /run/lab/amounts";
        let one = self.one();
        one.put_file("/run/lab/watch-amounts", 0o755, script)
            .unwrap();
        one.run_ok("nohup sh /run/lab/watch-amounts > /dev/null 2>&1 &")
            .unwrap();
    }

    /// What was seen of the clone that hydrates, and of the one that writes back.
    pub(crate) fn amounts(&self) -> [(&'static str, Vec<u32>); 2] {
        let said = self.one().run_ok("cat /run/lab/amounts").unwrap();
        ["volward-clone", "volward-return"].map(|prefix| {
            let lines = said.lines().filter_map(|line| line.split_once(' '));
            let lines = lines.filter(|(of, _)| *of == prefix);
            let amounts = lines.map(|(_, amount)| amount.parse().unwrap());
            (prefix, amounts.collect())
        })
    }

    pub(crate) fn is_under_way(&self, state: &str) {
        let (now, done, total) = self.copy().unwrap();
        assert_eq!(now, state);
        assert!(done < total, "{state} is over: {done} of {total}");
    }

    pub(crate) fn home(&self) -> String {
        sight::home(self.two(), "disk").unwrap()
    }

    pub(crate) fn wait_home(&self, home: &str) {
        self.volward
            .wait(1, &format!("home {home}"), PATIENCE, || {
                Ok(sight::home(self.one(), "disk")? == home)
            })
            .unwrap();
    }

    /// Refused on a node, with a sentence that contains all of `words`.
    pub(crate) fn is_refused(&self, node: u8, code: &str, words: &[&str]) {
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
    pub(crate) fn is_soon_refused(&self, node: u8, code: &str) {
        let ask = format!("attach {OTHER} vg0/disk");
        let refused = || Ok(self.volward.problem(node, &ask)?["code"] == code);
        self.volward
            .wait(node, &format!("refusal {code}"), PATIENCE, refused)
            .unwrap();
    }

    /// Home again: nothing is left of the copy, and node 2 reads what the model holds and nothing
    /// else, nowhere what was on node 1's disk before.
    pub(crate) fn comes_home_whole(&self) {
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
        // A volume may have grown meanwhile, behind what the guest has seen of it.
        let read = format!("head -c {MIB}M /dev/volward/{OTHER}/vg0/disk");
        let found = self.two().run_ok(&format!("{read} | cksum")).unwrap();
        let old = self
            .two()
            .run_ok(&format!("{read} | grep -c OLD-TENANT || true"))
            .unwrap();
        assert_eq!((&*found, old.trim()), (&*model, "0"));
        self.volward.cli_ok(2, &format!("detach {OTHER}")).unwrap();
    }

    pub(crate) fn no_error_was_seen(&self) {
        let errors = self
            .one()
            .run_ok("virsh domblkerror web; dmesg | grep -i 'i/o error' || true")
            .unwrap();
        assert_eq!(errors.trim(), "No errors found");
    }
}
