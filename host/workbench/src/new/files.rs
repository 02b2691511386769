//! What is in a new folder, by language and by hook.

use super::Language;
use super::hook::Hook;

/// Path in the new folder, and content.
pub(super) type File = (&'static str, &'static str);

/// Files whose text is taken as it is but for the name.
macro_rules! files {
    ($($path:literal from $source:literal),+ $(,)?) => {
        &[$(($path, include_str!($source))),+]
    };
}

pub(super) const COMMON: &[File] = files![
    "quiet-hours.toml" from "../../templates/settings.toml",
    "wit/policy.wit" from "../../../../wit/policy.wit",
];

const RUST: &[File] = files![
    ".gitignore" from "../../templates/rust/gitignore",
    "Cargo.toml" from "../../templates/rust/Cargo.toml",
    "build.sh" from "../../templates/rust/build.sh",
    "vendor/record/Cargo.toml" from "../../../record/Cargo.toml",
    "vendor/record/src/answer.rs" from "../../../record/src/answer.rs",
    "vendor/record/src/attachment.rs" from "../../../record/src/attachment.rs",
    "vendor/record/src/decision.rs" from "../../../record/src/decision.rs",
    "vendor/record/src/facts.rs" from "../../../record/src/facts.rs",
    "vendor/record/src/facts/disk.rs" from "../../../record/src/facts/disk.rs",
    "vendor/record/src/facts/operation.rs" from "../../../record/src/facts/operation.rs",
    "vendor/record/src/home.rs" from "../../../record/src/home.rs",
    "vendor/record/src/ids.rs" from "../../../record/src/ids.rs",
    "vendor/record/src/lib.rs" from "../../../record/src/lib.rs",
    "vendor/record/src/mask.rs" from "../../../record/src/mask.rs",
    "vendor/record/src/mask/vocabulary.txt" from "../../../record/src/mask/vocabulary.txt",
    "vendor/record/src/mask/words.rs" from "../../../record/src/mask/words.rs",
    "vendor/record/src/scenario.rs" from "../../../record/src/scenario.rs",
    "vendor/record/src/scenario/beside.rs" from "../../../record/src/scenario/beside.rs",
    "vendor/record/src/scenario/compare.rs" from "../../../record/src/scenario/compare.rs",
    "vendor/record/src/scenario/tests.rs" from "../../../record/src/scenario/tests.rs",
    "vendor/record/src/scenario/whole.rs" from "../../../record/src/scenario/whole.rs",
    "vendor/record/src/units.rs" from "../../../record/src/units.rs",
    "vendor/sdk/Cargo.toml" from "../../../../plugins/sdk/Cargo.toml",
    "vendor/sdk/src/answer.rs" from "../../../../plugins/sdk/src/answer.rs",
    "vendor/sdk/src/bindings.rs" from "../../../../plugins/sdk/src/bindings.rs",
    "vendor/sdk/src/bridge.rs" from "../../../../plugins/sdk/src/bridge.rs",
    "vendor/sdk/src/config/mod.rs" from "../../../../plugins/sdk/src/config/mod.rs",
    "vendor/sdk/src/config/reader.rs" from "../../../../plugins/sdk/src/config/reader.rs",
    "vendor/sdk/src/fact.rs" from "../../../../plugins/sdk/src/fact.rs",
    "vendor/sdk/src/facts.rs" from "../../../../plugins/sdk/src/facts.rs",
    "vendor/sdk/src/handles.rs" from "../../../../plugins/sdk/src/handles.rs",
    "vendor/sdk/src/lib.rs" from "../../../../plugins/sdk/src/lib.rs",
    "vendor/sdk/src/log.rs" from "../../../../plugins/sdk/src/log.rs",
    "vendor/sdk/src/scenario/mod.rs" from "../../../../plugins/sdk/src/scenario/mod.rs",
    "vendor/sdk/src/scenario/tests.rs" from "../../../../plugins/sdk/src/scenario/tests.rs",
    "vendor/sdk/src/scenario/words.rs" from "../../../../plugins/sdk/src/scenario/words.rs",
];

const PYTHON: &[File] = files![
    ".gitignore" from "../../../../examples/quiet-hours/python/.gitignore",
    "build.sh" from "../../../../examples/quiet-hours/python/build.sh",
    "requirements.txt" from "../../../../examples/quiet-hours/python/requirements.txt",
];

pub(super) const JAVASCRIPT: &[File] = files![
    ".gitignore" from "../../../../examples/quiet-hours/javascript/.gitignore",
    "build.sh" from "../../../../examples/quiet-hours/javascript/build.sh",
    "componentize.mjs" from "../../../../examples/quiet-hours/javascript/componentize.mjs",
    "package-lock.json" from "../../../../examples/quiet-hours/javascript/package-lock.json",
    "package.json" from "../../../../examples/quiet-hours/javascript/package.json",
    "tsconfig.json" from "../../../../examples/quiet-hours/javascript/tsconfig.json",
    "types.mjs" from "../../../../examples/quiet-hours/javascript/types.mjs",
];

const C: &[File] = files![
    ".gitignore" from "../../../../examples/quiet-hours/c/.gitignore",
    "build.sh" from "../../../../examples/quiet-hours/c/build.sh",
    "settings.c" from "../../templates/c/settings.c",
    "settings.h" from "../../templates/c/settings.h",
    "text.h" from "../../templates/c/text.h",
];

/// What a hook's policy has of its own, in each language.
struct Own {
    scenarios: &'static str,
    rust: &'static str,
    python: &'static str,
    javascript: &'static str,
    c: &'static str,
    /// For C, of the hook's world: source and header.
    bindings: [&'static str; 2],
}

macro_rules! own {
    ($hook:literal, bindings in $bindings:literal) => {
        Own {
            scenarios: own!(@text "../../templates/", $hook, "/scenarios.jsonl"),
            rust: own!(@text "../../templates/", $hook, "/lib.rs"),
            python: own!(@text "../../templates/", $hook, "/app.py"),
            javascript: own!(@text "../../templates/", $hook, "/policy.js"),
            c: own!(@text "../../templates/", $hook, "/policy.c"),
            bindings: [
                own!(@text $bindings, "/policy.c"),
                own!(@text $bindings, "/policy.h"),
            ],
        }
    };
    (@text $($part:literal),+) => {
        include_str!(concat!($($part),+))
    };
}

const ATTACH: Own = own!("attach", bindings in "../../../../examples/quiet-hours/c/bindings");
const MIGRATE: Own = own!("migrate", bindings in "../../../../examples/one-rack/c/bindings");
const OPERATE: Own = own!("operate", bindings in "../../templates/operate/bindings");

/// All files of a new folder but its README.
pub(super) fn files(language: Language, hook: Hook) -> Vec<File> {
    let own = match hook {
        Hook::Attach => ATTACH,
        Hook::Migrate => MIGRATE,
        Hook::Operate => OPERATE,
    };
    let mut files = vec![("scenarios/quiet-hours.jsonl", own.scenarios)];
    files.extend(COMMON);
    let (of_language, policy) = match language {
        Language::Rust => (RUST, ("src/lib.rs", own.rust)),
        Language::Python => (PYTHON, ("app.py", own.python)),
        Language::Javascript => (JAVASCRIPT, ("policy.js", own.javascript)),
        Language::C => (C, ("policy.c", own.c)),
    };
    files.extend(of_language);
    files.push(policy);
    if language == Language::C {
        let [source, header] = own.bindings;
        files.extend([("bindings/policy.c", source), ("bindings/policy.h", header)]);
    }
    files
}
