//! What must be true, as sentences about what is not.

use std::collections::BTreeSet;

use volward_control::ports::{Devices, JournalEntry, JournalState, Leases, Operation, Volumes};
use volward_model::volume::REGISTRY_VOLUME;
use volward_model::{
    AttachmentState, DeviceId, DeviceRole, Home, HomeState, LeaseMode, Outcome, VolumeId,
};
use volward_plan::DiskForm;
use volward_storage::fake::FakeNode;

use crate::lab::{Daemon, Lab};

/// I30 on one node at rest: every attachment is whole or quarantined with causes, and nothing is
/// there that nobody accounts for.
#[must_use]
pub fn settled(lab: &Lab, daemon: &Daemon) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(whole(daemon));
    wrong.extend(accounted(lab, daemon));
    let open = daemon
        .journal
        .entries()
        .into_iter()
        .filter(|e| e.state == JournalState::Open);
    let still = |e: JournalEntry| {
        let operation = e.operation.name();
        format!("journal entry {} ({operation}) is still open", e.id)
    };
    wrong.extend(open.map(still));
    wrong.extend(data(lab, daemon));
    wrong
}

/// A node at rest has no attach in its journal whose decision is not in its log, and no decision
/// without an outcome of which the journal says that it was begun and does not say how it ended.
#[must_use]
pub fn on_record(lab: &Lab, node: &str) -> Vec<String> {
    let (log, entries) = (lab.decisions(node), lab.journal(node).entries());
    let decided = log.requests();
    let attaches = entries.iter().filter(|entry| match &entry.operation {
        // What failed before it was decided has neither.
        Operation::Attach { steps, puts, .. } => !steps.is_empty() || !puts.is_empty(),
        _ => false,
    });
    let undecided = attaches.filter(|entry| !decided.contains(&entry.request));
    let undecided = undecided.map(|e| format!("attach {} has no decision in the log", e.request));
    let open = decided
        .iter()
        .zip(log.outcomes())
        .filter(|(_, outcome)| *outcome == Outcome::Begun);
    let open = open.filter(|(request, _)| {
        let own = entries.iter().filter(|e| e.request == **request);
        own.clone().any(|e| e.state == JournalState::Open)
    });
    let open = open.map(|(request, _)| format!("the decision of {request} has no outcome"));
    undecided.chain(open).collect()
}

fn whole(daemon: &Daemon) -> Vec<String> {
    let mut wrong = Vec::new();
    let links = daemon.kernel.links().unwrap_or_default();
    for attachment in daemon.node.attachments() {
        let what = format!("{} of {}", attachment.volume, attachment.instance);
        if attachment.state == AttachmentState::Quarantined {
            if attachment.causes.is_empty() {
                wrong.push(format!("{what} is quarantined without a cause"));
            }
            continue;
        }
        let id = DeviceId::attachment(attachment.volume.id, attachment.instance);
        let linked = links
            .iter()
            .any(|l| l.instance == attachment.instance && l.volume == attachment.volume.name);
        if attachment.form == DiskForm::Own && !(daemon.kernel.devices().contains(&id) && linked) {
            wrong.push(format!("{what} has no device or no path"));
        }
        // One that migrates is shared with one other node.
        let mode = attachment.lease();
        let lease = lease_of(&daemon.kernel, attachment.volume.id);
        if lease.is_none_or(|held| held < mode) {
            wrong.push(format!("{what} is attached without its lease"));
        }
    }
    wrong
}

fn lease_of(kernel: &FakeNode, volume: VolumeId) -> Option<LeaseMode> {
    let held = kernel.leases_held();
    held.into_iter()
        .find(|(v, _)| *v == volume)
        .map(|(_, mode)| mode)
}

fn accounted(lab: &Lab, daemon: &Daemon) -> Vec<String> {
    let (mut wrong, kernel) = (Vec::new(), &daemon.kernel);
    let attachments = daemon.node.attachments();
    let keys: BTreeSet<_> = attachments.iter().map(|a| a.key()).collect();
    let attached: BTreeSet<VolumeId> = keys.iter().map(|k| k.volume).collect();
    let quarantined = attachments
        .iter()
        .any(|a| a.state == AttachmentState::Quarantined);
    let copied: BTreeSet<VolumeId> = volumes_with_copy_on(lab, kernel);
    for id in kernel.devices() {
        let known = match id.role {
            DeviceRole::Attachment(instance) => keys
                .iter()
                .any(|k| k.volume == id.volume && k.instance == instance),
            DeviceRole::Clone
            | DeviceRole::Return
            | DeviceRole::Metadata
            | DeviceRole::ReturnMetadata => copied.contains(&id.volume),
        };
        if !known && !quarantined {
            wrong.push(format!("device {id} belongs to nothing"));
        }
    }
    for (device, copy) in kernel.mirrors() {
        let open = daemon.node.operations().into_iter().any(|known| {
            let operation = known.operation;
            operation.end().is_none() && operation.volumes().any(|volume| volume.id == copy)
        });
        if !open {
            wrong.push(format!(
                "device {device} writes to {copy}, which nobody copies"
            ));
        }
    }
    for link in kernel.links().unwrap_or_default() {
        let known = attachments
            .iter()
            .any(|a| a.instance == link.instance && a.volume.name == link.volume);
        if !known {
            wrong.push(format!("a path of {}/{} is left", link.pool, link.volume));
        }
    }
    for (volume, mode) in kernel.leases_held() {
        let ours = attached.contains(&volume) || copied.contains(&volume);
        if !ours && !is_registry(lab, kernel, volume) {
            wrong.push(format!("a lease ({mode}) of {volume} is left"));
        }
    }
    let local = lab.local(kernel.name().as_str());
    for name in local.iter().flat_map(|pool| lab.cluster.volumes(pool)) {
        let known = copied
            .iter()
            .any(|v| name.as_str().ends_with(&v.lv.to_string()));
        if !known && !quarantined {
            wrong.push(format!("the LV {name} is left"));
        }
    }
    wrong
}

