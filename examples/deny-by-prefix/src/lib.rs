//! Refuses instances by the beginning of their name: `prefix` in the configuration.

use volward_sdk::{Answer, Attach, Denial, Lifecycle, Problem, Request, config};

struct DenyByPrefix;

impl Attach for DenyByPrefix {
    fn attach(request: &Request, _answer: &mut Answer) -> Result<(), Denial> {
        let prefix = config::get("prefix").unwrap_or_default();
        if prefix.is_empty() || !request.instance_name.starts_with(&prefix) {
            return Ok(());
        }
        let name = &request.instance_name;
        let message = format!(
            "instance {name} may not start: names that begin with {prefix:?} are refused here"
        );
        Err(Denial::new("name-refused", message))
    }
}

impl Lifecycle for DenyByPrefix {
    fn check_config() -> Vec<Problem> {
        let mut problems = config::unknown_keys(&["prefix"]);
        if config::get("prefix").is_none_or(|prefix| prefix.is_empty()) {
            problems.push(Problem::new(
                "prefix",
                "give the beginning of the names to refuse",
            ));
        }
        problems
    }
}

volward_sdk::export!(DenyByPrefix: attach, lifecycle);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_the_prefix_are_refused() {
        config::set_for_test(&[("prefix", "test-")]);
        assert!(DenyByPrefix::check_config().is_empty());
        for (name, refused) in [("test-1", true), ("web-1", false), ("my-test-1", false)] {
            let request = Request {
                instance_name: name.into(),
                ..Request::default()
            };
            let answer = DenyByPrefix::attach(&request, &mut Answer::default());
            assert_eq!(answer.is_err(), refused, "{name}");
        }
    }

    #[test]
    fn a_missing_or_misspelt_prefix_is_a_problem() {
        config::set_for_test(&[("prefx", "test-")]);
        let keys: Vec<_> = DenyByPrefix::check_config()
            .into_iter()
            .map(|p| p.key)
            .collect();
        assert_eq!(keys, ["prefx", "prefix"]);
    }
}
