//! Limits for an instance and for a node: how many volumes, how many bytes, and how much may be
//! promised to local copies. Keys of the configuration: [`Settings`].
//!
//! Too many volumes or bytes refuse the request. Copies are never a reason to refuse: beyond
//! their limit a volume stays in the pool, and a note says why.

mod settings;

pub use settings::Settings;
use volward_sdk::{
    Access, Answer, Attach, CopyMode, Denial, Disk, Home, Lifecycle, Problem, Request, Sharing,
};

/// The policy.
pub struct Quota;

impl Attach for Quota {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        node(request, &settings)?;
        let is_exempt = |exempt: &String| exempt.eq_ignore_ascii_case(&request.instance);
        if !settings.exempt.iter().any(is_exempt) {
            instance(request, &settings)?;
            instance_copies(request, &settings, answer);
        }
        node_copies(request, &settings, answer);
        Ok(())
    }
}

impl Lifecycle for Quota {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(Quota: attach, lifecycle);
volward_sdk::scenarios!(Quota: attach, lifecycle);

/// Attachments under way elsewhere on the node count, so two requests at once cannot both have
/// the last place; both may be refused, and ask again.
fn node(request: &Request, settings: &Settings) -> Result<(), Denial> {
    let (Some(limit), Some(others)) = (settings.node_attachments, *request.node.attachments) else {
        return Ok(());
    };
    let asked = count(&request.disks);
    if u64::from(others) + asked <= limit {
        return Ok(());
    }
    let message = format!(
        "node {} has {others} attachments, and with {asked} more it would have more than {limit}: start {} on another node, or raise `node-attachments` in the settings of the policy quota",
        request.node.name,
        request.name_or_uuid()
    );
    Err(Denial::new("quota-node", message))
}

fn instance(request: &Request, settings: &Settings) -> Result<(), Denial> {
    let name = request.name_or_uuid();
    let node = &request.node.name;
    let volumes = count(&request.held) + count(&request.disks);
    if let Some(limit) = settings.instance_volumes.filter(|limit| volumes > *limit) {
        let message = format!(
            "instance {name} would have {volumes} volumes on node {node}, and may have {limit}: detach some, or raise `instance-volumes` in the settings of the policy quota"
        );
        return Err(Denial::new("quota-volumes", message));
    }
    let bytes = bytes(&request.held).saturating_add(bytes(&request.disks));
    if let Some(limit) = settings.instance_bytes.filter(|limit| bytes > *limit) {
        let message = format!(
            "instance {name} would have volumes of {bytes} bytes on node {node}, and may have {limit}: detach some, or raise `instance-bytes` in the settings of the policy quota"
        );
        return Err(Denial::new("quota-bytes", message));
    }
    Ok(())
}

/// What an instance has copied on this node already counts first; a volume that is asked for and has
/// its copy from an earlier start, too.
fn instance_copies(request: &Request, settings: &Settings, answer: &mut Answer) {
    let Some(limit) = settings.instance_copies else {
        return;
    };
    let disks = request.held.iter().chain(request.disks.iter());
    let copied = disks.filter(|disk| disk.home != Home::Pool);
    let used = copied.map(|disk| *disk.size).fold(0, u64::saturating_add);
    let why = format!("copies of this instance may have {limit} bytes");
    ration(request, answer, limit.saturating_sub(used), &why);
}

/// What is promised to others on this node counts first.
fn node_copies(request: &Request, settings: &Settings, answer: &mut Answer) {
    let (Some(limit), Some(local)) = (settings.node_promised, *request.node.local) else {
        return;
    };
    let why = format!(
        "{} of {limit} bytes are promised on this node",
        local.promised
    );
    ration(request, answer, limit.saturating_sub(local.promised), &why);
}

/// Gives the room to the disks in their order, and sets the ceiling of the others to no copy.
fn ration(request: &Request, answer: &mut Answer, mut room: u64, why: &str) {
    for disk in request.disks.iter().filter(|disk| may_be_copied(disk)) {
        if disk.size <= room {
            room -= *disk.size;
        } else {
            answer.copy_at_most(disk, CopyMode::None);
            answer.note(disk.full_name(), format!("no copy: {why}"));
        }
    }
}

/// Only what is exclusive, read-write and in the pool alone is ever copied.
fn may_be_copied(disk: &Disk) -> bool {
    disk.asked_sharing == Sharing::Exclusive
        && disk.asked_access == Access::ReadWrite
        && disk.home == Home::Pool
}

fn count(disks: &[Disk]) -> u64 {
    disks.len() as u64
}

fn bytes(disks: &[Disk]) -> u64 {
    disks
        .iter()
        .map(|disk| *disk.size)
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::{Narrowing, Node, Space, config};

    const GIB: u64 = 1 << 30;
    const WEB1: &str = "aaaaaaaa-0000-0000-0000-00000000000a";
    const OTHER: &str = "bbbbbbbb-0000-0000-0000-00000000000b";

    fn disk(name: &str, gib: u64) -> Disk {
        Disk {
            id: name.into(),
            pool: "vg0".into(),
            name: name.into(),
            size: (gib * GIB).into(),
            ..Disk::default()
        }
    }

    /// web1 has one volume of 10 GiB here and asks for more; the node has 5 other attachments,
    /// and 20 GiB are promised.
    fn asks(disks: Vec<Disk>) -> Request {
        let local = Some(Space {
            total: 100 * GIB,
            free: 60 * GIB,
            promised: 20 * GIB,
        });
        Request {
            instance: WEB1.into(),
            instance_name: "web1".into(),
            disks: disks.into(),
            held: vec![disk("root", 10)].into(),
            node: Node {
                name: "n1".into(),
                local: local.into(),
                attachments: Some(5).into(),
                ..Node::default()
            }
            .into(),
            ..Request::default()
        }
    }

    fn ask(request: &Request) -> Result<Vec<String>, Denial> {
        let mut answer = Answer::default();
        Quota::attach(request, &mut answer)?;
        let ceilings = answer.narrowings().iter().filter_map(|said| match said {
            Narrowing::CopyAtMost(id, CopyMode::None) => Some(id.to_string()),
            _ => None,
        });
        Ok(ceilings.collect())
    }

    #[test]
    fn an_instance_may_have_so_many_volumes() {
        config::set_for_test(&[("instance-volumes", "2")]);
        assert!(ask(&asks(vec![disk("a", 1)])).is_ok());
        let denial = ask(&asks(vec![disk("a", 1), disk("b", 1)])).unwrap_err();
        assert_eq!(
            (denial.code.as_str(), denial.message.as_str()),
            (
                "quota-volumes",
                "instance web1 would have 3 volumes on node n1, and may have 2: detach some, or raise `instance-volumes` in the settings of the policy quota"
            )
        );
    }

    /// An operator names the UUID only.
    #[test]
    fn an_instance_without_a_name_is_named_by_its_uuid() {
        let mut request = asks(vec![disk("a", 3), disk("b", 1)]);
        request.instance_name = String::new().into();
        for key in ["instance-volumes", "instance-bytes"] {
            config::set_for_test(&[(key, "1")]);
            let denial = ask(&request).unwrap_err();
            let said = format!("instance {WEB1} would have");
            assert!(denial.message.starts_with(&said), "{}", denial.message);
        }
        config::set_for_test(&[("node-attachments", "6")]);
        let denial = ask(&request).unwrap_err();
        let said = format!("start {WEB1} on another node");
        assert!(denial.message.contains(&said), "{}", denial.message);
    }

    #[test]
    fn an_instance_may_have_so_many_bytes() {
        config::set_for_test(&[("instance-bytes", "12GiB")]);
        assert!(ask(&asks(vec![disk("a", 2)])).is_ok());
        assert_eq!(
            ask(&asks(vec![disk("a", 3)])).unwrap_err().code,
            "quota-bytes"
        );
        let endless = Disk {
            size: u64::MAX.into(),
            ..disk("a", 0)
        };
        assert_eq!(ask(&asks(vec![endless])).unwrap_err().code, "quota-bytes");
    }

    #[test]
    fn a_node_may_have_so_many_attachments() {
        config::set_for_test(&[("node-attachments", "6"), ("exempt", WEB1)]);
        assert!(ask(&asks(vec![disk("a", 1)])).is_ok());
        let denial = ask(&asks(vec![disk("a", 1), disk("b", 1)])).unwrap_err();
        assert!(
            denial
                .message
                .starts_with("node n1 has 5 attachments, and with 2 more")
        );
        // A record of before that was told.
        let mut old = asks(vec![disk("a", 1), disk("b", 1)]);
        old.node.attachments = None.into();
        assert!(ask(&old).is_ok());
    }

    #[test]
    fn the_exempt_have_no_limit_of_their_own() {
        config::set_for_test(&[
            ("instance-volumes", "0"),
            ("exempt", &format!("{OTHER} {WEB1}")),
        ]);
        assert!(ask(&asks(vec![disk("a", 1)])).is_ok());
        let capitals = WEB1.to_uppercase();
        config::set_for_test(&[("instance-volumes", "0"), ("exempt", &capitals)]);
        assert!(ask(&asks(vec![disk("a", 1)])).is_ok());
        config::set_for_test(&[("instance-volumes", "0"), ("exempt", OTHER)]);
        assert!(ask(&asks(vec![disk("a", 1)])).is_err());
    }

    #[test]
    fn copies_beyond_the_limit_are_not_made() {
        config::set_for_test(&[("node-promised", "50GiB")]);
        let disks = vec![disk("a", 20), disk("b", 20), disk("c", 10)];
        assert_eq!(ask(&asks(disks.clone())).unwrap(), ["b"]);
        config::set_for_test(&[("instance-copies", "40GiB")]);
        let mut request = asks(disks);
        assert_eq!(ask(&request).unwrap(), ["c"]);
        // The volume it has is copied here, and counts.
        request.held[0].home = Home::Split("n1".into()).into();
        assert_eq!(ask(&request).unwrap(), ["b"]);
    }

    #[test]
    fn a_volume_that_is_asked_for_with_its_copy_counts() {
        config::set_for_test(&[("instance-copies", "20GiB")]);
        let split = Disk {
            home: Home::Split("n1".into()).into(),
            ..disk("s", 20)
        };
        assert_eq!(ask(&asks(vec![split, disk("a", 20)])).unwrap(), ["a"]);
    }

    #[test]
    fn what_is_never_copied_takes_no_room() {
        config::set_for_test(&[("instance-copies", "20GiB")]);
        let shared = Disk {
            asked_sharing: Sharing::Shared.into(),
            ..disk("s", 20)
        };
        assert_eq!(ask(&asks(vec![shared, disk("a", 20)])).unwrap(), [""; 0]);
    }
}
