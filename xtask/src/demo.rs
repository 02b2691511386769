//! `cargo xtask demo`: what Volward does, as a story a person can follow.

use std::path::Path;

use anyhow::{Result, ensure};
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

use crate::{build, guests, setup};

/// A chapter: what it shows, and how it is shown.
type Chapter = (&'static str, fn(&Cluster) -> Result<()>);

const STORY: &[Chapter] = &[(
    "Without Volward: LVM keeps a volume to one node, and does not say who has it",
    leased_volume,
)];

/// Does all the set-up there is to do, then tells the story.
pub(crate) fn run(root: &Path) -> Result<()> {
    setup::run()?;
    build::all(root)?;
    guests::build(root)?;
    let cluster = Cluster::ready(&Lab::open()?, &ClusterSpec::default(), Progress::shown())?;
    for (number, (title, tell)) in STORY.iter().enumerate() {
        println!("\n{}. {title}", number + 1);
        tell(&cluster)?;
    }
    println!("\nvolward: demo of {} chapters told", STORY.len());
    Ok(())
}

/// Runs a command on a node before the reader's eyes; answers whether it succeeded.
fn show(cluster: &Cluster, node: u8, script: &str) -> Result<bool> {
    println!("   node{node}# {script}");
    let output = cluster.node(node).run(script)?;
    for line in output.stdout.lines().chain(output.stderr.lines()) {
        println!("      {}", line.trim_end());
    }
    Ok(output.ok())
}

fn leased_volume(cluster: &Cluster) -> Result<()> {
    ensure!(
        show(cluster, 1, "lvcreate -an -n disk -L 64M vg0")?
            && show(cluster, 1, "lvchange -aey vg0/disk")?,
        "node 1 could not take the volume"
    );
    ensure!(
        !show(cluster, 2, "lvchange -aey vg0/disk")?,
        "node 2 took a volume that node 1 holds"
    );
    Ok(())
}
