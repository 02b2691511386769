//! What nodes boot from: an image of Debian packages, a layer with the lab's own files, an initrd. Of each
//! [`System`] one.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::{Cache, Recipe};
use crate::command::{line, run};
use crate::debian::{RELEASE, Versions, sources};
use crate::error::IoContext;
use crate::kernel::{Dependencies, Kernel};
use crate::{LabError, Progress, Result, System};

const INITRD_INIT: &str = include_str!("guest/initrd-init");

/// Everything a node boots from.
#[derive(Debug, Clone)]
pub struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    /// Debian's packages: erofs.
    pub(crate) packages: PathBuf,
    /// Modules and the lab's own files, over them: erofs.
    pub(crate) layer: PathBuf,
    /// Changes whenever any of it does.
    pub(crate) key: String,
}

impl Image {
    /// Finds the image in the cache, or builds it.
    ///
    /// # Errors
    /// When apt, the archive or a tool fails; without root.
    pub(crate) fn ready(cache: &Cache, system: System, progress: Progress) -> Result<Self> {
        let wanted = system.packages();
        let versions = Versions::current(cache, &wanted)?;
        let key = Recipe::new("packages", 2).with(&versions.packages).key();
        // The kernel's download and compile run beside mmdebstrap: most of either is waiting.
        let (packages, kernel) = std::thread::scope(|scope| {
            let kernel = scope.spawn(|| Kernel::ready(versions.kernel, cache, progress));
            let packages = cache.entry(&system.kind("packages"), &key, |folder| {
                build(&wanted, folder, progress)
            });
            let kernel = kernel
                .join()
                .unwrap_or_else(|_| Err(LabError::Machine("building the kernel panicked".into())));
            (packages, kernel)
        });
        let (packages, kernel) = (packages?, kernel?);

        let mut recipe = Recipe::new("layer", 1).with(&key).with(&kernel.key);
        for (path, text) in system.files() {
            recipe = recipe.with(path).with(text);
        }
        let modules = system.boot_modules();
        let layer_key = recipe.with(INITRD_INIT).with(&modules.join(" ")).key();
        let layer = cache.entry(&system.kind("layer"), &layer_key, |folder| {
            progress.during("image: layer and initrd", || {
                build_layer(&kernel, system, folder)?;
                build_initrd(&kernel, &modules, &packages.join("busybox"), folder)
            })
        })?;
        Ok(Self {
            kernel: kernel.image(),
            initrd: layer.join("initrd"),
            packages: packages.join("image.erofs"),
            layer: layer.join("layer.erofs"),
            key: layer_key,
        })
    }
}

fn build(wanted: &[&str], folder: &Path, progress: Progress) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::Machine(
            "the lab's image is built as root: mmdebstrap unpacks Debian packages".into(),
        ));
    }
    let tree = folder.join("tree");
    progress.during("image: Debian packages (mmdebstrap)", || {
        bootstrap(wanted, &tree)
    })?;
    progress.during("image: file system", || {
        fs::copy(tree.join("bin/busybox"), folder.join("busybox")).at("copy", &tree)?;
        for stale in ["etc/machine-id", "etc/hostname"] {
            fs::write(tree.join(stale), "").at("write", &tree.join(stale))?;
        }
        for needless in ["var/cache/apt", "var/lib/apt/lists"] {
            let path = tree.join(needless);
            if path.exists() {
                fs::remove_dir_all(&path).at("remove", &path)?;
            }
        }
        make_erofs(&folder.join("image.erofs"), &tree)?;
        fs::remove_dir_all(&tree).at("remove", &tree)
    })
}

fn bootstrap(wanted: &[&str], tree: &Path) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--quiet", "--mode=root", "--variant=essential"])
        .args([
            "--skip=check/empty,cleanup/apt",
            "--dpkgopt=force-unsafe-io",
        ])
        .args(
            ["doc", "man", "locale"]
                .map(|dir| format!("--dpkgopt=path-exclude=/usr/share/{dir}/*")),
        )
        .arg("--aptopt=Apt::Install-Recommends \"false\"")
        .arg(format!("--include={}", wanted.join(",")))
        .arg(RELEASE)
        .arg(tree)
        // `-` reads the sources from stdin.
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|source| LabError::Start {
        program: "mmdebstrap".into(),
        source,
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        let sources = sources()?.join("\n") + "\n";
        stdin
            .write_all(sources.as_bytes())
            .at("write to mmdebstrap", tree)?;
    }
    let output = child
        .wait_with_output()
        .at("wait for mmdebstrap in", tree)?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Command {
        command: line(&command),
        status: output.status.to_string(),
        stderr: crate::command::tail(&String::from_utf8_lossy(&output.stderr), 30),
    })
}

fn make_erofs(file: &Path, tree: &Path) -> Result<()> {
    run(Command::new("mkfs.erofs").arg(file).arg(tree))?;
    Ok(())
}

fn build_layer(kernel: &Kernel, system: System, folder: &Path) -> Result<()> {
    let tree = folder.join("tree");
    // The image's /lib is a link to usr/lib.
    let modules = tree.join("usr/lib/modules");
    fs::create_dir_all(&modules).at("create", &modules)?;
    run(Command::new("cp")
        .arg("-a")
        .arg(kernel.modules())
        .arg(&modules))?;
    for (path, text) in system.files() {
        write_file(&tree.join(path), text)?;
    }
    make_erofs(&folder.join("layer.erofs"), &tree)?;
    fs::remove_dir_all(&tree).at("remove", &tree)
}

fn build_initrd(kernel: &Kernel, wanted: &[&str], busybox: &Path, folder: &Path) -> Result<()> {
    let tree = folder.join("tree");
    for dir in [
        "bin", "dev", "proc", "sys", "image", "layer", "memory", "root", "modules",
    ] {
        fs::create_dir_all(tree.join(dir)).at("create", &tree)?;
    }
    fs::copy(busybox, tree.join("bin/busybox")).at("copy", busybox)?;
    symlink("busybox", tree.join("bin/sh")).at("create", &tree.join("bin/sh"))?;
    write_file(&tree.join("init"), INITRD_INIT)?;
    let modules = kernel.modules();
    let files = Dependencies::read(&modules)?.closure(wanted.iter().copied());
    for (position, file) in files.iter().enumerate() {
        // They are loaded in the order of their names.
        let name = file.rsplit('/').next().unwrap_or(file);
        let target = tree.join(format!("modules/{position:02}-{name}"));
        fs::copy(modules.join(file), target).at("copy", &modules.join(file))?;
    }
    let initrd = folder.join("initrd");
    let output = File::create(&initrd).at("create", &initrd)?;
    let mut pack = Command::new("sh");
    pack.args(["-c", "find . | cpio --quiet -o -H newc"])
        .current_dir(&tree)
        .stdout(output);
    let status = pack.status().map_err(|source| LabError::Start {
        program: "cpio".into(),
        source,
    })?;
    if !status.success() {
        return Err(LabError::Command {
            command: line(&pack),
            status: status.to_string(),
            stderr: "see above".into(),
        });
    }
    fs::remove_dir_all(&tree).at("remove", &tree)
}

/// Scripts can be run; nothing else has lines that begin with a number sign and an exclamation mark.
fn write_file(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).at("create", parent)?;
    }
    let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
    fs::write(path, text).at("write", path)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path)
}
