//! `cargo xtask bench`: figures of one run, as ratios where a machine's speed would show.

use std::path::Path;

use anyhow::{Context, Result};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

use crate::setup;

/// At least 30 pairs, by the specification.
const ROUNDS: usize = 30;

/// What an attach is compared with: the same lease, one look, one device, made by hand.
const BY_HAND: &str = "lvchange -aey vg0/bench && lvs --noheadings vg0/bench > /dev/null && \
    dmsetup create bench --table \"0 $(blockdev --getsz /dev/vg0/bench) linear /dev/vg0/bench 0\"";
const UNDO_BY_HAND: &str = "dmsetup remove bench && lvchange -an vg0/bench";

/// Measures and prints.
pub(crate) fn run(_root: &Path) -> Result<()> {
    setup::run()?;
    let cluster = Cluster::ready(&Lab::open()?, &ClusterSpec::default(), Progress::shown())?;
    let node = cluster.node(1);
    node.run_ok("lvcreate -an -n bench -L 64M vg0")?;
    let by_hand = measure(node, BY_HAND, UNDO_BY_HAND)?;
    println!(
        "lease, look and device by hand, {ROUNDS} rounds: median {:.0} ms, p90 {:.0} ms",
        percentile(&by_hand, 50),
        percentile(&by_hand, 90)
    );
    Ok(())
}

/// Milliseconds of each round, sorted; by the node's own clock, so that the way there is not in it.
fn measure(node: &Node, script: &str, undo: &str) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let timed =
            format!("a=$(date +%s%N); {script}; r=$?; b=$(date +%s%N); echo $((b - a)); exit $r");
        let nanoseconds = node.run_ok(&timed)?;
        let last = nanoseconds
            .lines()
            .last()
            .context("the node measured nothing")?;
        times.push(last.trim().parse::<f64>()? / 1e6);
        node.run_ok(undo)?;
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// Nearest rank in sorted figures.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(percentile(&ten, 50), 5.0);
        assert_eq!(percentile(&ten, 90), 9.0);
        assert_eq!(percentile(&[7.0], 90), 7.0);
    }
}
