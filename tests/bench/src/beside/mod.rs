//! The same decision by several means, in turn: wasmtime alone, Volward with one policy and with
//! three, and the same policy in Rego; and where the time of the one goes.

mod rego;
mod request;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;
use volward_model::{Access, Answer, Combined, CopyMode, DecisionRecord};
use volward_policy::{BASELINE, Chain, Limits, Runtime, Settings};
use volward_workbench::InProcess;

use crate::bare::Bare;
use crate::samples::{time, timed};
use rego::Rego;

/// Rounds before the first that counts.
const WARM_UP: usize = 500;
/// Asked after the baseline, with settings by which each changes the answer.
const OTHERS: [(&str, &str); 2] = [
    (
        "read-only-replicas",
        "[config]\ntag = \"tier=gold\"\nsecond-writer = \"read-only\"\n",
    ),
    (
        "quota",
        "[config]\ninstance-volumes = 16\ninstance-bytes = \"2TiB\"\nnode-attachments = 200\n\
         instance-copies = \"20GiB\"\n",
    ),
];

/// Samples in seconds; the same place in each list is the same round.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Beside {
    /// wasmtime alone with the baseline.
    bare: Vec<f64>,
    /// Volward with the baseline, from facts to a record that is dropped again.
    one: Vec<f64>,
    /// Volward with the baseline and two more.
    three: Vec<f64>,
    /// Volward with one policy that agrees at once and looks at nothing.
    agrees: Vec<f64>,
    /// The baseline in Rego by regorus' interpreter; its input is made already.
    rego_interpreter: Vec<f64>,
    /// The same by its bytecode machine.
    rego_machine: Vec<f64>,
    /// Facts made the input of either.
    rego_input: Vec<f64>,
    parts: Parts,
    /// By policy of the chain of three: what the record says of it, in whole microseconds.
    each: BTreeMap<String, Vec<f64>>,
}

/// What a decision of one policy consists of. The three of the sandbox are those of wasmtime alone:
/// inside Volward nobody can look.
#[derive(Debug, Default, Serialize)]
struct Parts {
    /// Seconds for cloning the facts, as for the others below, one entry a round.
    cloned: Vec<f64>,
    /// Store and instance made.
    instance: Vec<f64>,
    /// From calling the hook to its answer.
    call: Vec<f64>,
    /// Dropping both again, with the instance's memory.
    gone: Vec<f64>,
    /// Combining the verdicts of the chain, here of one policy.
    combined: Vec<f64>,
    /// Record dropped, the facts in it.
    dropped: Vec<f64>,
}

type Way<'a> = Box<dyn FnMut(&mut Beside) -> anyhow::Result<()> + 'a>;

