//! What is measured on this machine, without storage.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::figure::{Figure, Pairs, Unit};

/// The ratio a decision may have to wasmtime alone.
pub(crate) const DECISION_GOAL: f64 = 1.15;

pub(crate) fn decision(root: &Path) -> Result<Figure> {
    let component = root.join("target/guests/baseline.wasm");
    let pairs: Pairs = bench(root, "decision", &[&component])?;
    Ok(Figure::pairs(
        "one decision, 10 disks, shipped default",
        "wasmtime alone, same component and facts",
        Unit::Microseconds,
        &pairs,
        Some(DECISION_GOAL),
    ))
}

pub(crate) fn hook(root: &Path) -> Result<Figure> {
    let pairs: Pairs = bench(root, "hook", &[root.join("target/release/volward-hook")])?;
    Ok(Figure::pairs(
        "hook, guest without managed disks",
        "/bin/true",
        Unit::Milliseconds,
        &pairs,
        None,
    ))
}

#[derive(Deserialize)]
struct Replayed {
    seconds: Vec<f64>,
    decisions: u64,
    bytes: u64,
    text: String,
}

/// A log of 100,000 decisions against a policy with other settings; what it prints is shown.
pub(crate) fn replay(root: &Path) -> Result<Figure> {
    let component = root.join("target/guests/deny-by-prefix.wasm");
    let replayed: Replayed = bench(root, "replay", &[&component])?;
    eprintln!(
        "  replayed {} decisions, {} bytes:",
        replayed.decisions, replayed.bytes
    );
    replayed
        .text
        .lines()
        .for_each(|line| eprintln!("    {line}"));
    let each: Vec<f64> = replayed
        .seconds
        .iter()
        .map(|seconds| seconds / replayed.decisions as f64)
        .collect();
    Ok(Figure::alone(
        "replay of 100,000 decisions by two policies, each",
        Unit::Microseconds,
        &each,
    ))
}

/// Measures `what` with these arguments.
/// Runs with the environment that the unit gives the daemon: what is measured stands for it.
pub(crate) fn bench<T: DeserializeOwned>(
    root: &Path,
    what: &str,
    arguments: &[impl AsRef<OsStr>],
) -> Result<T> {
    eprintln!("  measuring: {what}");
    let unit = root.join("packaging/volwardd.service");
    let unit = fs::read_to_string(&unit).with_context(|| unit.display().to_string())?;
    let output = Command::new(root.join("target/release/volward-bench"))
        .arg(what)
        .args(arguments)
        .envs(environment(&unit))
        .output()
        .context("cannot run volward-bench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "volward-bench {what}: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// `Environment=NAME=VALUE` of a unit.
fn environment(unit: &str) -> Vec<(&str, &str)> {
    let set = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="));
    set.filter_map(|set| set.split_once('=')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_environment_is_read() {
        let unit = "[Service]\nExecStart=/x a=b\nEnvironment=ONE=1\nEnvironment=TWO_=x=y\n";
        assert_eq!(environment(unit), [("ONE", "1"), ("TWO_", "x=y")]);
    }
}
