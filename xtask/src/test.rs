//! `cargo xtask test`: everything CI runs, the same way here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use volward_system::{ClusterSpec, Lab, Progress, Provider};

use crate::steps::{Count, Steps};
use crate::{build, guests, languages, openstack, package, setup};

/// Which part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Without a node: formatting, lints, licences, unit tests, documentation
    Fast,
    /// Policies in C, JavaScript and Python, and what `volward-policy new` makes, built and asked;
    /// the Python package beside nova, Cinder and os-brick
    Languages,
    /// The Python package alone: its lints and tests, and its tests beside nova, Cinder and os-brick
    Openstack,
    /// On emulated nodes: the lab's own tests and the stories
    Lab,
    /// All of lab, and what takes many minutes more: watchdogs, races, crashes with copies
    Long,
}

/// cargo-deny as tested; `cargo install` builds it from crates.io once.
const DENY: &str = "0.20.2";

/// All but the tests on nodes.
const EVERYTHING_ELSE: [&str; 3] = ["--workspace", "--exclude", "volward-system"];

/// Runs one part, or fast, languages and lab; ends with one line that counts.
pub(crate) fn run(root: &Path, part: Option<Part>, provider: Option<Provider>) -> Result<()> {
    setup::run()?;
    let parts = part.map_or(vec![Part::Fast, Part::Languages, Part::Lab], |part| {
        vec![part]
    });
    let done: Vec<Steps> = parts
        .into_iter()
        .map(|part| match part {
            Part::Fast => fast(root),
            Part::Languages => in_other_languages(root),
            Part::Openstack => openstack_only(root),
            Part::Lab => system(root, "lab", provider),
            Part::Long => system(root, "long", provider),
        })
        .collect();
    let summaries: Vec<String> = done.iter().map(Steps::summary).collect();
    println!("volward: {}", summaries.join("; "));
    if !done.iter().all(Steps::ok) {
        let failed: Vec<String> = done.iter().flat_map(Steps::failed).collect();
        bail!("failed, see above: {}", failed.join("; "));
    }
    Ok(())
}

fn fast(root: &Path) -> Steps {
    let mut steps = Steps::new("fast");
    let plugins = root.join("plugins");
    for (what, folder) in [("fmt", root), ("fmt, plugins", &plugins)] {
        steps.command(what, cargo(folder).args(["fmt", "--all", "--check"]));
    }
    // The policies' components are embedded in, or read by, some of what follows.
    steps.work("guests", || guests::build(root).map(well));
    let lints = [
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ];
    for (what, folder) in [("clippy", root), ("clippy, plugins", &plugins)] {
        steps.command(what, cargo(folder).arg("clippy").args(lints));
    }
    steps.work("deny: install", || install_deny(root).map(well));
    // Advisories live in a git repository, which not every machine may fetch: `cargo deny check
    // advisories` by hand.
    // The policies' workspace too: its baseline is built into the daemon.
    for (what, folder) in [("", root), (", plugins", &plugins)] {
        steps.command(
            &format!("deny{what}: bans, licences, sources (advisories are not checked here)"),
            Command::new(root.join("target/tools/bin/cargo-deny"))
                .arg("--manifest-path")
                .arg(folder.join("Cargo.toml"))
                .arg("--config")
                .arg(root.join("deny.toml"))
                .args(["check", "bans", "licenses", "sources"]),
        );
    }
    steps.command("tests", test_runner(root).args(EVERYTHING_ELSE));
    openstack::alone(root, &mut steps);
    // Their functions as they are, and their scenarios; doctests too.
    steps.command(
        "tests, plugins",
        cargo(&plugins).args(["test", "--workspace", "--no-fail-fast"]),
    );
    steps.command(
        "doctests",
        cargo(root).args(["test", "--doc"]).args(EVERYTHING_ELSE),
    );
    steps.command(
        "documentation",
        cargo(root)
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    steps
}

fn openstack_only(root: &Path) -> Steps {
    let mut steps = Steps::new("openstack");
    steps.work("guests", || guests::build(root).map(well));
    openstack::alone(root, &mut steps);
    openstack::beside_its_hosts(root, &mut steps);
    steps
}

fn in_other_languages(root: &Path) -> Steps {
    let mut steps = Steps::new("languages");
    openstack::beside_its_hosts(root, &mut steps);
    let mut built = false;
    steps.work("build", || {
        languages::build(root)?;
        built = true;
        Ok(well(()))
    });
    if !built {
        return steps;
    }
    let mut tests = test_runner(root);
    // The workspace, as in fast: alone the package would have all its crates compiled once more,
    // for other features.
    tests.args(EVERYTHING_ELSE);
    tests.args(["--features", "volward-compat/languages"]);
    tests.args(["--test", "languages", "--test", "scaffolds"]);
    if let Ok(own) = languages::own_program(root) {
        tests.env("VOLWARD_POLICY", own);
    }
    steps.command("tests", &mut tests);
    steps
}

fn system(root: &Path, name: &'static str, provider: Option<Provider>) -> Steps {
    let spec = ClusterSpec {
        provider,
        ..ClusterSpec::default()
    };
    let mut steps = Steps::new(name);
    steps.work("programs, and nodes without them", || {
        build::all_beside_nodes(root, &spec).map(well)
    });
    if name == "long" {
        steps.work("programs of 0.1.0", || build::release_0_1_0(root).map(well));
        steps.work("package, tried in a bare Debian 12", || {
            package::made_and_tried(root).map(well)
        });
        steps.work("nova, Cinder and os-brick", || {
            openstack::on_nodes(root).map(well)
        });
    }
    if !steps.ok() {
        // Nodes would run what was built some other day.
        return steps;
    }
    steps.work("nodes", || {
        Lab::open()?.prepare(&spec, Progress::shown())?;
        Ok(well(()))
    });
    let mut tests = test_runner(root);
    tests.args(["--package", "volward-system"]);
    if let Some(provider) = provider {
        tests.env(Provider::VARIABLE, provider.to_string());
    }
    if name == "long" {
        tests.args(["--features", "long"]);
    }
    // Of a test's two emulated nodes mostly one is at work: two tests keep two cores busy.
    if has_nextest() {
        tests.arg("--test-threads=2");
    } else {
        tests.args(["--", "--test-threads=2"]);
    }
    steps.command("tests", &mut tests);
    steps
}

fn well(_: ()) -> (bool, Count) {
    (true, Count::default())
}

/// cargo-nextest where it is installed: a process per test, and times.
fn test_runner(root: &Path) -> Command {
    let mut command = cargo(root);
    if has_nextest() {
        command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]);
    } else {
        command.args(["test", "--no-fail-fast"]);
    }
    command
}

fn has_nextest() -> bool {
    Command::new("cargo-nextest")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn install_deny(root: &Path) -> Result<()> {
    let tools = root.join("target/tools");
    let version = Command::new(tools.join("bin/cargo-deny"))
        .arg("--version")
        .output();
    if version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(DENY)) {
        return Ok(());
    }
    let status = cargo(root)
        .args([
            "install",
            "cargo-deny",
            "--quiet",
            // Built once for a run of a second: unoptimised it is there in half the time.
            "--debug",
            "--locked",
            "--version",
            DENY,
            "--root",
        ])
        .arg(&tools)
        // Nobody debugs it, and what is not written is not waited for.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // Its own target folder: no lock to wait for.
        .env("CARGO_TARGET_DIR", tools.join("build"))
        .status()
        .context("cannot run cargo install")?;
    if !status.success() {
        bail!("cargo-deny {DENY} could not be installed from crates.io");
    }
    Ok(())
}

fn cargo(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder);
    command
}
