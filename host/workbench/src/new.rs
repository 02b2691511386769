//! `volward-policy new`: a folder with a small policy that builds at once, with its scenarios, its
//! settings and everything of ours it needs. What is the same in `examples/quiet-hours` is taken
//! from there, with the name and the world replaced.

mod files;
mod hook;

pub use hook::Hook;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// What is replaced by the policy's name.
const EXAMPLE: &str = "quiet-hours";
/// What is replaced by the hook's world: the line of `build.sh` that names it.
const EXAMPLES_WORLD: &str = "\nworld=policy\n";
/// Where the interface is, seen from an example.
const EXAMPLES_WIT: &str = "../../../wit/policy.wit";

/// What to make.
#[derive(Clone, Debug, clap::Args)]
pub struct New {
    /// The policy's name, and its folder's: lower-case letters, digits and dashes
    pub name: String,
    /// What to write it in
    #[arg(long, value_enum)]
    pub language: Language,
    /// Which hook it has; `lifecycle` comes with each
    #[arg(long, default_value = "attach", value_parser = hook::Read)]
    pub hook: Hook,
    /// Where to make the folder
    #[arg(long, default_value = ".")]
    pub into: PathBuf,
}

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With the SDK; tested without being built for wasm
    Rust,
    /// 18 MB, some milliseconds for each decision
    Python,
    /// 12 MB, a millisecond or more
    Javascript,
    /// The smallest and quickest, with everything by hand
    C,
}

const README: &str = include_str!("../templates/README.md");

impl Language {
    /// How its scenarios are run, for the README.
    fn test(self) -> &'static str {
        match self {
            Self::Rust => "`cargo test` runs them, without building anything for wasm.",
            Self::Python | Self::Javascript | Self::C => {
                "They are a stream of JSON values, in the form of Volward's decision records."
            }
        }
    }

    /// What its tools need, for the README: the example's own, which says what one has to know.
    fn notes(self) -> &'static str {
        let readme = match self {
            Self::Rust => {
                return "`vendor/` is the SDK's source, and of what it builds on: they are on no registry. `build.sh` uses rustup's wasm target where it is\ninstalled, and Debian's `rustc-web`, `rust-web-src` and `lld` elsewhere.";
            }
            Self::Python => include_str!("../../../examples/quiet-hours/python/README.md"),
            Self::Javascript => include_str!("../../../examples/quiet-hours/javascript/README.md"),
            Self::C => include_str!("../../../examples/quiet-hours/c/README.md"),
        };
        readme.split_once("\n\n").map_or(readme, |(_, rest)| rest)
    }
}

impl New {
    /// Makes the folder; what to say to its author.
    ///
    /// # Errors
    /// If the name will not do, the folder is there already, or it cannot be written.
    pub fn make(&self) -> Result<String> {
        check_name(&self.name)?;
        let folder = self.into.join(&self.name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (path, content) in files::files(self.language, self.hook) {
            self.write(&folder, path, content)?;
        }
        let readme = README
            .replace("@DOES@", self.hook.does())
            .replace("@TEST@", self.language.test())
            .replace("@LANGUAGE@", self.language.notes().trim_end());
        // What the example has in one file.
        let readme = readme.replace(
            "`quiet_hours.c` is the policy.",
            "`policy.c` is the policy, `settings.c` reads its configuration.",
        );
        self.write(&folder, "README.md", &readme)?;
        let (name, folder) = (&self.name, folder.display());
        Ok(format!(
            "{folder} is there. Next:\n    cd {folder}\n    ./build.sh\n    volward-policy check {name}.wasm\n"
        ))
    }

    fn write(&self, folder: &Path, path: &str, content: &str) -> Result<()> {
        // The SDK is taken as it is, but for what only our own tests of it need.
        let content = if path.starts_with("vendor/") {
            let (kept, _) = content
                .split_once("\n[dev-dependencies]")
                .unwrap_or((content, ""));
            kept.to_owned()
        } else {
            content
                .replace(EXAMPLES_WIT, "wit/policy.wit")
                .replace(EXAMPLES_WORLD, &format!("\nworld={}\n", self.hook.world()))
                .replace("@PREFIX@", self.hook.prefix())
                .replace(EXAMPLE, &self.name)
                .replace(
                    "Keeps the LUN quiet at certain hours",
                    "A policy for Volward",
                )
        };
        let path = folder.join(path.replace(EXAMPLE, &self.name));
        let failed = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(failed)?;
        }
        fs::write(&path, content).with_context(failed)?;
        if path.extension().is_some_and(|ending| ending == "sh") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).with_context(failed)?;
        }
        Ok(())
    }
}

/// What every one of cargo, npm and the policies folder takes for a name.
fn check_name(name: &str) -> Result<()> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || !name.chars().all(letters) || name.len() > 60 || name == "baseline" {
        bail!(
            "{name:?} cannot be a policy's name: a letter, then lower-case letters, digits and dashes, 60 at most, and not `baseline`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
