//! `volward-policy replay`: recorded decisions, made again by another chain. What would have been
//! different?

mod change;
mod report;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use volward_model::scenario::{Hook, ScenarioPlugin};
use volward_model::{Combined, DecisionRecord, FaultKind, PluginVerdict, Verdict};
use volward_policy::{Chain, LogEntry};

pub use change::{Change, Class};
pub use report::{Example, Group, Report};

use crate::chain::{Candidates, ask};
use crate::stream::{LogLine, read_log};

/// Decisions handed over at once: handing over costs as much as a decision.
const BATCH: usize = 64;

/// How to replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// With the settings in the records, for policies that have some there.
    pub recorded_settings: bool,
    /// Differences in words only are none.
    pub ignore_words: bool,
    /// Threads; `None`: one a core.
    pub threads: Option<NonZero<usize>>,
}

/// Why a decision cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excluded {
    /// A policy had not answered in time, which is not a function of the facts.
    Deadline,
    /// There was no room to run a policy.
    Runtime,
    /// It is about a hook this program does not know.
    Hook,
}

/// What came of one.
pub(crate) enum Came {
    Same,
    Excluded(Excluded),
    /// It did not end in time here, twice.
    Late,
    Changed(Change),
}

/// Replays log files.
///
/// # Errors
/// If one cannot be read.
pub fn files(candidates: &Candidates, files: &[PathBuf], options: Options) -> Result<Report> {
    run(candidates, options, |each| {
        files.iter().try_for_each(|file| read_log(file, &mut *each))
    })
}

/// Replays entries.
#[must_use]
pub fn entries(
    candidates: &Candidates,
    entries: impl IntoIterator<Item = LogEntry>,
    options: Options,
) -> Report {
    let read = |each: &mut dyn FnMut(LogLine) -> Result<()>| {
        entries
            .into_iter()
            .try_for_each(|entry| each(LogLine::Entry(Box::new(entry))))
    };
    // Entries that are there already cannot fail to be read.
    run(candidates, options, read).unwrap_or_default()
}

struct Task {
    index: u64,
    chain: Chain,
    entry: Box<LogEntry>,
}

fn run(
    candidates: &Candidates,
    options: Options,
    read: impl FnOnce(&mut dyn FnMut(LogLine) -> Result<()>) -> Result<()>,
) -> Result<Report> {
    let threads = options
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, NonZero::get);
    let watch = Watch::start();
    let mut report = Report::default();
    let (sender, receiver) = sync_channel::<Vec<Task>>(threads * 4);
    let receiver = Mutex::new(receiver);
    let done = thread::scope(|scope| {
        let worker = || work(&receiver, options);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let read = hand_out(candidates, options, read, &sender, &mut report);
        drop(sender);
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let parts: Vec<Report> = joined.collect();
        read.map(|()| parts)
    });
    done?.into_iter().for_each(|part| report.add(part));
    report.finish(candidates, watch.elapsed());
    Ok(report)
}

/// Reads, and hands decisions over with the chain that is to make them again.
fn hand_out(
    candidates: &Candidates,
    options: Options,
    read: impl FnOnce(&mut dyn FnMut(LogLine) -> Result<()>) -> Result<()>,
    sender: &SyncSender<Vec<Task>>,
    report: &mut Report,
) -> Result<()> {
    let own = candidates.chain();
    let (mut batch, mut index) = (Vec::new(), 0);
    // A worker that is gone has panicked, which joining tells of.
    let send = |batch: &mut Vec<Task>| drop(sender.send(std::mem::take(batch)));
    read(&mut |line| {
        match line {
            LogLine::Bad(why) => report.unreadable.push(why),
            LogLine::Entry(entry) => {
                let chain = if options.recorded_settings {
                    candidates.chain_for(&settings(&entry.record.plugins))
                } else {
                    own.clone()
                };
                report.seen(&entry.record.plugins);
                batch.push(Task {
                    index,
                    chain,
                    entry,
                });
                index += 1;
            }
        }
        if batch.len() >= BATCH {
            send(&mut batch);
        }
        Ok(())
    })?;
    send(&mut batch);
    Ok(())
}

fn settings(plugins: &[PluginVerdict]) -> Vec<ScenarioPlugin> {
    let each = plugins.iter().map(|said| ScenarioPlugin {
        plugin: said.plugin.clone(),
        config: Some(said.config.clone()),
        monitored: said.monitored,
        ..ScenarioPlugin::default()
    });
    each.collect()
}

fn work(receiver: &Mutex<Receiver<Vec<Task>>>, options: Options) -> Report {
    let mut report = Report::default();
    loop {
        let next = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        // The reader is done.
        let Ok(batch) = next else { return report };
        for task in batch {
            let came = again(&task.chain, &task.entry.record, options);
            report.count(task.index, &task.entry, came);
        }
    }
}

/// Makes a decision again and compares.
fn again(chain: &Chain, record: &DecisionRecord, options: Options) -> Came {
    let Some(hook) = Hook::of_word(&record.hook) else {
        return Came::Excluded(Excluded::Hook);
    };
    if let Some(why) = chance(&record.plugins) {
        return Came::Excluded(why);
    }
    let made = || ask(chain, hook, &record.facts, &record.copies);
    let mut now = made();
    if chance(&now.plugins).is_some() {
        // A busy machine; who loops is late again.
        now = made();
        if chance(&now.plugins).is_some() {
            return Came::Late;
        }
    }
    compare(&record.combined, &now.combined, options).map_or(Came::Same, Came::Changed)
}

fn compare(was: &Combined, is: &Combined, options: Options) -> Option<Change> {
    let change = Change::between(was, is)?;
    (change.class != Class::Words || !options.ignore_words).then_some(change)
}

/// Whether chance had a part in what came out: the answer of a policy that counts was not waited
/// for, or it was not run.
fn chance(plugins: &[PluginVerdict]) -> Option<Excluded> {
    let counting = plugins.iter().filter(|said| !said.monitored);
    counting
        .filter_map(|said| match &said.verdict {
            Verdict::Faulted(fault) if fault.kind == FaultKind::Deadline => {
                Some(Excluded::Deadline)
            }
            Verdict::Faulted(fault) if fault.kind == FaultKind::Runtime => Some(Excluded::Runtime),
            _ => None,
        })
        .next()
}

/// How long it took: for the report, nothing is decided by it.
struct Watch(std::time::Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "measures")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
