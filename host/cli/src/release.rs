//! `volward release`: what is done before the node goes down. What nobody has open is detached, and write-backs are
//! put down, so that no lease is left which would keep its lockspace from being left. Bounded in time; what is left is
//! named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use volward_api::model::{InstanceId, PoolName, VolumeName};
use volward_api::{AttachmentView, Client, ClientError, DetachReply, DetachRequest};

use crate::exit::Exit;
use crate::output::{answer, hint};
use crate::show;

/// Between two tries: QEMU that was told to end has closed its disks a moment later.
const PAUSE: Duration = Duration::from_secs(1);
/// Of the whole time, a third.
const NAMED_AFTER: u32 = 3;
/// Instances of one pool that are detached at the same time. Those of another pool do not wait for them.
const AT_ONCE: usize = 8;

/// What became of it all.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Released {
    /// Disks that are detached now.
    pub(crate) detached: BTreeSet<Disk>,
    /// What still keeps a lease.
    pub(crate) left: Vec<Left>,
}

/// A disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Disk {
    pub(crate) pool: String,
    pub(crate) volume: String,
    pub(crate) instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_name: Option<String>,
}

/// Something that is left.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Left {
    pub(crate) pool: String,
    pub(crate) volume: String,
    /// Whose disk it is; absent where it is nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<Disk>,
    /// Why, a sentence without a full stop.
    pub(crate) why: String,
}

impl Left {
    fn disk(disk: Disk, why: &str) -> Self {
        Self {
            pool: disk.pool.clone(),
            volume: disk.volume.clone(),
            disk: Some(disk),
            why: why.to_owned(),
        }
    }
}

