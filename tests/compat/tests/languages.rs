//! One policy in four languages: the same answers to the same scenarios, and the same keys named
//! in a wrong configuration. `cargo xtask test languages` builds them and runs this.
#![cfg(feature = "languages")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end at the first surprise"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use volward_compat::Desk;
use volward_sdk::scenario;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Languages and what they were built to.
fn built() -> Vec<(&'static str, Vec<u8>)> {
    let files = [
        ("rust", "guests/quiet-hours.wasm"),
        ("c", "languages/quiet-hours-c.wasm"),
        ("javascript", "languages/quiet-hours-javascript.wasm"),
        ("python", "languages/quiet-hours-python.wasm"),
    ];
    let read = |(language, file)| {
        let path = root().join("target").join(file);
        let component = fs::read(&path).unwrap_or_else(|error| {
            panic!(
                "no {} ({error}): run `cargo xtask languages`",
                path.display()
            )
        });
        (language, component)
    };
    files.map(read).into()
}

/// One test for both: compiling the component that has Python in it takes a minute.
#[test]
fn all_languages_answer_alike_and_name_the_same_keys() {
    let desk = Desk::new();
    answer_alike(&desk);
    name_the_same_keys(&desk);
}

fn answer_alike(desk: &Desk) {
    let file = root().join("examples/quiet-hours/scenarios/quiet-hours.jsonl");
    let scenarios = scenario::read(&file).unwrap();
    let mut wrong = Vec::new();
    for (language, component) in built() {
        for scenario in &scenarios {
            let title = scenario.title();
            let config = scenario.config("quiet-hours");
            let chain = desk
                .load("quiet-hours", &component, &config)
                .unwrap_or_else(|reason| panic!("{language}, {title}: {reason}"));
            let record = chain.attach(&scenario.facts());
            let found = scenario.differences("quiet-hours", &record.plugins[0].verdict);
            wrong.extend(
                found
                    .iter()
                    .map(|line| format!("{language}, {title}: {line}")),
            );
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn name_the_same_keys(desk: &Desk) {
    let config = [("hours", "22-24"), ("maxsize", "1GiB")];
    let config: BTreeMap<String, String> = config
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    for (language, component) in built() {
        let refused = desk.load("quiet-hours", &component, &config).map(drop);
        let reason = refused.unwrap_err();
        for said in [
            "maxsize: unknown key",
            "hours: \"22-24\" is not hours of the day such as \"22-6\"",
            "max-size: is missing",
        ] {
            assert!(
                reason.contains(said),
                "{language} does not say {said:?}: {reason}"
            );
        }
    }
}
