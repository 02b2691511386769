//! Says who may migrate live, and between which nodes. Keys of the configuration: [`Settings`].
//!
//! It is asked at the destination. Of the source it is told the name and nothing else, so racks stand in
//! the configuration: the nodes' slots carry no labels.

mod settings;

pub use settings::Settings;
use volward_sdk::{Denial, Lifecycle, Migrate, Problem, Request};

/// The policy.
pub struct Migration;

impl Migrate for Migration {
    fn migrate(request: &Request) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        may_leave(request, &settings)?;
        same_rack(request, &settings)
    }
}

impl Lifecycle for Migration {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(Migration: migrate, lifecycle);
volward_sdk::scenarios!(Migration: migrate, lifecycle);

/// Some instances stay where they were started.
fn may_leave(request: &Request, settings: &Settings) -> Result<(), Denial> {
    let who = request.name_or_uuid();
    let mut stay = settings.stay.iter();
    if stay.any(|instance| instance.eq_ignore_ascii_case(&request.instance)) {
        let message = format!(
            "{who} does not migrate: it is listed as `stay` in the settings of the policy migration; stop it and start it elsewhere"
        );
        return Err(Denial::new("stays", message));
    }
    let Some(tag) = &settings.stay_tag else {
        return Ok(());
    };
    let mut disks = request.disks.iter();
    match disks.find(|disk| disk.tags.contains(tag)) {
        Some(disk) => {
            let name = disk.full_name();
            let message = format!(
                "{who} does not migrate: its volume {name} has the LV tag {tag}; stop it and start it elsewhere, or take the tag away with `lvchange --deltag`"
            );
            Err(Denial::new("stays", message))
        }
        None => Ok(()),
    }
}

/// Where racks are named, an instance stays within its own.
fn same_rack(request: &Request, settings: &Settings) -> Result<(), Denial> {
    if settings.racks.is_empty() {
        return Ok(());
    }
    let Some(source) = &*request.peer else {
        return Err(Denial::new(
            "no-source",
            "the node that the instance comes from is not known, so nobody can say whether it is in the same rack",
        ));
    };
    let (from, to) = (
        rack(settings, &source.name)?,
        rack(settings, &request.node.name)?,
    );
    if from == to {
        return Ok(());
    }
    let message = format!(
        "node {} is in rack {from} and node {} in rack {to}: migrate within rack {from}, to {}",
        source.name,
        request.node.name,
        settings.others_in(from, &source.name)
    );
    Err(Denial::new("other-rack", message))
}

fn rack<'a>(settings: &'a Settings, node: &str) -> Result<&'a str, Denial> {
    settings.rack_of(node).ok_or_else(|| {
        let message = format!(
            "node {node} is in no rack: add it to a `rack-NAME` in the settings of the policy migration"
        );
        Denial::new("no-rack", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::{Disk, Node, config};

    const A: &str = "aaaaaaaa-0000-0000-0000-000000000001";

    fn node(name: &str) -> Node {
        Node {
            name: name.into(),
            ..Node::default()
        }
    }

    fn coming(from: Option<&str>, to: &str, tags: &[&str]) -> Request {
        Request {
            instance: A.into(),
            instance_name: "web1".into(),
            node: node(to).into(),
            peer: from.map(node).into(),
            disks: vec![Disk {
                pool: "vg0".into(),
                name: "data".into(),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                ..Disk::default()
            }]
            .into(),
            ..Request::default()
        }
    }

    fn said(request: &Request) -> Option<(String, String)> {
        let denial = Migration::migrate(request).err()?;
        Some((denial.code, denial.message))
    }

    fn code(request: &Request) -> Option<String> {
        said(request).map(|(code, _)| code)
    }

    #[test]
    fn within_a_rack_and_no_further() {
        config::set_for_test(&[("rack-a", "n1 n2 n4"), ("rack-b", "n3")]);
        assert_eq!(said(&coming(Some("n1"), "n2", &[])), None);
        let (code, message) = said(&coming(Some("n1"), "n3", &[])).unwrap();
        assert_eq!(code, "other-rack");
        assert_eq!(
            message,
            "node n1 is in rack a and node n3 in rack b: migrate within rack a, to n2 or n4"
        );
        // There is no other node.
        let (_, message) = said(&coming(Some("n3"), "n1", &[])).unwrap();
        assert!(
            message.ends_with("to a node that is added to it"),
            "{message}"
        );
    }

    #[test]
    fn what_is_in_no_rack_does_not_slip_through() {
        config::set_for_test(&[("rack-a", "n1 n2")]);
        for request in [coming(Some("n1"), "n9", &[]), coming(Some("n9"), "n1", &[])] {
            assert_eq!(code(&request).as_deref(), Some("no-rack"));
        }
        let unknown = coming(None, "n1", &[]);
        assert_eq!(code(&unknown).as_deref(), Some("no-source"));
    }

    #[test]
    fn who_stays_is_named_by_uuid_or_by_a_tag_of_a_volume() {
        config::set_for_test(&[("stay", &A.to_uppercase())]);
        assert_eq!(
            code(&coming(Some("n1"), "n2", &[])).as_deref(),
            Some("stays")
        );
        config::set_for_test(&[("stay-tag", "licensed")]);
        assert_eq!(code(&coming(Some("n1"), "n2", &["other"])), None);
        let (_, message) = said(&coming(Some("n1"), "n2", &["licensed"])).unwrap();
        assert!(
            message.contains("vg0/data has the LV tag licensed"),
            "{message}"
        );
    }
}
