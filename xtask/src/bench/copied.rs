//! What a local copy costs whoever waits for it: the start of a guest, and its writes while the copy is made.

use anyhow::Result;
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE, bench};
use super::writer;

/// In MiB: of the volume that the policy has copied, which is not whole after some seconds, and of one that it has not.
const VOLUMES: [(&str, u64); 2] = [("kept", 1536), ("served", 384)];
/// Between the two.
const SETTINGS: &str = "min-size = \"400MiB\"";
/// The ratio that an attach with a copy may have to one without.
const ATTACH_GOAL: f64 = 1.5;
/// The same of the slowest in a hundred of a guest's writes.
const WRITE_GOAL: f64 = 1.5;
/// Pairs of attaches.
const ROUNDS: usize = 10;
/// Pairs of phases in which somebody writes.
const PHASES: usize = 4;

/// Answers the writer's line of the one volume while it is hydrated, then of the other one.
const PHASE: &str = "set -e
instance=11111111-1111-1111-1111-111111111111
writes() { python3 /run/lab/writer.py /dev/volward/$instance/vg0/$1 sleep 4; }
volward attach $instance vg0/kept > /dev/null
kept=$(writes kept)
# name: start length clone block used/total region hydrated/total ...
set -- $(dmsetup status --target clone)
[ \"${8%/*}\" -lt \"${8#*/}\" ] || { echo 'the hydration ended while it was measured' >&2; exit 1; }
volward detach $instance > /dev/null
while lvs --noheadings -o lv_tags vg0/kept | grep -q -e home=split -e home=returning; do sleep 0.5; done
volward attach $instance vg0/served > /dev/null
served=$(writes served)
volward detach $instance > /dev/null
echo $kept $served
";

pub(crate) fn measure(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    for (name, mib) in VOLUMES {
        volward.volume(name, mib)?;
    }
    let node = volward.node(NODE);
    writer::install(volward)?;
    volward.add_policy(NODE, "hydrate-local", SETTINGS)?;
    let words = format!("copied vg0/kept vg0/served --rounds {ROUNDS}");
    let attaches: Pairs = bench(volward, &words)?;
    let [mut slowest, mut median] = [(); 2].map(|()| Pairs::default());
    for _ in 0..PHASES {
        eprintln!("  measuring: writes while a copy is made");
        let text = node.run_ok_within(DEADLINE, PHASE)?;
        let &[kept, served] = &writer::read(&text)?[..] else {
            anyhow::bail!("the node answered {text:?}");
        };
        median.ours.push(kept.median.as_secs_f64());
        median.base.push(served.median.as_secs_f64());
        slowest.ours.push(kept.p99.as_secs_f64());
        slowest.base.push(served.p99.as_secs_f64());
    }
    let without = "the same without a copy";
    Ok(vec![
        Figure::pairs(
            "attach with a local copy",
            "attach without one",
            Unit::Milliseconds,
            &attaches,
            Some(ATTACH_GOAL),
        ),
        Figure::pairs(
            "a write while its volume is hydrated, 99th percentile",
            without,
            Unit::Microseconds,
            &slowest,
            Some(WRITE_GOAL),
        ),
        Figure::pairs(
            "the same, median",
            without,
            Unit::Microseconds,
            &median,
            None,
        ),
    ])
}
