//! An attach through the daemon, against what an administrator would do by hand for the same:
//! lease and activation, one look, one device.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use volward_api::attach::{AttachRequest, DetachRequest, DiskPath, DiskRequest};
use volward_api::client::Client;
use volward_model::{Access, InstanceId, Purpose, Sharing};

use crate::samples::{Pairs, time, timed};

/// The device made by hand.
const DEVICE: &str = "volward-bench";
/// Not measured: leases are made, devices settle.
const WARM_UP: usize = 2;
/// Of one call; an emulated node needs a second.
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures pairs; what is taken back in between is not in the times.
pub(crate) fn measure(volume: &str, rounds: usize) -> anyhow::Result<Pairs> {
    let by_hand = ByHand::new(volume)?;
    let daemon = Daemon::new(volume)?;
    let through = || Ok(daemon.round()?.0);
    Pairs::measure(WARM_UP, through, || by_hand.round())?;
    Pairs::measure(rounds, through, || by_hand.round())
}

/// Measures pairs of one volume that is copied with each attach, and one that is not. The next attach waits until what
/// was written is back.
pub(crate) fn with_copy(copied: &str, served: &str, rounds: usize) -> anyhow::Result<Pairs> {
    let (copy, plain) = (Daemon::new(copied)?, Daemon::new(served)?);
    let with_copy = || {
        let (took, granted) = copy.round()?;
        ensure!(granted, "no policy has {copied} copied");
        wait_home(copied)?;
        Ok(took)
    };
    let without = || {
        let (took, granted) = plain.round()?;
        ensure!(!granted, "a policy has {served} copied");
        Ok(took)
    };
    Pairs::measure(WARM_UP, with_copy, without)?;
    Pairs::measure(rounds, with_copy, without)
}

/// Until the volume's data is on the LUN.
fn wait_home(volume: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let tags = run("lvs", ["--noheadings", "-o", "lv_tags", volume])?;
        if !["home=split", "home=returning"]
            .iter()
            .any(|away| tags.contains(away))
        {
            return Ok(());
        }
        ensure!(begun.elapsed() < DEADLINE, "{volume} is not home: {tags}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

struct ByHand<'a> {
    volume: &'a str,
    table: String,
}

impl<'a> ByHand<'a> {
    fn new(volume: &'a str) -> anyhow::Result<Self> {
        let columns = [
            "--noheadings",
            "--units",
            "s",
            "--nosuffix",
            "-o",
            "lv_size",
        ];
        let size = run("lvs", columns.iter().copied().chain([volume]))?;
        let table = format!("0 {} linear /dev/{volume} 0", size.trim());
        Ok(Self { volume, table })
    }

    fn round(&self) -> anyhow::Result<Duration> {
        let took = time(|| {
            run("lvchange", ["-aey", self.volume])?;
            run("lvs", ["--noheadings", self.volume])?;
            run("dmsetup", ["create", DEVICE, "--table", &self.table])
        })?;
        run("dmsetup", ["remove", DEVICE])?;
        run("lvchange", ["-an", self.volume])?;
        Ok(took)
    }
}

struct Daemon {
    client: Client,
    attach: AttachRequest,
    detach: DetachRequest,
}

impl Daemon {
    fn new(volume: &str) -> anyhow::Result<Self> {
        let (pool, name) = volume
            .split_once('/')
            .context("a volume is given as POOL/NAME")?;
        let instance = InstanceId(uuid::Uuid::from_u128(0xbe2c4));
        let disk = DiskRequest {
            pool: pool.parse()?,
            volume: name.parse()?,
            path: DiskPath::Own,
            access: Access::ReadWrite,
            sharing: Some(Sharing::Exclusive),
            accept_narrowing: false,
        };
        Ok(Self {
            client: Client::new(volward_api::SOCKET, DEADLINE),
            attach: AttachRequest {
                only_while_waiting: false,
                instance,
                instance_name: "bench".to_owned(),
                purpose: Purpose::Boot,
                hints: Vec::new(),
                disks: vec![disk],
                dry_run: false,
            },
            detach: DetachRequest {
                instance,
                volumes: Vec::new(),
                not_after: None,
                only_unused: false,
                dry_run: false,
            },
        })
    }

    /// From the request's first byte to the answer's last: what libvirt's hook waits. Also, whether a copy was granted.
    fn round(&self) -> anyhow::Result<(Duration, bool)> {
        let (reply, took) = timed(|| self.client.attach(&self.attach));
        let copied = reply?.attached.iter().any(|disk| disk.copy.is_some());
        self.client.detach(&self.detach)?;
        Ok((took, copied))
    }
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
