//! Refuses to migrate instances whose name begins with the configured `prefix`.

use volward_sdk::{Denial, Lifecycle, Migrate, Problem, Request, config};

struct Policy;

impl Migrate for Policy {
    fn migrate(request: &Request) -> Result<(), Denial> {
        let prefix = config::get("prefix").unwrap_or_default();
        let name = &request.instance_name;
        if prefix.is_empty() || !name.starts_with(&prefix) {
            return Ok(());
        }
        // The source is not known where no node shows the volumes as attached.
        let place = match &*request.peer {
            Some(source) => format!("on node {}", source.name),
            None => "where it is".to_owned(),
        };
        let message =
            format!("instance {name} stays {place}: names that begin with {prefix} do not migrate");
        Err(Denial::new("stays", message))
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

volward_sdk::export!(Policy: migrate, lifecycle);
volward_sdk::scenarios!(Policy: migrate, lifecycle);

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
