//! An attach through the daemon, against what an administrator would do by hand for the same:
//! lease and activation, one look, one device.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use volward_api::attach::{AttachRequest, DetachRequest, DiskPath, DiskRequest};
use volward_api::client::Client;
use volward_model::{Access, InstanceId, Purpose, Sharing};

use crate::samples::{Pairs, time};

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
    Pairs::measure(WARM_UP, || daemon.round(), || by_hand.round())?;
    Pairs::measure(rounds, || daemon.round(), || by_hand.round())
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

    /// From the request's first byte to the answer's last: what libvirt's hook waits.
    fn round(&self) -> anyhow::Result<Duration> {
        let took = time(|| Ok(self.client.attach(&self.attach)?))?;
        self.client.detach(&self.detach)?;
        Ok(took)
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
