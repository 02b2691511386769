//! The daemon without pools: from start to ready, and the memory it needs to do nothing.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::memory::field;

/// No pool: what is measured is the daemon, not the storage's answers.
const CONFIG: &str = "[node]\nname = \"bench\"\n";
/// Until it is idle.
const SETTLE: Duration = Duration::from_secs(5);
/// Longest start, on an emulated node.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is known then.
#[derive(Debug, Serialize)]
pub(crate) struct Started {
    /// Seconds from exec to systemd's READY=1, with the baseline compiled already.
    ready: Vec<f64>,
    /// Resident memory of the last one after some seconds of idleness, in bytes.
    resident: u64,
    /// The part of it that is its own: not file pages it shares with whoever runs the same files.
    private: u64,
}

/// Starts it several times.
pub(crate) fn measure(program: &Path, workbench: &Path, rounds: usize) -> anyhow::Result<Started> {
    let folder = tempfile::tempdir()?;
    write_config(folder.path(), workbench)?;
    let notify = UnixDatagram::bind(folder.path().join("notify"))?;
    notify.set_read_timeout(Some(DEADLINE))?;
    // The first compiles the baseline.
    stop(start(program, folder.path(), &notify)?.0)?;
    let mut started = Started {
        ready: Vec::new(),
        resident: 0,
        private: 0,
    };
    for round in 1..=rounds {
        let (daemon, took) = start(program, folder.path(), &notify)?;
        started.ready.push(took.as_secs_f64());
        if round == rounds {
            sleep(SETTLE);
            (started.resident, started.private) = memory(&daemon)?;
        }
        stop(daemon)?;
    }
    Ok(started)
}

fn start(
    program: &Path,
    folder: &Path,
    notify: &UnixDatagram,
) -> anyhow::Result<(Child, Duration)> {
    let begun = Instant::now();
    let mut daemon = Command::new(program)
        .arg("--config")
        .arg(folder.join("volward.toml"))
        .env("NOTIFY_SOCKET", folder.join("notify"))
        .env("VOLWARD_LOG", "warn")
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut message = [0; 4096];
    loop {
        let Ok(length) = notify.recv(&mut message) else {
            daemon.kill()?;
            bail!("{} was not ready in {DEADLINE:?}", program.display());
        };
        let said = String::from_utf8_lossy(&message[..length]);
        if said.lines().any(|line| line == "READY=1") {
            return Ok((daemon, begun.elapsed()));
        }
    }
}

fn write_config(folder: &Path, workbench: &Path) -> anyhow::Result<()> {
    fs::create_dir(folder.join("policies.d"))?;
    let at = |name: &str| folder.join(name);
    let paths = format!(
        "[paths]\nsocket = {:?}\nstate = {:?}\npolicies = {:?}\nmarks = {:?}\ndevices = {:?}\n\
         workbench = {workbench:?}\n",
        at("socket"),
        at("state"),
        at("policies.d"),
        at("marks"),
        at("devices")
    );
    fs::write(at("volward.toml"), CONFIG.to_owned() + &paths)?;
    Ok(())
}

fn stop(mut daemon: Child) -> anyhow::Result<()> {
    let pid = Pid::from_child(&daemon);
    kill_process(pid, Signal::TERM)?;
    daemon.wait()?;
    Ok(())
}

/// Resident and private bytes.
fn memory(daemon: &Child) -> anyhow::Result<(u64, u64)> {
    let path = format!("/proc/{}/smaps_rollup", daemon.id());
    let text = fs::read_to_string(&path)?;
    let all = || {
        let private = field(&text, "Private_Clean:")? + field(&text, "Private_Dirty:")?;
        Some((field(&text, "Rss:")?, private))
    };
    all().with_context(|| format!("{path} says nothing of memory"))
}
