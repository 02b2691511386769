//! From a bare Debian 12 to the first attach, as the operator guide says it: the package by apt, `volward setup`, the shared
//! volume group, volwardd, a volume. What of it is LVM's and sanlock's own is the making of the group.

use anyhow::{Context, Result};
use volward_system::packaged::Step;
use volward_system::volward::POOL;
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

use super::figure::{Figure, Pairs, Unit};
use super::on_node::{DEADLINE, NODE};

/// Each is a node that boots anew.
const ROUNDS: usize = 3;
const INSTANCE: &str = "11111111-1111-4111-8111-111111111111";

pub(crate) fn measure(lab: &Lab) -> Result<Vec<Figure>> {
    let spec = ClusterSpec {
        nodes: 1,
        ..ClusterSpec::default()
    };
    let mut whole = Pairs::default();
    let (mut package, mut start) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("  measuring: installed and set up, {round} of {ROUNDS}");
        let cluster = Cluster::bare(lab, &spec, Progress::shown())?;
        let node = cluster.node(NODE);
        let begun = now(node)?;
        let installed = after(node, Step::Package)?;
        let grouped = after(node, Step::Group)?;
        let started = after(node, Step::Start)?;
        let first = format!(
            "lvcreate -qq -an -n first -L 32M {POOL} && volward attach {INSTANCE} {POOL}/first"
        );
        node.run_ok_within(DEADLINE, &first)?;
        let attached = now(node)?;
        whole.ours.push(attached - begun);
        whole.base.push(grouped - installed);
        package.push(installed - begun);
        start.push(started - grouped);
    }
    let alone = |what: &str, took: &[f64]| Figure::alone(what, Unit::Milliseconds, took);
    Ok(vec![
        Figure::pairs(
            "a bare node to its first attach, by the guide's commands",
            "of it LVM's and sanlock's own: vgcreate --shared, and joining",
            Unit::Milliseconds,
            &whole,
            None,
        ),
        alone("of it the package, volward setup and the units", &package),
        alone("of it volwardd and the pools", &start),
    ])
}

fn after(node: &Node, step: Step) -> Result<f64> {
    step.take(node)?;
    now(node)
}

/// Seconds, by the node's clock.
fn now(node: &Node) -> Result<f64> {
    let said = node.run_ok("date +%s.%N")?;
    said.trim()
        .parse()
        .with_context(|| format!("a time: {said:?}"))
}
