//! The shipped policies' scenarios, asked of what was built of them (`cargo xtask guests`): the SDK's
//! plain functions and the component say the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};

use volward_compat::Desk;
use volward_sdk::scenario;
use volward_workbench::chain::ask;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of policies, and their files of scenarios.
fn shipped() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("plugins")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(files) = fs::read_dir(folder.join("scenarios")) else {
            continue;
        };
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        found.extend(files.map(|file| (name.clone(), file.unwrap().path())));
    }
    found.sort();
    found
}

#[test]
fn components_answer_as_their_scenarios_say() {
    let desk = Desk::new();
    let mut wrong = Vec::new();
    for (name, file) in shipped() {
        let path = root().join(format!("target/guests/{name}.wasm"));
        let component = fs::read(&path).unwrap_or_else(|error| {
            panic!("no {} ({error}): run `cargo xtask guests`", path.display())
        });
        for scenario in scenario::read(&file).unwrap() {
            let title = scenario.title();
            // Not under its own name, which no file may have if it is the baseline's.
            let chain = desk
                .load("shipped", &component, &scenario.config(&name))
                .unwrap_or_else(|reason| panic!("{name}, {title}: {reason}"));
            let facts = scenario.facts();
            // No shipped policy has a detach hook, which alone is asked about copies.
            let record = ask(&chain, scenario.hook(), &facts, &[]);
            let found = scenario.differences(&name, &record.plugins[0].verdict);
            wrong.extend(found.iter().map(|line| format!("{title}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_shipped_policy_has_scenarios_and_a_readme() {
    let with_scenarios: Vec<String> = shipped().into_iter().map(|(name, _)| name).collect();
    let mut policies = 0;
    for entry in fs::read_dir(root().join("plugins")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if !folder.join("Cargo.toml").is_file() || name == "sdk" {
            continue;
        }
        policies += 1;
        assert!(with_scenarios.contains(&name), "{name} has no scenarios");
        assert!(folder.join("README.md").is_file(), "{name} has no README");
    }
    assert!(policies >= 6, "only {policies} policies in plugins/");
}
