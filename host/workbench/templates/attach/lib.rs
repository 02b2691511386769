//! Refuses instances whose name begins with the configured `prefix`.

use volward_sdk::{Answer, Attach, Denial, Lifecycle, Problem, Request, config};

struct Policy;

impl Attach for Policy {
    fn attach(request: &Request, _answer: &mut Answer) -> Result<(), Denial> {
        let prefix = config::get("prefix").unwrap_or_default();
        let name = &request.instance_name;
        if prefix.is_empty() || !name.starts_with(&prefix) {
            return Ok(());
        }
        let message =
            format!("instance {name} may not start: names that begin with {prefix} are refused here");
        Err(Denial::new("name-refused", message))
    }
}

impl Lifecycle for Policy {
    fn check_config() -> Vec<Problem> {
        let mut config = config::Reader::new(&["prefix"]);
        if config::get("prefix").is_none_or(|prefix| prefix.is_empty()) {
            config.problem("prefix", "give the beginning of the names to refuse");
        }
        config.problems()
    }
}

volward_sdk::export!(Policy: attach, lifecycle);
volward_sdk::scenarios!(Policy: attach, lifecycle);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_must_be_configured() {
        config::set_for_test(&[("prefx", "test-")]);
        let keys: Vec<_> = Policy::check_config().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["prefx", "prefix"]);
    }
}
