//! The configuration, read and checked.

use volward_sdk::{Access, Disk, Problem, Sharing, config};

const GROUP: &str = "group-";

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `tag = "cluster"`: an LV tag `cluster=NAME` names a volume's group.
    pub tag: String,
    /// `readers = "members"` (default), or `"anyone"`: who may read a group's volume, shared.
    pub anyone_reads: bool,
    /// `group-NAME = "UUID UUID"`: the instances of each group.
    pub groups: Vec<(String, Vec<String>)>,
}

impl Settings {
    /// Reads the configuration, and what is wrong with it.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::with_prefix(&["tag", "readers"], Some(GROUP));
        let readers = [("members", false), ("anyone", true)];
        let settings = Self {
            tag: config::get("tag").unwrap_or_else(|| "cluster".to_owned()),
            anyone_reads: read.choice("readers", &readers).unwrap_or(false),
            groups: read.beginning(GROUP),
        };
        if settings.tag.is_empty() || settings.tag.contains('=') {
            read.problem(
                "tag",
                "give a word; an LV tag WORD=NAME names a volume's group",
            );
        }
        for (name, members) in &settings.groups {
            if let Some(member) = members.iter().find(|member| !config::is_uuid(member)) {
                let message = format!("{member:?} is not the UUID of an instance");
                read.problem(&format!("{GROUP}{name}"), message);
            }
        }
        if settings.groups.is_empty() {
            read.problem("group-NAME", "list the instances of at least one group");
        }
        (settings, read.problems())
    }

    /// The names of the groups a volume's tags name.
    pub(crate) fn groups_of<'a>(&self, disk: &'a Disk) -> Vec<&'a str> {
        let names = disk.tags.iter().filter_map(|tag| {
            let (word, name) = tag.split_once('=')?;
            (word == self.tag).then_some(name)
        });
        names.collect()
    }

    pub(crate) fn members(&self, group: &str) -> Option<&[String]> {
        let (_, members) = self.groups.iter().find(|(name, _)| name == group)?;
        Some(members)
    }

    /// Whether the disk may be had by somebody who is not in its group. Who reads it exclusively keeps
    /// the group out.
    pub(crate) fn may_read(&self, disk: &Disk) -> bool {
        self.anyone_reads
            && disk.asked_access == Access::ReadOnly
            && disk.asked_sharing == Sharing::Shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_named() {
        config::set_for_test(&[("group-db", "web1"), ("reader", "anyone"), ("tag", "a=b")]);
        let keys: Vec<_> = Settings::read().1.into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["reader", "tag", "group-db"]);
        config::set_for_test(&[]);
        assert_eq!(Settings::read().1[0].key, "group-NAME");
    }
}
