//! What earlier daemons of this boot left, for the direct provider: which leases are Volward's own.

use std::collections::BTreeSet;

use volward_control::ports::{
    Devices, Journal, Operation, Operations, PortError, PortResult, StoredAttachment,
};
use volward_model::{VolumeId, VolumeOperation};
use volward_plan::Step;
use volward_storage::lease::LeftByUs;

/// Read of the journal, and of the devices that there are.
///
/// # Errors
/// If the journal cannot be read.
pub(crate) fn by_us(
    (journal, operations): (&dyn Journal, &dyn Operations),
    devices: &dyn Devices,
    boot_id: &str,
) -> PortResult<LeftByUs> {
    let attachments = journal.attachments()?.into_iter();
    let ours = |attachment: &StoredAttachment| attachment.boot_id == boot_id;
    let mut attached: BTreeSet<VolumeId> = attachments
        .filter(ours)
        .map(|attachment| attachment.volume.id)
        .collect();
    // A copy that is written back has a lease, and no attachment.
    match devices.list() {
        Ok(devices) => attached.extend(devices.iter().map(|device| device.id.volume)),
        Err(error) => unlisted(&error),
    }
    let mut begun = BTreeSet::new();
    let open = journal.open_entries()?;
    let damaged = open.damaged.into_iter().map(|damaged| damaged.entry);
    for entry in open.whole.into_iter().chain(damaged) {
        if entry.boot_id != boot_id {
            continue;
        }
        match &entry.operation {
            Operation::WriteBack { volume } => {
                attached.insert(volume.id);
            }
            Operation::Detach { leaving, .. } => {
                attached.extend(leaving.iter().map(|leaving| leaving.volume.id));
            }
            // It may have found the volume activated by hand: what lvmlockd has of it need not be
            // Volward's.
            operation @ Operation::Attach { .. } => {
                begun.extend(
                    operation
                        .steps()
                        .into_iter()
                        .flat_map(|(step, _)| leased(step)),
                );
            }
        }
    }
    // One that was interrupted may have its volume's lease, and that of the volume it copies; nobody else has.
    let operations = operations.operations()?;
    let open = operations.iter().filter(|o| o.end().is_none());
    attached.extend(open.flat_map(VolumeOperation::volumes).map(|v| v.id));
    begun.extend(&attached);
    Ok(LeftByUs {
        leased: begun,
        attached,
    })
}

fn leased(step: &Step) -> Vec<VolumeId> {
    match step {
        Step::Lease { volumes, .. } => volumes.iter().map(|volume| volume.id).collect(),
        _ => Vec::new(),
    }
}

/// Without device-mapper there is no device of Volward's either.
fn unlisted(error: &PortError) {
    tracing::debug!(%error, "listing this node's devices");
}

#[cfg(test)]
mod tests {
    use volward_control::ports::{JournalEntry, JournalState, Marked};
    use volward_folder::{Folder, NamedFolder};
    use volward_model::{LeaseMode, RequestId, VolumeRef, VolumeTask};
    use volward_plan::Planned;
    use volward_storage::dm::Dm;
    use volward_storage::journal::SqliteJournal;

    use super::*;

    fn volume(letter: &str) -> VolumeRef {
        VolumeRef {
            id: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: letter.repeat(32).parse().unwrap(),
            },
            pool: "vg0".parse().unwrap(),
            name: letter.parse().unwrap(),
        }
    }

    fn entry(boot_id: &str, operation: Operation) -> JournalEntry {
        JournalEntry {
            id: 0,
            request: RequestId(uuid::Uuid::from_u128(1)),
            boot_id: boot_id.to_owned(),
            started_ms: 1,
            operation,
            state: JournalState::Open,
            causes: Vec::new(),
        }
    }

    #[test]
    fn what_was_begun_is_adopted_and_what_was_attached_may_be_lvmlockds() {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&Folder::open(folder.path()).unwrap()).unwrap();
        let lease = Step::Lease {
            pool: "vg0".parse().unwrap(),
            volumes: vec![volume("a")],
            mode: LeaseMode::Exclusive,
        };
        let attach = Operation::Attach {
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
            steps: Marked::waiting([Planned {
                step: lease,
                undo: Vec::new(),
            }]),
            commit_at: 1,
            puts: Vec::new(),
        };
        let write_back = |letter| Operation::WriteBack {
            volume: volume(letter),
        };
        journal.begin(&entry("now", attach)).unwrap();
        journal.begin(&entry("now", write_back("b"))).unwrap();
        journal.begin(&entry("before", write_back("c"))).unwrap();
        let copied = VolumeOperation {
            volume: Some(volume("e")),
            source: Some(volume("d")),
            ..VolumeOperation::new(
                "copies".parse().unwrap(),
                VolumeTask::Copy {
                    from_pool: "vg0".parse().unwrap(),
                    from: "d".parse().unwrap(),
                    pool: "vg1".parse().unwrap(),
                    name: "e".parse().unwrap(),
                    size: None,
                },
                (RequestId(uuid::Uuid::from_u128(2)), 0),
                1,
            )
        };
        journal.put(&copied).unwrap();
        let devices = Dm::new(NamedFolder::at(&folder.path().join("dev")).unwrap());
        let left = by_us((&journal, &journal), &devices, "now").unwrap();
        assert!(left.leased.contains(&volume("a").id) && left.leased.contains(&volume("b").id));
        assert!(!left.attached.contains(&volume("a").id));
        assert!(left.attached.contains(&volume("b").id));
        assert!(!left.leased.contains(&volume("c").id), "of an earlier boot");
        for letter in ["d", "e"] {
            let of_copy = left.leased.contains(&volume(letter).id);
            assert!(of_copy, "{letter} is of a copy under way");
        }
    }
}
