//! A scenario as it is about one policy, beside which it lies. A record of a node names all policies
//! of that node, and a policy is installed under whatever name an operator likes.

use super::{Expected, Scenario};

/// Why a scenario is not about a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAbout {
    /// Several names, none of which is the policy's.
    #[error("it names {names}: which of them is this policy? Name that one {policy}")]
    Several {
        /// The policy's name.
        policy: String,
        /// Those it names.
        names: String,
    },
    /// What it expects is others' alone.
    #[error("it expects nothing of {policy}, only of {names}, which do not lie here")]
    Others {
        /// The policy's name.
        policy: String,
        /// Those it names.
        names: String,
    },
}

impl Scenario {
    /// The same about `policy`, in a chain of this one and `known` ones. One name that is neither is the
    /// policy's, under which its author had it; beside the policy's own name, the others' part is left
    /// out, and with it what all came to together, which this one alone cannot come to. What is expected
    /// of the policy itself is never left out.
    ///
    /// # Errors
    /// If it cannot be told which name is the policy's, or nothing would be left to expect.
    pub fn beside(&self, policy: &str, known: &[&str]) -> Result<Self, NotAbout> {
        let strangers = self.strangers(policy, known);
        let mut own = self.clone();
        if strangers.is_empty() {
            return Ok(own);
        }
        let names = strangers.join(", ");
        let policy = policy.to_owned();
        if !self.names().any(|name| *name == policy) {
            let [author] = &strangers[..] else {
                return Err(NotAbout::Several { policy, names });
            };
            own.rename(author, &policy);
            return Ok(own);
        }
        own.plugins.retain(|one| !strangers.contains(&one.plugin));
        own.combined = own.combined.and_then(|all| all.without(&strangers));
        let expects = own.combined.is_some() || own.plugins.iter().any(|one| one.verdict.is_some());
        if !expects && self.expects() {
            return Err(NotAbout::Others { policy, names });
        }
        Ok(own)
    }

    fn expects(&self) -> bool {
        self.combined.is_some() || self.plugins.iter().any(|one| one.verdict.is_some())
    }

    /// All names in it, with repetitions.
    fn names(&self) -> impl Iterator<Item = &String> {
        let combined = self.combined.iter().flat_map(Expected::names);
        self.plugins.iter().map(|one| &one.plugin).chain(combined)
    }

    fn strangers(&self, policy: &str, known: &[&str]) -> Vec<String> {
        let mut strangers: Vec<String> = Vec::new();
        for name in self.names() {
            if name != policy && !known.contains(&name.as_str()) && !strangers.contains(name) {
                strangers.push(name.clone());
            }
        }
        strangers
    }

    fn rename(&mut self, from: &str, to: &str) {
        let plugins = self.plugins.iter_mut().map(|one| &mut one.plugin);
        let combined = self.combined.iter_mut().flat_map(Expected::names_mut);
        for name in plugins.chain(combined).filter(|name| *name == from) {
            to.clone_into(name);
        }
    }
}

impl Expected {
    fn names(&self) -> Vec<&String> {
        match self {
            Self::Granted(_) | Self::Advised(_) => Vec::new(),
            Self::Denied(by) => by.iter().map(|(name, _)| name).collect(),
            Self::Faulted(by) => by.iter().map(|(name, _)| name).collect(),
        }
    }

    fn names_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Granted(_) | Self::Advised(_) => Vec::new(),
            Self::Denied(by) => by.iter_mut().map(|(name, _)| name).collect(),
            Self::Faulted(by) => by.iter_mut().map(|(name, _)| name).collect(),
        }
    }

    /// Without what these say: who refuses still refuses. Of an answer nobody can say whose it is.
    fn without(self, strangers: &[String]) -> Option<Self> {
        let stays = |name: &String| !strangers.contains(name);
        match self {
            Self::Granted(_) | Self::Advised(_) => None,
            Self::Denied(mut by) => {
                by.retain(|(name, _)| stays(name));
                (!by.is_empty()).then_some(Self::Denied(by))
            }
            Self::Faulted(mut by) => {
                by.retain(|(name, _)| stays(name));
                (!by.is_empty()).then_some(Self::Faulted(by))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Scenario {
        serde_json::from_str(text).unwrap()
    }

    const RECORD: &str = r#"{"plugins": [
        {"plugin": "baseline", "verdict": {"granted": {}}},
        {"plugin": "quota", "verdict": {"denied": {"code": "quota-volumes"}}},
        {"plugin": "tenants", "verdict": {"denied": {"code": "stranger"}}}],
        "combined": {"denied": [["quota", {"code": "quota-volumes"}], ["tenants", {"code": "stranger"}]]}}"#;

    #[test]
    fn of_a_nodes_record_the_policys_part_is_left() {
        let own = read(RECORD).beside("quota", &["baseline"]).unwrap();
        assert_eq!(
            own,
            read(
                r#"{"plugins": [
                {"plugin": "baseline", "verdict": {"granted": {}}},
                {"plugin": "quota", "verdict": {"denied": {"code": "quota-volumes"}}}],
                "combined": {"denied": [["quota", {"code": "quota-volumes"}]]}}"#
            )
        );
        let granted = read(
            r#"{"plugins": [{"plugin": "a", "verdict": {"granted": {}}},
                {"plugin": "b", "verdict": {"granted": {"disks": [{"copy_at_most": "none"}]}}}],
                "combined": {"granted": {"disks": [{"copy_at_most": "none"}]}}}"#,
        );
        let own = granted.beside("a", &["baseline"]).unwrap();
        assert_eq!((own.plugins.len(), own.combined), (1, None));
    }

    #[test]
    fn one_name_that_nobody_has_is_the_authors_for_the_policy() {
        let scenario = read(
            r#"{"plugins": [{"plugin": "names", "config": {"prefix": "x"}}],
                "combined": {"denied": [["names", {"code": "name-refused"}]]}}"#,
        );
        let own = scenario.beside("tenants", &["baseline"]).unwrap();
        assert_eq!(
            own,
            read(
                &serde_json::to_string(&scenario)
                    .unwrap()
                    .replace("names", "tenants")
            )
        );
        // It is its own: nothing changes.
        assert_eq!(scenario.beside("names", &["baseline"]).unwrap(), scenario);
    }

    #[test]
    fn nothing_is_left_to_hold_by_itself() {
        let both = read(RECORD).beside("names", &["baseline"]).unwrap_err();
        assert_eq!(
            both.to_string(),
            "it names quota, tenants: which of them is this policy? Name that one names"
        );
        let others = read(
            r#"{"plugins": [{"plugin": "names", "config": {}},
                {"plugin": "quota", "verdict": {"granted": {}}}]}"#,
        );
        assert_eq!(
            others
                .beside("names", &["baseline"])
                .unwrap_err()
                .to_string(),
            "it expects nothing of names, only of quota, which do not lie here"
        );
        let of_baseline = read(r#"{"combined": {"denied": [["baseline", {"code": "in-use"}]]}}"#);
        assert_eq!(
            of_baseline.beside("names", &["baseline"]).unwrap(),
            of_baseline
        );
    }
}
