//! Builds the examples in the languages that need more than cargo:
//! `target/languages/<example>-<language>.wasm`. Each has its `build.sh`, as an author's policy
//! has; here is only when to run it, and the look at what came out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ignore::WalkBuilder;
use sha2::{Digest, Sha256};

use crate::componentize::check_imports;
use crate::{guests, setup};

const EXAMPLES: [&str; 2] = ["quiet-hours", "one-rack"];
const LANGUAGES: [&str; 3] = ["c", "javascript", "python"];

/// Builds what changed since it was built.
///
/// # Errors
/// If a tool is missing, something does not build, or it imports more than our interface.
pub(crate) fn build(root: &Path) -> Result<()> {
    setup::languages()?;
    guests::build(root)?;
    EXAMPLES.iter().try_for_each(|example| {
        let mut languages = LANGUAGES.iter();
        languages.try_for_each(|language| build_one(root, example, language))
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "people want to know how long it took"
)]
fn build_one(root: &Path, example: &str, language: &str) -> Result<()> {
    let folder = root.join("examples").join(example).join(language);
    let target = root.join("target/languages");
    let name = format!("{example}-{language}");
    let out = target.join(format!("{name}.wasm"));
    // What it was built from is noted beside it: these compilers take long, and what they make
    // differs from time to time.
    let stamp = out.with_extension("from");
    let sources = digest(&inputs(root, &folder)?)?;
    if out.is_file() && fs::read_to_string(&stamp).is_ok_and(|was| was == sources) {
        println!("languages: {} unchanged", out.display());
        return Ok(());
    }
    fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
    println!("languages: {name}");
    let begun = Instant::now();
    let made = target.join(format!("{name}.new"));
    let status = Command::new(folder.join("build.sh"))
        .arg(&made)
        // The examples' own: what builds one builds the other.
        .env("VOLWARD_TOOLS", target.join(language))
        // The C build ends with it, and here is all it needs of it: no compiler is built for that.
        .env("VOLWARD_POLICY", own_program(root)?)
        .status()
        .with_context(|| format!("cannot run build.sh in {}", folder.display()))?;
    ensure!(status.success(), "{name} does not build: see above");
    let component = fs::read(&made).with_context(|| made.display().to_string())?;
    fs::remove_file(&made).with_context(|| made.display().to_string())?;
    check_imports(&component).with_context(|| name.clone())?;
    guests::place(&component, &out)?;
    let seconds = begun.elapsed().as_secs();
    println!("languages: {name} built in {seconds} s");
    fs::write(&stamp, sources).with_context(|| stamp.display().to_string())
}

/// This program, where it stays: its own file is replaced when a step before has built it anew.
pub(crate) fn own_program(root: &Path) -> Result<PathBuf> {
    let kept = root.join("target/tools/xtask");
    let folder = root.join("target/tools");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Through the kernel's own link, which leads to it even when it has no name any more.
    fs::copy("/proc/self/exe", &kept).with_context(|| kept.display().to_string())?;
    Ok(kept)
}

/// What a build depends on: the folder's own files, not what was generated, and the interface.
fn inputs(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    // As git would list them, also where there is no git, as in an archive of the sources.
    let mut files = Vec::new();
    for entry in WalkBuilder::new(folder)
        .hidden(false)
        .require_git(false)
        .build()
    {
        let entry = entry.with_context(|| folder.display().to_string())?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            files.push(entry.into_path());
        }
    }
    ensure!(!files.is_empty(), "no sources in {}", folder.display());
    files.push(root.join("wit/policy.wit"));
    files.sort();
    Ok(files)
}

fn digest(files: &[PathBuf]) -> Result<String> {
    let mut all = Sha256::new();
    for path in files {
        let content = fs::read(path).with_context(|| path.display().to_string())?;
        let (name, length) = (path.file_name().unwrap_or_default(), content.len());
        all.update(format!("{} {length}\n", name.to_string_lossy()));
        all.update(&content);
    }
    Ok(all.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_names_and_contents() {
        let folder = std::env::temp_dir().join(format!("volward-digest-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let one = digest(&[write("a", "x"), write("b", "y")]).unwrap();
        assert_eq!(one, digest(&[write("a", "x"), write("b", "y")]).unwrap());
        assert_ne!(one, digest(&[write("a", "xy"), write("b", "")]).unwrap());
        assert_ne!(one, digest(&[write("a", "x"), write("c", "y")]).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn every_example_has_a_script_for_every_language() {
        for example in EXAMPLES {
            for name in LANGUAGES {
                let folder = root().join("examples").join(example).join(name);
                let files = inputs(&root(), &folder).unwrap();
                let has = files.iter().any(|f| f.ends_with("build.sh"));
                assert!(has, "{example} in {name}");
            }
        }
    }

    /// What the examples are built with is said once for all, but for the name and the world; and as
    /// the lock file is the same, tools are fetched once.
    #[test]
    fn examples_are_built_alike() {
        let examples = root().join("examples");
        let read = |path: &str| fs::read_to_string(examples.join(path)).unwrap();
        for file in [
            "c/.gitignore",
            "c/build.sh",
            "javascript/.gitignore",
            "javascript/build.sh",
            "javascript/componentize.mjs",
            "javascript/package.json",
            "javascript/package-lock.json",
            "javascript/tsconfig.json",
            "javascript/types.mjs",
            "python/.gitignore",
            "python/build.sh",
            "python/requirements.txt",
        ] {
            let ours = read(&format!("quiet-hours/{file}"));
            let expected = ours
                .replace("\nworld=policy\n", "\nworld=migration-policy\n")
                .replace("quiet-hours", "one-rack")
                .replace(
                    "Keeps the LUN quiet at certain hours",
                    "Keeps an instance within its rack",
                );
            assert_eq!(read(&format!("one-rack/{file}")), expected, "{file}");
        }
    }
}
