//! The configuration, read and checked.

use volward_sdk::{Problem, config};

const KEYS: [&str; 6] = [
    "instance-volumes",
    "instance-bytes",
    "instance-copies",
    "node-attachments",
    "node-promised",
    "exempt",
];

/// What the configuration says; what is not there is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `instance-volumes = 16`: volumes an instance may have on this node.
    pub instance_volumes: Option<u64>,
    /// `instance-bytes = "2TiB"`: their sizes together.
    pub instance_bytes: Option<u64>,
    /// `instance-copies = "200GiB"`: sizes of an instance's volumes that have or may get a local
    /// copy on this node, together.
    pub instance_copies: Option<u64>,
    /// `node-attachments = 200`: attachments of this node.
    pub node_attachments: Option<u64>,
    /// `node-promised = "500GiB"`: what may be promised to copies that are not made yet.
    pub node_promised: Option<u64>,
    /// `exempt = "UUID UUID"`: instances without a limit. They count for the node.
    pub exempt: Vec<String>,
}

impl Settings {
    /// Reads the configuration, and what is wrong with it.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::new(&KEYS);
        let settings = Self {
            instance_volumes: read.number("instance-volumes"),
            instance_bytes: read.size("instance-bytes"),
            instance_copies: read.size("instance-copies"),
            node_attachments: read.number("node-attachments"),
            node_promised: read.size("node-promised"),
            exempt: read.instances("exempt"),
        };
        let limits = KEYS.iter().filter(|key| **key != "exempt");
        if limits.filter_map(|key| config::get(key)).next().is_none() {
            read.problem(
                "instance-volumes",
                "no limit is configured: set this or another one",
            );
        }
        (settings, read.problems())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_named() {
        config::set_for_test(&[("instance-volumes", "many"), ("node-promissed", "1GiB")]);
        let (settings, problems) = Settings::read();
        assert_eq!(settings, Settings::default());
        let said: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(
            said,
            [
                "unknown key; did you mean \"node-promised\"?",
                "\"many\" is not a whole number"
            ]
        );
        config::set_for_test(&[("exempt", "00000000-0000-0000-0000-00000000000a")]);
        assert_eq!(Settings::read().1.len(), 1);
        // A name would exempt nobody, in silence.
        config::set_for_test(&[("exempt", "web1"), ("instance-volumes", "1")]);
        let (settings, problems) = Settings::read();
        assert!(settings.exempt.is_empty());
        assert_eq!(
            problems[0].message,
            "\"web1\" is not the UUID of an instance"
        );
    }
}
