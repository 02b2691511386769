//! `volwardd-fake FOLDER`: the daemons of the nodes n1 and n2, over a shared pool `san` and a smaller one,
//! `archive`, and a local pool of each node, `local-NODE`, in memory, for tests of clients. Each reads `FOLDER/NODE.toml`, as volwardd would: a pool that is not in
//! it is none of that node's.
//!
//! Everything but storage is volwardd: socket, rights, policies, journal. No device is made. It ends
//! when its standard input does, so that it never outlives the test that started it.
//!
//! A line of the input is something that happens to the cluster, answered by `ok` or by `error: ...`:
//!
//! | line | is |
//! |---|---|
//! | `volume NAME` | a volume of 64 MiB is made in `san` |
//! | `shareable NAME` | the same, and several guests may write to it |
//! | `fail NODE CALL` | the next call of that name fails on the node (`activate`, say) |
//! | `hold NODE CALL`, `go NODE CALL` | the next call of that name waits on the node, or waits no more |
//! | `silent NODE on`, `off` | the pool's disks do not answer there, or do again |
//! | `watchdog NODE on`, `off` | sanlock has a watchdog there, or none |
//! | `migrating NODE INSTANCE on`, `off` | the node's libvirt migrates the instance to another one, or does not |
//! | `open NODE VOLUME INSTANCE on`, `off` | a guest has the device open, or has closed it |
//! | `copies NODE MODE`, `none` | what is attached there from now on has a local copy of that mode (`background`, `writes-only`) |
//! | `copying NODE REGIONS` | so many regions are copied there, either way, whenever its daemon looks; at first none |
//! | `member NODE live`, `fail`, `dead` | sanlock sees the node so; one that fails is told of after 6 s, a dead one has no lease any more |

#![allow(
    clippy::disallowed_methods,
    reason = "a program of tests: it reads what the test wrote"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, getpid, kill_process};
use volward_daemon::fake::Copies;
use volward_model::volume::SHAREABLE_TAG;
use volward_model::{Bytes, CopyMode, DeviceId, InstanceId, MemberState, PoolName, VolumeRef};
use volward_ports::PortError;
use volward_storage::fake::{FakeCluster, FakeNode};

const NODES: [&str; 2] = ["n1", "n2"];
const POOL: &str = "san";
const ARCHIVE: &str = "archive";
/// Between two looks of a daemon at a copy, and two steps of the cluster's clock.
const MOMENT: Duration = Duration::from_millis(20);

struct Stage {
    cluster: FakeCluster,
    pool: PoolName,
    volumes: BTreeMap<String, VolumeRef>,
    local: BTreeMap<&'static str, Local>,
    /// Calls that are held, by node and name: each goes on when this is dropped.
    held: BTreeMap<(String, String), Sender<()>>,
}

/// Copies on a node.
#[derive(Clone, Default)]
struct Local {
    granted: Copies,
    /// Regions that are copied in a moment.
    pace: Arc<AtomicU64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("volwardd-fake: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let folder = std::env::args_os().nth(1);
    let folder = PathBuf::from(folder.context("usage: volwardd-fake FOLDER")?);
    let cluster = FakeCluster::new(&NODES);
    // The least that sanlock takes: nobody waits a minute until a node is called silent.
    cluster.set_io_timeout(1);
    let clock = cluster.clock();
    // Nodes renew their leases as time goes by. It ends with the program.
    thread::spawn(move || {
        loop {
            thread::sleep(MOMENT);
            clock.advance(MOMENT);
        }
    });
    // Room for what Cinder counts in GiB.
    let pool = cluster.shared_pool(POOL, Bytes::mib(64 << 10));
    // Smaller, so that whoever looks for room does not come here.
    cluster.shared_pool(ARCHIVE, Bytes::mib(8 << 10));
    let mut stage = Stage {
        cluster,
        pool,
        volumes: BTreeMap::new(),
        local: NODES.map(|name| (name, Local::default())).into(),
        held: BTreeMap::new(),
    };
    let daemons = NODES.map(|name| stage.serve(&folder, name));
    let mut answers = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        match stage.happens(&line.context("the input")?) {
            Ok(()) => writeln!(answers, "ok")?,
            Err(error) => writeln!(answers, "error: {error:#}")?,
        }
        answers.flush()?;
    }
    // Both daemons wait for it, and end as volwardd does.
    kill_process(getpid(), Signal::TERM).context("ending the daemons")?;
    for daemon in daemons {
        if daemon.join().is_err() {
            bail!("a daemon panicked");
        }
    }
    Ok(())
}

