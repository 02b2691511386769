//! The same decision by several means, in turn, and where the time of Volward's goes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

use super::figure::{Figure, Pairs, Spread, Unit};
use super::native::{DECISION_GOAL, bench};

/// Samples in seconds, as `volward-bench beside` answers them and explains them.
#[derive(Deserialize)]
struct Beside {
    bare: Vec<f64>,
    one: Vec<f64>,
    three: Vec<f64>,
    agrees: Vec<f64>,
    rego_interpreter: Vec<f64>,
    rego_machine: Vec<f64>,
    rego_input: Vec<f64>,
    parts: Parts,
    each: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Parts {
    cloned: Vec<f64>,
    instance: Vec<f64>,
    call: Vec<f64>,
    gone: Vec<f64>,
    combined: Vec<f64>,
    dropped: Vec<f64>,
}

pub(crate) fn measure(root: &Path) -> Result<Vec<Figure>> {
    let told: Beside = bench(root, "beside", &[root.join("target/guests")])?;
    let mut figures = ways(&told);
    figures.extend(parts(&told));
    figures.extend(told.each.iter().map(|(policy, seconds)| {
        let what = format!("of the chain of three: {policy} (from the record, whole µs)");
        Figure::alone(what, Unit::Microseconds, seconds)
    }));
    Ok(figures)
}

fn ways(told: &Beside) -> Vec<Figure> {
    let against_bare = |what, ours: &[f64], goal| {
        let pairs = Pairs {
            ours: ours.to_vec(),
            base: told.bare.clone(),
        };
        Figure::pairs(
            what,
            "wasmtime alone, baseline",
            Unit::Microseconds,
            &pairs,
            goal,
        )
    };
    let mixed = "wasmtime alone, baseline, 10 disks of two kinds";
    vec![
        Figure::alone(mixed, Unit::Microseconds, &told.bare),
        against_bare("Volward, baseline", &told.one, Some(DECISION_GOAL)),
        against_bare(
            "Volward, baseline, read-only-replicas and quota",
            &told.three,
            None,
        ),
        against_bare("Volward, a policy that agrees at once", &told.agrees, None),
        against_bare(
            "regorus, the baseline in Rego, interpreter: input set, evaluated",
            &told.rego_interpreter,
            None,
        ),
        against_bare("the same, bytecode machine", &told.rego_machine, None),
        Figure::alone(
            "regorus, facts to its input by JSON (not in the two above)",
            Unit::Microseconds,
            &told.rego_input,
        ),
    ]
}

/// Medians do not add up exactly; what is left over is what nothing from outside can tell apart.
fn parts(told: &Beside) -> Vec<Figure> {
    let parts = [
        ("facts cloned", &told.parts.cloned),
        (
            "store and instance, as wasmtime alone",
            &told.parts.instance,
        ),
        ("hook called, as wasmtime alone", &told.parts.call),
        (
            "store and instance dropped, as wasmtime alone",
            &told.parts.gone,
        ),
        ("verdicts combined", &told.parts.combined),
        ("record dropped", &told.parts.dropped),
    ];
    let whole = Spread::of(&told.one).median;
    let known: f64 = parts
        .iter()
        .map(|(_, samples)| Spread::of(samples).median)
        .sum();
    let rest = "of Volward, baseline: rest (limits, deadline, gate, verdict, record)";
    let figure = |(what, samples): (&str, &Vec<f64>)| {
        Figure::alone(
            format!("of Volward, baseline: {what}"),
            Unit::Microseconds,
            samples,
        )
    };
    let mut figures: Vec<Figure> = parts.into_iter().map(figure).collect();
    figures.push(Figure::alone(rest, Unit::Microseconds, &[whole - known]));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_what_the_parts_leave() {
        let told = Beside {
            bare: vec![50.0; 3],
            one: vec![60.0; 3],
            three: Vec::new(),
            agrees: Vec::new(),
            rego_interpreter: Vec::new(),
            rego_machine: Vec::new(),
            rego_input: Vec::new(),
            parts: Parts {
                cloned: vec![3.0; 3],
                instance: vec![10.0; 3],
                call: vec![30.0; 3],
                gone: vec![7.0; 3],
                combined: vec![1.0; 3],
                dropped: vec![2.0; 3],
            },
            each: BTreeMap::new(),
        };
        let figures = parts(&told);
        assert_eq!(figures.len(), 7);
        assert_eq!(figures[6].ours.median, 7.0);
    }
}
