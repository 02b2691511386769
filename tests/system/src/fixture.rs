//! A cluster brought up once and kept: booting and joining a lockspace takes half a minute,
//! going on from a saved state a second.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::accel::qemu_version;
use crate::cache::Recipe;
use crate::command::run;
use crate::error::IoContext;
use crate::launch::MACHINE_VERSION;
use crate::shared_vg::{self, STEP};
use crate::volward::{self, POOL, Volward};
use crate::{Cluster, ClusterSpec, Lab, Node, Progress, Result};

const BRING_UP: &str = include_str!("guest/bring-up");

/// The folder with the saved cluster for this spec; brought up and saved now if there is none.
pub(crate) fn saved(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<PathBuf> {
    let image = lab.image(spec.system, progress)?;
    let key = Recipe::new("fixture", MACHINE_VERSION)
        .with(&image.key)
        .with(&qemu_version()?)
        // Volward is not on it yet.
        .with(&format!(
            "{:?}",
            ClusterSpec {
                provider: None,
                ..spec.clone()
            }
        ))
        .with(BRING_UP)
        .with(shared_vg::SCRIPTS)
        .key();
    lab.cache().entry(&kind("fixture", spec), &key, |folder| {
        let cluster = Cluster::prepare(lab, spec, lab.run_folder()?, false, progress)?;
        cluster.make_disks(spec)?;
        progress.during(format!("cluster: boot {} nodes", spec.nodes), || {
            cluster.on_all(Node::start)
        })?;
        bring_up(&cluster, spec, progress)?;
        progress.during("cluster: save", || save(&cluster, folder))
    })
}

/// The folder with the same cluster and Volward on it, its daemons running; made now if there is
/// none for these programs.
pub(crate) fn with_volward(lab: &Lab, spec: &ClusterSpec, progress: Progress) -> Result<PathBuf> {
    let base = saved(lab, spec, progress)?;
    let key = Recipe::new("volward", MACHINE_VERSION)
        .with(&base.display().to_string())
        .with(&volward::ingredients(lab, spec.provider()?)?)
        .key();
    lab.cache().entry(&kind("volward", spec), &key, |folder| {
        let cluster = Cluster::ready(lab, spec, progress)?;
        progress.during("cluster: Volward on all nodes", || {
            Volward::install(&cluster)
        })?;
        progress.during("cluster: save", || save(&cluster, folder))
    })
}

/// What is kept of each kind of cluster is counted apart.
fn kind(what: &str, spec: &ClusterSpec) -> String {
    let watched = if spec.watchdog { "-watchdog" } else { "" };
    let patience = spec
        .io_timeout
        .map_or(String::new(), |seconds| format!("-{seconds}s"));
    format!("{what}-{}{watched}{patience}", spec.nodes)
}

fn bring_up(cluster: &Cluster, spec: &ClusterSpec, progress: Progress) -> Result<()> {
    let stage = progress.stage("cluster: sanlock, lvmlockd, libvirtd");
    cluster.on_all(|node| start_services(node, spec))?;
    stage.done();
    let stage = progress.stage("cluster: shared VG vg0");
    shared_vg::create(cluster.node(1), shared_vg::FIRST)?;
    cluster.on_all(|node| shared_vg::join(node, POOL))?;
    stage.done();
    Ok(())
}

fn start_services(node: &Node, spec: &ClusterSpec) -> Result<()> {
    let (quickest, watchdog) = if spec.watchdog { (2, "yes") } else { (1, "no") };
    let io_timeout = spec.io_timeout.unwrap_or(quickest);
    let number = node.number();
    let settings = format!("node={number} io_timeout={io_timeout} watchdog={watchdog}\n");
    node.run_ok_within(STEP, &(settings + BRING_UP)).map(drop)
}

/// Makes a node that was booted again a member of the cluster.
pub(crate) fn rejoin(node: &Node, spec: &ClusterSpec) -> Result<()> {
    start_services(node, spec)?;
    shared_vg::join(node, POOL)
}

/// Saves all nodes at one moment, and their disks as they are then.
fn save(cluster: &Cluster, folder: &Path) -> Result<()> {
    cluster.on_all(|node| node.run_ok("sync; umount /host").map(drop))?;
    cluster.on_all(Node::pause)?;
    cluster.on_all(|node| node.save(&state_file(node)))?;
    cluster.on_all(Node::kill)?;
    for name in disks(cluster) {
        copy_sparse(&cluster.folder().join(&name), &folder.join(&name))?;
    }
    for node in cluster.nodes() {
        let name = state_file(node);
        let from = cluster.folder().join(&name);
        fs::rename(&from, folder.join(&name)).at("keep", &from)?;
    }
    Ok(())
}

/// Lets a prepared cluster go on from what was saved in `folder`.
pub(crate) fn restore(cluster: &Cluster, folder: &Path, progress: Progress) -> Result<()> {
    let stage = progress.stage(format!("cluster: restore {} nodes", cluster.nodes().len()));
    for name in disks(cluster) {
        copy_sparse(&folder.join(&name), &cluster.folder().join(&name))?;
    }
    for node in cluster.nodes() {
        let name = state_file(node);
        let link = cluster.folder().join(&name);
        symlink(folder.join(&name), &link).at("create", &link)?;
    }
    cluster.on_all(|node| node.restore(&state_file(node)))?;
    cluster.on_all(Node::resume)?;
    cluster.on_all(Node::settle)?;
    for node in cluster.nodes() {
        // Whoever saves this cluster anew must not write through it.
        let link = cluster.folder().join(state_file(node));
        fs::remove_file(&link).at("remove", &link)?;
    }
    stage.done();
    Ok(())
}

fn state_file(node: &Node) -> String {
    format!("node{}.state", node.number())
}

fn disks(cluster: &Cluster) -> Vec<String> {
    let local = cluster
        .nodes()
        .iter()
        .map(|node| format!("node{}.local", node.number()));
    std::iter::once("lun.img".to_owned()).chain(local).collect()
}

pub(crate) fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp")
        .args(["--sparse=auto", "--reflink=auto"])
        .args([from, to]))
    .map(drop)
}
