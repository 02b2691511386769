//! Builds the policies of `plugins/` and `examples/` to components: `target/guests/<name>.wasm`.
//!
//! Where cargo's own compiler has the wasm target's std, it is plain cargo. Where it has not and
//! cannot get it, a compiler that lies beside std's sources builds that too: Debian's
//! `rustc-web` with `rust-web-src`. The two must be of one version, so cargo's own compiler will
//! not do with Debian's sources.

#![expect(
    clippy::disallowed_methods,
    reason = "xtask is a build tool: it runs compilers, not storage commands"
)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::baseline;
use crate::componentize::componentize;

const TARGET: &str = "wasm32-unknown-unknown";
/// All packages of the workspaces have the same.
const MINIMUM: &str = env!("CARGO_PKG_RUST_VERSION");

/// Builds every guest whose sources changed, checks that it imports nothing but our interface,
/// and puts it under `target/guests`, with its scenarios beside it.
///
/// # Errors
/// If there is no way to compile for wasm on this machine, a guest does not build, or one
/// imports something else.
pub(crate) fn build(root: &Path) -> Result<()> {
    let toolchain = Toolchain::find()?;
    println!("guests: {}", toolchain.describe());
    let out = root.join("target/guests");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    // Before they are compiled: an edit meanwhile is one of tomorrow's.
    let sources = baseline::digest(root).context("cannot read the baseline's sources")?;
    for module in compile(root, &toolchain)? {
        let core =
            fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        let component =
            componentize(&core, None).with_context(|| format!("in {}", module.display()))?;
        let name = module.file_stem().context("an artefact without a name")?;
        let name = name.to_string_lossy().replace('_', "-");
        place(&component, &out.join(format!("{name}.wasm")))?;
        let scenarios = scenarios(root, &name)?;
        if !scenarios.is_empty() {
            place(&scenarios, &out.join(format!("{name}.scenarios.jsonl")))?;
        }
    }
    place(sources.as_bytes(), &root.join(baseline::STAMP))
}

/// What its author says it decides, in one file as loading wants it.
fn scenarios(root: &Path, name: &str) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    for group in ["plugins", "examples"] {
        let folder = root.join(group).join(name).join("scenarios");
        let entries = fs::read_dir(folder).into_iter().flatten();
        files.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let read = |file: &PathBuf| fs::read(file).with_context(|| file.display().to_string());
    Ok(files.iter().map(read).collect::<Result<Vec<_>>>()?.concat())
}

/// How wasm is compiled on this machine.
enum Toolchain {
    /// Cargo's compiler has the target's std.
    Installed,
    /// A compiler that lies beside std's sources, and a linker for wasm.
    FromSources { rustc: PathBuf, linker: PathBuf },
}

