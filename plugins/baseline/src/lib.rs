//! What holds whatever else is installed: a volume is for one instance, exclusively, unless it is
//! marked shareable; what is attached already is respected, and whoever is refused learns who
//! has it.
//!
//! It proposes no local copy. It sets no ceiling for them either: the ceiling of a chain is its
//! lowest, so one here would forbid every later policy to propose any.

use volward_sdk::{
    Answer, Attach, Attachment, AttachmentState, Denial, Disk, Lifecycle, Problem, Purpose,
    Request, Sharing, config,
};

/// The policy that is built into the daemon.
pub struct Baseline;

impl Attach for Baseline {
    fn attach(request: &Request, _answer: &mut Answer) -> Result<(), Denial> {
        for disk in &request.disks {
            may_be_shared(disk)?;
            is_free(request, disk)?;
        }
        Ok(())
    }
}

impl Lifecycle for Baseline {
    fn check_config() -> Vec<Problem> {
        config::unknown_keys(&[])
    }
}

volward_sdk::export!(Baseline: attach, lifecycle);
volward_sdk::scenarios!(Baseline: attach, lifecycle);

/// Sharing, even to read only, is for volumes somebody marked (I18): whoever reads what another
/// writes must have been meant to.
fn may_be_shared(disk: &Disk) -> Result<(), Denial> {
    if disk.asked_sharing == Sharing::Exclusive || *disk.shareable {
        return Ok(());
    }
    let name = disk.full_name();
    let message = format!(
        "{name} is asked for shared, but is not marked shareable: mark it with `volward volume set {name} --shareable yes`, or ask for it exclusively"
    );
    Err(Denial::new("not-shareable", message))
}

/// Refuses when somebody holds the disk in a way that excludes what is asked for.
fn is_free(request: &Request, disk: &Disk) -> Result<(), Denial> {
    let conflict = disk
        .attachments
        .iter()
        .find(|held| counts(request, held) && excludes(held, *disk.asked_sharing));
    let Some(held) = conflict else { return Ok(()) };
    let how = match held.sharing {
        Sharing::Exclusive => "exclusively",
        Sharing::Shared => "shared",
    };
    let but = match (held.sharing, &held.state) {
        (_, AttachmentState::Quarantined) => " (quarantined: see `volward explain` on that node)",
        (Sharing::Shared, _) => ", and it is asked for exclusively",
        (Sharing::Exclusive, _) => "",
    };
    let message = format!(
        "{} is attached {how} on node {} for instance {}{but}",
        disk.full_name(),
        held.node,
        held.instance
    );
    Err(Denial::new("in-use", message))
}

/// Which attachments of others count. An intent does not: two nodes that decide at the same
/// moment see each other's, and would both refuse; the daemon settles them under the lease. A
/// migrating instance's own attachment does not either: whether it migrates is checked by the
/// daemon (I6), not here.
fn counts(request: &Request, held: &Attachment) -> bool {
    let migrates = request.purpose == Purpose::MigrationIn && held.instance == request.instance;
    held.state != AttachmentState::Intent && !migrates
}

fn excludes(held: &Attachment, asked: Sharing) -> bool {
    held.sharing == Sharing::Exclusive || asked == Sharing::Exclusive
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::Access;

    fn held(sharing: Sharing, state: AttachmentState) -> Attachment {
        Attachment {
            node: "n2".into(),
            instance: "guest-b".into(),
            sharing,
            access: Access::ReadWrite,
            since_ms: 0,
            state,
        }
    }

    fn ask(disk: Disk) -> Result<Answer, Denial> {
        let request = Request {
            instance: "guest-a".into(),
            disks: vec![Disk {
                pool: "vg0".into(),
                name: "web".into(),
                ..disk
            }]
            .into(),
            ..Request::default()
        };
        let mut answer = Answer::default();
        Baseline::attach(&request, &mut answer).map(|()| answer)
    }

    fn shared(shareable: bool, attachments: Vec<Attachment>) -> Disk {
        Disk {
            asked_sharing: Sharing::Shared.into(),
            shareable: shareable.into(),
            attachments: attachments.into(),
            ..Disk::default()
        }
    }

    #[test]
    fn a_free_volume_is_granted_as_asked() {
        assert_eq!(ask(Disk::default()).unwrap(), Answer::default());
        assert_eq!(ask(shared(true, vec![])).unwrap(), Answer::default());
    }

    #[test]
    fn sharing_needs_the_mark_even_to_read() {
        let read_only = Disk {
            asked_access: Access::ReadOnly.into(),
            ..shared(false, vec![])
        };
        for disk in [shared(false, vec![]), read_only] {
            let denial = ask(disk).unwrap_err();
            assert_eq!(denial.code, "not-shareable");
            assert!(
                denial.message.contains("volward volume set vg0/web"),
                "{}",
                denial.message
            );
        }
    }

    #[test]
    fn whoever_holds_it_is_named() {
        let exclusive = held(Sharing::Exclusive, AttachmentState::Attached);
        let denial = ask(Disk {
            attachments: vec![exclusive].into(),
            ..Disk::default()
        })
        .unwrap_err();
        assert_eq!(
            (denial.code.as_str(), denial.message.as_str()),
            (
                "in-use",
                "vg0/web is attached exclusively on node n2 for instance guest-b"
            )
        );
    }

    #[test]
    fn shared_and_exclusive_exclude_each_other_both_ways() {
        use AttachmentState::{Attached, Quarantined};
        assert!(ask(shared(true, vec![held(Sharing::Exclusive, Attached)])).is_err());
        assert!(ask(shared(true, vec![held(Sharing::Shared, Attached)])).is_ok());
        for state in [Attached, Quarantined] {
            let attachments = vec![held(Sharing::Shared, state)];
            assert!(
                ask(Disk {
                    attachments: attachments.into(),
                    ..Disk::default()
                })
                .is_err()
            );
        }
    }

    #[test]
    fn an_intent_elsewhere_is_left_to_the_lease() {
        let attachments = vec![held(Sharing::Exclusive, AttachmentState::Intent)];
        assert!(
            ask(Disk {
                attachments: attachments.into(),
                ..Disk::default()
            })
            .is_ok()
        );
    }

    #[test]
    fn a_migrating_instance_does_not_exclude_itself() {
        let mut own = held(Sharing::Exclusive, AttachmentState::Attached);
        own.instance = "guest-a".into();
        let disk = Disk {
            attachments: vec![own].into(),
            ..Disk::default()
        };
        for (purpose, granted) in [(Purpose::MigrationIn, true), (Purpose::Boot, false)] {
            let request = Request {
                purpose: purpose.into(),
                instance: "guest-a".into(),
                disks: vec![disk.clone()].into(),
                ..Request::default()
            };
            let answer = Baseline::attach(&request, &mut Answer::default());
            assert_eq!(answer.is_ok(), granted);
        }
    }
}
