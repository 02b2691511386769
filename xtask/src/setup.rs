//! `cargo xtask setup`: what this machine lacks, installed once.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use volward_system::Progress;

/// Debian packages, and what each is for.
const PACKAGES: &[(&str, &str)] = &[
    (
        "gcc-12",
        "the compiler Debian's kernel modules are built with",
    ),
    ("make", "to build the dm-clone module"),
    ("xz-utils", "to unpack the kernel's source"),
    ("kmod", "depmod, for the nodes' modules"),
    ("mmdebstrap", "to make the nodes' root file system"),
    ("erofs-utils", "to pack it"),
    ("cpio", "to pack the nodes' initrd"),
    ("qemu-system-x86", "to run nodes"),
    ("libdevmapper-dev", "the daemon's device-mapper bindings"),
    ("libclang-dev", "to generate these bindings"),
    ("clang", "the headers libclang needs for that"),
    ("pkg-config", "to find them"),
    (
        "gcc",
        "to compile SQLite, the nodes' module and a test of libsanlock's structures",
    ),
    ("libc6-dev", "its headers"),
    ("libsanlock-dev", "the header that test compares with"),
    (
        "python3-venv",
        "to fetch what checks the package for OpenStack, and what builds policies in Python",
    ),
];

/// What builds guests where rustup has no wasm target: a compiler beside its std's sources.
const WASM_PACKAGES: &[(&str, &str)] = &[
    ("rustc-web", "to compile policies to wasm"),
    ("rust-web-src", "the standard library for wasm, as source"),
    ("lld", "to link wasm"),
];

/// What makes Debian packages.
const PACKAGING: &[(&str, &str)] = &[
    ("dpkg-dev", "to build packages"),
    ("debhelper", "to make them as Debian does"),
    ("dh-python", "the same for the Python package"),
    ("lintian", "to check them"),
];

/// What builds policies in other languages, each with a file whose presence does as well: Node.js
/// is often there from elsewhere.
const LANGUAGE_PACKAGES: &[(&str, &str, &str)] = &[
    ("clang", "to compile policies in C", "/usr/bin/clang"),
    ("lld", "to link them", "/usr/bin/wasm-ld"),
    (
        "wasi-libc",
        "their C library, of which only what computes is used",
        "/usr/lib/wasm32-wasi/libc.a",
    ),
    (
        "libclang-rt-14-dev-wasm32",
        "what the compiler itself calls",
        "/usr/lib/llvm-14/lib/clang/14.0.6/lib/wasi/libclang_rt.builtins-wasm32.a",
    ),
    (
        "nodejs",
        "to run jco, which builds policies in JavaScript",
        "/usr/bin/node",
    ),
    ("npm", "to fetch jco", "/usr/bin/npm"),
];

/// Installs the missing packages; says what it does; does nothing the second time.
///
/// # Errors
/// When something is missing and this is not Debian 12, or not root; when apt fails.
pub(crate) fn run() -> Result<()> {
    install(&missing()?)
}

/// The same for what builds policies in other languages.
///
/// # Errors
/// As [`run`].
pub(crate) fn languages() -> Result<()> {
    run()?;
    let installed = installed()?;
    let missing = LANGUAGE_PACKAGES
        .iter()
        .filter(|(name, _, file)| !installed.contains(*name) && !fs::exists(file).unwrap_or(false));
    let missing: Vec<_> = missing.map(|(name, what, _)| (*name, *what)).collect();
    install(&missing)
}

/// The same for what makes Debian packages.
///
/// # Errors
/// As [`run`].
pub(crate) fn packaging() -> Result<()> {
    let installed = installed()?;
    let missing = PACKAGING
        .iter()
        .filter(|(name, _)| !installed.contains(*name));
    install(&missing.copied().collect::<Vec<_>>())
}

fn install(missing: &[(&'static str, &'static str)]) -> Result<()> {
    if missing.is_empty() && apt_knows_packages()? {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    if !is_bookworm() || !rustix::process::geteuid().is_root() {
        bail!(cannot(&names));
    }
    let progress = Progress::shown();
    progress.during("setup: apt-get update", || apt(&["update", "-q"]))?;
    for (name, purpose) in missing {
        eprintln!("  setup: {name}, {purpose}");
    }
    if names.is_empty() {
        return Ok(());
    }
    progress.during(format!("setup: install {} packages", names.len()), || {
        let mut words = vec!["install", "-q", "-y", "--no-install-recommends"];
        words.extend(names);
        apt(&words)
    })
}

/// Why this machine is not set up by us, and what to do; without names only apt's lists are missing.
fn cannot(names: &[&str]) -> String {
    if names.is_empty() {
        return "apt has no package lists on this machine, and the lab reads versions there: run \
                `apt-get update` as root"
            .to_owned();
    }
    format!(
        "this machine lacks the Debian 12 packages {}: install them, or run this on Debian 12 as root",
        names.join(" ")
    )
}

fn missing() -> Result<Vec<(&'static str, &'static str)>> {
    let installed = installed()?;
    let wasm: &[_] = if has_wasm_target()? {
        &[]
    } else {
        WASM_PACKAGES
    };
    let wanted = PACKAGES.iter().chain(wasm);
    Ok(wanted
        .filter(|(name, _)| !installed.contains(*name))
        .copied()
        .collect())
}

/// Names of all installed packages; none where there is no dpkg.
fn installed() -> Result<BTreeSet<String>> {
    let format = "--showformat=${db:Status-Status} ${Package}\\n";
    let output = match Command::new("dpkg-query").args(["--show", format]).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other.context("cannot run dpkg-query")?,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("installed "));
    Ok(names.map(str::to_owned).collect())
}

fn has_wasm_target() -> Result<bool> {
    let output = Command::new("rustc")
        .args([
            "--print",
            "target-libdir",
            "--target",
            "wasm32-unknown-unknown",
        ])
        .output()
        .context("cannot run rustc")?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success() && fs::exists(folder).unwrap_or(false))
}

/// A fresh machine (or a slimmed image) has no package lists, and the lab reads versions there.
fn apt_knows_packages() -> Result<bool> {
    if !is_bookworm() {
        // Nothing to update there; the lab itself says what it cannot find.
        return Ok(true);
    }
    let output = Command::new("apt-cache")
        .args(["show", "linux-image-amd64"])
        .output()
        .context("cannot run apt-cache")?;
    Ok(output.status.success())
}

fn is_bookworm() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.lines().any(|line| line == "VERSION_CODENAME=bookworm"))
}

fn apt(words: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        bail!(
            "`apt-get {}` failed:\n{}{}",
            words.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_install_is_told_what_is_missing() {
        let packages = cannot(&["gcc", "libc6-dev"]);
        assert!(
            packages.contains("packages gcc libc6-dev: install"),
            "{packages}"
        );
        let lists = cannot(&[]);
        assert!(
            lists.contains("apt-get update") && !lists.contains("packages :"),
            "{lists}"
        );
    }
}
