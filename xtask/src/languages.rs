//! Builds the policy of `examples/quiet-hours` in the languages that need more than cargo:
//! `target/languages/quiet-hours-<language>.wasm`. Each has its `build.sh`, as an author's policy
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

const LANGUAGES: [&str; 3] = ["c", "javascript", "python"];

/// Builds what changed since it was built.
///
/// # Errors
/// If a tool is missing, something does not build, or it imports more than our interface.
pub(crate) fn build(root: &Path) -> Result<()> {
    setup::languages()?;
    guests::build(root)?;
    LANGUAGES.iter().try_for_each(|name| language(root, name))
}

#[expect(
    clippy::disallowed_methods,
    reason = "people want to know how long it took"
)]
fn language(root: &Path, name: &str) -> Result<()> {
    let folder = root.join("examples/quiet-hours").join(name);
    let target = root.join("target/languages");
    let out = target.join(format!("quiet-hours-{name}.wasm"));
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
        .env("VOLWARD_TOOLS", target.join(name))
        // The C build ends with it, and here is all it needs of it: no compiler is built for that.
        .env("VOLWARD_POLICY", own_program(root)?)
        .status()
        .with_context(|| format!("cannot run build.sh in {}", folder.display()))?;
    ensure!(status.success(), "{name} does not build: see above");
    let component = fs::read(&made).with_context(|| made.display().to_string())?;
    fs::remove_file(&made).with_context(|| made.display().to_string())?;
    check_imports(&component).with_context(|| format!("quiet-hours in {name}"))?;
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

    #[test]
    fn every_language_has_a_script() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in LANGUAGES {
            let folder = root.join("examples/quiet-hours").join(name);
            let files = inputs(&root, &folder).unwrap();
            assert!(files.iter().any(|f| f.ends_with("build.sh")), "{name}");
        }
    }
}
