//! What is asked: the request that is measured, and others that show that two policies are one.

use volward_model::{Access, AttachmentState, Facts, Purpose, Sharing};

use crate::decision;

/// Ten disks that give every policy of the chain something to do, and that all of them grant: half
/// are free and wanted exclusively, half are shared with another node, some with a writer there.
pub(super) fn measured() -> anyhow::Result<Facts> {
    let mut facts = decision::facts()?;
    for (place, disk) in facts.disks.iter_mut().enumerate() {
        disk.asked_access = Access::ReadWrite;
        if place % 2 == 0 {
            disk.asked_sharing = Sharing::Exclusive;
            disk.shareable = false;
            disk.attachments.clear();
        } else if place % 4 == 1 {
            disk.attachments[0].access = Access::ReadWrite;
        }
    }
    Ok(facts)
}

/// Every rule of the baseline, from both sides: a name, and what is asked.
pub(super) fn all() -> anyhow::Result<Vec<(&'static str, Facts)>> {
    let shared = decision::facts()?;
    // The second disk of what is measured is shared, and somebody else has it.
    let mixed = measured()?;
    let held = |change: fn(&mut Facts)| {
        let mut facts = mixed.clone();
        change(&mut facts);
        facts
    };
    Ok(vec![
        ("what is measured", mixed.clone()),
        ("all shared and read-only", shared.clone()),
        ("nothing", held(|facts| facts.disks.clear())),
        (
            "shared, not marked",
            held(|facts| facts.disks[1].shareable = false),
        ),
        (
            "exclusive, shared elsewhere",
            held(|facts| facts.disks[1].asked_sharing = Sharing::Exclusive),
        ),
        (
            "shared, exclusive elsewhere",
            held(|facts| facts.disks[9].attachments[0].sharing = Sharing::Exclusive),
        ),
        (
            "exclusive, quarantined elsewhere",
            held(|facts| {
                facts.disks[1].asked_sharing = Sharing::Exclusive;
                facts.disks[1].attachments[0].state = AttachmentState::Quarantined;
            }),
        ),
        (
            "exclusive, an intent elsewhere",
            held(|facts| {
                facts.disks[1].asked_sharing = Sharing::Exclusive;
                facts.disks[1].attachments[0].state = AttachmentState::Intent;
            }),
        ),
        ("its own elsewhere, boots", own(&mixed, Purpose::Boot)),
        (
            "its own elsewhere, migrates",
            own(&mixed, Purpose::MigrationIn),
        ),
        (
            "not marked, and exclusive elsewhere",
            held(|facts| {
                facts.disks[3].shareable = false;
                facts.disks[5].attachments[0].sharing = Sharing::Exclusive;
            }),
        ),
    ])
}

/// The instance has the second disk on another node itself.
fn own(facts: &Facts, purpose: Purpose) -> Facts {
    let mut facts = facts.clone();
    facts.request.purpose = purpose;
    facts.disks[1].asked_sharing = Sharing::Exclusive;
    facts.disks[1].attachments[0].instance = facts.request.instance;
    facts
}
