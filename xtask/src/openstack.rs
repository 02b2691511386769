//! The Python package in openstack/: its tools are kept below target/openstack, fetched when the file that
//! names their versions changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use volward_system::Progress;

use crate::steps::{Count, Steps};

/// What fetches the rest. Apache-2.0 or MIT.
const UV: &str = "uv==0.13.9";

/// Lints, types and tests, against the daemon over storage in memory; needs neither nova, nor Cinder, nor os-brick.
pub(crate) fn alone(root: &Path, steps: &mut Steps) {
    let mut ready = None;
    steps.work("openstack: tools", || {
        ready = Some((Tools::fetch(root, "tools")?, fake_daemon(root)?));
        Ok((true, Count::default()))
    });
    let Some((tools, fake)) = ready else { return };
    for (step, words) in [
        ("openstack: lints", &["ruff", "check", "."][..]),
        ("openstack: fmt", &["ruff", "format", "--check", "."]),
        ("openstack: types", &["mypy"]),
    ] {
        steps.command(step, tools.module(words).env("RUFF_NO_CACHE", "true"));
    }
    let mut tests = tools.tests("--ignore=tests/hosts", &fake);
    steps.command("openstack: tests", &mut tests);
}

/// The tests beside the newest nova, Cinder and os-brick that PyPI has, and beside those of Debian 12, with the package
/// installed as a wheel.
pub(crate) fn beside_its_hosts(root: &Path, steps: &mut Steps) {
    for (name, whose) in [("hosts", "the newest"), ("zed", "Debian 12's")] {
        let mut ready = None;
        let step = format!("openstack: {whose} nova, Cinder and os-brick");
        steps.work(&step, || {
            let tools = Tools::fetch(root, name)?;
            tools.install(root)?;
            ready = Some((tools, fake_daemon(root)?));
            Ok((true, Count::default()))
        });
        let Some((tools, fake)) = ready else { continue };
        let mut tests = tools.tests("tests/hosts", &fake);
        let step = format!("openstack: tests beside {whose} nova, Cinder and os-brick");
        steps.command(&step, &mut tests);
    }
}

/// What emulated nodes run of nova, Cinder and os-brick, with the package: they see it below /host/openstack, read
/// only. What is imported is compiled here, as a node cannot keep it, and takes many times as long.
pub(crate) fn on_nodes(root: &Path) -> Result<()> {
    let tools = Tools::fetch(root, "hosts")?;
    tools.install(root)?;
    run(Command::new(&tools.python)
        .args(["-m", "compileall", "-q", "-x", "/tests?/"])
        .arg(root.join("target/openstack/hosts/lib")))
}

/// Builds the daemon over storage in memory, with the features that the tests' own build has: no crate is
/// compiled once more for it.
fn fake_daemon(root: &Path) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .current_dir(root)
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--exclude",
            "volward-system",
        ])
        // The command line too: its audit is given lists of the real Cinder's.
        .args(["--bin", "volwardd-fake", "--bin", "volward"])
        .args(["--test", "serves"])
        .status()
        .context("cannot run cargo build")?;
    ensure!(status.success(), "volwardd-fake does not build");
    Ok(root.join("target/debug/volwardd-fake"))
}

/// A folder of Python packages.
struct Tools {
    python: PathBuf,
    package: PathBuf,
}

impl Tools {
    /// Those of `openstack/requirements/NAME.txt`.
    fn fetch(root: &Path, name: &str) -> Result<Self> {
        let package = root.join("openstack");
        let wanted = package.join("requirements").join(format!("{name}.txt"));
        let folder = root.join("target/openstack").join(name);
        let tools = Self {
            python: folder.join("bin/python"),
            package,
        };
        // Noted last: what was interrupted is fetched again.
        let stamp = folder.join("requirements.txt");
        let text = fs::read(&wanted).with_context(|| wanted.display().to_string())?;
        if fs::read(&stamp).is_ok_and(|was| was == text) {
            return Ok(tools);
        }
        Progress::shown().during(format!("openstack: fetch {name}"), || {
            run(Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder))?;
            tools.install_all(&wanted)
        })?;
        fs::write(&stamp, text).with_context(|| stamp.display().to_string())?;
        Ok(tools)
    }

    /// By uv, which fetches side by side; by pip where uv cannot: it does not read pip's configuration, which may
    /// name another index.
    fn install_all(&self, wanted: &Path) -> Result<()> {
        let mut uv = Command::new(&self.python);
        uv.args(["-m", "uv", "pip", "install", "--quiet", "--no-cache"])
            .arg("--python")
            .arg(&self.python)
            .arg("--requirement")
            .arg(wanted);
        let fetched = run(self.pip().args(["install", UV])).and_then(|()| run(&mut uv));
        let Err(error) = fetched else {
            return Ok(());
        };
        eprintln!("openstack: uv fetches nothing here, pip does ({error:#})");
        // What is imported is compiled then, which is a third of it.
        run(self
            .pip()
            .args(["install", "--no-compile", "--requirement"])
            .arg(wanted))
    }

    fn pip(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
        command
    }

    /// The package, as a wheel, into this folder: what nova finds below its own is a file of it.
    fn install(&self, root: &Path) -> Result<()> {
        let built = root.join("target/openstack/wheel");
        if built.is_dir() {
            fs::remove_dir_all(&built).with_context(|| built.display().to_string())?;
        }
        // The setuptools of Debian 12's set are older than the package's own words.
        let builder = Self::fetch(root, "hosts")?;
        run(Command::new(&builder.python)
            .current_dir(&self.package)
            .env("PYTHONPYCACHEPREFIX", self.beside("bytecode"))
            .args(["-m", "tests.wheel"])
            .arg(&built))?;
        let wheels = fs::read_dir(&built).with_context(|| built.display().to_string())?;
        let wheels: Vec<PathBuf> = wheels.flatten().map(|entry| entry.path()).collect();
        ensure!(wheels.len() == 1, "one wheel is built, not {wheels:?}");
        run(self
            .pip()
            .args(["install", "--no-deps", "--force-reinstall"])
            .args(wheels))
    }

    /// A tool that is a module, in the package's folder.
    fn module(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command
            .current_dir(&self.package)
            // The sources stay as they are.
            .env("PYTHONPYCACHEPREFIX", self.beside("bytecode"))
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env("MYPY_CACHE_DIR", self.beside("mypy"))
            .arg("-m")
            .args(words);
        command
    }

    fn tests(&self, which: &str, fake: &Path) -> Command {
        let mut command = self.module(&["pytest", "-p", "no:cacheprovider", which]);
        command
            // nova, Cinder and os-brick are not ours to mend.
            .args(["-W", "ignore::DeprecationWarning"])
            // Nothing is left out here for want of something.
            .env("VOLWARD_TESTS_COMPLETE", "1")
            .env("VOLWARD_FAKE_DAEMON", fake);
        command
    }

    /// A folder of what is made meanwhile, below target/openstack.
    fn beside(&self, name: &str) -> PathBuf {
        self.package.join("../target/openstack").join(name)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
