//! The packages on a bare Debian 12: installed by apt, used, removed and purged.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Version;

/// Runs in it as root. Everything it needs is in the packages or in what they depend on.
const CHECK: &str = include_str!("bare.sh");

/// Makes a bare system, has apt install the packages there, and runs [`CHECK`].
pub(super) fn check(root: &Path, packages: &[PathBuf], version: &Version) -> Result<()> {
    let script = root.join("target/package/bare.sh");
    std::fs::write(&script, CHECK).with_context(|| script.display().to_string())?;
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--mode=root", "--variant=minbase"])
        .args(["--dpkgopt=force-unsafe-io", "--include=man-db,bash"])
        .arg("--aptopt=Apt::Install-Recommends \"false\"")
        .arg("--format=null")
        .arg("--skip=check/empty");
    // Whatever installs or removes runs within `chroot`. mmdebstrap's own apt configuration, outside of it, says
    // where lists and status are, and not where dpkg unpacks: that would be this machine.
    let hook = |words: &str| format!("--customize-hook={words}");
    let files: Vec<String> = packages
        .iter()
        .map(|path| format!("'{}'", path.display()))
        .collect();
    command
        .arg(hook("mkdir -p \"$1/root/debs\""))
        .arg(hook(&format!(
            "cp {} '{}' \"$1/root/debs/\"",
            files.join(" "),
            script.display()
        )))
        .arg(hook(&format!(
            "env VERSION='{}' DEBIAN='{}' chroot \"$1\" sh -eu /root/debs/bare.sh",
            version.cargo, version.debian
        )))
        .args(["bookworm", "/dev/null", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run mmdebstrap")?;
    if let Some(mut stdin) = child.stdin.take() {
        let sources = volward_system::debian_sources()?.join("\n") + "\n";
        stdin
            .write_all(sources.as_bytes())
            .context("cannot write to mmdebstrap")?;
    }
    let output = child
        .wait_with_output()
        .context("cannot wait for mmdebstrap")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let steps = said.lines().chain(complained.lines());
    let steps: Vec<&str> = steps.filter_map(|line| line.strip_prefix("ok: ")).collect();
    if !output.status.success() || !steps.contains(&"purged") {
        bail!("the packages do not work on a bare Debian 12:\n{said}{complained}");
    }
    for step in steps {
        println!("  ok  {step}");
    }
    Ok(())
}
