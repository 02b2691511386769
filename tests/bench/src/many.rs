//! Many attachments on one node: how long they take to come, to be cut off, to be taken up by a daemon that is
//! started anew, and to go.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::Serialize;
use volward_api::attach::{AttachRequest, DetachRequest, DiskPath, DiskRequest};
use volward_api::client::Client;
use volward_api::{FenceRequest, UnfenceRequest};
use volward_model::{Access, InstanceId, Purpose, Sharing};

use crate::samples::{Pairs, time};

/// Disks of one instance.
const DISKS: usize = 64;
/// Where the lab keeps the daemon's process id.
const PID: &str = "/run/volwardd.pid";
/// Of one call; an emulated node needs seconds.
const DEADLINE: Duration = Duration::from_secs(300);
/// Until a daemon that was told to end has ended, and until the next one is ready.
const RESTART: Duration = Duration::from_secs(90);

/// Seconds, one entry a round.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Many {
    /// Every volume, an instance's in one request.
    attach: Vec<f64>,
    /// From the request to the last error table.
    fence: Vec<f64>,
    unfence: Vec<f64>,
    /// From the daemon's exec to systemd's READY=1.
    restart: Vec<f64>,
    /// Against the attach.
    detach: Pairs,
}

/// `pool` has volumes `storm-0`, `storm-1` and so on.
pub(crate) fn measure(pool: &str, volumes: usize, rounds: usize) -> anyhow::Result<Many> {
    let client = Client::new(volward_api::SOCKET, DEADLINE);
    let mut many = Many::default();
    for _ in 0..rounds {
        let attached = time(|| {
            let requests = (0..volumes).step_by(DISKS);
            for first in requests {
                let last = volumes.min(first + DISKS);
                client.attach(&request(pool, first..last)?)?;
            }
            Ok(())
        })?;
        many.attach.push(attached.as_secs_f64());
        many.fence.push(fence(&client, volumes)?.as_secs_f64());
        let given = time(|| {
            for first in (0..volumes).step_by(DISKS) {
                let instance = instance(first);
                client.unfence(&UnfenceRequest { instance })?;
            }
            Ok(())
        })?;
        many.unfence.push(given.as_secs_f64());
        many.restart.push(restart()?.as_secs_f64());
        let detached = time(|| {
            for first in (0..volumes).step_by(DISKS) {
                client.detach(&DetachRequest {
                    instance: instance(first),
                    volumes: Vec::new(),
                    not_after: None,
                    only_unused: false,
                    dry_run: false,
                })?;
            }
            Ok(())
        })?;
        many.detach.ours.push(detached.as_secs_f64());
        many.detach.base.push(attached.as_secs_f64());
    }
    Ok(many)
}

fn instance(first: usize) -> InstanceId {
    InstanceId(uuid::Uuid::from_u128(0x00a1_0000 + first as u128))
}

fn request(pool: &str, volumes: std::ops::Range<usize>) -> anyhow::Result<AttachRequest> {
    let instance = instance(volumes.start);
    let disks = volumes.map(|number| {
        Ok(DiskRequest {
            pool: pool.parse()?,
            volume: format!("storm-{number}").parse()?,
            path: DiskPath::Own,
            access: Access::ReadWrite,
            sharing: Some(Sharing::Exclusive),
            accept_narrowing: false,
        })
    });
    Ok(AttachRequest {
        only_while_waiting: false,
        instance,
        instance_name: "many".to_owned(),
        purpose: Purpose::Boot,
        hints: Vec::new(),
        disks: disks.collect::<anyhow::Result<_>>()?,
        dry_run: false,
    })
}

/// The answer comes when all is cut off, or after some seconds with what is not.
fn fence(client: &Client, volumes: usize) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut reply = client.fence(&FenceRequest {
        instance: None,
        volumes: Vec::new(),
    })?;
    loop {
        let all = reply.attachments.len();
        ensure!(all == volumes, "{all} of {volumes} attachments are fenced");
        let cut = reply.attachments.iter();
        let cut = cut.filter(|one| one.fenced.as_ref().is_some_and(|fenced| fenced.cut));
        if cut.count() == volumes {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < DEADLINE, "the fence does not end");
        reply = client.fence(&FenceRequest {
            instance: None,
            volumes: Vec::new(),
        })?;
    }
}

/// The node's daemon, by the programs and with the configuration that are on the node.
fn restart() -> anyhow::Result<Duration> {
    let text = fs::read_to_string(PID).with_context(|| format!("reading {PID}"))?;
    let pid = Pid::from_raw(text.trim().parse()?).context("no process has the id 0")?;
    kill_process(pid, Signal::TERM)?;
    let asked = Instant::now();
    while test_kill_process(pid).is_ok() && !is_zombie(pid) {
        ensure!(asked.elapsed() < RESTART, "the daemon does not end");
        sleep(Duration::from_millis(20));
    }
    let folder = tempfile::tempdir()?;
    let notify = UnixDatagram::bind(folder.path().join("notify"))?;
    notify.set_read_timeout(Some(RESTART))?;
    let begun = Instant::now();
    let daemon = Command::new("volwardd")
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // It goes on after this program.
        .process_group(0)
        .spawn()
        .context("cannot start volwardd")?;
    fs::write(PID, format!("{}\n", daemon.id()))?;
    let mut message = [0; 4096];
    loop {
        let Ok(length) = notify.recv(&mut message) else {
            bail!("the daemon was not ready in {RESTART:?}");
        };
        let said = String::from_utf8_lossy(&message[..length]);
        if said.lines().any(|line| line == "READY=1") {
            return Ok(begun.elapsed());
        }
    }
}

/// Dead, and nobody has waited for it.
fn is_zombie(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    status.is_ok_and(|status| status.lines().any(|line| line.starts_with("State:\tZ")))
}
