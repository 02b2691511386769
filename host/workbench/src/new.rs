//! `volward-policy new`: a folder with a small policy that builds at once, with its scenarios, its
//! settings and everything of ours it needs. What is the same in `examples/quiet-hours` is taken
//! from there, with the name replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// What is replaced by the policy's name.
const EXAMPLE: &str = "quiet-hours";
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

/// Path in the new folder, and content.
type File = (&'static str, &'static str);

/// Files whose text is taken as it is but for the name.
macro_rules! files {
    ($($path:literal from $source:literal),+ $(,)?) => {
        &[$(($path, include_str!($source))),+]
    };
}

const COMMON: &[File] = files![
    "scenarios/quiet-hours.jsonl" from "../templates/scenarios.jsonl",
    "quiet-hours.toml" from "../templates/settings.toml",
    "wit/policy.wit" from "../../../wit/policy.wit",
];

const RUST: &[File] = files![
    ".gitignore" from "../templates/rust/gitignore",
    "Cargo.toml" from "../templates/rust/Cargo.toml",
    "build.sh" from "../templates/rust/build.sh",
    "src/lib.rs" from "../templates/rust/lib.rs",
    "vendor/record/Cargo.toml" from "../../record/Cargo.toml",
    "vendor/record/src/answer.rs" from "../../record/src/answer.rs",
    "vendor/record/src/attachment.rs" from "../../record/src/attachment.rs",
    "vendor/record/src/decision.rs" from "../../record/src/decision.rs",
    "vendor/record/src/facts.rs" from "../../record/src/facts.rs",
    "vendor/record/src/facts/disk.rs" from "../../record/src/facts/disk.rs",
    "vendor/record/src/facts/operation.rs" from "../../record/src/facts/operation.rs",
    "vendor/record/src/home.rs" from "../../record/src/home.rs",
    "vendor/record/src/ids.rs" from "../../record/src/ids.rs",
    "vendor/record/src/lib.rs" from "../../record/src/lib.rs",
    "vendor/record/src/mask.rs" from "../../record/src/mask.rs",
    "vendor/record/src/mask/vocabulary.txt" from "../../record/src/mask/vocabulary.txt",
    "vendor/record/src/mask/words.rs" from "../../record/src/mask/words.rs",
    "vendor/record/src/scenario.rs" from "../../record/src/scenario.rs",
    "vendor/record/src/scenario/beside.rs" from "../../record/src/scenario/beside.rs",
    "vendor/record/src/scenario/compare.rs" from "../../record/src/scenario/compare.rs",
    "vendor/record/src/scenario/tests.rs" from "../../record/src/scenario/tests.rs",
    "vendor/record/src/scenario/whole.rs" from "../../record/src/scenario/whole.rs",
    "vendor/record/src/units.rs" from "../../record/src/units.rs",
    "vendor/sdk/Cargo.toml" from "../../../plugins/sdk/Cargo.toml",
    "vendor/sdk/src/answer.rs" from "../../../plugins/sdk/src/answer.rs",
    "vendor/sdk/src/bindings.rs" from "../../../plugins/sdk/src/bindings.rs",
    "vendor/sdk/src/bridge.rs" from "../../../plugins/sdk/src/bridge.rs",
    "vendor/sdk/src/config/mod.rs" from "../../../plugins/sdk/src/config/mod.rs",
    "vendor/sdk/src/config/reader.rs" from "../../../plugins/sdk/src/config/reader.rs",
    "vendor/sdk/src/fact.rs" from "../../../plugins/sdk/src/fact.rs",
    "vendor/sdk/src/facts.rs" from "../../../plugins/sdk/src/facts.rs",
    "vendor/sdk/src/handles.rs" from "../../../plugins/sdk/src/handles.rs",
    "vendor/sdk/src/lib.rs" from "../../../plugins/sdk/src/lib.rs",
    "vendor/sdk/src/log.rs" from "../../../plugins/sdk/src/log.rs",
    "vendor/sdk/src/scenario/mod.rs" from "../../../plugins/sdk/src/scenario/mod.rs",
    "vendor/sdk/src/scenario/tests.rs" from "../../../plugins/sdk/src/scenario/tests.rs",
    "vendor/sdk/src/scenario/words.rs" from "../../../plugins/sdk/src/scenario/words.rs",
];

const PYTHON: &[File] = files![
    ".gitignore" from "../../../examples/quiet-hours/python/.gitignore",
    "app.py" from "../templates/python/app.py",
    "build.sh" from "../../../examples/quiet-hours/python/build.sh",
    "requirements.txt" from "../../../examples/quiet-hours/python/requirements.txt",
];

const JAVASCRIPT: &[File] = files![
    ".gitignore" from "../../../examples/quiet-hours/javascript/.gitignore",
    "build.sh" from "../../../examples/quiet-hours/javascript/build.sh",
    "componentize.mjs" from "../../../examples/quiet-hours/javascript/componentize.mjs",
    "package-lock.json" from "../../../examples/quiet-hours/javascript/package-lock.json",
    "package.json" from "../../../examples/quiet-hours/javascript/package.json",
    "policy.js" from "../templates/javascript/policy.js",
    "tsconfig.json" from "../../../examples/quiet-hours/javascript/tsconfig.json",
    "types.mjs" from "../../../examples/quiet-hours/javascript/types.mjs",
];

