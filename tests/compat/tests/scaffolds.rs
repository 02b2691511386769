//! What `volward-policy new` makes builds at once, is accepted, and answers as its scenarios say.
//! `cargo xtask test languages` runs this.
#![cfg(feature = "languages")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests start programs, and end at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use volward_compat::Desk;
use volward_sdk::scenario;
use volward_workbench::new::{Language, New};

fn target() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    folder.canonicalize().unwrap()
}

/// What makes components of modules: `cargo xtask test` says where it is.
fn program() -> PathBuf {
    let given = std::env::var_os("VOLWARD_POLICY").map(PathBuf::from);
    given.unwrap_or_else(|| target().join("debug/volward-policy"))
}

/// Makes one, builds it, and asks the component its scenarios.
fn builds_and_answers(language: Language, tools: &str) {
    let into = tempfile::tempdir().unwrap();
    let new = New {
        name: "my-policy".to_owned(),
        language,
        into: into.path().to_owned(),
    };
    new.make().unwrap();
    let folder = into.path().join("my-policy");
    // Tools are fetched once for all.
    let tools = target().join("languages").join(tools);
    let output = Command::new(folder.join("build.sh"))
        .env("VOLWARD_TOOLS", &tools)
        .env("CARGO_TARGET_DIR", &tools)
        .env("VOLWARD_POLICY", program())
        // The cargo that runs this test leaves it behind, meant for the host.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{language:?} does not build: {said}"
    );

    let component = fs::read(folder.join("my-policy.wasm")).unwrap();
    let desk = Desk::new();
    let refused = desk.load("my-policy", &component, &[].into()).map(drop);
    let reason = refused.unwrap_err();
    assert!(reason.contains("prefix: give the beginning"), "{reason}");
    for scenario in scenario::read(&folder.join("scenarios/my-policy.jsonl")).unwrap() {
        let config = scenario.config("my-policy");
        let chain = desk.load("my-policy", &component, &config).unwrap();
        let record = chain.attach(&scenario.facts());
        let found = scenario.differences("my-policy", &record.plugins[0].verdict);
        assert!(
            found.is_empty(),
            "{language:?}, {}: {found:?}",
            scenario.title()
        );
    }
}

#[test]
fn one_in_rust() {
    builds_and_answers(Language::Rust, "rust");
}

#[test]
fn one_in_c() {
    builds_and_answers(Language::C, "c");
}

#[test]
fn one_in_javascript() {
    builds_and_answers(Language::Javascript, "javascript");
}

#[test]
fn one_in_python() {
    builds_and_answers(Language::Python, "python");
}
