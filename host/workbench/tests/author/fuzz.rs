//! Anything into the reader of scenarios: no crash, no hang.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use volward_model::{Combined, Scenario};
use volward_policy::scenarios::parse;
use volward_samples::fuzz::fuzz;
use volward_samples::mutate;

#[test]
fn fuzz_random_scenarios_are_read_or_refused() {
    fuzz("random scenarios", |runner| {
        let mut make =
            |strategy: BoxedStrategy<String>| strategy.new_tree(runner).unwrap().current();
        let scenario = volward_samples::record().prop_map(|record| {
            serde_json::to_string_pretty(&Scenario::try_from(&record).unwrap()).unwrap()
        });
        let text = make(scenario.boxed());
        // As it is, it is read.
        assert_eq!(parse("f", text.as_bytes()).unwrap().len(), 1);
        let bytes = text.clone().into_bytes();
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let changed =
            make(prop_oneof![mutate::json(text), mutate::bytes(bytes).prop_map(lossy),].boxed());
        let Ok(found) = parse("f", changed.as_bytes()) else {
            return;
        };
        for one in found {
            // What was read can be compared and written.
            let facts = one.scenario.facts();
            let combined = Combined::attach(&facts, &[]);
            let _differences = one.scenario.differences(&facts, &[], &combined);
            let written = serde_json::to_string(&one.scenario).unwrap();
            let again: Scenario = serde_json::from_str(&written).unwrap();
            assert_eq!(again.facts(), facts);
        }
    });
}
