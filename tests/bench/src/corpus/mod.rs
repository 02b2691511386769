//! A good chain while everything hostile runs beside it in the same runtime: how long its decisions
//! take, and what memory is left behind.
//!
//! The process that is measured stands for the daemon: policies are compiled by `volward-policy
//! compile`, a child, and the hostile components are made by another (`volward-bench components`),
//! so that neither a compiler nor what makes components has been at its memory.

mod child;
mod components;
mod harm;

pub(crate) use components::write as write_components;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use serde::Serialize;
use volward_folder::{Folder, NamedFolder};
use volward_model::{Combined, Facts};
use volward_policy::{Chain, Limits, Runtime, Sources};

use crate::decision;
use crate::memory;
use crate::samples::time;
use child::Workbench;
use harm::Harm;

/// Hostile callers at once: half of what the gate admits, and twice the cores of a small node.
const CALLERS: usize = 4;
/// Until memory is called at rest.
const REST: Duration = Duration::from_secs(10);
/// Each half of a phase: with a pause before each decision, and one decision after the other.
const QUIET_HALF: Duration = Duration::from_secs(2);
/// Long enough that every caller gets to what takes two seconds, and on.
const NOISY_HALF: Duration = Duration::from_secs(4);
/// Before a decision, where there is one: the daemon's threads sleep until somebody asks.
const PAUSE: Duration = Duration::from_millis(2);
/// Samples of a half that are kept. Room for them is there before memory is measured.
const MOST_SAMPLES: usize = 20_000;
/// Decisions before the first that counts.
const WARM_UP: usize = 2_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Among {
    /// Nothing else runs.
    quiet: Vec<Phase>,
    /// All that is hostile runs; each follows the quiet phase of the same number.
    noisy: Vec<Phase>,
    /// Hostile components that ran, and calls of them in the noisy phases.
    components: usize,
    calls: u64,
    memory: Memory,
}

/// Seconds of single decisions.
#[derive(Debug, Serialize)]
struct Phase {
    /// Each after a pause.
    rested: Vec<f64>,
    /// Each right after the one before.
    busy: Vec<f64>,
}

/// Resident memory of the process, in bytes.
#[derive(Debug, Serialize)]
struct Memory {
    /// At rest, everything loaded and each hostile component called once: what the pool of
    /// instances keeps for a slot is there already.
    before: u64,
    /// The most, from then on.
    peak: u64,
    /// Ten seconds after the last hostile call.
    after: u64,
}

/// Measures that many pairs of phases.
pub(crate) fn measure(baseline: &Path, workbench: &Path, phases: usize) -> anyhow::Result<Among> {
    let folder = tempfile::tempdir()?;
    let [policies, cache, made] =
        ["policies.d", "cache", "components"].map(|name| folder.path().join(name));
    for folder in [&policies, &cache, &made] {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    components::make(baseline, &made)?;
    let compiler = Workbench(workbench.to_owned());
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(
        Limits::default(),
        Some(Folder::open(&cache)?),
        owner,
        Box::new(compiler),
    )?;
    let component = fs::read(baseline)
        .with_context(|| format!("{} (`cargo xtask guests`)", baseline.display()))?;
    let good = runtime.load(Sources {
        baseline: Some(&component),
        folder: &NamedFolder::at(&policies)?,
    });
    let facts = decision::facts()?;
    let harms = harm::load(&runtime, components::read(&made)?, &facts)?;
    decide(&good, &facts, WARM_UP)?;

    let mut among = Among {
        quiet: room(phases),
        noisy: room(phases),
        components: harms.len(),
        calls: 0,
        memory: Memory {
            before: 0,
            peak: 0,
            after: 0,
        },
    };
    sleep(REST);
    among.memory.before = memory::resident()?;
    memory::forget_peak()?;
    for (quiet, noisy) in among.quiet.iter_mut().zip(&mut among.noisy) {
        phase(quiet, &good, &facts, QUIET_HALF)?;
        beside(&runtime, &harms, &facts, || {
            phase(noisy, &good, &facts, NOISY_HALF)
        })?;
    }
    sleep(REST);
    among.memory.peak = memory::peak()?;
    among.memory.after = memory::resident()?;
    among.calls = harm::calls(&harms)?;
    Ok(among)
}

/// Does `work` while callers go round through all that is hostile.
fn beside(
    runtime: &Runtime,
    harms: &[Harm],
    facts: &Facts,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    let round = |caller: usize| {
        // Not all at the same one.
        let (before, from) = harms.split_at(harms.len() * caller / CALLERS);
        for harm in from.iter().chain(before).cycle() {
            if stop.load(Relaxed) {
                break;
            }
            harm.call(runtime, facts)?;
        }
        anyhow::Ok(())
    };
    let round = &round;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| scope.spawn(move || round(caller)))
            .collect();
        let worked = work();
        stop.store(true, Relaxed);
        for caller in callers {
            let ended = caller.join();
            ended.map_err(|_| anyhow!("a hostile call ended its caller"))??;
        }
        worked
    })
}

fn phase(phase: &mut Phase, good: &Chain, facts: &Facts, half: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < half {
        sleep(PAUSE);
        sample(&mut phase.rested, good, facts)?;
    }
    let begun = Instant::now();
    while begun.elapsed() < half {
        sample(&mut phase.busy, good, facts)?;
    }
    Ok(())
}

fn sample(samples: &mut Vec<f64>, good: &Chain, facts: &Facts) -> anyhow::Result<()> {
    let took = time(|| decide(good, facts, 1))?;
    if samples.len() < samples.capacity() {
        samples.push(took.as_secs_f64());
    }
    Ok(())
}

fn decide(good: &Chain, facts: &Facts, times: usize) -> anyhow::Result<()> {
    for _ in 0..times {
        let record = good.attach(facts);
        ensure!(
            matches!(record.combined, Combined::Granted(_)),
            "the good chain answered {:?}",
            record.combined
        );
    }
    Ok(())
}

/// Phases without samples, whose room is resident already.
fn room(phases: usize) -> Vec<Phase> {
    let touched = || {
        // Not zero, or the kernel would give the pages only when they are written.
        let mut samples = vec![f64::NAN; MOST_SAMPLES];
        samples.clear();
        samples
    };
    let phase = || Phase {
        rested: touched(),
        busy: touched(),
    };
    (0..phases).map(|_| phase()).collect()
}
