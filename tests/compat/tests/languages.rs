//! A policy of each hook in four languages: the same answers to the same scenarios, and the same keys
//! named in a wrong configuration. `cargo xtask test languages` builds them and runs this.
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
use volward_workbench::chain::ask;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A policy that there is in four languages.
struct Policy {
    /// Its name in its scenarios, and of what was built of it in Rust.
    name: &'static str,
    /// The example's name, which what was built of the other languages has.
    example: &'static str,
    scenarios: &'static str,
    /// Wrong configurations, and what has to be said of each.
    wrong: &'static [(Config, &'static [&'static str])],
}

type Config = &'static [(&'static str, &'static str)];

/// One test for both: compiling the component that has Python in it takes a minute.
#[test]
fn quiet_hours_answer_alike_and_name_the_same_keys() {
    let policy = Policy {
        name: "quiet-hours",
        example: "quiet-hours",
        scenarios: "examples/quiet-hours/scenarios/quiet-hours.jsonl",
        wrong: &[(
            &[("hours", "22-24"), ("maxsize", "1GiB")],
            &[
                "maxsize: unknown key",
                "hours: \"22-24\" is not hours of the day such as \"22-6\"",
                "max-size: is missing",
            ],
        )],
    };
    policy.is_the_same_in_all_languages();
}

#[test]
fn one_rack_answers_alike_and_names_the_same_keys() {
    let policy = Policy {
        name: "migration",
        example: "one-rack",
        scenarios: "plugins/migration/scenarios/migration.jsonl",
        wrong: &[
            (
                &[],
                &["rack-NAME: name the nodes of each rack, or who stays"],
            ),
            (
                &[("rack-a", "n1 n2"), ("rack-b", "n3, n2"), ("rack-c", " ")],
                &[
                    "rack-b: \"n2\" is in another rack, too",
                    "rack-c: name its nodes",
                ],
            ),
            (
                &[("stay", "web1"), ("stay-tag", "a b"), ("stays", "x")],
                &[
                    "stays: unknown key",
                    "stay: \"web1\" is not the UUID of an instance",
                    "stay-tag: \"a b\" is not an LV tag",
                ],
            ),
            (
                &[
                    ("rack", "n1"),
                    ("stay", "aaaaaaaa-0000-0000-0000-00000000000g"),
                ],
                &[
                    "rack: unknown key",
                    "\"aaaaaaaa-0000-0000-0000-00000000000g\" is not the UUID",
                ],
            ),
        ],
    };
    policy.is_the_same_in_all_languages();
}

impl Policy {
    /// Languages and what it was built to.
    fn built(&self) -> Vec<(&'static str, Vec<u8>)> {
        let (name, example) = (self.name, self.example);
        let other = |language| format!("languages/{example}-{language}.wasm");
        let files = [
            ("rust", format!("guests/{name}.wasm")),
            ("c", other("c")),
            ("javascript", other("javascript")),
            ("python", other("python")),
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

    fn is_the_same_in_all_languages(&self) {
        let desk = Desk::new();
        self.answers_alike(&desk);
        self.names_the_same_keys(&desk);
    }

    fn answers_alike(&self, desk: &Desk) {
        let scenarios = scenario::read(&root().join(self.scenarios)).unwrap();
        let mut wrong = Vec::new();
        for (language, component) in self.built() {
            for scenario in &scenarios {
                let title = scenario.title();
                let config = scenario.config(self.name);
                let chain = desk
                    .load(self.name, &component, &config)
                    .unwrap_or_else(|reason| panic!("{language}, {title}: {reason}"));
                // Neither of the two has a detach hook, which alone is asked about copies.
                let record = ask(&chain, scenario.hook(), &scenario.facts(), &[]);
                let found = scenario.differences(self.name, &record.plugins[0].verdict);
                wrong.extend(
                    found
                        .iter()
                        .map(|line| format!("{language}, {title}: {line}")),
                );
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    fn names_the_same_keys(&self, desk: &Desk) {
        for (language, component) in self.built() {
            for (config, expected) in self.wrong {
                let config: BTreeMap<String, String> = config
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect();
                let refused = desk.load(self.name, &component, &config).map(drop);
                let reason = refused.unwrap_err();
                for said in *expected {
                    assert!(
                        reason.contains(said),
                        "{language} does not say {said:?}: {reason}"
                    );
                }
            }
        }
    }
}
