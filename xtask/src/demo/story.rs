//! The chapters: what the system tests check about guests, copies and policies, shown.

use anyhow::{Result, ensure};
use volward_system::guest::{Guest, Wish};
use volward_system::volward::{POLICIES, content};

use super::nodes;
use super::openstack;
use super::stage::Stage;

/// A chapter: what it shows, and how it is shown.
type Chapter = (&'static str, fn(&Stage<'_>) -> Result<()>);

pub(super) const CHAPTERS: &[Chapter] = &[
    ("A guest starts with the disks it asks for", starts),
    ("Nobody else gets its disk, and is told who has it", held),
    ("What is marked shareable can be shared", shared),
    ("A guest runs on a local copy from the first moment", copied),
    (
        "While the data is elsewhere, nobody gets the old one",
        elsewhere,
    ),
    ("A policy of your own decides", policy),
    ("nova and Cinder ask the daemon", openstack::asks),
    (
        "A guest moves to the other node while it writes",
        nodes::moves,
    ),
    (
        "A node whose power fails comes back, and its guest with it",
        nodes::back,
    ),
    (
        "A node that loses the LUN is cut off, and its guest starts elsewhere",
        nodes::lost,
    ),
];

/// Bytes a second of the LUN while a copy is to be looked at: 96 MiB in some 20 s.
const SLOW: u32 = 5 << 20;
const MIB: u64 = 96;

fn web() -> Guest {
    Guest::new("web", 1)
        .disk("root", Wish::Plain)
        .disk("common", Wish::SharedReadOnly)
}

fn heavy() -> Guest {
    Guest::new("heavy", 4).disk("big", Wish::Plain)
}

/// What is there when the story begins.
pub(super) fn prologue(stage: &Stage<'_>) -> Result<()> {
    println!();
    stage.say(
        "Two hypervisor nodes share a LUN. On it is an ordinary LVM volume group, vg0, with sanlock \
         leases; Volward runs on both nodes and is libvirt's qemu hook. Every line under a prompt \
         is what the command really said.",
    );
    for (name, mib) in [("root", 32), ("common", 32), ("big", MIB)] {
        stage.volward().volume(name, mib)?;
    }
    stage.works(1, "volward pool ls")?;
    stage.works(1, "volward volume set vg0/common --shareable yes")?;
    Ok(())
}

fn starts(stage: &Stage<'_>) -> Result<()> {
    let web = web();
    web.define(stage.node(1))?;
    stage.say(
        "A guest names its disks by a path that is the same on every node. This one wants vg0/root \
         for itself, and vg0/common only to read:",
    );
    stage.works(
        1,
        "virsh dumpxml web | grep -e 'source dev' -e readonly -e shareable",
    )?;
    stage.works(1, "virsh start web")?;
    stage.works(1, "volward ls")?;
    stage.say("sanlock, on the LUN, holds a lease for each, SH being a shared one (the other SH is Volward's \
         own registry):");
    let leases = stage.works(1, "sanlock client status | grep '^r'")?;
    ensure!(leases.contains(":SH"), "there is no shared lease");
    stage.say("Read-only is the kernel's doing, and holds for root on the node as well:");
    let common = web.device("common");
    stage.works(1, &format!("blockdev --getro {common}"))?;
    let write = format!("dd if=/dev/zero of={common} bs=4k count=1 oflag=direct status=none");
    stage.refused(1, &write, "Operation not permitted")?;
    stage.say("The guest writes to its own:");
    stage.guest_does(&web, 1, "write -P 0xaa 0 64k")
}

fn held(stage: &Stage<'_>) -> Result<()> {
    web().define(stage.node(2))?;
    stage.say("The same guest on the other node, by mistake or by a cluster manager's:");
    stage.refused(2, "virsh start web", "exclusively on node node1")?;
    stage.say("The command behind \"why\" tells the whole story of a request:");
    let instance = web().uuid;
    stage.works(2, &format!("volward explain --instance {instance}"))?;
    stage.say("A guest that only reads the shareable volume starts there:");
    let reader = Guest::new("reader", 2).disk("common", Wish::SharedReadOnly);
    reader.define(stage.node(2))?;
    stage.works(2, "virsh start reader")?;
    stage.works(2, "volward ls --all")?;
    stage.works(1, "virsh destroy web")?;
    stage.works(2, "virsh destroy reader")?;
    stage.works(2, "volward ls --all")?;
    Ok(())
}

fn shared(stage: &Stage<'_>) -> Result<()> {
    let left = Guest::new("left", 5).disk("common", Wish::Shareable);
    let right = Guest::new("right", 6).disk("common", Wish::Shareable);
    left.define(stage.node(1))?;
    right.define(stage.node(2))?;
    stage.say("Two guests of a clustered file system write to vg0/common, one on each node:");
    stage.works(1, "virsh start left")?;
    stage.works(2, "virsh start right")?;
    stage.guest_does(&left, 1, "write -P 0x11 1M 64k")?;
    stage.guest_does(&right, 2, "read -P 0x11 1M 64k")?;
    println!();
    stage.works(1, "virsh destroy left")?;
    stage.works(2, "virsh destroy right")?;
    stage.say("Without the mark a guest's own wish is not enough:");
    stage.works(1, "volward volume set vg0/common --shareable no")?;
    stage.refused(1, "virsh start left", "shareable")
}

