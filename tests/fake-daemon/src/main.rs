//! `volwardd-fake FOLDER`: the daemons of the nodes n1 and n2, over a shared pool `san` and a smaller one,
//! `archive`, in memory, for tests of clients. Each reads `FOLDER/NODE.toml`, as volwardd would: a pool that is not in
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
//! | `silent NODE on`, `off` | the pool's disks do not answer there, or do again |
//! | `watchdog NODE on`, `off` | sanlock has a watchdog there, or none |
//! | `migrating NODE INSTANCE on`, `off` | the node's libvirt migrates the instance to another one, or does not |
//! | `open NODE VOLUME INSTANCE on`, `off` | a guest has the device open, or has closed it |

#![allow(
    clippy::disallowed_methods,
    reason = "a program of tests: it reads what the test wrote"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, getpid, kill_process};
use volward_model::volume::SHAREABLE_TAG;
use volward_model::{Bytes, DeviceId, InstanceId, PoolName, VolumeRef};
use volward_ports::PortError;
use volward_storage::fake::{FakeCluster, FakeNode};

const NODES: [&str; 2] = ["n1", "n2"];
const POOL: &str = "san";
const ARCHIVE: &str = "archive";

struct Stage {
    cluster: FakeCluster,
    pool: PoolName,
    volumes: BTreeMap<String, VolumeRef>,
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
    // Room for what Cinder counts in GiB.
    let pool = cluster.shared_pool(POOL, Bytes::mib(64 << 10));
    // Smaller, so that whoever looks for room does not come here.
    cluster.shared_pool(ARCHIVE, Bytes::mib(8 << 10));
    let mut stage = Stage {
        cluster,
        pool,
        volumes: BTreeMap::new(),
    };
    let daemons = NODES.map(|name| serve(&folder, name, &stage.cluster.node(name)));
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

fn serve(folder: &Path, name: &str, node: &FakeNode) -> thread::JoinHandle<()> {
    let config = folder.join(format!("{name}.toml"));
    let (name, node) = (name.to_owned(), node.clone());
    thread::spawn(move || {
        if let Err(error) = volward_daemon::fake::serve(&config, &node) {
            // A test that waits for the socket is to hear of it at once.
            eprintln!("volwardd-fake: {name}: {error:#}");
            std::process::exit(1);
        }
    })
}

impl Stage {
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
            _ => bail!("what is {line:?}?"),
        }
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
