//! A volume may be shared read-write only within a named group of instances: the nodes of a
//! cluster file system, say. A volume names its group by an LV tag, `cluster=NAME`; the group's
//! instances stand in the configuration, `group-NAME = "UUID UUID"`. Keys: [`Settings`].
//!
//! Instances are named by UUID: names repeat, and whoever writes a guest's XML chooses them.

mod settings;

pub use settings::Settings;
use volward_sdk::{
    Access, Answer, Attach, Attachment, AttachmentState, Denial, Disk, Lifecycle, Problem, Request,
    Sharing,
};

/// The policy.
pub struct ClusterDisk;

impl Attach for ClusterDisk {
    fn attach(request: &Request, _answer: &mut Answer) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        request
            .disks
            .iter()
            .try_for_each(|disk| review(request, disk, &settings))
    }
}

impl Lifecycle for ClusterDisk {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(ClusterDisk: attach, lifecycle);
volward_sdk::scenarios!(ClusterDisk: attach, lifecycle);

fn review(request: &Request, disk: &Disk, settings: &Settings) -> Result<(), Denial> {
    let name = disk.full_name();
    let group = match settings.groups_of(disk)[..] {
        [] => return ungrouped(disk, settings),
        [group] => group,
        [one, other, ..] => {
            let message = format!(
                "{name} names two groups, {one} and {other}: take one of its LV tags away with `lvchange --deltag`"
            );
            return Err(Denial::new("two-groups", message));
        }
    };
    let Some(members) = settings.members(group) else {
        let message = format!(
            "{name} belongs to group {group}, which nobody is in: list its instances as `group-{group}` in the settings of the policy cluster-disk"
        );
        return Err(Denial::new("no-such-group", message));
    };
    let is_member = |instance: &str| members.iter().any(|m| m.eq_ignore_ascii_case(instance));
    if !is_member(&request.instance) && !settings.may_read(disk) {
        if settings.anyone_reads && disk.asked_access == Access::ReadOnly {
            let message = format!(
                "{name} belongs to group {group}, and instance {}, which is not in it, asks for it exclusively, which would keep the group out: ask for it shared and read-only, or add the instance to `group-{group}` in the settings of the policy cluster-disk",
                request.instance
            );
            return Err(Denial::new("not-in-group", message));
        }
        let message = format!(
            "{name} belongs to group {group}, and instance {} is not in it: add the instance to `group-{group}` in the settings of the policy cluster-disk",
            request.instance
        );
        return Err(Denial::new("not-in-group", message));
    }
    // Whoever was there before the group was named is no member by having been there.
    let stranger = disk
        .attachments
        .iter()
        .find(|a| writes(a) && !is_member(&a.instance));
    match stranger {
        Some(stranger) if writes_shared(disk) => {
            let message = format!(
                "{name} is written by instance {} on node {}, which is not in group {group}: stop that instance, or add it to `group-{group}` in the settings of the policy cluster-disk",
                stranger.instance, stranger.node
            );
            Err(Denial::new("stranger-in-group", message))
        }
        _ => Ok(()),
    }
}

/// A volume without a group has one writer at a time, as everywhere.
fn ungrouped(disk: &Disk, settings: &Settings) -> Result<(), Denial> {
    if !writes_shared(disk) {
        return Ok(());
    }
    let (name, tag) = (disk.full_name(), &settings.tag);
    let message = format!(
        "{name} is asked for shared and read-write, and belongs to no group: name one with `lvchange --addtag {tag}=NAME {name}`, or ask for it read-only or exclusively"
    );
    Err(Denial::new("no-group", message))
}

fn writes_shared(disk: &Disk) -> bool {
    disk.asked_sharing == Sharing::Shared && disk.asked_access == Access::ReadWrite
}

/// An intent is nobody's yet: the daemon settles it under the lease, and asks again.
fn writes(held: &Attachment) -> bool {
    held.access == Access::ReadWrite && held.state != AttachmentState::Intent
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::config;

    const A: &str = "aaaaaaaa-0000-0000-0000-000000000001";
    const B: &str = "bbbbbbbb-0000-0000-0000-000000000002";
    const C: &str = "cccccccc-0000-0000-0000-000000000003";

    fn configure(more: &[(&str, &str)]) {
        let members = format!("{A} {B}");
        let mut config = vec![("group-db", members.as_str())];
        config.extend(more);
        config::set_for_test(&config);
    }

    /// A shareable volume with these tags, asked for shared and read-write.
    fn ask(instance: &str, tags: &[&str], holders: &[&str]) -> Request {
        let attachments = holders.iter().map(|holder| Attachment {
            node: "n2".into(),
            instance: (*holder).into(),
            sharing: Sharing::Shared,
            access: Access::ReadWrite,
            since_ms: 0,
            state: AttachmentState::Attached,
        });
        Request {
            instance: instance.into(),
            disks: vec![Disk {
                pool: "vg0".into(),
                name: "data".into(),
                shareable: true.into(),
                tags: tags.iter().map(|t| (*t).to_owned()).collect(),
                asked_sharing: Sharing::Shared.into(),
                attachments: attachments.collect(),
                ..Disk::default()
            }]
            .into(),
            ..Request::default()
        }
    }

    fn refusal(request: &Request) -> Option<Denial> {
        ClusterDisk::attach(request, &mut Answer::default()).err()
    }

    fn code(request: &Request) -> Option<String> {
        refusal(request).map(|denial| denial.code)
    }

    #[test]
    fn members_share_and_others_do_not() {
        configure(&[]);
        assert_eq!(code(&ask(A, &["cluster=db"], &[B])), None);
        assert_eq!(code(&ask(&A.to_uppercase(), &["cluster=db"], &[B])), None);
        let denial = refusal(&ask(C, &["cluster=db"], &[A, B])).unwrap();
        assert_eq!(
            denial.message,
            format!(
                "vg0/data belongs to group db, and instance {C} is not in it: add the instance to `group-db` in the settings of the policy cluster-disk"
            )
        );
    }

    #[test]
    fn sharing_read_write_needs_a_group_and_nothing_else_does() {
        configure(&[]);
        let mut asked = ask(A, &[], &[]);
        assert!(
            refusal(&asked)
                .unwrap()
                .message
                .contains("`lvchange --addtag cluster=NAME vg0/data`")
        );
        asked.disks[0].asked_access = Access::ReadOnly.into();
        assert_eq!(code(&asked), None);
        asked.disks[0].asked_access = Access::ReadWrite.into();
        asked.disks[0].asked_sharing = Sharing::Exclusive.into();
        assert_eq!(code(&asked), None);
    }

    #[test]
    fn a_groups_volume_is_the_groups_even_exclusively_or_to_read() {
        configure(&[]);
        let mut asked = ask(C, &["cluster=db"], &[]);
        asked.disks[0].asked_sharing = Sharing::Exclusive.into();
        assert_eq!(code(&asked).as_deref(), Some("not-in-group"));
        asked.disks[0].asked_sharing = Sharing::Shared.into();
        asked.disks[0].asked_access = Access::ReadOnly.into();
        assert_eq!(code(&asked).as_deref(), Some("not-in-group"));
        configure(&[("readers", "anyone")]);
        assert_eq!(code(&asked), None);
        // Alone with it, a reader keeps the group out.
        asked.disks[0].asked_sharing = Sharing::Exclusive.into();
        let denial = refusal(&asked).unwrap();
        assert_eq!(denial.code, "not-in-group");
        assert!(denial.message.contains("ask for it shared"), "{denial:?}");
        asked.instance = A.into();
        assert_eq!(code(&asked), None);
        assert_eq!(
            code(&ask(C, &["cluster=db"], &[])).as_deref(),
            Some("not-in-group")
        );
    }

    #[test]
    fn a_stranger_who_writes_keeps_the_members_out() {
        configure(&[]);
        let mut asked = ask(A, &["cluster=db"], &[B, C]);
        assert!(refusal(&asked).unwrap().message.contains(C));
        asked.disks[0].attachments[1].state = AttachmentState::Intent;
        assert_eq!(code(&asked), None);
    }

    #[test]
    fn a_group_must_be_one_and_known() {
        configure(&[]);
        assert_eq!(
            code(&ask(A, &["cluster=web"], &[])).as_deref(),
            Some("no-such-group")
        );
        assert_eq!(
            code(&ask(A, &["cluster=db", "cluster=x"], &[])).as_deref(),
            Some("two-groups")
        );
        configure(&[("tag", "fs")]);
        assert_eq!(code(&ask(A, &["fs=db"], &[B])), None);
    }
}
