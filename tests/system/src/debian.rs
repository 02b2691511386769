//! Debian's archive, as this machine is set up to reach it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cache::{Cache, Recipe};
use crate::command::run;
use crate::error::IoContext;
use crate::{LabError, Result};

/// The release nodes are made of; the machine's own must be the same, because its kernel headers,
/// compiler and apt keys are used.
pub(crate) const RELEASE: &str = "bookworm";

/// The machine's own Debian sources as `deb ...` lines, other vendors' left out.
pub(crate) fn sources() -> Result<Vec<String>> {
    let targets = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(CODENAME)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let lines: BTreeSet<String> = targets.lines().filter_map(source_line).collect();
    if lines.is_empty() {
        return Err(LabError::Machine(format!(
            "apt knows no Debian {RELEASE} packages: `cargo xtask setup` runs apt-get update"
        )));
    }
    Ok(lines.into_iter().collect())
}

fn source_line(target: &str) -> Option<String> {
    let mut fields = target.split('|');
    let (origin, codename) = (fields.next()?, fields.next()?);
    let (release, component, uri) = (fields.next()?, fields.next()?, fields.next()?);
    (origin == "Debian" && codename.starts_with(RELEASE))
        .then(|| format!("deb {uri} {release} {component}"))
}

/// What nodes would be made of now.
#[derive(Debug, Clone)]
pub(crate) struct Versions {
    /// `name=version` lines of the packages.
    pub(crate) packages: String,
    pub(crate) kernel: KernelVersion,
}

impl Versions {
    /// Asks apt; or, as that takes seconds, remembers what it said for the same package lists.
    pub(crate) fn current(cache: &Cache, packages: &[&str]) -> Result<Self> {
        let mut recipe = Recipe::new("versions", 1).with(&packages.join(" "));
        for list in lists()? {
            recipe = recipe.with(&list);
        }
        let folder = cache.entry("versions", &recipe.key(), |folder| {
            let kernel = KernelVersion::stock()?;
            let words = [&kernel.release, " ", &kernel.package].concat();
            for (name, text) in [("packages", candidates(packages)?), ("kernel", words)] {
                fs::write(folder.join(name), text).at("write", folder)?;
            }
            Ok(())
        })?;
        let read = |name| fs::read_to_string(folder.join(name)).at("read", &folder);
        let (packages, kernel) = (read("packages")?, read("kernel")?);
        let (release, package) = kernel.split_once(' ').unwrap_or((&kernel, ""));
        Ok(Self {
            packages,
            kernel: KernelVersion {
                release: release.to_owned(),
                package: package.to_owned(),
            },
        })
    }
}

/// apt's package lists, each with size and time: they change with `apt-get update` only.
fn lists() -> Result<Vec<String>> {
    let folder = Path::new("/var/lib/apt/lists");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let data = entry.metadata().at("look at", &entry.path())?;
        let modified = data.modified().at("look at", &entry.path())?;
        if data.is_file() {
            found.push(format!(
                "{:?} {} {modified:?}",
                entry.file_name(),
                data.len()
            ));
        }
    }
    found.sort();
    Ok(found)
}

/// The versions apt would install, as `name=version` lines, in the order asked.
fn candidates(packages: &[&str]) -> Result<String> {
    let policy = run(Command::new("apt-cache")
        .arg("policy")
        .args(packages)
        .env("LC_ALL", "C"))?;
    let mut found = Vec::new();
    let mut name = "";
    for line in policy.lines() {
        if let Some(version) = line.trim().strip_prefix("Candidate: ") {
            found.push(format!("{name}={version}"));
        } else if !line.starts_with(' ') {
            name = line.trim_end_matches(':');
        }
    }
    if found.len() == packages.len() && !found.iter().any(|line| line.ends_with("=(none)")) {
        return Ok(found.join("\n"));
    }
    Err(LabError::Machine(format!(
        "apt does not know all packages a node is made of; found only:\n{}",
        found.join("\n")
    )))
}

/// A kernel in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelVersion {
    /// As `uname -r` says: `6.1.0-56-amd64`.
    pub(crate) release: String,
    /// The packages' version: `6.1.192-2`.
    pub(crate) package: String,
}

