//! What nova's driver and os-brick add to an attach.

use anyhow::{Context, Result};
use volward_system::openstack;
use volward_system::volward::Volward;

use super::figure::{Figure, Pairs, Unit};
use super::on_node::NODE;

/// The ratio that nova's way may have.
const GOAL: f64 = 1.2;
const PAIRS: usize = 30;

pub(crate) fn measure(volward: &Volward<'_>) -> Result<Vec<Figure>> {
    volward.volume("plugged", 64)?;
    eprintln!("  measuring: nova's driver connects a volume");
    let text = openstack::timed(volward.node(NODE), "plugged", PAIRS)?;
    let pairs: Pairs =
        serde_json::from_str(&text).with_context(|| format!("the node answered {text:?}"))?;
    Ok(vec![Figure::pairs(
        "nova's driver connects a volume, by os-brick and the daemon",
        "the daemon's attach of it, asked by the same program",
        Unit::Milliseconds,
        &pairs,
        Some(GOAL),
    )])
}
