//! `cargo xtask fuzz`: the fuzz targets for as long as somebody wants. The fast tests run the same
//! for some seconds each, with a fixed seed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::guests;

/// Where fuzz targets are: tests whose name begins with `fuzz`.
const PACKAGES: [&str; 2] = ["volward-policy", "volward-workbench"];

/// Runs every target for so many seconds, one after the other.
pub(crate) fn run(root: &Path, seconds: u64, seed: Option<u64>) -> Result<()> {
    guests::build(root)?;
    for package in PACKAGES {
        let mut command = Command::new("cargo");
        command
            .current_dir(root)
            .args(["test", "--package", package, "--tests", "--"])
            .args(["fuzz_", "--nocapture", "--test-threads=1"])
            .env("VOLWARD_FUZZ_SECONDS", seconds.to_string());
        if let Some(seed) = seed {
            command.env("VOLWARD_FUZZ_SEED", seed.to_string());
        }
        let status = command.status().context("cannot run cargo test")?;
        if !status.success() {
            bail!("fuzzing of {package} failed; what it printed says how to run that case again");
        }
    }
    Ok(())
}
