//! Refuses to delete volumes whose name begins with the configured `prefix`.

use volward_sdk::{Denial, Lifecycle, Operate, Operation, OperationKind, Problem, config};

struct Policy;

impl Operate for Policy {
    fn operate(operation: &Operation) -> Result<(), Denial> {
        let prefix = config::get("prefix").unwrap_or_default();
        // There is none before a create.
        let Some(volume) = &*operation.volume else {
            return Ok(());
        };
        let deleted = operation.kind == OperationKind::Delete;
        if !deleted || prefix.is_empty() || !volume.name.starts_with(&prefix) {
            return Ok(());
        }
        let message = format!(
            "{} is not deleted: volumes whose name begins with {prefix} are kept",
            volume.full_name()
        );
        Err(Denial::new("kept", message))
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

volward_sdk::export!(Policy: operate, lifecycle);
volward_sdk::scenarios!(Policy: operate, lifecycle);

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
