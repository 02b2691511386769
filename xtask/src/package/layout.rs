//! The tree that debhelper makes packages of: packaging/debian, and beside it what is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Version, manual};

/// The built-in policy is in the programs; the SDK is no policy.
const NOT_SHIPPED: [&str; 2] = ["baseline", "sdk"];

/// Documents of the package; links between them lead to the repository's other folders, and are read there.
const DOCUMENTS: [&str; 6] = [
    "docs/operator-guide.md",
    "docs/cli.md",
    "docs/libvirt.md",
    "docs/apparmor.md",
    "README.md",
    "SECURITY.md",
];

/// Lays the tree out anew. `programs` is the folder of the built ones.
pub(super) fn lay_out(root: &Path, programs: &Path, version: &Version, tree: &Path) -> Result<()> {
    if tree.is_dir() {
        fs::remove_dir_all(tree).with_context(|| tree.display().to_string())?;
    }
    copy_folder(&root.join("packaging/debian"), &tree.join("debian"))?;
    write(&tree.join("debian/changelog"), changelog(version)?)?;
    for name in ["volward", "volwardd", "volward-policy", "volward-hook"] {
        copy(&programs.join(name), &tree.join("bin").join(name))?;
    }
    let packaging = root.join("packaging");
    for entry in fs::read_dir(&packaging).context("cannot list packaging")? {
        let path = entry.context("cannot list packaging")?.path();
        if path.is_file() {
            copy_into(&path, &tree.join("files"))?;
        }
    }
    for document in DOCUMENTS {
        copy_into(&root.join(document), &tree.join("docs"))?;
    }
    copy_into(&root.join("CHANGELOG.md"), tree)?;
    printed(programs, tree)?;
    let packaged = packaging.join("volward.toml");
    let packaged = fs::read_to_string(&packaged).context("cannot read packaging/volward.toml")?;
    write(&tree.join("man/volward.toml.5"), manual::page(&packaged))?;
    policies(root, tree)?;
    python(root, tree)
}

/// Man pages and completions, as the programs print them.
fn printed(programs: &Path, tree: &Path) -> Result<()> {
    for (name, words, page) in [
        ("volward", &["manual"][..], "volward.1"),
        ("volward-policy", &["manual"], "volward-policy.1"),
        ("volwardd", &["--manual"], "volwardd.8"),
    ] {
        let text = said(&programs.join(name), words)?;
        write(&tree.join("man").join(page), text)?;
    }
    for name in ["volward", "volward-policy"] {
        for (shell, file) in [
            ("bash", name.to_owned()),
            ("zsh", format!("_{name}")),
            ("fish", format!("{name}.fish")),
        ] {
            let text = said(&programs.join(name), &["completions", shell])?;
            write(&tree.join("completions").join(file), text)?;
        }
    }
    Ok(())
}

fn said(program: &Path, words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(words)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success() && !output.stdout.is_empty(),
        "{} {words:?} failed: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The shipped policies, each with its scenarios and what its README says.
fn policies(root: &Path, tree: &Path) -> Result<()> {
    let plugins = root.join("plugins");
    let mut shipped = 0;
    for entry in fs::read_dir(&plugins).context("cannot list plugins")? {
        let entry = entry.context("cannot list plugins")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let readme = entry.path().join("README.md");
        if NOT_SHIPPED.contains(&name.as_str()) || !readme.is_file() {
            continue;
        }
        for file in [format!("{name}.wasm"), format!("{name}.scenarios.jsonl")] {
            copy_into(
                &root.join("target/guests").join(file),
                &tree.join("policies"),
            )?;
        }
        copy(&readme, &tree.join(format!("policies/doc/{name}.md")))?;
        shipped += 1;
    }
    ensure!(shipped > 0, "no policy is shipped");
    Ok(())
}

/// The package for OpenStack as Python finds it: pyproject.toml says which folder becomes which.
fn python(root: &Path, tree: &Path) -> Result<()> {
    let source = root.join("openstack");
    let to = tree.join("python");
    copy_folder(
        &source.join("volward_openstack"),
        &to.join("volward_openstack"),
    )?;
    copy_folder(
        &source.join("nova_virt_volward"),
        &to.join("nova/virt/volward"),
    )?;
    copy_into(&root.join("docs/openstack.md"), &to)?;
    copy_into(&root.join("packaging/debian/volward-nova-compute"), &to)
}

fn changelog(version: &Version) -> Result<String> {
    let output = Command::new("date")
        .args(["--utc", "--rfc-email", "--date"])
        .arg(format!("@{}", version.committed))
        .output()
        .context("cannot run date")?;
    ensure!(
        output.status.success(),
        "date does not know when the commit was"
    );
    let when = String::from_utf8_lossy(&output.stdout);
    Ok(format!(
        "volward ({}) unstable; urgency=medium\n\n  * Version {}: what changed is in changelog.gz.\n\n \
         -- Volward <packages@volward.dev>  {}\n",
        version.debian,
        version.cargo,
        when.trim()
    ))
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    parent_of(path)?;
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    parent_of(to)?;
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn copy_into(from: &Path, folder: &Path) -> Result<()> {
    let Some(name) = from.file_name() else {
        bail!("{} has no name", from.display());
    };
    copy(from, &folder.join(name))
}

/// With what is in it; what Python compiled is left out.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry.with_context(|| from.display().to_string())?.path();
        let name = path.file_name().unwrap_or_default();
        if name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            copy_into(&path, to)?;
        }
    }
    Ok(())
}

fn parent_of(path: &Path) -> Result<()> {
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // debhelper takes modes as they are, whatever the umask here is.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
        .with_context(|| folder.display().to_string())
}
