//! `cargo xtask package`: Debian packages of what is built here, in target/debian.
//!
//! What is packaged is laid out below target/package, beside packaging/debian, and handed to debhelper
//! (docs/adr/0050). Man pages and completions are printed by the very programs that are packaged.

mod bare;
mod layout;
mod manual;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use volward_system::Progress;

use crate::{build, guests, setup};

/// What is packaged, and what is done with the packages.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Package debug programs, which are there after any test: a fraction of the time
    #[arg(long)]
    debug: bool,
    /// Then install them in a bare Debian 12 (of `mmdebstrap`, as root), use them there, remove and purge them
    #[arg(long)]
    check: bool,
}

/// Builds, packages, and has lintian look at the packages.
///
/// # Errors
/// When a tool is missing or fails, when lintian finds an error, when a package does not work.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    setup::packaging()?;
    let programs = if options.debug {
        build::all(root)?;
        root.join("target/debug")
    } else {
        guests::build(root)?;
        build::released(root)?;
        root.join("target/release")
    };
    let version = Version::of(root)?;
    let tree = root.join("target/package/tree");
    let progress = Progress::shown();
    let packages = progress.during(format!("package {}", version.debian), || {
        layout::lay_out(root, &programs, &version, &tree)?;
        debhelper(root, &tree, &version, options.debug)
    })?;
    progress.during("package: lintian", || lintian(&packages))?;
    for package in &packages {
        println!("{}", package.display());
    }
    if options.check {
        progress.during("package: on a bare Debian 12", || {
            bare::check(root, &packages, &version)
        })?;
    }
    Ok(())
}

/// The packages of debug programs, which a node of the lab installs.
///
/// # Errors
/// As [`run`].
pub(crate) fn made(root: &Path) -> Result<()> {
    let options = Options {
        debug: true,
        check: false,
    };
    run(root, &options)
}

/// The same, and they are tried in a bare Debian 12.
///
/// # Errors
/// As [`run`].
pub(crate) fn made_and_tried(root: &Path) -> Result<()> {
    let options = Options {
        debug: true,
        check: true,
    };
    run(root, &options)
}

/// Which version the packages are of.
struct Version {
    /// As cargo has it, and the programs say it.
    cargo: String,
    /// As dpkg compares it: a build between two releases is later than the first of them.
    debian: String,
    /// When it was committed, in seconds of UNIX time: files have this time, so the same commit makes the
    /// same packages.
    committed: String,
}

impl Version {
    fn of(root: &Path) -> Result<Self> {
        let cargo = env!("CARGO_PKG_VERSION").to_owned();
        let committed = git(root, &["log", "-1", "--format=%ct"])?;
        let commit = git(
            root,
            &[
                "log",
                "-1",
                "--date=format:%Y%m%d.%H%M",
                "--format=git%cd.%h",
            ],
        )?;
        let released = git(root, &["tag", "--points-at", "HEAD"])?;
        let released = released.lines().any(|tag| tag == format!("v{cargo}"));
        let debian = if released {
            format!("{cargo}-1")
        } else {
            format!("{cargo}+{commit}-1")
        };
        Ok(Self {
            cargo,
            debian,
            committed,
        })
    }
}

fn git(root: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(root)
        .args(words)
        .output()
        .context("cannot run git")?;
    ensure!(
        output.status.success(),
        "git {words:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes the packages of the tree, and puts them into target/debian.
fn debhelper(root: &Path, tree: &Path, version: &Version, debug: bool) -> Result<Vec<PathBuf>> {
    // xz takes minutes for debug programs, and nobody keeps them.
    let compression = if debug { "-Zgzip -z1" } else { "-Zxz" };
    quietly(
        Command::new("dpkg-buildpackage")
            .current_dir(tree)
            .args(["--build=binary", "--no-sign", "--no-check-builddeps"])
            .env("SOURCE_DATE_EPOCH", &version.committed)
            .env("VOLWARD_COMPRESSION", compression)
            .env("LC_ALL", "C.UTF-8"),
    )?;
    let made = root.join("target/package");
    let done = root.join("target/debian");
    if done.is_dir() {
        fs::remove_dir_all(&done).context("cannot empty target/debian")?;
    }
    fs::create_dir_all(&done).context("cannot make target/debian")?;
    let mut packages = Vec::new();
    for entry in fs::read_dir(&made).context("cannot list target/package")? {
        let path = entry.context("cannot list target/package")?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else {
            continue;
        };
        let to = done.join(name);
        if path.extension().is_some_and(|end| end == "deb") {
            fs::rename(&path, &to).with_context(|| path.display().to_string())?;
            packages.push(to);
        }
    }
    packages.sort();
    ensure!(
        packages.len() == 3,
        "three packages are made, not {packages:?}"
    );
    Ok(packages)
}

/// Errors end it; warnings are told.
fn lintian(packages: &[PathBuf]) -> Result<()> {
    let output = Command::new("lintian")
        .args([
            "--allow-root",
            "--fail-on",
            "error",
            "--no-tag-display-limit",
        ])
        .args(packages)
        .output()
        .context("cannot run lintian")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.trim().is_empty() {
        eprintln!("{}", said.trim());
    }
    ensure!(
        output.status.success(),
        "lintian finds errors, see above {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Runs it; what it says is shown only when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