fn is_registry(lab: &Lab, kernel: &FakeNode, volume: VolumeId) -> bool {
    lab.shared_pools().any(|pool| {
        kernel.pool(pool).is_ok_and(|info| {
            info.volume(volume)
                .is_some_and(|v| v.volume.name.as_str() == REGISTRY_VOLUME)
        })
    })
}

/// Homes, by any node: the tag is on the LUN.
fn homes(lab: &Lab, kernel: &FakeNode) -> Vec<(VolumeId, Option<Home>)> {
    let info = kernel.pool(&lab.pool).map(|info| info.volumes);
    info.unwrap_or_default()
        .iter()
        .map(|v| (v.volume.id, v.home().ok()))
        .collect()
}

fn volumes_with_copy_on(lab: &Lab, kernel: &FakeNode) -> BTreeSet<VolumeId> {
    let here = |home: &Option<Home>| {
        let copy = home.as_ref().and_then(Home::copy);
        copy.is_some_and(|(node, _)| node == kernel.name())
    };
    let homes = homes(lab, kernel).into_iter();
    homes.filter(|(_, h)| here(h)).map(|(v, _)| v).collect()
}

/// I19, I21, I24: whatever can be read is what guests wrote, over whole volumes.
#[must_use]
pub fn data(lab: &Lab, daemon: &Daemon) -> Vec<String> {
    let mut wrong = Vec::new();
    let kernel = &daemon.kernel;
    let attachments = daemon.node.attachments();
    for (volume, home) in homes(lab, kernel) {
        let expected = lab.expected(volume);
        if expected.is_empty() {
            continue;
        }
        let at_home = home.is_some_and(|h| h.state == HomeState::Pool);
        if at_home && lab.cluster.contents(volume) != expected {
            wrong.push(format!("the shared LV of {volume} lost data"));
        }
        let whole = attachments.iter().filter(|a| {
            a.volume.id == volume && a.form == DiskForm::Own && a.state == AttachmentState::Attached
        });
        for attachment in whole {
            match lab.read(kernel, volume, attachment.instance) {
                Ok(read) if read == expected => {}
                Ok(_) => wrong.push(format!("the guest's device of {volume} shows other data")),
                Err(error) => wrong.push(format!("the guest cannot read {volume}: {error}")),
            }
        }
    }
    wrong
}

/// Nothing of the node's is left: no attachment, device, lease, path or copy.
#[must_use]
pub fn clean(lab: &Lab, daemon: &Daemon) -> Vec<String> {
    let mut wrong = settled(lab, daemon);
    let left = daemon.node.attachments();
    wrong.extend(
        left.iter()
            .map(|a| format!("{} is still attached", a.volume)),
    );
    let remembered = daemon.journal.remembered();
    wrong.extend(
        remembered
            .iter()
            .map(|a| format!("{} is remembered", a.volume)),
    );
    let copies = volumes_with_copy_on(lab, &daemon.kernel);
    wrong.extend(
        copies
            .iter()
            .map(|v| format!("{v} still has its copy here")),
    );
    wrong
}

/// What holds in the cluster at every moment, also in the middle of everything: of exclusive
/// holders there is one, no device stands without a lease of its node (I1), and a copy that a
/// home names is there (I19).
#[must_use]
pub fn always(lab: &Lab, nodes: &[FakeNode]) -> Vec<String> {
    let mut wrong = Vec::new();
    for node in nodes {
        for (device, copy) in node.mirrors() {
            if lease_of(node, copy) != Some(LeaseMode::Exclusive) {
                let name = node.name();
                wrong.push(format!(
                    "device {device} on {name} writes to {copy} without a lease"
                ));
            }
        }
    }
    for volume in lab.volumes() {
        let holders: Vec<(&FakeNode, LeaseMode)> = nodes
            .iter()
            .filter_map(|n| Some((n, lease_of(n, volume)?)))
            .collect();
        let exclusive = holders.iter().any(|(_, m)| *m == LeaseMode::Exclusive);
        if exclusive && holders.len() > 1 {
            wrong.push(format!("{volume} is leased exclusively, and by others too"));
        }
        for node in nodes {
            let device = node.devices().into_iter().find(|d| d.volume == volume);
            if let (Some(device), None) = (device, lease_of(node, volume)) {
                let name = node.name();
                wrong.push(format!("device {device} on {name} stands without a lease"));
            }
        }
    }
    wrong
}

/// Whether sanlock on that node still shows the lease: for tests that look at one volume.
#[must_use]
pub fn holds(lab: &Lab, kernel: &FakeNode, volume: VolumeId) -> Option<LeaseMode> {
    let held = kernel.held(&lab.pool).ok()?;
    held.get(&volume.lv).map(|lease| lease.mode)
}
