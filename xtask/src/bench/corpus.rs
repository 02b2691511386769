//! A good chain among hostile ones: its decisions, and memory.

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use super::figure::{Figure, Pairs, Spread, Unit};
use super::native::bench;

/// The ratio a decision's 99th percentile may have to its own when nothing else runs.
const P99_GOAL: f64 = 2.0;
/// What may be left of resident memory, in bytes.
const LEFT_GOAL: f64 = 2.0 * 1024.0 * 1024.0;

/// As `volward-bench corpus` answers and explains it.
#[derive(Deserialize)]
struct Among {
    quiet: Vec<Phase>,
    noisy: Vec<Phase>,
    components: usize,
    calls: u64,
    memory: Memory,
}

/// Seconds of single decisions.
#[derive(Deserialize)]
struct Phase {
    rested: Vec<f64>,
    busy: Vec<f64>,
}

/// Resident memory of the process in bytes: before, at its most, and 10 s after the last call.
#[derive(Deserialize)]
struct Memory {
    before: f64,
    peak: f64,
    after: f64,
}

pub(crate) fn measure(root: &Path) -> Result<Vec<Figure>> {
    let arguments = [
        root.join("target/guests/baseline.wasm"),
        "--workbench".into(),
        root.join("target/release/volward-policy"),
    ];
    let told: Among = bench(root, "corpus", &arguments)?;
    eprintln!(
        "  {} hostile components were called {} times",
        told.components, told.calls
    );
    let mut figures = decisions(&told);
    figures.extend(memory(&told.memory));
    Ok(figures)
}

/// Of each phase one percentile: a pair is a noisy phase and the quiet one before it.
fn decisions(told: &Among) -> Vec<Figure> {
    let of = |phases: &[Phase], which: fn(&Phase) -> &[f64], percentile: fn(Spread) -> f64| {
        let all = phases.iter();
        all.map(|phase| percentile(Spread::of(which(phase))))
            .collect()
    };
    let rested: fn(&Phase) -> &[f64] = |phase| &phase.rested;
    let busy: fn(&Phase) -> &[f64] = |phase| &phase.busy;
    let median: fn(Spread) -> f64 = |spread| spread.median;
    let p99: fn(Spread) -> f64 = |spread| spread.p99;
    let rows = [
        ("p50, one every 2 ms", rested, median, None),
        ("p99, one every 2 ms", rested, p99, Some(P99_GOAL)),
        ("p50, one after the other", busy, median, None),
        ("p99, one after the other", busy, p99, Some(P99_GOAL)),
    ];
    let figure = |(what, which, percentile, goal): (&str, _, _, _)| {
        let pairs = Pairs {
            ours: of(&told.noisy, which, percentile),
            base: of(&told.quiet, which, percentile),
        };
        let what = format!("decisions while hostile components run: {what}");
        let against = "the same phases when nothing else runs";
        Figure::pairs(what, against, Unit::Microseconds, &pairs, goal)
    };
    rows.into_iter().map(figure).collect()
}

fn memory(memory: &Memory) -> Vec<Figure> {
    let alone = |what: &str, bytes| Figure::alone(what, Unit::Mebibytes, &[bytes]);
    vec![
        alone(
            "resident, at rest, every hostile component called once",
            memory.before,
        ),
        alone("resident, the most while hostile ones run", memory.peak),
        alone("resident, 10 s after the last hostile call", memory.after),
        Figure::bounded(
            "resident, left behind by hostile calls",
            Unit::Mebibytes,
            memory.after - memory.before,
            LEFT_GOAL,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_compared_with_the_one_before_it() {
        let phase = |seconds: f64| Phase {
            rested: vec![seconds; 100],
            busy: vec![2.0 * seconds; 100],
        };
        let told = Among {
            quiet: vec![phase(1.0), phase(2.0), phase(1.0)],
            noisy: vec![phase(3.0), phase(3.0), phase(1.5)],
            components: 1,
            calls: 1,
            memory: Memory {
                before: 1.0,
                peak: 3.0,
                after: 2.0,
            },
        };
        let figures = decisions(&told);
        let ratios: Vec<_> = figures.iter().map(|figure| figure.ratio).collect();
        assert_eq!(ratios, [Some(1.5); 4]);
        assert_eq!(figures[1].met(), Some(true));
        assert_eq!(memory(&told.memory)[3].ours.median, 1.0);
    }
}