fn copied(stage: &Stage<'_>) -> Result<()> {
    stage.say(
        "The policy hydrate-local comes with Volward: it proposes a copy on the node's own disks \
         where there is room. Dropping it into the folder installs it: within seconds by itself, \
         at once when it is said.",
    );
    let file = format!("{POLICIES}/50-hydrate-local");
    stage.works(
        1,
        &format!("echo '[config]\nreserve = \"1GiB\"' > {file}.toml"),
    )?;
    stage.works(
        1,
        &format!("cp /host/guests/hydrate-local.wasm {file}.wasm"),
    )?;
    stage.works(1, "volward policy load")?;
    stage.say(
        "(The LUN is slowed down to 5 MiB/s for this chapter, so that there is something to see.)",
    );
    stage.node(1).slow_lun(SLOW)?;
    let heavy = heavy();
    heavy.define(stage.node(1))?;
    stage.works(1, "virsh start heavy")?;
    stage.say("It runs, while its data is being copied in the background:");
    stage.works(1, "volward hydration ls")?;
    stage.guest_does(&heavy, 1, "read -v 90M 16")?;
    stage.guest_does(&heavy, 1, "write -P 0xbb 50M 64k")?;
    println!();
    stage.node(1).restore_lun()?;
    stage.until(1, "volward hydration ls", "complete")?;
    stage.say("Complete: the kernel has swapped dm-clone for a plain device under the guest.");
    stage.works(1, "dmsetup table | grep -e '^volward-' | cut -c1-110")?;
    Ok(())
}

fn elsewhere(stage: &Stage<'_>) -> Result<()> {
    let heavy = heavy();
    heavy.define(stage.node(2))?;
    stage.say("Node 2 may not have the volume as it lies on the LUN: it is an old one by now.");
    stage.refused(2, "virsh start heavy", "node1")?;
    stage.node(1).slow_lun(SLOW)?;
    stage.say("The guest stops. What it has is written back, and until that is done:");
    stage.works(1, "virsh destroy heavy")?;
    stage.works(1, "volward hydration ls")?;
    stage.refused(2, "virsh start heavy", "% done")?;
    stage.node(1).restore_lun()?;
    stage.until(2, "volward pool ls | grep vg0/big", " pool")?;
    stage.works(2, "virsh start heavy")?;
    stage.say("On node 2 the guest reads what it wrote, and everything else as it was:");
    stage.guest_does(&heavy, 2, "read -P 0xbb 50M 64k")?;
    println!();
    stage.works(2, "virsh destroy heavy")?;
    whole(stage)?;
    stage.works(1, &format!("rm {POLICIES}/50-*; volward policy load"))?;
    Ok(())
}

/// Compares the whole of `big` with what it must be by now.
fn whole(stage: &Stage<'_>) -> Result<()> {
    let instance = heavy().uuid;
    stage
        .volward()
        .cli_ok(2, &format!("attach {instance} vg0/big:ro"))?;
    let expected = format!(
        "( {} ) > /run/lab/big; head -c 65536 /dev/zero | tr '\\0' '\\273' | \
         dd of=/run/lab/big bs=64k seek=800 conv=notrunc status=none",
        content("big", MIB)
    );
    stage.node(2).run_ok(&expected)?;
    let device = heavy().device("big");
    stage.works(
        2,
        &format!("cmp {device} /run/lab/big && echo 'the whole volume is what it must be'"),
    )?;
    stage.volward().cli_ok(2, &format!("detach {instance}"))?;
    Ok(())
}

fn policy(stage: &Stage<'_>) -> Result<()> {
    stage.say(
        "examples/deny-by-prefix is a policy of thirty lines. It is a WebAssembly component: it \
         sees the facts of the request and its configuration, and nothing else of the node.",
    );
    let file = format!("{POLICIES}/50-names");
    stage.works(
        1,
        &format!("echo '[config]\nprefix = \"test-\"' > {file}.toml"),
    )?;
    stage.works(
        1,
        &format!("cp /host/guests/deny-by-prefix.wasm {file}.wasm"),
    )?;
    stage.works(1, "volward policy load")?;
    let test = Guest::new("test-7", 7).disk("root", Wish::Plain);
    test.define(stage.node(1))?;
    stage.refused(1, "virsh start test-7", "name-refused")?;
    stage.say("Removed, it has no say any more:");
    stage.works(1, &format!("rm {file}.*; volward policy load"))?;
    stage.works(1, "virsh start test-7")?;
    stage.works(1, "virsh destroy test-7")?;
    Ok(())
}
