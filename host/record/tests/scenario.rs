//! The record is the scenario format, whatever stands in the record.
#![allow(
    clippy::unwrap_used,
    reason = "clippy does not take helpers of tests for tests"
)]

use proptest::prelude::*;
use volward_record::{DecisionRecord, Scenario};

proptest! {
    #[test]
    fn every_record_is_a_scenario_that_expects_what_it_records(
        record in volward_samples::record(),
        other in volward_samples::record(),
    ) {
        let text = serde_json::to_string(&record).unwrap();
        let read: Scenario = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read.facts(), &record.facts);
        prop_assert_eq!(&read.copies, &record.copies);
        prop_assert_eq!(read.hook.word(), &record.hook);
        let unlike = |said: &DecisionRecord| {
            read.differences(&read.facts(), &said.plugins, &said.combined)
        };
        // Two policies of one name are not told apart; the loader refuses them.
        let names: std::collections::BTreeSet<_> =
            record.plugins.iter().map(|p| &p.plugin).collect();
        if names.len() == record.plugins.len() {
            prop_assert_eq!(unlike(&record), vec![]);
            // Made of the record in memory it is the same.
            prop_assert_eq!(Scenario::try_from(&record).unwrap(), read.clone());
        }
        // And it is not content with anything.
        let kind = |r: &DecisionRecord| std::mem::discriminant(&r.combined);
        if kind(&record) != kind(&other) {
            prop_assert!(!unlike(&other).is_empty());
        }
    }

    #[test]
    fn what_is_written_is_read_again(record in volward_samples::record()) {
        let scenario = Scenario { title: "a title".to_owned(), ..Scenario::try_from(&record).unwrap() };
        let text = serde_json::to_string(&scenario).unwrap();
        let read: Scenario = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.facts(), scenario.facts());
        prop_assert_eq!(&read.combined, &scenario.combined);
        prop_assert_eq!(&read.title, &scenario.title);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        // That it comes back is what is shown.
        let _read: Result<Scenario, _> = serde_json::from_str(&text);
    }
}
