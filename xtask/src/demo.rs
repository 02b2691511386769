//! `cargo xtask demo`: what Volward does, as a story a person can follow. Every line under a
//! prompt is what the command above it really said; a chapter that goes otherwise than told ends
//! the demo with an error.

mod nodes;
mod openstack;
mod stage;
mod story;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

use crate::{build, setup};
use stage::Stage;

/// Does all the set-up there is to do, then tells the story.
#[expect(
    clippy::disallowed_methods,
    reason = "people want to know how long it took"
)]
pub(crate) fn run(root: &Path) -> Result<()> {
    setup::run()?;
    let spec = ClusterSpec::default();
    build::all_beside_nodes(root, &spec)?;
    let begun = Instant::now();
    let cluster = Cluster::with_volward(&Lab::open()?, &spec, Progress::shown())?;
    let volward = Volward::on(&cluster);
    let stage = Stage::new(root, &cluster, &volward);
    story::prologue(&stage)?;
    for (number, (title, tell)) in story::CHAPTERS.iter().enumerate() {
        println!("\n{}. {title}\n", number + 1);
        tell(&stage)?;
    }
    println!(
        "\nvolward: demo of {} chapters told in {} s",
        story::CHAPTERS.len(),
        begun.elapsed().as_secs()
    );
    Ok(())
}
