//! Builds the product's programs into target/debug, where nodes see them as /host/debug.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::sets::SETS;

/// All programs, each set of packages by a cargo of its own; before them the policies, of which
/// the daemon and the workbench have one in them.
pub(crate) fn all(root: &Path) -> Result<()> {
    guests::build(root)?;
    for set in SETS {
        let mut command = Command::new("cargo");
        command.current_dir(root).arg("build");
        for package in set {
            command.args(["--package", package]);
        }
        let status = command.status().context("cannot run cargo")?;
        if !status.success() {
            bail!("building {} failed, see above", set.join(", "));
        }
    }
    Ok(())
}
