//! The nodes' kernel: Debian's stock one, the modules we need, and dm-clone.
//!
//! CONFIG_DM_CLONE is off in Debian's kernel, so the module is built from the kernel source of
//! the same version, as an operator would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, Recipe};
use crate::command::run;
use crate::debian::{KernelVersion, download};
use crate::error::IoContext;
use crate::{LabError, Progress, Result};

const KBUILD: &str = include_str!("guest/Kbuild");

/// What nodes may load; what these need comes along.
const MODULES: &str = "virtio_pci virtio_blk virtio_net virtio_rng virtio_console \
    9pnet_virtio 9p erofs overlay ext4 loop tun bridge veth kvm autofs4 af_packet \
    dm_mod dm_clone dm_thin_pool dm_snapshot dm_mirror dm_raid raid1 dm_flakey dm_delay dm_zero dm_bufio \
    dm_integrity dm_crypt dm_multipath dm_writecache dm_cache dm_cache_smq dm_log_writes \
    softdog i6300esb nvmet nvmet_tcp nvme_tcp nvme_fabrics scsi_debug sd_mod sg null_blk brd nbd \
    nf_tables nft_compat xt_conntrack vhost_net configfs crc32c_generic libcrc32c";

/// What the initrd loads, before there is a root file system. crc32c_generic is a soft
/// dependency, which only modprobe knows.
pub(crate) const BOOT_MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "erofs",
    "overlay",
];

/// A kernel that is ready to boot.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) version: KernelVersion,
    /// Changes whenever the kernel or its modules do.
    pub(crate) key: String,
    folder: PathBuf,
}

impl Kernel {
    /// Finds the kernel in the cache, or downloads and builds it.
    pub(crate) fn ready(version: KernelVersion, cache: &Cache, progress: Progress) -> Result<Self> {
        let key = Recipe::new("kernel", 1)
            .with(&version.release)
            .with(&version.package)
            .with(KBUILD)
            .with(MODULES)
            .key();
        let folder = cache.entry("kernel", &key, |folder| build(&version, folder, progress))?;
        Ok(Self {
            version,
            key,
            folder,
        })
    }

    /// The compressed kernel.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// `lib/modules/<release>` with what nodes may load, `modules.dep` and all.
    pub(crate) fn modules(&self) -> PathBuf {
        module_folder(&self.folder, &self.version.release)
    }
}

fn module_folder(base: &Path, release: &str) -> PathBuf {
    base.join("lib/modules").join(release)
}

