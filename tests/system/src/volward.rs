//! Volward on the nodes of a cluster: installing it as an operator would, starting and killing
//! its daemon, making volumes, asking its command line.
//!
//! Nothing of the product is linked in here: programs come from `/host`, replies are JSON.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::IoContext;
use crate::sight::Sight;
use crate::{Cluster, Lab, LabError, Node, Output, Provider, Result};

const INSTALL: &str = include_str!("guest/install");
/// What the package has for udev.
const RULES: &str = include_str!("../../../packaging/55-volward.rules");
/// Where nodes see the programs of this workspace.
const PROGRAMS: &str = "/host/debug";
/// Where nodes see the programs of the last release, as `cargo xtask test long` builds them.
pub const RELEASE_0_1_0: &str = "/host/upgrade/0.1.0";

/// The shared pool of every cluster.
pub const POOL: &str = "vg0";
/// The pool on each node's own disk.
pub const LOCAL: &str = "local";
/// Where policies are dropped.
pub const POLICIES: &str = "/etc/volward/policies.d";
/// Where a node's daemon writes what it says, over all its starts.
pub const LOG: &str = "/var/log/volwardd.log";
/// Where it answers.
const SOCKET: &str = "/run/volward/volwardd.sock";
/// What virsh waits for: hooks answer within a minute, QEMU needs some seconds in emulation.
pub const VIRSH: Duration = Duration::from_secs(120);

/// How Volward is set up on the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Read-write without an armed watchdog, which a [`crate::ClusterSpec`] lacks by default.
    pub lab_switch: bool,
    /// More lines of volward.toml: tables of their own.
    pub config: String,
    /// `NAME=value` for the daemon.
    pub environment: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            lab_switch: true,
            config: String::new(),
            environment: Vec::new(),
        }
    }
}

/// Everything that what is installed depends on: the programs, by size and time, which a linker
/// sets, and how it is done.
pub(crate) fn ingredients(lab: &Lab, provider: Provider) -> Result<String> {
    let configuration = configuration(0, Some(provider), &Setup::default());
    let mut text = format!("{INSTALL}{RULES}{configuration}");
    for name in ["volward", "volwardd", "volward-policy", "volward-hook"] {
        let path = lab.share().join("debug").join(name);
        let data = std::fs::metadata(&path).at("look at", &path)?;
        let built = data.modified().at("read the time of", &path)?;
        text += &format!("{name} {} {built:?}\n", data.len());
    }
    Ok(text)
}

/// The deadlines of policies are for real machines; in emulation everything takes many times as
/// long, and more where the host has other things to do.
const PATIENT: &str = "[policy.limits]\ndeadline-ms = 2500\nload-deadline-ms = 10000\n\n\
                       [timeouts]\ncompile = 900\n\n";

/// Without a provider the programs' own choice counts.
fn configuration(node: u8, provider: Option<Provider>, setup: &Setup) -> String {
    let provider = provider.map_or(String::new(), |who| format!("provider = \"{who}\"\n"));
    let switch = if setup.lab_switch {
        "[lab]\nread-write-without-watchdog = true\n"
    } else {
        ""
    };
    format!(
        "[node]\nname = \"node{node}\"\n\n[[pool]]\nname = \"{POOL}\"\n{provider}\n\
         [[pool]]\nname = \"{LOCAL}\"\nkind = \"local\"\n\n{PATIENT}{switch}\n{}",
        setup.config
    )
}

/// Volward, installed on all nodes of a cluster.
#[derive(Debug)]
pub struct Volward<'a> {
    cluster: &'a Cluster,
    /// `None` where programs are installed that know no providers.
    provider: Option<Provider>,
}