/// Measures in rounds, each way once a round. The order changes from round to round: what one
/// leaves behind in the caches must not always meet the same other.
pub(crate) fn measure(guests: &Path, rounds: usize) -> anyhow::Result<Beside> {
    let component = |name: &str| {
        let path = guests.join(format!("{name}.wasm"));
        fs::read(&path).with_context(|| format!("{} (`cargo xtask guests`)", path.display()))
    };
    let baseline = component(BASELINE)?;
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, Box::new(InProcess::new()?))?;
    let nothing = Settings::default();
    let one = runtime.assemble([(BASELINE, &*baseline, &nothing)]);
    let agrees = runtime.assemble([("agrees", &*volward_corpus::consent()?, &nothing)]);
    let three = three(&runtime, &baseline, component)?;
    let bare = Bare::new(&baseline)?;
    let (mut rego, mut machine) = (Rego::new()?, Rego::new()?);
    rego::decide_alike(&mut rego, &one)?;
    all_work(&one.attach(&request::measured()?), (0, 0))?;
    all_work(&agrees.attach(&request::measured()?), (0, 0))?;

    let facts = request::measured()?;
    let shared = Arc::new(facts.clone());
    let input = rego::input(&facts)?;
    let verdicts = one.attach(&facts).plugins;
    let mut ways: Vec<Way<'_>> = vec![
        Box::new(|told| push(&mut told.bare, time(|| bare.decide(&shared))?)),
        Box::new(|told| {
            let begun = Instant::now();
            let record = one.attach(&facts);
            let decided = begun.elapsed();
            drop(record);
            let whole = begun.elapsed();
            push(&mut told.parts.dropped, whole - decided)?;
            push(&mut told.one, whole)
        }),
        Box::new(|told| {
            let (record, decided) = timed(|| three.attach(&facts));
            for said in &record.plugins {
                let each = told.each.entry(said.plugin.clone()).or_default();
                push(each, Duration::from_micros(said.micros))?;
            }
            let ((), dropped) = timed(|| drop(record));
            push(&mut told.three, decided + dropped)
        }),
        Box::new(|told| push(&mut told.agrees, time(|| Ok(agrees.attach(&facts)))?)),
        Box::new(|told| push(&mut told.rego_interpreter, time(|| rego.interpret(&input))?)),
        Box::new(|told| push(&mut told.rego_machine, time(|| machine.run(&input))?)),
        Box::new(|told| push(&mut told.rego_input, time(|| rego::input(&facts))?)),
        Box::new(|told| {
            let steps = bare.decide_in_steps(&shared)?;
            push(&mut told.parts.instance, steps.instance)?;
            push(&mut told.parts.call, steps.call)?;
            push(&mut told.parts.gone, steps.gone)
        }),
        Box::new(|told| push(&mut told.parts.cloned, timed(|| Arc::new(facts.clone())).1)),
        Box::new(|told| {
            let combined = timed(|| Combined::attach(&facts, &verdicts));
            push(&mut told.parts.combined, combined.1)
        }),
    ];
    in_turn(&mut ways, WARM_UP)?;
    in_turn(&mut ways, rounds)
}

fn in_turn(ways: &mut [Way<'_>], rounds: usize) -> anyhow::Result<Beside> {
    let mut told = Beside::default();
    let mut order: Vec<usize> = (0..ways.len()).collect();
    // The same orders in every run.
    let mut seed = 1;
    for _ in 0..rounds {
        shuffle(&mut order, &mut seed);
        for way in &order {
            ways[*way](&mut told)?;
        }
    }
    Ok(told)
}

/// Fisher and Yates, with a linear congruential generator (Knuth's MMIX constants): nothing depends
/// on how good it is.
fn shuffle(order: &mut [usize], seed: &mut u64) {
    for last in (1..order.len()).rev() {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let place = usize::try_from(*seed >> 33).unwrap_or(0) % (last + 1);
        order.swap(last, place);
    }
}

fn push(samples: &mut Vec<f64>, took: Duration) -> anyhow::Result<()> {
    samples.push(took.as_secs_f64());
    Ok(())
}

/// The baseline and the others, each of which must have something to say.
fn three(
    runtime: &Runtime,
    baseline: &[u8],
    component: impl Fn(&str) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Chain> {
    let mut policies = vec![(BASELINE, baseline.to_vec(), Settings::default())];
    for (name, settings) in OTHERS {
        let settings = Settings::parse(settings).map_err(anyhow::Error::msg)?;
        policies.push((name, component(name)?, settings));
    }
    let policies = policies.iter();
    let chain = runtime
        .assemble(policies.map(|(name, component, settings)| (*name, &**component, settings)));
    // Three volumes have a writer elsewhere; of five that could be copied two have room.
    all_work(&chain.attach(&request::measured()?), (3, 3))?;
    Ok(chain)
}

/// Whether it was granted, with so many disks narrowed to read-only and so many to no copy.
fn all_work(record: &DecisionRecord, narrowed: (usize, usize)) -> anyhow::Result<()> {
    let Combined::Granted(Answer { disks, .. }) = &record.combined else {
        anyhow::bail!("what is measured was not granted: {:?}", record.combined);
    };
    let read_only = disks.iter().filter(|disk| disk.access == Access::ReadOnly);
    let no_copy = disks
        .iter()
        .filter(|disk| disk.copy_at_most == CopyMode::None);
    let found = (read_only.count(), no_copy.count());
    ensure!(
        found == narrowed,
        "{found:?} disks were narrowed to read-only and to no copy, not {narrowed:?}"
    );
    Ok(())
}