impl Stage {
    fn serve(&self, folder: &Path, name: &'static str) -> thread::JoinHandle<()> {
        self.cluster
            .local_pool(name, &format!("local-{name}"), Bytes::mib(8 << 10));
        let node = self.cluster.node(name);
        let local = self.local[name].clone();
        let pace = local.pace;
        node.while_waiting(move |node, id| {
            thread::sleep(MOMENT);
            // Other devices are waited for too; they copy nothing.
            drop(node.hydrate(id, pace.load(Ordering::Relaxed)));
        });
        let config = folder.join(format!("{name}.toml"));
        thread::spawn(move || {
            if let Err(error) = volward_daemon::fake::serve(&config, &node, local.granted) {
                // A test that waits for the socket is to hear of it at once.
                eprintln!("volwardd-fake: {name}: {error:#}");
                std::process::exit(1);
            }
        })
    }

    fn happens(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["volume", name] => self.volume(name),
            ["shareable", name] => {
                self.volume(name)?;
                let volume = &self.volumes[name];
                self.cluster
                    .tamper(volume, |_, tags, _| tags.push(SHAREABLE_TAG.to_owned()));
                Ok(())
            }
            ["fail", node, call] => {
                let error = PortError::Io {
                    what: call.to_owned(),
                    reason: "a test's failure".to_owned(),
                };
                self.node(node)?.fail_on(call, error);
                Ok(())
            }
            ["hold", node, call] => {
                let (held, waits) = channel();
                let key = (node.to_owned(), call.to_owned());
                self.node(node)?.before(call, move |_| {
                    // Nothing is sent: it ends when the other side is gone.
                    waits.recv().unwrap_or_default();
                });
                self.held.insert(key, held);
                Ok(())
            }
            ["go", node, call] => {
                let key = (node.to_owned(), call.to_owned());
                let held = self.held.remove(&key);
                held.map(drop).context("no such call is held")
            }
            ["silent", node, switch] => {
                self.node(node)?.set_silent(&self.pool, is_on(switch)?);
                Ok(())
            }
            ["watchdog", node, switch] => {
                self.node(node)?.set_watchdog(is_on(switch)?);
                Ok(())
            }
            ["migrating", node, instance, switch] => {
                let instance = InstanceId(instance.parse().context("the instance")?);
                self.node(node)?.set_migrating(instance, is_on(switch)?);
                Ok(())
            }
            ["open", node, volume, instance, switch] => {
                let volume = self.volumes.get(volume).context("no such volume")?;
                let instance = InstanceId(instance.parse().context("the instance")?);
                let device = DeviceId::attachment(volume.id, instance);
                self.node(node)?.set_open(device, is_on(switch)?);
                Ok(())
            }
            ["copies", node, mode] => {
                let mode = match mode {
                    "none" => None,
                    "background" => Some(CopyMode::Background),
                    "writes-only" => Some(CopyMode::WritesOnly),
                    _ => bail!("{mode} is no mode of a copy"),
                };
                self.local(node)?.granted.grant(mode);
                Ok(())
            }
            ["copying", node, regions] => {
                let regions = regions.parse().context("the regions")?;
                self.local(node)?.pace.store(regions, Ordering::Relaxed);
                Ok(())
            }
            ["member", node, state] => {
                let state = match state {
                    "live" => MemberState::Live,
                    "fail" => MemberState::Fail,
                    "dead" => MemberState::Dead,
                    _ => bail!("{state} is no state of a node"),
                };
                self.node(node)?;
                self.cluster.set_member(node, state);
                Ok(())
            }
            _ => bail!("what is {line:?}?"),
        }
    }

    fn local(&self, node: &str) -> Result<&Local> {
        let found = self.local.get(node);
        found.with_context(|| format!("there is no node {node}"))
    }

    fn volume(&mut self, name: &str) -> Result<()> {
        if self.volumes.contains_key(name) {
            bail!("there is a volume {name} already");
        }
        let volume = self.cluster.volume(&self.pool, name, Bytes::mib(64));
        self.volumes.insert(name.to_owned(), volume);
        Ok(())
    }

    fn node(&self, name: &str) -> Result<FakeNode> {
        if !NODES.contains(&name) {
            bail!("there is no node {name}");
        }
        Ok(self.cluster.node(name))
    }
}

fn is_on(switch: &str) -> Result<bool> {
    match switch {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => bail!("{switch} is neither on nor off"),
    }
}