impl<'a> Volward<'a> {
    /// What is installed on a cluster by [`Cluster::with_volward`].
    pub fn on(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            provider: Some(cluster.provider()),
        }
    }

    /// The same, set up otherwise: all daemons are started again.
    ///
    /// # Errors
    /// When one does not come back, with its last words.
    pub fn set_up(cluster: &'a Cluster, setup: &Setup) -> Result<Self> {
        let volward = Self::on(cluster);
        cluster.on_all(|node| {
            volward.stop(node.number())?;
            volward.configure(node.number(), setup)?;
            volward.start(node.number(), &setup.environment)?;
            volward.wait_for_pool(node.number(), POOL)
        })?;
        Ok(volward)
    }

    /// Installs it on all nodes, starts the daemons, and turns `vg0` into a pool.
    ///
    /// # Errors
    /// When a step fails on a node; with the daemon's last words.
    pub(crate) fn install(cluster: &'a Cluster) -> Result<Self> {
        Self::install_from(cluster, PROGRAMS)
    }

    /// The same from another folder of programs, such as [`RELEASE_0_1_0`].
    ///
    /// # Errors
    /// When a step fails on a node; with the daemon's last words.
    pub fn install_from(cluster: &'a Cluster, programs: &str) -> Result<Self> {
        let volward = Self {
            cluster,
            provider: (programs == PROGRAMS).then(|| cluster.provider()),
        };
        let setup = Setup::default();
        cluster.on_all(|node| {
            volward.put_programs(node.number(), programs)?;
            volward.begin_node(node.number(), &setup)
        })?;
        // The first makes the registry; each makes itself a devices file.
        if let Some(first) = cluster.nodes().first() {
            volward.cli_ok(first.number(), &format!("pool init {POOL}"))?;
        }
        cluster.on_all(|node| {
            volward.cli_ok(node.number(), &format!("pool init {POOL}"))?;
            volward.cli_ok(node.number(), &format!("pool init {LOCAL}"))?;
            volward.wait_for_pool(node.number(), POOL)
        })?;
        Ok(volward)
    }

    /// Puts programs, hook and configuration onto a node and starts daemon and libvirtd: what is
    /// needed of a node that was booted again, too.
    ///
    /// # Errors
    /// When a step fails; with the daemon's last words.
    pub fn install_node(&self, node: u8, setup: &Setup) -> Result<()> {
        self.put_programs(node, PROGRAMS)?;
        self.begin_node(node, setup)
    }

    /// Replaces the programs of a node in place, as a package upgrade does: its daemon is stopped
    /// before and started after it, guests go on.
    ///
    /// # Errors
    /// When the new daemon does not come up; with its last words.
    pub fn upgrade_node(&self, node: u8) -> Result<()> {
        self.replace_programs(node, PROGRAMS)
    }

    /// The same with the programs of any folder.
    ///
    /// # Errors
    /// As [`Volward::upgrade_node`].
    pub fn replace_programs(&self, node: u8, programs: &str) -> Result<()> {
        if self.runs(node)? {
            self.stop(node)?;
        }
        self.put_programs(node, programs)?;
        self.start(node, &[])
    }

    fn put_programs(&self, node: u8, folder: &str) -> Result<()> {
        let script = format!("PROGRAMS={folder}\n{INSTALL}");
        self.node(node).run_ok(&script)?;
        self.node(node)
            .put_file("/usr/lib/udev/rules.d/55-volward.rules", 0o644, RULES)
    }

    fn begin_node(&self, node: u8, setup: &Setup) -> Result<()> {
        self.configure(node, setup)?;
        // libvirt looks for hooks when it starts.
        std::thread::scope(|scope| {
            let libvirtd = scope.spawn(|| self.restart_libvirtd(node));
            self.start(node, &setup.environment)?;
            libvirtd
                .join()
                .unwrap_or_else(|_| Err(LabError::Machine("restarting libvirtd panicked".into())))
        })
    }

    /// Writes a node's volward.toml. A running daemon does not read it again.
    ///
    /// # Errors
    /// When the node is down.
    pub fn configure(&self, node: u8, setup: &Setup) -> Result<()> {
        let text = configuration(node, self.provider, setup);
        self.node(node)
            .put_file("/etc/volward/volward.toml", 0o644, text)
    }

    /// Drops a policy of `target/guests` into a node's folder, with the lines of its
    /// configuration, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come to serve.
    pub fn add_policy(&self, node: u8, name: &str, config: &str) -> Result<()> {
        let at = format!("/etc/volward/policies.d/50-{name}");
        let settings = format!("[config]\n{config}\n");
        self.node(node)
            .put_file(&format!("{at}.toml"), 0o644, settings)?;
        // Renamed into place: half a file would be refused, loudly.
        self.node(node).run_ok(&format!(
            "cp /host/guests/{name}.wasm {at}.new && mv {at}.new {at}.wasm && volward policy load"
        ))?;
        self.wait(node, "policy", Duration::from_secs(60), || {
            let policies = self.json(node, "policy ls")?;
            let mut policies = policies.as_array().into_iter().flatten();
            Ok(policies.any(|p| p["name"] == name && p["state"] == "serving"))
        })
    }

    /// Starts a node's daemon and waits until it answers.
    ///
    /// # Errors
    /// When it does not, with its last words.
    pub fn start(&self, node: u8, environment: &[String]) -> Result<()> {
        // Waited for on the node, and by the shell alone: a program that asks again and again would take the
        // daemon's own time, and a node has one processor. The socket is there once the daemon answers.
        let begin = format!(
            "rm -f {SOCKET}
             env VOLWARD_LOG=debug {} setsid volwardd < /dev/null >> {LOG} 2>&1 &
             echo $! > /run/volwardd.pid
             for _ in $(seq 450); do
                 [ -S {SOCKET} ] && exec volward status > /dev/null
                 kill -0 $! 2> /dev/null || break
                 sleep 0.2
             done
             echo 'volwardd does not answer, or ended at its start:' >&2; tail -n 20 {LOG} >&2; exit 1",
            environment.join(" ")
        );
        self.node(node)
            .run_ok_within(Duration::from_secs(120), &begin)
            .map(drop)
    }

    /// Whether a node's daemon is alive.
    ///
    /// # Errors
    /// When the node is down.
    pub fn runs(&self, node: u8) -> Result<bool> {
        // A dead child nobody has waited for is a zombie, and not alive.
        let script = "grep -q '^State:.[^Z]' /proc/$(cat /run/volwardd.pid)/status";
        Ok(self.node(node).run(script)?.ok())
    }

    /// Stops a node's daemon as systemd would, and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self, node: u8) -> Result<()> {
        self.end(node, "TERM")
    }

    /// Kills a node's daemon (`kill -9`).
    ///
    /// # Errors
    /// When the node is down.
    pub fn crash(&self, node: u8) -> Result<()> {
        self.end(node, "KILL")
    }

    /// Waits until a node's daemon has ended by itself, as a test seam asked it to.
    ///
    /// # Errors
    /// When it still runs after a minute.
    pub fn wait_ended(&self, node: u8) -> Result<()> {
        self.wait(
            node,
            "the end of its volwardd",
            Duration::from_secs(60),
            || Ok(!self.runs(node)?),
        )
    }

    /// What a node's daemon said so far.
    ///
    /// # Errors
    /// When the node is down.
    pub fn log(&self, node: u8) -> Result<String> {
        self.node(node).run_ok(&format!("cat {LOG}"))
    }

    /// Runs `volward WORDS` on a node.
    ///
    /// # Errors
    /// When the node is down or the command hangs; its failure is no error.
    pub fn cli(&self, node: u8, words: &str) -> Result<Output> {
        self.node(node)
            .run_within(Duration::from_secs(180), &format!("volward {words}"))
    }

    /// Runs `volward WORDS` on a node, which must succeed; answers its stdout.
    ///
    /// # Errors
    /// When it fails.
    pub fn cli_ok(&self, node: u8, words: &str) -> Result<String> {
        self.node(node)
            .run_ok_within(Duration::from_secs(180), &format!("volward {words}"))
    }

    /// The daemon's reply to `volward --json WORDS`.
    ///
    /// # Errors
    /// When the command fails or its reply is not JSON.
    pub fn json(&self, node: u8, words: &str) -> Result<Value> {
        let text = self.cli_ok(node, &format!("--json {words}"))?;
        parse(&text)
    }

    /// The problem with which `volward --json WORDS` must fail: what stands in `problem`.
    ///
    /// # Errors
    /// When the command succeeds, or fails without saying so in JSON.
    pub fn problem(&self, node: u8, words: &str) -> Result<Value> {
        let output = self.cli(node, &format!("--json {words}"))?;
        if output.ok() {
            let what = format!("`volward {words}` succeeded: {}", output.stdout);
            return Err(LabError::Machine(what));
        }
        Ok(parse(&output.stderr)?["problem"].clone())
    }

    /// Makes a volume in the shared pool, active nowhere, with its whole content known: that of
    /// [`content`] for its name.
    ///
    /// # Errors
    /// When LVM refuses.
    pub fn volume(&self, name: &str, mib: u64) -> Result<()> {
        let script = format!(
            "lvcreate -qq -an -n {name} -L {mib}M {POOL} && lvchange -aey {POOL}/{name} && \
             {} | dd of=/dev/{POOL}/{name} bs=1M iflag=fullblock oflag=direct status=none && \
             lvchange -an {POOL}/{name}",
            content(name, mib)
        );
        self.node(1)
            .run_ok_within(Duration::from_secs(120), &script)
            .map(drop)
    }

    /// What a node has of attachments, in lines; empty when nothing is left of any: what
    /// [`Sight`] sees, and the daemon's records, marks and spooled releases.
    ///
    /// # Errors
    /// When the node is down or a tool fails.
    pub fn left_over(&self, node: u8) -> Result<String> {
        let sight = Sight::of(self.node(node))?;
        let seen = if sight.is_empty() {
            String::new()
        } else {
            format!("{sight:#?}\n")
        };
        let script = "volward --json ls | grep -v '^\\[\\]$'
            find /run/volward/instances /var/lib/volward/spool -type f";
        Ok(seen + &self.node(node).run(script)?.stdout)
    }

    /// The leases a node holds on volumes of the shared pool, in order, each as `web exclusive` or
    /// `common shared`. Volward's own registry is left out.
    ///
    /// # Errors
    /// When the node is down or sanlock does not answer.
    pub fn leases(&self, node: u8) -> Result<Vec<String>> {
        Ok(Sight::of(self.node(node))?.leases.into_iter().collect())
    }

    /// Restarts a node's libvirtd and waits until it answers. Guests go on.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart_libvirtd(&self, node: u8) -> Result<()> {
        let script = "pid=$(cat /run/libvirtd.pid)
            kill $pid
            for _ in $(seq 300); do [ -e /proc/$pid ] || break; sleep 0.1; done
            rm -f /run/libvirt/libvirt-sock
            libvirtd -d --listen
            for _ in $(seq 300); do [ -S /run/libvirt/libvirt-sock ] && break; sleep 0.1; done
            for _ in $(seq 10); do virsh version > /dev/null 2>&1 && exit; sleep 0.5; done
            echo 'libvirtd does not answer' >&2; exit 1";
        self.node(node)
            .run_ok_within(Duration::from_secs(90), script)
            .map(drop)
    }

    /// Polls `done` until it says so.
    ///
    /// # Errors
    /// Those of `done`, and when the deadline is over.
    pub fn wait(
        &self,
        node: u8,
        what: &str,
        deadline: Duration,
        mut done: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            if done()? {
                return Ok(());
            }
            if begun.elapsed() > deadline {
                let log = self.node(node).run(&format!("tail -n 30 {LOG}"))?.stdout;
                let why = format!(
                    "node {node}: no {what} after {} s; its volwardd said:\n{log}",
                    deadline.as_secs()
                );
                return Err(LabError::Machine(why));
            }
            // A node has one processor: who asks is at rest half of the time, for what is waited for.
            std::thread::sleep(asked.elapsed().max(Duration::from_millis(200)));
        }
    }

    /// A node by its number.
    pub fn node(&self, number: u8) -> &'a Node {
        self.cluster.node(number)
    }

    /// The cluster that it is on.
    pub(crate) fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    /// Waits until a node's daemon serves a pool.
    pub(crate) fn wait_for_pool(&self, node: u8, name: &str) -> Result<()> {
        self.wait(node, "pool", Duration::from_secs(60), || {
            let pools = self.json(node, "pool ls")?;
            let pool = pools.as_array().into_iter().flatten();
            let mut shared = pool.filter(|pool| pool["name"] == name);
            Ok(shared.any(|pool| pool["trouble"].is_null()))
        })
    }

    fn end(&self, node: u8, signal: &str) -> Result<()> {
        let script = format!("kill -{signal} $(cat /run/volwardd.pid)");
        self.node(node).run_ok(&script)?;
        self.wait_ended(node)
    }
}

/// A shell command that writes `mib` MiB which no other seed's and no other place's are like: each
/// MiB begins with 16 bytes of seed and number, the rest is letters of the seed.
pub fn content(seed: &str, mib: u64) -> String {
    format!(
        "python3 -c \"
for i in range(1, {mib} + 1):
    line = '{seed}.%d\\n' % i
    text = '%-8.8s%08d' % ('{seed}', i) + line * (1048560 // len(line) + 1)
    print(text[:1 << 20], end='')\""
    )
}

fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|error| LabError::Machine(format!("volward's reply is no JSON ({error}): {text}")))
}
