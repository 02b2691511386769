//! The configuration, read and checked.

use volward_sdk::{Problem, config};

const RACK: &str = "rack-";

/// What the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `rack-NAME = "n1 n2"`: the nodes of each rack, by name. Where there is one, no instance leaves its
    /// own.
    pub racks: Vec<(String, Vec<String>)>,
    /// `stay = "UUID UUID"`: instances that do not migrate.
    pub stay: Vec<String>,
    /// `stay-tag = "licensed"`: nor does an instance with a volume that has this LV tag.
    pub stay_tag: Option<String>,
}

impl Settings {
    /// Reads the configuration, and what is wrong with it.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::with_prefix(&["stay", "stay-tag"], Some(RACK));
        let settings = Self {
            racks: read.beginning(RACK),
            stay: read.instances("stay"),
            stay_tag: read.parsed("stay-tag", "an LV tag", |text| {
                let tag = text.trim();
                (!tag.is_empty() && !tag.contains(' ')).then(|| tag.to_owned())
            }),
        };
        for (n, (rack, nodes)) in settings.racks.iter().enumerate() {
            let key = format!("{RACK}{rack}");
            if nodes.is_empty() {
                read.problem(&key, "name its nodes");
            }
            let before = settings.racks[..n].iter();
            let twice = before
                .flat_map(|(_, nodes)| nodes)
                .find(|node| nodes.contains(node));
            if let Some(node) = twice {
                read.problem(&key, format!("{node:?} is in another rack, too"));
            }
        }
        if config::all().is_empty() {
            read.problem("rack-NAME", "name the nodes of each rack, or who stays");
        }
        (settings, read.problems())
    }

    /// The rack that a node is in.
    pub(crate) fn rack_of(&self, node: &str) -> Option<&str> {
        let mut racks = self.racks.iter();
        let found = racks.find(|(_, nodes)| nodes.iter().any(|one| one == node));
        found.map(|(rack, _)| rack.as_str())
    }

    /// The other nodes of a rack, for people.
    pub(crate) fn others_in(&self, rack: &str, node: &str) -> String {
        let nodes = self.racks.iter().filter(|(name, _)| name == rack);
        let nodes = nodes.flat_map(|(_, nodes)| nodes);
        let others: Vec<&str> = nodes
            .map(String::as_str)
            .filter(|one| *one != node)
            .collect();
        match others.is_empty() {
            true => "a node that is added to it".to_owned(),
            false => others.join(" or "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_named() {
        let problems = |config: &[(&str, &str)]| {
            config::set_for_test(config);
            let problems = Settings::read().1.into_iter();
            problems
                .map(|p| format!("{}: {}", p.key, p.message))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            problems(&[]),
            ["rack-NAME: name the nodes of each rack, or who stays"]
        );
        assert_eq!(
            problems(&[("rack-a", "n1 n2"), ("rack-b", "n2"), ("rack-c", "")]),
            [
                "rack-b: \"n2\" is in another rack, too",
                "rack-c: name its nodes"
            ]
        );
        assert_eq!(
            problems(&[("stay", "web1"), ("stay-tag", "a b"), ("stays", "x")]),
            [
                "stays: unknown key; did you mean \"stay\"?",
                "stay: \"web1\" is not the UUID of an instance",
                "stay-tag: \"a b\" is not an LV tag"
            ]
        );
    }
}
