//! One emulated node: running commands on it, killing it, starting it again.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::command::tail;
use crate::error::IoContext;
use crate::launch::Machine;
use crate::qmp::Qmp;
use crate::{LabError, Output, Result, agent};

/// A script that does not say otherwise has this long: everything is slow in emulation.
const DEADLINE: Duration = Duration::from_secs(60);
/// From power-on to the agent, generous: two cores may be busy with a build beside us.
const BOOT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// A node of a [`crate::Cluster`].
#[derive(Debug)]
pub struct Node {
    machine: Machine,
    running: Mutex<Option<Running>>,
}

/// A QEMU that runs.
#[derive(Debug)]
struct Running {
    process: Process,
    ports: Ports,
}

#[derive(Debug)]
enum Process {
    Child(Child),
    /// Started by another process of ours (`lab up`).
    Known(u32),
}

/// Loopback ports of this machine that reach the node.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Ports {
    command: u16,
    shell: u16,
}

/// A node as written to a file, for `lab run` and `lab down` to find it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    machine: Machine,
    running: Option<(u32, Ports)>,
}

impl Node {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            running: Mutex::new(None),
        }
    }

    /// Its number, from 1: its sanlock host-id, and `node<number>` is its name.
    pub fn number(&self) -> u8 {
        self.machine.node
    }

    /// Runs a script under `sh` as root, killed after a minute.
    ///
    /// # Errors
    /// When the node is down, or the script was not done in time. A failing script is no error
    /// here: see [`Node::run_ok`].
    pub fn run(&self, script: &str) -> Result<Output> {
        self.run_within(DEADLINE, script)
    }

    /// Runs a script under `sh` as root, killed after `deadline`.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub fn run_within(&self, deadline: Duration, script: &str) -> Result<Output> {
        let begun = Instant::now();
        let answer = agent::run(self.ports()?.command, script, deadline);
        trace(self.number(), begun, script);
        match answer {
            Ok(output) if output.status == 137 && begun.elapsed() >= deadline => {
                Err(self.too_late(&format!("the end of script `{script}`"), deadline))
            }
            Ok(output) => Ok(output),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.too_late(&format!("an answer to script `{script}`"), deadline))
            }
            Err(source) => Err(self.lost(&format!("running `{script}`"), source)),
        }
    }

    /// Runs a script that must succeed; answers its stdout.
    ///
    /// # Errors
    /// As [`Node::run`], and when the script fails.
    pub fn run_ok(&self, script: &str) -> Result<String> {
        self.run_ok_within(DEADLINE, script)
    }

    /// Runs a script that must succeed within `deadline`; answers its stdout.
    ///
    /// # Errors
    /// As [`Node::run_ok`].
    pub fn run_ok_within(&self, deadline: Duration, script: &str) -> Result<String> {
        let output = self.run_within(deadline, script)?;
        if output.ok() {
            return Ok(output.stdout);
        }
        Err(LabError::Script {
            node: self.number(),
            status: output.status,
            script: script.to_owned(),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// Writes a file on the node, with its folders.
    ///
    /// # Errors
    /// When the node is down or cannot write there.
    pub fn put_file(&self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Result<()> {
        let output = agent::put(self.ports()?.command, path, mode, content.as_ref())
            .map_err(|source| self.lost(&format!("writing {path}"), source))?;
        if output.ok() {
            return Ok(());
        }
        Err(LabError::Script {
            node: self.number(),
            status: output.status,
            script: format!("(write {path})"),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    /// Ends the node as a power cut does: no shutdown, what was not written is lost.
    ///
    /// # Errors
    /// When its QEMU cannot be ended.
    pub fn kill(&self) -> Result<()> {
        if let Some(mut running) = self.lock().take() {
            running.process.kill(&self.machine.folder)?;
        }
        Ok(())
    }

    /// Boots the node; its disks are as they were, its root file system is fresh.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self) -> Result<()> {
        self.kill()?;
        let seen = self.console_bytes().len();
        let child = self.machine.launch(None)?;
        self.adopt(child)?;
        self.wait_for("boot", BOOT, || {
            let console = self.console_bytes();
            let new = String::from_utf8_lossy(console.get(seen..).unwrap_or_default());
            Ok(new.contains("LAB-READY"))
        })?;
        self.settle()
    }

    /// Goes on from a saved state; the file is in the cluster's folder.
    pub(crate) fn restore(&self, saved: &str) -> Result<()> {
        let child = self.machine.launch(Some(saved))?;
        self.adopt(child)?;
        self.wait_for("restoring its state", BOOT, || {
            let status = self.qmp()?.execute("query-status", Value::Null)?;
            Ok(status["status"] == "paused")
        })
    }

    /// Stops the node's clock and work.
    pub(crate) fn pause(&self) -> Result<()> {
        self.qmp()?.execute("stop", Value::Null)?;
        Ok(())
    }

    /// Lets a paused node go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.qmp()?.execute("cont", Value::Null)?;
        Ok(())
    }

    /// Writes a paused node's memory and devices to a file in the cluster's folder.
    pub(crate) fn save(&self, file: &str) -> Result<()> {
        let mut qmp = self.qmp()?;
        qmp.execute(
            "migrate-set-parameters",
            json!({"max-bandwidth": 10u64 << 30}),
        )?;
        qmp.execute("migrate", json!({"uri": format!("exec:cat > {file}")}))?;
        self.wait_for("saving its state", BOOT, || {
            let state = qmp.execute("query-migrate", Value::Null)?;
            match state["status"].as_str() {
                Some("completed") => Ok(true),
                Some("failed") => Err(LabError::Qmp {
                    command: "migrate".into(),
                    answer: state.to_string(),
                }),
                _ => Ok(false),
            }
        })
    }

    /// After boot or restore: today's date, and the share. A mounted share forbids saving a node.
    pub(crate) fn settle(&self) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let script = format!(
            "date -u -s @{}.{:03} > /dev/null && mount -t 9p -o \
             trans=virtio,version=9p2000.L,ro,msize=512000,cache=mmap host /host",
            now.as_secs(),
            now.subsec_millis()
        );
        self.run_ok(&script).map(drop)
    }

    /// Waits until the node has ended by itself (a watchdog's reset ends it).
    ///
    /// # Errors
    /// When it still runs after `deadline`.
    pub fn wait_ended(&self, deadline: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let mut running = self.lock();
            let Some(alive) = running.as_mut() else {
                return Ok(());
            };
            if alive.process.ended(&self.machine.folder)? {
                *running = None;
                return Ok(());
            }
            drop(running);
            if begun.elapsed() >= deadline {
                return Err(self.too_late("its end", deadline));
            }
            std::thread::sleep(POLL);
        }
    }

    /// What the node's kernel and init said on the console, over all its boots.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.console_bytes()).into_owned()
    }

    /// The loopback port behind which a login shell with a terminal waits.
    ///
    /// # Errors
    /// When the node is down.
    pub fn shell_port(&self) -> Result<u16> {
        Ok(self.ports()?.shell)
    }

    pub(crate) fn qmp(&self) -> Result<Qmp> {
        Qmp::connect(&self.machine.folder, &self.machine.file("qmp"))
            .map_err(|source| self.lost("connecting to its monitor", source))
    }

    pub(crate) fn record(&self) -> Record {
        let running = self.lock();
        let running = running.as_ref();
        Record {
            machine: self.machine.clone(),
            running: running.map(|alive| (alive.process.id(), alive.ports)),
        }
    }

    pub(crate) fn from_record(record: Record) -> Self {
        let running = record.running.map(|(pid, ports)| Running {
            process: Process::Known(pid),
            ports,
        });
        Self {
            machine: record.machine,
            running: Mutex::new(running),
        }
    }

    /// Waits for a fresh QEMU's monitor, asks it for the ports it was given.
    fn adopt(&self, child: Child) -> Result<()> {
        *self.lock() = Some(Running {
            process: Process::Child(child),
            ports: Ports::default(),
        });
        let mut ports = None;
        self.wait_for("its monitor", BOOT, || {
            ports = match Qmp::connect(&self.machine.folder, &self.machine.file("qmp")) {
                Ok(mut qmp) => parse_ports(&qmp.human("info usernet")?),
                Err(_) => None,
            };
            Ok(ports.is_some())
        })?;
        if let (Some(running), Some(ports)) = (self.lock().as_mut(), ports) {
            running.ports = ports;
        }
        Ok(())
    }

    /// Polls `done`; gives up at the deadline, or when QEMU ends.
    fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        mut done: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(running) = self.lock().as_mut()
                && running.process.ended(&self.machine.folder)?
            {
                return Err(self.ended());
            }
            if done()? {
                return Ok(());
            }
            if begun.elapsed() > deadline {
                return Err(self.too_late(what, deadline));
            }
            std::thread::sleep(POLL);
        }
    }

    fn ports(&self) -> Result<Ports> {
        self.lock()
            .as_ref()
            .map(|running| running.ports)
            .ok_or_else(|| self.ended())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // A panic elsewhere leaves nothing half done here.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empty before the first boot.
    fn console_bytes(&self) -> Vec<u8> {
        fs::read(self.machine.folder.join(self.machine.file("console"))).unwrap_or_default()
    }

    fn too_late(&self, what: &str, deadline: Duration) -> LabError {
        LabError::Deadline {
            node: self.number(),
            what: what.to_owned(),
            seconds: deadline.as_secs(),
            console: tail(&self.console(), 15),
        }
    }

    fn lost(&self, doing: &str, source: io::Error) -> LabError {
        LabError::Agent {
            node: self.number(),
            doing: doing.to_owned(),
            source,
        }
    }

    fn ended(&self) -> LabError {
        let log = self.machine.folder.join(self.machine.file("qemu"));
        let said = fs::read_to_string(log).unwrap_or_default();
        LabError::Ended {
            node: self.number(),
            said: format!("{said}\n{}", tail(&self.console(), 15)),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A node of `lab up` stays; of our own, a failed kill leaves it to the parent's death.
        if !self.machine.outlives_us {
            drop(self.kill());
        }
    }
}

impl Process {
    fn id(&self) -> u32 {
        match self {
            Self::Child(child) => child.id(),
            Self::Known(pid) => *pid,
        }
    }

    fn kill(&mut self, folder: &Path) -> Result<()> {
        match self {
            Self::Child(child) => {
                child.kill().at("end QEMU in", folder)?;
                child.wait().at("wait for QEMU in", folder)?;
            }
            Self::Known(pid) => {
                let id = Pid::from_raw(pid.cast_signed());
                if let (true, Some(id)) = (is_qemu(*pid, folder), id) {
                    kill_process(id, Signal::KILL)
                        .map_err(io::Error::from)
                        .at("end QEMU in", folder)?;
                }
                while is_qemu(*pid, folder) {
                    std::thread::sleep(POLL);
                }
            }
        }
        Ok(())
    }

    fn ended(&mut self, folder: &Path) -> Result<bool> {
        match self {
            Self::Child(child) => {
                let status = child.try_wait().at("wait for QEMU in", folder)?;
                Ok(status.is_some())
            }
            Self::Known(pid) => Ok(!is_qemu(*pid, folder)),
        }
    }
}

/// Where a story's time goes: with VOLWARD_LAB_TRACE set each script is told of with what it took.
fn trace(node: u8, begun: Instant, script: &str) {
    if std::env::var_os("VOLWARD_LAB_TRACE").is_some() {
        let took = begun.elapsed().as_secs_f32();
        let begins: String = script.trim().chars().take(100).collect();
        eprintln!("{took:7.1} s  node {node}: {}", begins.replace('\n', " "));
    }
}

/// Whether this process is a QEMU of this folder, and not another that got the number since.
fn is_qemu(pid: u32, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)
}

/// Reads the forwarded ports from lines like
/// `TCP[HOST_FORWARD]  12  127.0.0.1 38085  10.0.2.15  5000  0  0`.
fn parse_ports(usernet: &str) -> Option<Ports> {
    let port_to = |inside: &str| {
        usernet.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_it = words.first()? == &"TCP[HOST_FORWARD]" && words.get(5)? == &inside;
            is_it.then(|| words.get(3)?.parse().ok()).flatten()
        })
    };
    Some(Ports {
        command: port_to("5000")?,
        shell: port_to("5001")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_monitor() {
        let text = "Hub -1 (command):\r\n\
            Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n\
            TCP[HOST_FORWARD]  14       127.0.0.1 41001       10.0.2.15  5001     0     0\r\n\
            TCP[HOST_FORWARD]  13       127.0.0.1 41000       10.0.2.15  5000     0     0\r\n";
        let ports = parse_ports(text).unwrap();
        assert_eq!((ports.command, ports.shell), (41000, 41001));
        assert!(parse_ports("").is_none());
    }
}
