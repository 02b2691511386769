//! Drains nodes: nothing new is attached on them, what is attached stays until it is detached.
//! Keys of the configuration: [`Settings`].

use volward_sdk::{Answer, Attach, Denial, Lifecycle, Origin, Problem, Request, config};

/// The policy.
pub struct Maintenance;

const KEYS: [&str; 5] = ["nodes", "label", "reason", "way-out", "still-allowed"];

/// What the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `nodes = "n1 n2"`: nodes to drain, by name. One file can serve all nodes.
    pub nodes: Vec<String>,
    /// `label = "maintenance=yes"`: nodes with this label are drained too.
    pub label: Option<(String, String)>,
    /// `reason = "memory is replaced"`: said in every refusal.
    pub reason: Option<String>,
    /// `way-out = "start it on n3"`: what to do instead; a general sentence by default.
    pub way_out: Option<String>,
    /// `still-allowed = "operator"`: whose requests go through all the same: `libvirt`,
    /// `openstack`, `operator`.
    pub still_allowed: Vec<String>,
}

impl Settings {
    /// Reads the configuration, and what is wrong with it.
    #[must_use]
    pub fn read() -> (Self, Vec<Problem>) {
        let mut read = config::Reader::new(&KEYS);
        let label = read.parsed("label", "a label such as \"maintenance=yes\"", |text| {
            let (key, value) = text.split_once('=')?;
            let (key, value) = (key.trim(), value.trim());
            (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
        });
        let settings = Self {
            nodes: read.words("nodes"),
            label,
            reason: config::get("reason"),
            way_out: config::get("way-out"),
            still_allowed: read.words("still-allowed"),
        };
        if config::get("nodes").is_none() && config::get("label").is_none() {
            read.problem("nodes", "name the nodes to drain, or a label they have");
        }
        let origins = ["libvirt", "openstack", "operator"];
        if let Some(word) = settings
            .still_allowed
            .iter()
            .find(|w| !origins.contains(&w.as_str()))
        {
            read.problem(
                "still-allowed",
                format!("{word:?} is not {}", origins.join(", ")),
            );
        }
        (settings, read.problems())
    }

    /// The key by which this node is drained.
    fn drains(&self, request: &Request) -> Option<&'static str> {
        let node = &request.node;
        if self.nodes.contains(&node.name) {
            return Some("nodes");
        }
        let labelled = self
            .label
            .as_ref()
            .is_some_and(|label| node.labels.contains(label));
        labelled.then_some("label")
    }

    /// What the configuration drains, for a note where that is not this node: a name that is misspelt, or
    /// short where the node's is long, is noticed in the first decision and not when the node is
    /// switched off. None: nobody is drained.
    fn drains_others(&self, request: &Request) -> Option<String> {
        let label = self.label.iter();
        let label = label.map(|(key, value)| format!("nodes with the label {key}={value}"));
        let drained: Vec<String> = self.nodes.iter().cloned().chain(label).collect();
        if drained.is_empty() {
            return None;
        }
        let (node, drained) = (&request.node.name, drained.join(", "));
        Some(format!(
            "no node matches here: this is {node}, drained are {drained}"
        ))
    }

    fn lets_through(&self, origin: &Origin) -> bool {
        let word = match origin {
            Origin::Libvirt => "libvirt",
            Origin::Openstack => "openstack",
            Origin::Operator => "operator",
            Origin::Other(_) => return false,
        };
        self.still_allowed.iter().any(|allowed| allowed == word)
    }
}

impl Attach for Maintenance {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        let (settings, _) = Settings::read();
        let Some(key) = settings.drains(request) else {
            if let Some(others) = settings.drains_others(request) {
                answer.note("maintenance", others);
            }
            return Ok(());
        };
        if settings.lets_through(&request.origin) {
            answer.note("maintenance", "let through by still-allowed");
            return Ok(());
        }
        Err(refusal(request, &settings, key))
    }
}

impl Lifecycle for Maintenance {
    fn check_config() -> Vec<Problem> {
        Settings::read().1
    }
}

volward_sdk::export!(Maintenance: attach, lifecycle);
volward_sdk::scenarios!(Maintenance: attach, lifecycle);

