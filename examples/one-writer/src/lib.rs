//! Many instances may share a volume, of which one may write: a cluster's log disk, say.

use volward_sdk::{Access, Answer, Attach, Attachment, AttachmentState, Denial, Disk, Request};

struct OneWriter;

impl Attach for OneWriter {
    fn attach(request: &Request, _answer: &mut Answer) -> Result<(), Denial> {
        request.disks.iter().try_for_each(one_writer)
    }
}

volward_sdk::export!(OneWriter: attach);

fn one_writer(disk: &Disk) -> Result<(), Denial> {
    if disk.asked_access == Access::ReadOnly {
        return Ok(());
    }
    // An intent is nobody's yet: of two nodes that want the same at once, the daemons let one go
    // on, and the other asks again when it has it.
    let writes = |a: &&Attachment| {
        a.access == Access::ReadWrite && !matches!(a.state, AttachmentState::Intent)
    };
    match disk.attachments.iter().find(writes) {
        None => Ok(()),
        Some(writer) => Err(Denial::new(
            "one-writer",
            format!(
                "{} has a writer already, instance {} on node {}; ask for it read-only",
                disk.full_name(),
                writer.instance,
                writer.node
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::Sharing;

    fn disk(asked_access: Access, others: &[Access]) -> Disk {
        let attachments = others.iter().map(|access| Attachment {
            node: "node2".into(),
            instance: "b".into(),
            sharing: Sharing::Shared,
            access: *access,
            since_ms: 0,
            state: AttachmentState::Attached,
        });
        Disk {
            asked_access: asked_access.into(),
            attachments: attachments.collect(),
            ..Disk::default()
        }
    }

    #[test]
    fn a_second_writer_is_told_who_the_first_is() {
        let (reads, writes) = (Access::ReadOnly, Access::ReadWrite);
        assert!(one_writer(&disk(writes, &[reads, reads])).is_ok());
        assert!(one_writer(&disk(reads, &[reads, writes])).is_ok());
        let mut wants = disk(writes, &[writes]);
        wants.attachments[0].state = AttachmentState::Intent;
        assert!(one_writer(&wants).is_ok());
        let denial = one_writer(&disk(writes, &[reads, writes])).unwrap_err();
        assert!(denial.message.contains("node2"), "{}", denial.message);
    }
}