const C: &[File] = files![
    ".gitignore" from "../../../examples/quiet-hours/c/.gitignore",
    "bindings/policy.c" from "../../../examples/quiet-hours/c/bindings/policy.c",
    "bindings/policy.h" from "../../../examples/quiet-hours/c/bindings/policy.h",
    "build.sh" from "../../../examples/quiet-hours/c/build.sh",
    "policy.c" from "../templates/c/policy.c",
];

const README: &str = include_str!("../templates/README.md");

impl Language {
    fn files(self) -> &'static [File] {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::Javascript => JAVASCRIPT,
            Self::C => C,
        }
    }

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
        for (path, content) in COMMON.iter().chain(self.language.files()) {
            self.write(&folder, path, content)?;
        }
        let readme = README
            .replace("@TEST@", self.language.test())
            .replace("@LANGUAGE@", self.language.notes().trim_end());
        // What the example calls its own file.
        let readme = readme.replace("`quiet_hours.c`", "`policy.c`");
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
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn make(language: Language, into: &Path) -> Result<String> {
        let (name, into) = ("my-policy".to_owned(), into.to_owned());
        New {
            name,
            language,
            into,
        }
        .make()
    }

    /// Paths under a folder, relative to it.
    fn paths(folder: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(folder).unwrap();
                    found.insert(path.display().to_string());
                }
            }
        }
        found
    }

    #[test]
    fn every_language_gets_a_folder_under_its_own_name() {
        for language in Language::value_variants() {
            let into = tempfile::tempdir().unwrap();
            let said = make(*language, into.path()).unwrap();
            assert!(
                said.contains("volward-policy check my-policy.wasm"),
                "{said}"
            );
            let folder = into.path().join("my-policy");
            for path in paths(&folder) {
                let text = fs::read_to_string(folder.join(&path)).unwrap();
                for word in [EXAMPLE, "quiet_hours", EXAMPLES_WIT, "@TEST@", "@LANGUAGE@"] {
                    assert!(!text.contains(word), "{language:?}: {word} is in {path}");
                }
            }
            let mode = fs::metadata(folder.join("build.sh")).unwrap().permissions();
            assert_eq!(mode.mode() & 0o111, 0o111);
        }
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let into = tempfile::tempdir().unwrap();
        fs::create_dir(into.path().join("my-policy")).unwrap();
        assert!(make(Language::C, into.path()).is_err());
        assert!(paths(into.path()).is_empty());
    }

    /// Tools are fetched when the lock file changes: a name in it would fetch them for each policy.
    #[test]
    fn the_lock_file_is_the_same_for_all() {
        let into = tempfile::tempdir().unwrap();
        make(Language::Javascript, into.path()).unwrap();
        let (_, content) = JAVASCRIPT
            .iter()
            .find(|(path, _)| *path == "package-lock.json")
            .unwrap();
        let made = into.path().join("my-policy/package-lock.json");
        assert_eq!(fs::read_to_string(made).unwrap(), *content);
    }

    #[test]
    fn a_name_must_do_everywhere() {
        for name in [
            "",
            "-a",
            "1a",
            "a_b",
            "A",
            "a b",
            "../a",
            "a/b",
            "baseline",
            &"a".repeat(61),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["a", "no-test-machines", "v2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_whole_sdk_comes_along() {
        let into = tempfile::tempdir().unwrap();
        make(Language::Rust, into.path()).unwrap();
        for (vendored, ours) in [
            ("vendor/sdk", "../../plugins/sdk"),
            ("vendor/record/src", "../record/src"),
        ] {
            let vendored = paths(&into.path().join("my-policy").join(vendored));
            let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(ours);
            assert_eq!(vendored, paths(&ours));
        }
        let manifest = into.path().join("my-policy/vendor/record/Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        assert!(!manifest.contains("volward-samples"), "{manifest}");
    }

    #[test]
    fn what_the_sdk_takes_from_its_workspace_is_the_same() {
        let read = |path: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            fs::read_to_string(path).unwrap()
        };
        let theirs = read("templates/rust/Cargo.toml");
        let (plugins, host) = ("../../plugins/Cargo.toml", "../../Cargo.toml");
        for (ours, key) in [
            (plugins, "wit-bindgen = "),
            (plugins, "edition = "),
            (plugins, "rust-version = "),
            (plugins, "opt-level = "),
            (host, "serde = "),
            (host, "thiserror = "),
            (host, "uuid = "),
        ] {
            let ours = read(ours);
            let line = |text: &str| {
                let found = text.lines().find(|line| line.starts_with(key));
                found.map(str::to_owned)
            };
            assert!(line(&ours).is_some(), "{key}");
            assert_eq!(line(&ours), line(&theirs));
        }
    }
}
