//! The package on nodes that systemd boots: installed by apt, set up by `volward setup`, as an operator does it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::Recipe;
use crate::command::run;
use crate::error::IoContext;
use crate::fixture::copy_sparse;
use crate::launch::MACHINE_VERSION;
use crate::{Cluster, ClusterSpec, Lab, LabError, Node, Progress, Result, System, shared_vg};

const SET_UP: &str = include_str!("guest/package-set-up");
const AGAIN: &str = include_str!("guest/package-again");
const START: &str = include_str!("guest/package-start");
const SERVES: &str = include_str!("guest/package-serves");

/// With sanlock's own timeout, `vgcreate --shared` and joining take 27 s each on a fast machine.
const STEP: Duration = Duration::from_secs(300);

/// A shutdown on which nothing is attached: units' timeouts are 90 s, and none is reached.
const DOWN: Duration = Duration::from_secs(120);

impl Cluster {
    /// Nodes of [`System::Systemd`] on which the package was installed and set up before they were shut down, booted
    /// now. What they have is on their disks: they are killed, shut down and [started](Self::reboot) again.
    ///
    /// # Errors
    /// When there is no package, a step of the set-up fails, or a node does not come to serve.
    pub fn packaged(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        let spec = ClusterSpec {
            system: System::Systemd,
            ..spec.clone()
        };
        let saved = saved(lab, &spec, progress)?;
        let cluster = Self::prepare(lab, &spec, lab.run_folder()?, false, progress)?;
        restore(&cluster, &saved, progress)?;
        Ok(cluster)
    }

    /// Nodes of [`System::Systemd`] on which nothing is installed yet; [`Step`]s are to follow.
    ///
    /// # Errors
    /// When a node does not boot, or there is no package.
    pub fn bare(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<Self> {
        package(lab)?;
        let spec = ClusterSpec {
            system: System::Systemd,
            ..spec.clone()
        };
        Self::boot(lab, &spec, progress)
    }

    /// Boots a node of [`Cluster::packaged`] that has ended, and waits until it serves by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn reboot(&self, number: u8) -> Result<()> {
        let node = self.node(number);
        node.start()?;
        serves(node)
    }

    /// Installs the package anew on a node of [`Cluster::packaged`] from which it was purged, and sets it up, beside a
    /// lockspace that is joined.
    ///
    /// # Errors
    /// When a step fails, or the node does not come to serve.
    pub fn install_again(&self, number: u8) -> Result<()> {
        let node = self.node(number);
        node.run_ok_within(STEP, &format!("node={number}\n{AGAIN}\n{START}"))?;
        serves(node)
    }
}

/// Makes the package once more under a later version, with a daemon that differs from the other one in a byte behind its
/// end; answers where nodes see it.
///
/// # Errors
/// When there is no package, or dpkg-deb fails.
pub fn later_package(lab: &Lab) -> Result<String> {
    let package = package(lab)?;
    let work = tempfile::tempdir_in(lab.share()).at("make a folder in", lab.share())?;
    let tree = work.path().join("tree");
    run(Command::new("dpkg-deb").arg("-R").args([&package, &tree]))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).at("read", &control)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for version in lines
        .iter_mut()
        .filter(|line| line.starts_with("Version: "))
    {
        version.push_str("+later");
    }
    fs::write(&control, lines.join("\n") + "\n").at("write", &control)?;
    let daemon = tree.join("usr/sbin/volwardd");
    let mut file = OpenOptions::new()
        .append(true)
        .open(&daemon)
        .at("open", &daemon)?;
    file.write_all(b"\n").at("write", &daemon)?;
    let made = work.path().join("volward.deb");
    run(Command::new("dpkg-deb")
        .args(["-Zgzip", "-z1", "--root-owner-group", "-b"])
        .args([&tree, &made]))?;
    let folder = lab.share().join("debian-later");
    fs::create_dir_all(&folder).at("create", &folder)?;
    let name = "volward-later.deb";
    fs::rename(&made, folder.join(name)).at("rename", &made)?;
    Ok(format!("/host/debian-later/{name}"))
}

