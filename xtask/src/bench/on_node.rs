//! What is measured on a node of the lab, by its own clock.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};

/// The ratio an attach may have to the same by hand.
const ATTACH_GOAL: f64 = 1.05;
/// The node that is measured; the other one idles.
const NODE: u8 = 1;
/// For one measurement: minutes, in emulation.
const DEADLINE: Duration = Duration::from_secs(900);
/// Enough that the start does not count.
const COPY_MIB: u64 = 512;
/// Each is a hydration, a dd and a write-back.
const COPY_ROUNDS: usize = 5;
const BENCH: &str = "/host/release/volward-bench";

/// From debug programs, which the tests use, to those that are shipped.
pub(crate) fn use_release(volward: &Volward<'_>) -> Result<()> {
    volward.stop(NODE)?;
    volward.node(NODE).run_ok(
        "for name in volward volwardd volward-hook volward-policy; do \
             ln -sf /host/release/$name /usr/sbin/$name; \
         done",
    )?;
    // Debug lines would be part of the times.
    volward.start(NODE, &["VOLWARD_LOG=info".to_owned()])?;
    Ok(())
}

pub(crate) fn attach(volward: &Volward<'_>) -> Result<Figure> {
    volward.volume("bench", 64)?;
    let pairs: Pairs = bench(volward, "attach vg0/bench")?;
    Ok(Figure::pairs(
        "attach through the daemon, request to answer",
        "lvchange -aey, lvs, dmsetup create by hand",
        Unit::Milliseconds,
        &pairs,
        Some(ATTACH_GOAL),
    ))
}

#[derive(Deserialize)]
struct Started {
    ready: Vec<f64>,
    resident: f64,
    private: f64,
}

pub(crate) fn start(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    let words = "start /host/release/volwardd --workbench /host/release/volward-policy";
    let started: Started = bench(volward, words)?;
    Ok(vec![
        Figure::alone(
            "daemon, start to ready without pools",
            Unit::Milliseconds,
            &started.ready,
        ),
        Figure::alone(
            "daemon idle, resident memory",
            Unit::Mebibytes,
            &[started.resident],
        ),
        Figure::alone(
            "daemon idle, memory of its own",
            Unit::Mebibytes,
            &[started.private],
        ),
    ])
}

/// Hydrates and copies in turn. The share that was hydrated before the attach was answered is
/// not counted, and the wait is for the kernel's event: nothing polls.
pub(crate) fn hydration(volward: &Volward<'_>) -> Result<Figure> {
    volward.volume("copied", COPY_MIB)?;
    volward.add_policy(NODE, "hydrate-local", "")?;
    let mut pairs = Pairs {
        ours: Vec::new(),
        base: Vec::new(),
    };
    for _ in 0..COPY_ROUNDS {
        eprintln!("  measuring: hydration");
        let text = volward.node(NODE).run_ok_within(DEADLINE, ROUND)?;
        let line = text.lines().last().context("the node measured nothing")?;
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| format!("the node answered {line:?}"))?;
        let &[hydrated, nanoseconds, copied] = &numbers[..] else {
            anyhow::bail!("the node answered {line:?}");
        };
        pairs.ours.push(hydrated / (nanoseconds / 1e9));
        pairs.base.push((COPY_MIB << 20) as f64 / (copied / 1e9));
    }
    Ok(Figure::pairs(
        "hydration, background, idle guest",
        "dd of the same volume to a local one, direct",
        Unit::MebibytesPerSecond,
        &pairs,
        None,
    ))
}

/// Answers bytes hydrated, nanoseconds that took, nanoseconds dd took.
const ROUND: &str = "set -e
now() { date +%s%N; }
instance=11111111-1111-1111-1111-111111111111
lvcreate -qq -an -Wn -Zn -L 512M -n dd local
lvchange -ay local/dd; lvchange -aey vg0/copied
a=$(now)
dd if=/dev/vg0/copied of=/dev/local/dd bs=1M iflag=direct oflag=direct conv=fsync status=none
copied=$(( $(now) - a ))
lvchange -an vg0/copied; lvremove -qq -y local/dd
volward attach $instance vg0/copied > /dev/null
a=$(now)
set -- $(dmsetup status --target clone)
name=${1%:}
# name: start length clone block used/total region hydrated/total ...
begun=${8%/*}; total=${8#*/}; region=$7
[ \"$begun\" = \"$total\" ] || dmsetup wait $name
took=$(( $(now) - a ))
volward detach $instance > /dev/null
# The tag stays: home again it says pool, and counts how often it changed.
while lvs --noheadings -o lv_tags vg0/copied | grep -q -e home=split -e home=returning; do
    sleep 0.5
done
echo $(( (total - begun) * region * 512 )) $took $copied
";

fn bench<T: for<'a> Deserialize<'a>>(volward: &Volward<'_>, words: &str) -> Result<T> {
    eprintln!("  measuring on node {NODE}: {words}");
    let script = format!("{BENCH} {words}");
    let text = volward.node(NODE).run_ok_within(DEADLINE, &script)?;
    serde_json::from_str(&text).with_context(|| format!("{BENCH} answered {text:?}"))
}
