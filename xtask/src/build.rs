//! Builds the product's programs into target/debug, where nodes see them as /host/debug.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use volward_system::{ClusterSpec, Lab, Progress};

use crate::guests;
use crate::sets::SETS;

/// All programs, each set of packages by a cargo of its own; before them the policies, of which
/// the daemon and the workbench have one in them.
pub(crate) fn all(root: &Path) -> Result<()> {
    guests::build(root)?;
    let [daemon, _] = SETS;
    build(root, daemon)?;
    workbench(root)
}

/// The same, and nodes without Volward meanwhile: of these most is fetched and waited for.
pub(crate) fn all_beside_nodes(root: &Path, spec: &ClusterSpec) -> Result<()> {
    let lab = Lab::open()?;
    eprintln!("programs are built, and nodes made meanwhile");
    thread::scope(|scope| {
        let nodes = scope.spawn(|| lab.prepare_nodes(spec, Progress::silent()));
        let built = all(root);
        // Why not is said by whoever needs them: he makes them then, and shows it.
        drop(nodes.join());
        built
    })
}

/// All programs as they are packaged, into target/release; the policies are there.
pub(crate) fn released(root: &Path) -> Result<()> {
    for set in SETS {
        let mut command = cargo(root);
        command.args(["build", "--release", "--locked"]);
        command.args(set.iter().flat_map(|package| ["--package", package]));
        run(&mut command)?;
    }
    Ok(())
}

/// The workbench as the tests have it: alone it would need wasmtime and its compiler once more, for other
/// features of what they depend on. A test beside it makes cargo count the tests' own dependencies in.
fn workbench(root: &Path) -> Result<()> {
    run(cargo(root)
        .args(["build", "--workspace", "--exclude", "volward-system"])
        .args(["--bin", "volward-policy", "--test", "author"]))
}

/// The last commit of release 0.1.0, from which upgrades are tried.
const RELEASE_0_1_0: &str = "8639f52";

/// Builds the programs of 0.1.0 into target/upgrade/0.1.0, where nodes see them as
/// /host/upgrade/0.1.0. Once: a release does not change.
pub(crate) fn release_0_1_0(root: &Path) -> Result<()> {
    let upgrade = root.join("target/upgrade");
    let programs = upgrade.join("0.1.0");
    if programs.is_dir() {
        return Ok(());
    }
    // Its sources, out of the history: a build of its own, beside everything of today's.
    let source = upgrade.join("source");
    fs::create_dir_all(&source).context("cannot make target/upgrade")?;
    let archive = upgrade.join("source.tar");
    run(Command::new("git")
        .current_dir(root)
        .args(["archive", "--format=tar", "--output"])
        .arg(&archive)
        .arg(RELEASE_0_1_0))?;
    run(Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(&source))?;
    run(cargo(&source).args(["run", "--package", "xtask", "--", "guests"]))?;
    for set in SETS {
        build(&source, set)?;
    }
    // Under its name only when it is whole.
    let whole = upgrade.join("0.1.0.new");
    fs::create_dir_all(&whole).context("cannot make target/upgrade")?;
    for program in ["volward", "volwardd", "volward-policy", "volward-hook"] {
        let from = source.join("target/debug").join(program);
        fs::copy(&from, whole.join(program)).with_context(|| format!("cannot copy {program}"))?;
    }
    fs::rename(&whole, &programs).context("cannot rename target/upgrade/0.1.0.new")?;
    fs::remove_dir_all(&source).context("cannot remove target/upgrade/source")
}

fn build(folder: &Path, packages: &[&str]) -> Result<()> {
    let mut command = cargo(folder);
    command.arg("build");
    // Without it most of what they depend on would be compiled once more, for other features.
    if folder.join("tests/features").is_dir() {
        command.args(["--package", "volward-features"]);
    }
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    run(&mut command)
}

fn cargo(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{command:?} failed, see above");
    }
    Ok(())
}
