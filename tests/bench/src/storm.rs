//! Many guests that start at the same instant, each by a hook of its own as libvirt calls it, against the
//! leases and activations alone, one after the other.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::samples::Pairs;

/// What a storm was like.
#[derive(Debug, Serialize)]
pub(crate) struct Storms {
    /// From the first hook's start to the last one's end, against `lvchange -aey` of the same volumes.
    storm: Pairs,
    /// Seconds of the slowest hook, one entry a round.
    slowest: Vec<f64>,
    /// Guests that got their disk, and those that were told to come again, one entry a round.
    granted: Vec<usize>,
    told: Vec<usize>,
    /// What nobody granted and nobody explained: to be empty.
    failed: Vec<String>,
    /// All released, one after the other, against the storm that attached them.
    released: Pairs,
}

/// `pool` has volumes `storm-0`, `storm-1` and so on.
pub(crate) fn measure(
    hook: &Path,
    pool: &str,
    guests: usize,
    rounds: usize,
) -> anyhow::Result<Storms> {
    let mut storms = Storms {
        storm: Pairs::default(),
        slowest: Vec::new(),
        granted: Vec::new(),
        told: Vec::new(),
        failed: Vec::new(),
        released: Pairs::default(),
    };
    for _ in 0..rounds {
        let base = by_hand(pool, guests)?;
        let ends = at_once(hook, pool, guests)?;
        let whole = ends.iter().map(|end| end.after).max().unwrap_or_default();
        let slowest = ends.iter().map(|end| end.took).max().unwrap_or_default();
        let granted = ends.iter().filter(|end| end.granted).count();
        let told = |end: &&End| !end.granted && end.said.contains(" busy)");
        let neither = |end: &&End| !end.granted && !told(end);
        storms.told.push(ends.iter().filter(told).count());
        let failed = ends.iter().filter(neither).map(|end| end.said.clone());
        storms.failed.extend(failed);
        storms.granted.push(granted);
        storms.storm.ours.push(whole.as_secs_f64());
        storms.storm.base.push(base.as_secs_f64());
        storms.slowest.push(slowest.as_secs_f64());
        let begun = Instant::now();
        for guest in 0..guests {
            let end = finish(start(hook, pool, guest, ["release", "end"])?, begun)?;
            ensure!(end.granted, "the hook failed in release: {}", end.said);
        }
        storms.released.ours.push(begun.elapsed().as_secs_f64());
        storms.released.base.push(whole.as_secs_f64());
    }
    Ok(storms)
}

/// How one hook ended.
struct End {
    granted: bool,
    /// Since it was started.
    took: Duration,
    /// Since the first one was started.
    after: Duration,
    said: String,
}

fn at_once(hook: &Path, pool: &str, guests: usize) -> anyhow::Result<Vec<End>> {
    let begun = Instant::now();
    let started: Result<Vec<_>, _> = (0..guests)
        .map(|guest| start(hook, pool, guest, ["prepare", "begin"]))
        .collect();
    // A thread each: whoever ends first is seen first.
    std::thread::scope(|scope| {
        let threads: Vec<_> = started?
            .into_iter()
            .map(|one| scope.spawn(move || finish(one, begun)))
            .collect();
        let ends = threads.into_iter().map(|thread| match thread.join() {
            Ok(end) => end,
            Err(_) => anyhow::bail!("a thread that waited for a hook panicked"),
        });
        ends.collect()
    })
}

fn start(
    hook: &Path,
    pool: &str,
    guest: usize,
    operation: [&str; 2],
) -> anyhow::Result<(Child, Instant)> {
    let begun = Instant::now();
    let mut child = Command::new(hook)
        .arg(format!("storm-{guest}"))
        .args(operation)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", hook.display()))?;
    let mut stdin = child.stdin.take().context("the hook has no stdin")?;
    stdin.write_all(xml(pool, guest).as_bytes())?;
    Ok((child, begun))
}

fn finish((child, begun): (Child, Instant), first: Instant) -> anyhow::Result<End> {
    let output = child.wait_with_output()?;
    Ok(End {
        granted: output.status.success(),
        took: begun.elapsed(),
        after: first.elapsed(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A guest with one disk.
fn xml(pool: &str, guest: usize) -> String {
    let uuid = uuid::Uuid::from_u128(0x5707_0000 + guest as u128);
    format!(
        "<domain type='qemu'><name>storm-{guest}</name><uuid>{uuid}</uuid>\
         <memory unit='KiB'>65536</memory><os><type arch='x86_64'>hvm</type></os>\
         <devices><disk type='block' device='disk'><driver name='qemu' type='raw'/>\
         <source dev='/dev/volward/{uuid}/{pool}/storm-{guest}'/><target dev='vda' bus='virtio'/>\
         </disk></devices></domain>"
    )
}

/// Leases and activations of the same volumes, and nothing else.
fn by_hand(pool: &str, guests: usize) -> anyhow::Result<Duration> {
    let lvchange = |how: &str, guest: usize| -> anyhow::Result<()> {
        let volume = format!("{pool}/storm-{guest}");
        let status = Command::new("lvchange").args([how, &volume]).status()?;
        ensure!(status.success(), "lvchange {how} {volume} failed");
        Ok(())
    };
    let begun = Instant::now();
    (0..guests).try_for_each(|guest| lvchange("-aey", guest))?;
    let took = begun.elapsed();
    (0..guests).try_for_each(|guest| lvchange("-an", guest))?;
    Ok(took)
}