/// The package is where the nodes look for it; its name, size and time.
pub(crate) fn has_package(lab: &Lab) -> Result<String> {
    let path = package(lab)?;
    let data = fs::metadata(&path).at("look at", &path)?;
    let made = data.modified().at("read the time of", &path)?;
    Ok(format!("{} {} {made:?}", path.display(), data.len()))
}

fn package(lab: &Lab) -> Result<PathBuf> {
    let folder = lab.share().join("debian");
    let there = fs::read_dir(&folder).into_iter().flatten();
    for entry in there {
        let entry = entry.at("list", &folder)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("volward_") && name.ends_with(".deb") {
            return Ok(entry.path());
        }
    }
    Err(LabError::Machine(
        "there is no package: `cargo xtask package --debug` makes it".into(),
    ))
}

/// A step from a bare node to one that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The package by apt, `volward setup`, and the units that it names.
    Package,
    /// The shared volume group, by LVM: on one node.
    Group,
    /// Its lockspace, where another node made it, then volwardd. One node after another: the first makes the registry.
    Start,
}

impl Step {
    /// Takes it on a node of [`Cluster::bare`].
    ///
    /// # Errors
    /// When a command fails.
    pub fn take(self, node: &Node) -> Result<()> {
        let number = node.number();
        let script = match self {
            Self::Package => format!("node={number}\n{SET_UP}"),
            Self::Group => return shared_vg::create(node, shared_vg::FIRST),
            Self::Start => format!("vgchange --lock-start vg0\n{START}"),
        };
        node.run_ok_within(STEP, &script).map(drop)
    }
}

/// From booted nodes to a cluster that serves.
pub(crate) fn set_up(cluster: &Cluster, progress: Progress) -> Result<()> {
    progress.during("cluster: the package, by apt, and its set-up", || {
        cluster.on_all(|node| Step::Package.take(node))
    })?;
    progress.during("cluster: vg0 and volwardd", || {
        Step::Group.take(cluster.node(1))?;
        cluster
            .nodes()
            .iter()
            .try_for_each(|node| Step::Start.take(node))
    })
}

/// The folder with the disks of nodes that were set up and then shut down; made now if there is none of this
/// package.
pub(crate) fn saved(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<PathBuf> {
    let package = has_package(lab)?;
    let image = lab.image(spec.system, progress)?;
    let key = Recipe::new("packaged", MACHINE_VERSION)
        .with(&image.key)
        .with(&format!("{spec:?}"))
        .with(&package)
        .with(&[SET_UP, START, shared_vg::SCRIPTS, SERVES].concat())
        .key();
    let kind = format!("packaged-{}", spec.nodes);
    lab.cache().entry(&kind, &key, |folder| {
        let cluster = Cluster::boot(lab, spec, progress)?;
        set_up(&cluster, progress)?;
        progress.during("cluster: shut down, and save", || {
            cluster.on_all(|node| {
                node.run_ok("systemctl poweroff --no-block")?;
                node.wait_ended(DOWN)
            })?;
            copy_disks(&cluster, cluster.folder(), folder)
        })
    })
}

/// Boots a prepared cluster from the disks in `folder`.
pub(crate) fn restore(cluster: &Cluster, folder: &Path, progress: Progress) -> Result<()> {
    copy_disks(cluster, folder, cluster.folder())?;
    let nodes = cluster.nodes().len();
    progress.during(
        format!("cluster: boot {nodes} nodes that are set up"),
        || {
            cluster.on_all(|node| {
                node.start()?;
                serves(node)
            })
        },
    )
}

/// Waits until a node that was booted serves, by its own units.
pub(crate) fn serves(node: &Node) -> Result<()> {
    node.run_ok_within(STEP, SERVES).map(drop)
}

fn copy_disks(cluster: &Cluster, from: &Path, to: &Path) -> Result<()> {
    let of_node =
        |node: &Node| ["local", "root"].map(|what| format!("node{}.{what}", node.number()));
    let of_nodes = cluster.nodes().iter().flat_map(of_node);
    for name in std::iter::once("lun.img".to_owned()).chain(of_nodes) {
        copy_sparse(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}
