//! What is measured on this machine, without storage.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::figure::{Figure, Pairs, Unit};

/// The ratio a decision may have to wasmtime alone.
const DECISION_GOAL: f64 = 1.15;

pub(crate) fn decision(root: &Path) -> Result<Figure> {
    let component = root.join("target/guests/baseline.wasm");
    let pairs = bench(root, "decision", &component)?;
    Ok(Figure::pairs(
        "one decision, 10 disks, shipped default",
        "wasmtime alone, same component and facts",
        Unit::Microseconds,
        &pairs,
        Some(DECISION_GOAL),
    ))
}

pub(crate) fn hook(root: &Path) -> Result<Figure> {
    let pairs = bench(root, "hook", &root.join("target/release/volward-hook"))?;
    Ok(Figure::pairs(
        "hook, guest without managed disks",
        "/bin/true",
        Unit::Milliseconds,
        &pairs,
        None,
    ))
}

fn bench(root: &Path, what: &str, subject: &Path) -> Result<Pairs> {
    eprintln!("  measuring: {what}");
    let output = Command::new(root.join("target/release/volward-bench"))
        .arg(what)
        .arg(subject)
        .output()
        .context("cannot run volward-bench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "volward-bench {what}: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}
