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
use volward_workbench::chain::ask;
use volward_workbench::componentize::check_imports;
use volward_workbench::new::{Hook, Language, New};

const HOOKS: [Hook; 3] = [Hook::Attach, Hook::Migrate, Hook::Operate];

fn target() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    folder.canonicalize().unwrap()
}

/// What makes components of modules: `cargo xtask test` says where it is.
fn program() -> PathBuf {
    let given = std::env::var_os("VOLWARD_POLICY").map(PathBuf::from);
    given.unwrap_or_else(|| target().join("debug/volward-policy"))
}

/// What it builds to, and the folder it lies in.
struct Built {
    component: Vec<u8>,
    folder: tempfile::TempDir,
}

/// Makes one and builds it.
fn builds(language: Language, tools: &str, hook: Hook) -> Built {
    let into = tempfile::tempdir().unwrap();
    let new = New {
        name: "my-policy".to_owned(),
        language,
        hook,
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
        "{language:?} does not build for {hook:?}: {said}"
    );
    let component = fs::read(folder.join("my-policy.wasm")).unwrap();
    Built {
        component,
        folder: into,
    }
}

/// Makes one, builds it, and asks the component its scenarios.
fn builds_and_answers(language: Language, tools: &str, hook: Hook) {
    let Built { component, folder } = builds(language, tools, hook);
    let desk = Desk::new();
    let refused = desk.load("my-policy", &component, &[].into()).map(drop);
    let reason = refused.unwrap_err();
    assert!(reason.contains("prefix: give the beginning"), "{reason}");
    let file = folder.path().join("my-policy/scenarios/my-policy.jsonl");
    for scenario in scenario::read(&file).unwrap() {
        let config = scenario.config("my-policy");
        let chain = desk.load("my-policy", &component, &config).unwrap();
        // None has a detach hook, which alone is asked about copies.
        let record = ask(&chain, scenario.hook(), &scenario.facts(), &[]);
        let found = scenario.differences("my-policy", &record.plugins[0].verdict);
        assert!(
            found.is_empty(),
            "{language:?}, {hook:?}, {}: {found:?}",
            scenario.title()
        );
    }
}

#[test]
fn each_hook_in_rust() {
    for hook in HOOKS {
        builds_and_answers(Language::Rust, "rust", hook);
    }
}

#[test]
fn each_hook_in_c() {
    for hook in HOOKS {
        builds_and_answers(Language::C, "c", hook);
    }
}

#[test]
fn each_hook_in_javascript() {
    for hook in HOOKS {
        builds_and_answers(Language::Javascript, "javascript", hook);
    }
}

/// A component with Python in it is compiled in a minute, so one is asked: that of the hook of which no
/// example is in Python. The others are built, which imports them.
#[test]
fn each_hook_in_python_and_operate_is_asked() {
    for hook in [Hook::Attach, Hook::Migrate] {
        let built = builds(Language::Python, "python", hook);
        check_imports(&built.component).unwrap();
    }
    builds_and_answers(Language::Python, "python", Hook::Operate);
}