impl KernelVersion {
    /// The stock kernel that `linux-image-amd64` stands for now.
    fn stock() -> Result<Self> {
        let shown = run(Command::new("apt-cache").args([
            "show",
            "--no-all-versions",
            "linux-image-amd64",
        ]))?;
        Self::from_depends(&shown).ok_or_else(|| {
            LabError::Machine(format!(
                "cannot read the kernel's version from linux-image-amd64:\n{shown}"
            ))
        })
    }

    fn from_depends(shown: &str) -> Option<Self> {
        let depends = shown
            .lines()
            .find_map(|line| line.strip_prefix("Depends: "))?;
        let (name, rest) = depends.split_once(" (= ")?;
        Some(Self {
            release: name.strip_prefix("linux-image-")?.to_owned(),
            package: rest.split_once(')')?.0.to_owned(),
        })
    }

    /// `package=version` for apt: of this very version, or else the newest of the same sources.
    ///
    /// # Errors
    /// When apt knows neither.
    pub(crate) fn closest(&self, package: &str) -> Result<String> {
        let known = run(Command::new("apt-cache").args(["madison", package]))?;
        let version = self.closest_in(&known).ok_or_else(|| {
            LabError::Machine(format!(
                "apt has no {package} for the kernel {}: `apt-get update`, or wait until the archive has it",
                self.package
            ))
        })?;
        Ok(format!("{package}={version}"))
    }

    /// Of what `apt-cache madison` says, newest first.
    fn closest_in<'a>(&self, known: &'a str) -> Option<&'a str> {
        let versions = || known.lines().filter_map(|line| line.split('|').nth(1));
        let versions = || versions().map(str::trim);
        let sources = |version: &'a str| version.rsplit_once('-').map(|(sources, _)| sources);
        let own = self.package.rsplit_once('-').map(|(sources, _)| sources);
        versions()
            .find(|version| *version == self.package)
            .or_else(|| versions().find(|version| own.is_some() && sources(version) == own))
    }

    /// `6.1.0-56`, in the names of the packages.
    pub(crate) fn abi(&self) -> &str {
        self.release.trim_end_matches("-amd64")
    }

    /// `6.1`, in the names of the packages.
    pub(crate) fn series(&self) -> String {
        self.release
            .split('.')
            .take(2)
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// Downloads `package=version` files into `folder` without installing them.
pub(crate) fn download(packages: &[String], folder: &Path) -> Result<()> {
    // Without the sandbox option apt warns that its own user may not write here.
    run(Command::new("apt-get")
        .args(["download", "-q", "-o", "APT::Sandbox::User=root"])
        .args(packages)
        .current_dir(folder))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_vendors_sources_are_left_out() {
        let debian = "Debian|bookworm|bookworm-updates|main|http://archive.example/debian/";
        assert_eq!(
            source_line(debian).unwrap(),
            "deb http://archive.example/debian/ bookworm-updates main"
        );
        assert_eq!(
            source_line("Node|nodistro|nodistro|main|https://n.example/"),
            None
        );
        assert_eq!(
            source_line("Debian|trixie|trixie|main|http://a.example/"),
            None
        );
    }

    #[test]
    fn what_the_archive_has_of_one_version_only_is_taken_of_the_same_sources() {
        let kernel = KernelVersion {
            release: "6.1.0-56-amd64".to_owned(),
            package: "6.1.192-2".to_owned(),
        };
        let newer =
            "kbuild | 6.1.192-3 | http://a.example x\nkbuild | 6.1.176-1 | http://a.example x\n";
        assert_eq!(kernel.closest_in(newer), Some("6.1.192-3"));
        let both = format!("{newer}kbuild | 6.1.192-2 | http://a.example x\n");
        assert_eq!(kernel.closest_in(&both), Some("6.1.192-2"));
        assert_eq!(kernel.closest_in("kbuild | 6.1.193-1 | x\n"), None);
    }

    #[test]
    fn kernel_version_comes_from_the_meta_package() {
        let shown =
            "Package: linux-image-amd64\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n";
        let version = KernelVersion::from_depends(shown).unwrap();
        assert_eq!(version.release, "6.1.0-56-amd64");
        assert_eq!(version.package, "6.1.192-2");
        assert_eq!(version.abi(), "6.1.0-56");
        assert_eq!(version.series(), "6.1");
    }
}
