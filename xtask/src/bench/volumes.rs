//! What operations on volumes take, and what somebody who writes meanwhile feels of them.

use anyhow::{Context, Result};
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE};
use super::writer::{self, Writes};

const INSTANCE: &str = "11111111-1111-1111-1111-111111111111";
const DEVICE: &str = "/dev/volward/11111111-1111-1111-1111-111111111111/vg0/busy";
/// Made and zeroed, in MiB.
const MADE_MIB: u64 = 10 << 10;
/// What somebody writes to, and how much it grows each time, in MiB.
const BUSY_MIB: u64 = 256;
/// The ratio that a create may have to zeroing as much.
const CREATE_GOAL: f64 = 1.1;
const ROUNDS: usize = 5;
/// Pairs of creates, of which each writes it twice.
const CREATES: usize = 3;

/// Answers ns of a create and of the least that makes such a volume, in turn.
const CREATE: &str = "set -e
now() { date +%s%N; }
a=$(now)
volward volume create vg0/timed MADEM > /dev/null 2>&1
ours=$(( $(now) - a ))
volward volume rm vg0/timed > /dev/null 2>&1
a=$(now)
lvcreate -qq -aey -Wn -Zn -n bare -L MADEM vg0
blkdiscard -z /dev/mapper/vg0-bare
lvchange -an vg0/bare
base=$(( $(now) - a ))
lvremove -qq vg0/bare
echo $ours $base
";

pub(crate) fn measure(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    let node = volward.node(NODE);
    let mut made = Pairs::default();
    for _ in 0..CREATES {
        eprintln!("  measuring: a volume is made");
        let script = CREATE.replace("MADE", &MADE_MIB.to_string());
        let text = node.run_ok_within(DEADLINE, &script)?;
        let numbers = text.split_whitespace().map(str::parse::<f64>);
        let numbers: Vec<f64> = numbers.collect::<Result<_, _>>()?;
        let &[ours, base] = &numbers[..] else {
            anyhow::bail!("the node answered {text:?}");
        };
        made.ours.push(ours / 1e9);
        made.base.push(base / 1e9);
    }
    let mut figures = vec![Figure::pairs(
        format!("create of {MADE_MIB} MiB, which reads as zeroes"),
        "lvcreate, blkdiscard -z, lvchange -an by hand",
        Unit::Milliseconds,
        &made,
        Some(CREATE_GOAL),
    )];
    figures.extend(under_a_writer(volward)?);
    Ok(figures)
}

fn under_a_writer(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    writer::install(volward)?;
    volward.volume("busy", BUSY_MIB)?;
    volward.cli_ok(NODE, &format!("attach {INSTANCE} vg0/busy"))?;
    let mut phases: Vec<[Writes; 3]> = Vec::new();
    for round in 1..=ROUNDS {
        eprintln!("  measuring: writes while a snapshot is made, and while the volume grows");
        let size = BUSY_MIB + u64::try_from(round)? * BUSY_MIB;
        let alone = writer::during(volward, DEVICE, "sleep 5")?;
        let snapshot = writer::during(volward, DEVICE, "volward volume snap vg0/busy moment")?;
        volward.cli_ok(NODE, "volume rm vg0/moment")?;
        let grow = format!("volward volume extend vg0/busy {size}M");
        let grown = writer::during(volward, DEVICE, &grow)?;
        phases.push([alone, snapshot, grown]);
    }
    volward.cli_ok(NODE, &format!("detach {INSTANCE}"))?;
    volward.cli_ok(NODE, "volume rm vg0/busy")?;
    let seconds = |of: fn(&Writes) -> std::time::Duration, which: usize| -> Vec<f64> {
        let all = phases.iter().filter_map(|phase| phase.get(which));
        all.map(|writes| of(writes).as_secs_f64()).collect()
    };
    let against = |what: &str, of: fn(&Writes) -> std::time::Duration, which| {
        let pairs = Pairs {
            ours: seconds(of, which),
            base: seconds(of, 0),
        };
        Figure::pairs(
            what,
            "the same while nothing is done",
            Unit::Milliseconds,
            &pairs,
            None,
        )
    };
    let longest = |writes: &Writes| writes.longest;
    let p99 = |writes: &Writes| writes.p99;
    let median = |writes: &Writes| writes.median;
    phases.first().context("nothing was measured")?;
    Ok(vec![
        against("the longest write while a snapshot is made", longest, 1),
        against("the same, 99th percentile", p99, 1),
        against("the same, median", median, 1),
        against("the longest write while the volume grows", longest, 2),
        against("the same, 99th percentile", p99, 2),
        against("the same, median", median, 2),
    ])
}