fn refusal(request: &Request, settings: &Settings, key: &str) -> Denial {
    let reason = settings
        .reason
        .as_ref()
        .map(|r| format!(" ({r})"))
        .unwrap_or_default();
    let way_out = settings
        .way_out
        .clone()
        .unwrap_or_else(|| format!("start {} on another node", request.name_or_uuid()));
    let node = &request.node.name;
    let message = format!(
        "node {node} is being drained{reason}, nothing new is attached there: {way_out}, or end the maintenance by `{key}` in the settings of the policy maintenance"
    );
    Denial::new("maintenance", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volward_sdk::{Narrowing, Node, Purpose};

    fn on(node: &str) -> Request {
        Request {
            instance_name: "web1".into(),
            origin: Origin::Libvirt.into(),
            node: Node {
                name: node.into(),
                labels: vec![("rack".into(), "r1".into())].into(),
                ..Node::default()
            }
            .into(),
            ..Request::default()
        }
    }

    fn ask(request: &Request) -> Result<(), Denial> {
        Maintenance::attach(request, &mut Answer::default())
    }

    #[test]
    fn nothing_new_starts_on_a_drained_node_whatever_for() {
        config::set_for_test(&[("nodes", "n1, n3")]);
        assert!(ask(&on("n2")).is_ok());
        for purpose in [
            Purpose::Boot,
            Purpose::HotPlug,
            Purpose::MigrationIn,
            Purpose::Restore,
        ] {
            let denial = ask(&Request {
                purpose: purpose.into(),
                ..on("n1")
            })
            .unwrap_err();
            assert_eq!(
                denial.message,
                "node n1 is being drained, nothing new is attached there: start web1 on another node, or end the maintenance by `nodes` in the settings of the policy maintenance"
            );
        }
    }

    #[test]
    fn an_instance_without_a_name_is_named_by_its_uuid() {
        config::set_for_test(&[("nodes", "n1")]);
        let nameless = Request {
            instance: "aaaaaaaa-0000-0000-0000-00000000000a".into(),
            instance_name: String::new().into(),
            ..on("n1")
        };
        let message = ask(&nameless).unwrap_err().message;
        let said = "start aaaaaaaa-0000-0000-0000-00000000000a on another node";
        assert!(message.contains(said), "{message}");
    }

    #[test]
    fn reason_and_way_out_are_the_configurations() {
        config::set_for_test(&[
            ("label", "rack=r1"),
            ("reason", "new switch"),
            ("way-out", "use rack r2"),
        ]);
        let message = ask(&on("n9")).unwrap_err().message;
        assert_eq!(
            message,
            "node n9 is being drained (new switch), nothing new is attached there: use rack r2, or end the maintenance by `label` in the settings of the policy maintenance"
        );
        let elsewhere = Request {
            node: Node::default().into(),
            ..on("n9")
        };
        assert!(ask(&elsewhere).is_ok());
    }

    #[test]
    fn spaces_around_a_label_mean_nothing() {
        config::set_for_test(&[("label", " rack = r1 ")]);
        assert!(Settings::read().1.is_empty());
        assert!(ask(&on("n9")).is_err());
    }

    #[test]
    fn a_node_that_is_not_drained_says_who_is() {
        config::set_for_test(&[("nodes", " n1\n"), ("label", "rack=r2")]);
        let mut answer = Answer::default();
        Maintenance::attach(&on("n1.example"), &mut answer).unwrap();
        let said = Narrowing::Note(
            "maintenance".to_owned(),
            "no node matches here: this is n1.example, drained are n1, nodes with the label rack=r2"
                .to_owned(),
        );
        assert_eq!(answer.narrowings(), [said]);
        assert!(ask(&on("n1")).is_err());
        // Nobody is drained: nothing to say.
        config::set_for_test(&[("nodes", "")]);
        let mut answer = Answer::default();
        Maintenance::attach(&on("n1.example"), &mut answer).unwrap();
        assert!(answer.narrowings().is_empty());
    }

    #[test]
    fn some_may_still() {
        config::set_for_test(&[("nodes", "n1"), ("still-allowed", "operator")]);
        assert!(
            ask(&Request {
                origin: Origin::Operator.into(),
                ..on("n1")
            })
            .is_ok()
        );
        assert!(ask(&on("n1")).is_err());
        assert!(
            ask(&Request {
                origin: Origin::Other("x".into()).into(),
                ..on("n1")
            })
            .is_err()
        );
    }

    #[test]
    fn a_wrong_configuration_is_named() {
        config::set_for_test(&[("still-allowed", "root"), ("label", "rack"), ("node", "n1")]);
        let keys: Vec<_> = Settings::read().1.into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["node", "label", "still-allowed"]);
        config::set_for_test(&[]);
        assert_eq!(Settings::read().1[0].key, "nodes");
        // Nobody is drained now, and that is no mistake.
        config::set_for_test(&[("nodes", "")]);
        assert!(Settings::read().1.is_empty());
    }
}