impl Toolchain {
    fn find() -> Result<Self> {
        let own: PathBuf = std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), Into::into);
        if has_std(&own) {
            return Ok(Self::Installed);
        }
        let with_sources = [own.clone(), "/usr/bin/rustc".into()]
            .into_iter()
            .find(|rustc| {
                sysroot(rustc).is_some_and(|s| s.join("lib/rustlib/src/rust/library/std").is_dir())
            });
        if let Some(old) = with_sources.as_deref().and_then(too_old) {
            bail!(
                "policies need rustc {MINIMUM}, and what compiles for {TARGET} here is {old}: run \
                 `rustup target add {TARGET}`, or on Debian 12 install rustc-web, rust-web-src and \
                 lld from bookworm-security"
            );
        }
        let advice = format!(
            "run `rustup target add {TARGET}`, or on Debian `apt-get install rustc-web rust-web-src lld`"
        );
        let rustc = with_sources.with_context(|| {
            format!("no compiler on this machine has std for {TARGET}: {advice}")
        })?;
        let linker = find_linker(&[&own, &rustc])
            .with_context(|| format!("no linker for wasm (wasm-ld, rust-lld): {advice}"))?;
        Ok(Self::FromSources { rustc, linker })
    }

    fn describe(&self) -> String {
        match self {
            Self::Installed => format!("the installed target {TARGET}"),
            Self::FromSources { rustc, linker } => format!(
                "{} with std from its sources, linked by {}",
                rustc.display(),
                linker.display()
            ),
        }
    }

    fn apply(&self, cargo: &mut Command) {
        if let Self::FromSources { rustc, linker } = self {
            cargo
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
}

/// The version of a compiler that is older than the policies want, as `rustc 1.85.0 (...)`.
fn too_old(rustc: &Path) -> Option<String> {
    let version = ask(rustc, &["--version"])?.display().to_string();
    is_older(&version).then_some(version)
}

fn is_older(version: &str) -> bool {
    let number = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let found = version.split_whitespace().nth(1).and_then(number);
    // What calls itself otherwise is left to cargo's own judgement.
    matches!((found, number(MINIMUM)), (Some(found), Some(minimum)) if found < minimum)
}

/// The first line a compiler prints, if it runs at all.
fn ask(rustc: &Path, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    ask(rustc, &["--print", "sysroot"])
}

/// The folder is named whether or not the target is installed: what counts is std in it.
fn has_std(rustc: &Path) -> bool {
    let folder = ask(rustc, &["--print", "target-libdir", "--target", TARGET]);
    let entries = folder.and_then(|f| fs::read_dir(f).ok());
    entries.is_some_and(|mut entries| {
        entries.any(|e| e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libstd-")))
    })
}

fn find_linker(compilers: &[&Path]) -> Option<PathBuf> {
    let bundled = compilers.iter().filter_map(|rustc| {
        let host = format!(
            "lib/rustlib/{}-unknown-linux-gnu/bin",
            std::env::consts::ARCH
        );
        Some(sysroot(rustc)?.join(host).join("rust-lld"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("wasm-ld"));
    bundled.chain(installed).find(|linker| linker.is_file())
}

/// Runs cargo in the guests' workspace; the core modules it made, changed or not.
fn compile(root: &Path, toolchain: &Toolchain) -> Result<Vec<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .current_dir(root.join("plugins"))
        .args([
            "build",
            "--release",
            "--workspace",
            "--lib",
            "--target",
            TARGET,
        ])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", root.join("target/guest-build"))
        .stderr(Stdio::inherit());
    // The cargo that runs xtask leaves these behind, meant for another target.
    for name in ["RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER"] {
        command.env_remove(name);
    }
    // Panics name source files: those of this checkout would make a digest of every machine.
    command.env("CARGO_ENCODED_RUSTFLAGS", remapped(root));
    toolchain.apply(&mut command);
    let output = command.output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "the guests do not build: see above"
    );
    let mut modules = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let files = message["filenames"].as_array().into_iter().flatten();
        let wasm = files
            .filter_map(|f| f.as_str())
            .filter(|f| f.ends_with(".wasm"));
        modules.extend(wasm.map(PathBuf::from));
    }
    ensure!(!modules.is_empty(), "cargo built no guest");
    Ok(modules)
}

/// Flags that replace this machine's folders in what is built; separated as cargo wants it.
fn remapped(root: &Path) -> String {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let remap = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    [remap(root, "volward"), remap(&cargo, "cargo")].join("\u{1f}")
}

/// Leaves a file alone that holds the same already, so that nothing after it is built again.
pub(crate) fn place(content: &[u8], path: &Path) -> Result<()> {
    let name = path.display();
    if fs::read(path).is_ok_and(|old| old == content) {
        println!("guests: {name} unchanged");
        return Ok(());
    }
    // Beside and renamed: a test that runs meanwhile sees the old one or the new one.
    let beside = path.with_extension("new");
    fs::write(&beside, content).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, path).with_context(|| format!("cannot write {name}"))?;
    println!("guests: {name}, {} bytes", content.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_of_debians_first_release_is_too_old() {
        assert!(is_older(
            "rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a source tarball)"
        ));
        for fine in ["rustc 1.96.0 (x)", "rustc 2.0.1", "something else"] {
            assert!(!is_older(fine), "{fine}");
        }
    }

    /// The daemon embeds what is built: of other sources, its build ends with an error.
    #[test]
    fn an_edit_of_the_baseline_is_told_from_what_was_built() {
        let folder = std::env::temp_dir().join(format!("volward-sources-{}", std::process::id()));
        for source in baseline::SOURCES {
            let path = folder.join(source);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if source.ends_with(".wit") {
                fs::write(path, "package a:b;").unwrap();
            } else {
                fs::create_dir_all(path.join("src")).unwrap();
                fs::write(path.join("src/lib.rs"), "one").unwrap();
            }
        }
        let digest = || baseline::digest(&folder).unwrap();
        let before = digest();
        assert_eq!(digest(), before);
        let edited = folder.join("plugins/baseline/src/lib.rs");
        fs::write(&edited, "two").unwrap();
        let after = digest();
        assert_ne!(after, before);
        fs::rename(&edited, edited.with_file_name("other.rs")).unwrap();
        assert!(![before, after].contains(&digest()));
        fs::remove_dir_all(folder.join("wit")).unwrap();
        assert!(baseline::digest(&folder).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_unchanged_component_is_not_written() {
        let folder = std::env::temp_dir().join(format!("volward-place-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.wasm");
        place(b"one", &path).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        place(b"one", &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        place(b"two", &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::remove_dir_all(&folder).unwrap();
    }
}
