//! The chapters about nodes: a guest that moves, a node whose power fails, and one that is lost.

use anyhow::{Result, ensure};
use volward_system::guest::{Guest, Wish};
use volward_system::ticker::{self, Ticks};
use volward_system::volward::VIRSH;
use volward_system::{ClusterSpec, Cut, power};

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

/// Cuts the power of the node that the guest runs on, and boots it.
pub(super) fn back(stage: &Stage<'_>) -> Result<()> {
    let two = stage.node(2);
    mover().define(two)?;
    stage.say("libvirt is to start the guest by itself on node 2. A second volume is attached there by hand:");
    stage.works(2, "virsh autostart mover")?;
    let by_hand = "99999999-9999-4999-8999-999999999999";
    stage.works(2, &format!("volward attach {by_hand} vg0/root"))?;
    let before = paused(stage, 2, 0)?;
    power::makes_room(two)?;
    stage.say("The power of node 2 fails, and it boots:");
    power::cut(two)?;
    power::boot(stage.cluster(), &ClusterSpec::default(), stage.volward(), 2)?;
    stage.say(
        "The lockspace is joined again and volwardd is ready (here by hand, else by the package's units). Of what was attached nothing \
         is any more: another node may have had it since.",
    );
    stage.works(2, "volward ls")?;
    stage.works(2, "dmsetup ls | grep -c ^volward- || true")?;
    stage.say("All that the guest had written is on its disk; the disk is emptied, for its program begins to count again:");
    stage.works(2, &format!("volward attach {by_hand} vg0/moves"))?;
    let device = format!("/dev/volward/{by_hand}/vg0/moves");
    let kept = ticker::ticks(two, &device)?;
    ensure!(
        kept.last >= before.last && kept.lost <= 1,
        "{before:?}, {kept:?}"
    );
    stage.say(&format!(
        "It has written {} times until the power failed.",
        kept.last
    ));
    ticker::empty(two, &device)?;
    stage.works(2, &format!("volward detach {by_hand}"))?;
    stage.say(
        "Then libvirtd starts, and with it the guest, which asks for its disk as at any start:",
    );
    // The lab's quick nodes have no units; this libvirtd is the boot's first one that knows the guest.
    two.run_ok("rm -f /run/libvirt/qemu/autostarted")?;
    stage.volward().restart_libvirtd(2)?;
    stage.until(2, "virsh list --name", "mover")?;
    stage.works(2, "volward ls")?;
    paused(stage, 2, 0)?;
    Ok(())
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