fn build(version: &KernelVersion, folder: &Path, progress: Progress) -> Result<()> {
    let scratch = tempfile::tempdir_in(folder).at("create a folder in", folder)?;
    let scratch = scratch.path();
    let (release, abi, series) = (&version.release, version.abi(), version.series());
    let binary = [
        format!("linux-image-{release}"),
        format!("linux-headers-{release}"),
        format!("linux-headers-{abi}-common"),
    ];
    let source = format!("linux-source-{series}");

    let stage = progress.stage(format!("kernel {release}: download"));
    let mut wanted: Vec<String> = binary.to_vec();
    wanted.push(source.clone());
    for package in &mut wanted {
        *package = format!("{package}={}", version.package);
    }
    // Programs that the build runs, of which the archive keeps one version: between the upload of a kernel and its
    // signing that is the next one.
    wanted.push(version.closest(&format!("linux-kbuild-{series}"))?);
    download(&wanted, scratch)?;
    stage.done();

    let stage = progress.stage("kernel: unpack");
    let tree = scratch.join("tree");
    for file in debs(scratch)? {
        run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&tree))?;
    }
    let md = unpack_dm_clone(&tree, &series, scratch)?;
    stage.done();

    let stage = progress.stage("kernel: build dm-clone");
    let object = build_dm_clone(&tree, version, &md)?;
    let extra = module_folder(&tree, release).join("extra");
    fs::create_dir_all(&extra).at("create", &extra)?;
    run(Command::new("strip").arg("-g").arg(&object))?;
    fs::copy(&object, extra.join("dm-clone.ko")).at("copy", &object)?;
    run(Command::new("depmod").arg("-b").arg(&tree).arg(release))?;
    copy_closure(&tree, folder, release)?;
    let vmlinuz = tree.join(format!("boot/vmlinuz-{release}"));
    fs::copy(&vmlinuz, folder.join("vmlinuz")).at("copy", &vmlinuz)?;
    stage.done();
    Ok(())
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).at("list", folder)? {
        let path = entry.at("list", folder)?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Takes dm-clone's files out of the kernel source; answers the folder they are in.
fn unpack_dm_clone(tree: &Path, series: &str, scratch: &Path) -> Result<PathBuf> {
    let name = format!("linux-source-{series}");
    run(Command::new("tar")
        .arg("-xf")
        .arg(tree.join(format!("usr/src/{name}.tar.xz")))
        .args(["--use-compress-program=xz -T0", "--wildcards", "-C"])
        .arg(scratch)
        .args([
            "*/drivers/md/dm-clone*",
            "*/drivers/md/dm.h",
            "*/drivers/md/dm-stats.h",
            "*/drivers/md/persistent-data/*.h",
        ]))?;
    let md = scratch.join(name).join("drivers/md");
    fs::write(md.join("Kbuild"), KBUILD).at("write", &md)?;
    Ok(md)
}

fn build_dm_clone(tree: &Path, version: &KernelVersion, md: &Path) -> Result<PathBuf> {
    let sources = tree.join("usr/src");
    let headers = sources.join(format!("linux-headers-{}", version.release));
    let common = sources.join(format!("linux-headers-{}-common", version.abi()));
    // The package's Makefile names its installed place; ours is elsewhere.
    let makefile = headers.join("Makefile");
    let text = format!("include {}/Makefile\n", common.display());
    fs::write(&makefile, text).at("write", &makefile)?;
    run(Command::new("make")
        .arg("-C")
        .arg(&headers)
        .arg(format!("M={}", md.display()))
        .arg("modules"))?;
    Ok(md.join("dm-clone.ko"))
}

/// Which module files need which others, by `modules.dep`.
#[derive(Debug)]
pub(crate) struct Dependencies(BTreeMap<String, Vec<String>>);

impl Dependencies {
    /// Reads `modules.dep` in a `lib/modules/<release>` folder.
    pub(crate) fn read(modules: &Path) -> Result<Self> {
        let path = modules.join("modules.dep");
        Ok(Self::parse(&fs::read_to_string(&path).at("read", &path)?))
    }

    fn parse(text: &str) -> Self {
        let entries = text.lines().filter_map(|line| {
            let (file, needs) = line.split_once(':')?;
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            Some((file.to_owned(), needs))
        });
        Self(entries.collect())
    }

    /// The files of the named modules and of all they need, each after what it needs.
    /// Names that no file has are built into the kernel, and are left out.
    pub(crate) fn closure<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let by_name: BTreeMap<String, &String> = self
            .0
            .keys()
            .map(|file| (module_name(file), file))
            .collect();
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        for name in names {
            if let Some(file) = by_name.get(name) {
                self.visit(file, &mut order, &mut seen);
            }
        }
        order
    }

    fn visit(&self, file: &str, order: &mut Vec<String>, seen: &mut BTreeSet<String>) {
        if !seen.insert(file.to_owned()) {
            return;
        }
        for needed in self.0.get(file).into_iter().flatten() {
            self.visit(needed, order, seen);
        }
        order.push(file.to_owned());
    }
}

/// `kernel/drivers/md/dm-mod.ko` is the module `dm_mod`.
fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

fn copy_closure(tree: &Path, folder: &Path, release: &str) -> Result<()> {
    let (from, to) = (module_folder(tree, release), module_folder(folder, release));
    let files = Dependencies::read(&from)?.closure(MODULES.split_whitespace());
    if !files.iter().any(|file| file.ends_with("dm-clone.ko")) {
        return Err(LabError::Machine("depmod did not find dm-clone.ko".into()));
    }
    let indexes = [
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ];
    for file in files.iter().map(String::as_str).chain(indexes) {
        let target = to.join(file);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).at("create", parent)?;
        }
        fs::copy(from.join(file), &target).at("copy", &from.join(file))?;
    }
    run(Command::new("depmod").arg("-b").arg(folder).arg(release))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closure_lists_each_file_once_and_after_what_it_needs() {
        let deps = Dependencies::parse(
            "a/dm-clone.ko: a/dm-mod.ko b/dax.ko\na/dm-mod.ko: b/dax.ko\nb/dax.ko:\nc/other.ko:\n",
        );
        let files = deps.closure(["dm_clone", "dm_mod", "built_in"]);
        assert_eq!(files, ["b/dax.ko", "a/dm-mod.ko", "a/dm-clone.ko"]);
    }
}
