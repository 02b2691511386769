//! The chapters about nodes: a guest that moves, and a node that is lost.

use anyhow::{Result, ensure};
use volward_system::Cut;
use volward_system::guest::{Guest, Wish};
use volward_system::ticker::{self, Ticks};
use volward_system::volward::VIRSH;

use super::stage::Stage;

/// A guest whose disk holds a program that writes sector after sector.
fn mover() -> Guest {
    Guest::new("mover", 8).disk("moves", Wish::Plain)
}

/// Moves a guest to the other node while it writes.
pub(super) fn moves(stage: &Stage<'_>) -> Result<()> {
    ticker::volume(stage.volward(), "moves")?;
    let mover = mover();
    mover.define(stage.node(1))?;
    stage.say(
        "The disk of this guest holds a program of some sixty bytes, which the BIOS starts: it writes \
         a growing number into one sector after the other, each when the one before is done.",
    );
    stage.works(1, "virsh start mover")?;
    let before = paused(stage, 1, 0)?;
    stage.say("It goes on, and moves, as libvirt moves any guest:");
    stage.works(
        1,
        "virsh migrate --live mover qemu+tcp://10.9.0.2/system && echo moved",
    )?;
    stage.say(
        "Both nodes had a shared lease for as long as libvirt needed the disk open on both. Now node 2 has \
         an exclusive one:",
    );
    stage.until(2, "sanlock client status | grep '^r' | grep -v :SH", "vg0")?;
    stage.works(1, "volward ls --all")?;
    paused(stage, 2, before.last)?;
    Ok(())
}

/// Holds the guest for a moment when it has written more than `since`, so that nothing is on its way, and looks at
/// what it has written.
fn paused(stage: &Stage<'_>, node: u8, since: u64) -> Result<Ticks> {
    let device = mover().device("moves");
    let read = || ticker::ticks(stage.node(node), &device);
    let volward = stage.volward();
    volward.wait(node, "write of the guest", VIRSH, || {
        // Before it has been once around, not every sector has a number.
        let ticks = read()?;
        Ok(ticks.last > since && ticks.lost <= 1)
    })?;
    stage.works(node, "virsh suspend mover")?;
    let ticks = read()?;
    stage.say(&format!(
        "Held for a moment and read: it has written {} times, and {} of it is on the disk.",
        ticks.last,
        if ticks.lost == 0 { "all" } else { "not all" }
    ));
    ensure!(ticks.lost == 0, "writes of the guest were lost: {ticks:?}");
    stage.works(node, "virsh resume mover")?;
    Ok(ticks)
}

/// Takes the LUN away from the node that the guest runs on.
pub(super) fn lost(stage: &Stage<'_>) -> Result<()> {
    let device = mover().device("moves");
    stage.say(
        "All paths of node 2 to the LUN fail. sanlock cannot renew its lease there, so in time another \
         node may have the volume. Before that, Volward cuts the guest off:",
    );
    stage.node(2).cut_lun(Cut::Errors)?;
    stage.until(2, "volward doctor | grep -w fenced", "FAILED")?;
    stage.say("Whatever the guest writes now fails, also if a path should come back:");
    let write = format!("dd if=/dev/zero of={device} bs=4k count=1 oflag=direct status=none");
    stage.refused(2, &write, "Input/output error")?;
    stage.say(
        "Node 1 does not get the volume before sanlock counts node 2 as dead, and says so to whoever asks:",
    );
    stage.refused(1, "virsh start mover", "node2")?;
    stage.until(1, "virsh start mover", "started")?;
    stage.say("The guest runs again, and nobody has done anything by hand:");
    stage.works(1, "volward ls --all")?;
    Ok(())
}