/// Tries until nothing is left, or for so long. What is left is named when a third of that is over, too: where the LUN is
/// gone, the node may be reset before the end.
pub(crate) fn run(client: &Client, json: bool, within: Duration) -> anyhow::Result<Exit> {
    let begun = now();
    let remaining = || within.saturating_sub(begun.elapsed());
    // First: what is detached below with a local copy is to begin no write-back.
    client.put_copies_down()?;
    let mut released = Released::default();
    let mut to_name = Some(within / NAMED_AFTER);
    loop {
        let until_named = to_name.map(|at| at.saturating_sub(begun.elapsed()));
        let at_most = remaining().min(until_named.unwrap_or(within));
        released.left = round(client, at_most, &mut released.detached)?;
        if released.left.is_empty() || remaining() <= PAUSE {
            break;
        }
        if to_name.is_some_and(|at| begun.elapsed() >= at) {
            to_name = None;
            let seconds = remaining().as_secs();
            hint(&format!(
                "{}\ntrying for {seconds} s more",
                show::left(&released.left)
            ));
        }
        thread::sleep(PAUSE);
    }
    answer(json, &released, show::released)?;
    Ok(match released.left.is_empty() {
        true => Exit::Ok,
        false => Exit::Failure,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a person or systemd waits is no decision of the daemon's"
)]
fn now() -> Instant {
    Instant::now()
}

/// Tries all of it once, and says what is left.
fn round(
    client: &Client,
    at_most: Duration,
    detached: &mut BTreeSet<Disk>,
) -> anyhow::Result<Vec<Left>> {
    // A call in the last moment has a moment, too.
    let within = client.deadline().min(at_most.max(PAUSE));
    let jobs = jobs(client.attachments(false)?)?;
    let mut left = detach_all(&client.clone().within(within), jobs, detached);
    let known = |pool: &str, volume: &str| {
        let mut known = left.iter();
        known.any(|l| l.pool == pool && l.volume == volume)
    };
    let copies = client.hydrations()?.into_iter();
    let copies = copies.filter(|copy| !known(&copy.pool, &copy.volume));
    let copies: Vec<Left> = copies
        .map(|copy| Left {
            pool: copy.pool,
            volume: copy.volume,
            disk: None,
            why: format!(
                "its copy is {}, which goes on when the daemon is started again",
                copy.state
            ),
        })
        .collect();
    let operations = client.operations()?.into_iter();
    let operations = operations.filter(|operation| !operation.has_ended());
    let operations = operations.map(|operation| Left {
        why: format!(
            "operation {} ({}) is under way, and goes on when the daemon is started again",
            operation.id, operation.operation
        ),
        pool: operation.pool,
        volume: operation.volume,
        disk: None,
    });
    left.extend(copies.into_iter().chain(operations));
    Ok(left)
}

/// What one instance has in one pool: a request, so that a pool that hangs keeps back no other's volumes.
struct Job {
    instance: InstanceId,
    volumes: Vec<(PoolName, VolumeName)>,
    disks: Vec<Disk>,
}

fn jobs(attachments: Vec<AttachmentView>) -> anyhow::Result<BTreeMap<String, Vec<Job>>> {
    let mut jobs: BTreeMap<(String, String), Job> = BTreeMap::new();
    for attachment in attachments {
        let key = (attachment.pool.clone(), attachment.instance.clone());
        let volume = (attachment.pool.parse()?, attachment.volume.parse()?);
        let instance = attachment.instance.parse()?;
        let job = jobs.entry(key).or_insert_with(|| Job {
            instance,
            volumes: Vec::new(),
            disks: Vec::new(),
        });
        job.volumes.push(volume);
        job.disks.push(Disk {
            pool: attachment.pool,
            volume: attachment.volume,
            instance: attachment.instance,
            instance_name: attachment.instance_name.filter(|name| !name.is_empty()),
        });
    }
    let mut of_pools: BTreeMap<String, Vec<Job>> = BTreeMap::new();
    for ((pool, _), job) in jobs {
        of_pools.entry(pool).or_default().push(job);
    }
    Ok(of_pools)
}

fn detach_all(
    client: &Client,
    pools: BTreeMap<String, Vec<Job>>,
    detached: &mut BTreeSet<Disk>,
) -> Vec<Left> {
    let said = Mutex::new(Vec::new());
    let pools: Vec<Mutex<Vec<Job>>> = pools.into_values().map(Mutex::new).collect();
    thread::scope(|scope| {
        for jobs in &pools {
            for _ in 0..AT_ONCE.min(unpoisoned(jobs).len()) {
                scope.spawn(|| {
                    while let Some(job) = next(jobs) {
                        let reply = client.detach(&DetachRequest {
                            instance: job.instance,
                            volumes: job.volumes.clone(),
                            not_after: None,
                            only_unused: true,
                            dry_run: false,
                        });
                        unpoisoned(&said).push((job, reply));
                    }
                });
            }
        }
    });
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut left = Vec::new();
    for (job, reply) in said {
        for disk in job.disks {
            match why_left(&disk, &reply) {
                Some(why) => left.push(Left::disk(disk, &why)),
                None => drop(detached.insert(disk)),
            }
        }
    }
    left.sort_by(|a, b| a.disk.cmp(&b.disk));
    left
}

/// In a function of its own: the list is not kept locked while a job is done.
fn next(jobs: &Mutex<Vec<Job>>) -> Option<Job> {
    unpoisoned(jobs).pop()
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn why_left(disk: &Disk, reply: &Result<DetachReply, ClientError>) -> Option<String> {
    let is_it = |pool: &PoolName, volume: &VolumeName| {
        pool.as_str() == disk.pool && volume.as_str() == disk.volume
    };
    match reply {
        Ok(reply) => {
            let mut again = reply.trying_again.iter();
            if let Some(again) = again.find(|again| is_it(&again.pool, &again.volume)) {
                return Some(format!("its detach is tried again: {}", again.cause));
            }
            let mut open = reply.in_use.iter();
            open.any(|(pool, volume)| is_it(pool, volume))
                .then(|| "somebody has it open".to_owned())
        }
        Err(ClientError::Problem(problem)) => Some(problem.message.clone()),
        Err(error) => Some(error.to_string()),
    }
}
