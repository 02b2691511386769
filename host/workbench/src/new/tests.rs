#![allow(clippy::panic, reason = "tests end at the first surprise")]

use super::*;
use clap::Parser;
use std::collections::BTreeSet;

fn make(language: Language, into: &Path) -> Result<String> {
    make_for(Hook::Attach, language, into)
}

fn make_for(hook: Hook, language: Language, into: &Path) -> Result<String> {
    let (name, into) = ("my-policy".to_owned(), into.to_owned());
    New {
        name,
        language,
        hook,
        into,
    }
    .make()
}

fn each() -> impl Iterator<Item = (Hook, Language)> {
    let hooks = Hook::value_variants().iter();
    hooks.flat_map(|hook| Language::value_variants().iter().map(|l| (*hook, *l)))
}

/// Paths under a folder, relative to it.
fn paths(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).unwrap();
                found.insert(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn every_hook_and_language_gets_a_folder_under_its_own_name() {
    for (hook, language) in each() {
        let into = tempfile::tempdir().unwrap();
        let said = make_for(hook, language, into.path()).unwrap();
        assert!(
            said.contains("volward-policy check my-policy.wasm"),
            "{said}"
        );
        let folder = into.path().join("my-policy");
        for path in paths(&folder) {
            let text = fs::read_to_string(folder.join(&path)).unwrap();
            for word in [
                EXAMPLE,
                "quiet_hours",
                EXAMPLES_WIT,
                "@TEST@",
                "@LANGUAGE@",
                "@DOES@",
                "@PREFIX@",
            ] {
                assert!(!text.contains(word), "{language:?}: {word} is in {path}");
            }
        }
        let mode = fs::metadata(folder.join("build.sh")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o111, 0o111);
    }
}

/// The SDK says in the module which hooks there are; for others the build has to.
#[test]
fn the_build_is_told_the_world_that_has_the_hook() {
    for (hook, language) in each().filter(|(_, language)| *language != Language::Rust) {
        let into = tempfile::tempdir().unwrap();
        make_for(hook, language, into.path()).unwrap();
        let read = |path: &str| fs::read_to_string(into.path().join("my-policy").join(path));
        let build = read("build.sh").unwrap();
        let mut worlds = build.lines().filter_map(|line| line.strip_prefix("world="));
        let world = worlds.next().unwrap();
        assert_eq!((world, worlds.next()), (hook.world(), None), "{language:?}");
        let wit = read("wit/policy.wit").unwrap();
        let (_, says) = wit.split_once(&format!("world {world} {{")).unwrap();
        let (says, _) = says.split_once('}').unwrap();
        let name = hook.to_possible_value().unwrap().get_name().to_owned();
        assert!(says.contains(&format!("include {name}-hook;")), "{says}");
    }
}

/// As the program reads its arguments.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    new: New,
}

fn read(arguments: &[&str]) -> Result<New, String> {
    let words = ["new", "my-policy", "--language", "c"].iter();
    Arguments::try_parse_from(words.chain(arguments))
        .map(|arguments| arguments.new)
        .map_err(|error| error.to_string())
}

#[test]
fn the_hook_is_attach_or_one_that_is_there() {
    assert_eq!(read(&[]).unwrap().hook, Hook::Attach);
    for (name, hook) in [
        ("attach", Hook::Attach),
        ("migrate", Hook::Migrate),
        ("operate", Hook::Operate),
    ] {
        assert_eq!(read(&["--hook", name]).unwrap().hook, hook);
    }
    let Err(said) = read(&["--hook", "detach"]) else {
        panic!("there is nothing for detach");
    };
    assert!(
        said.contains("there is no policy of `detach` to begin with: make one of `attach`"),
        "{said}"
    );
    let Err(said) = read(&["--hook", "progress"]) else {
        panic!("there is nothing for progress");
    };
    assert!(said.contains("invalid value 'progress'"), "{said}");
    assert!(said.contains("attach, migrate, operate"), "{said}");
}

#[test]
fn what_is_there_is_left_alone() {
    let into = tempfile::tempdir().unwrap();
    fs::create_dir(into.path().join("my-policy")).unwrap();
    assert!(make(Language::C, into.path()).is_err());
    assert!(paths(into.path()).is_empty());
}

/// Tools are fetched when the lock file changes: a name in it would fetch them for each policy.
#[test]
fn the_lock_file_is_the_same_for_all() {
    let into = tempfile::tempdir().unwrap();
    make(Language::Javascript, into.path()).unwrap();
    let all = files::files(Language::Javascript, Hook::Attach);
    let (_, content) = all
        .iter()
        .find(|(path, _)| *path == "package-lock.json")
        .unwrap();
    let made = into.path().join("my-policy/package-lock.json");
    assert_eq!(fs::read_to_string(made).unwrap(), *content);
}

#[test]
fn a_name_must_do_everywhere() {
    for name in [
        "",
        "-a",
        "1a",
        "a_b",
        "A",
        "a b",
        "../a",
        "a/b",
        "baseline",
        &"a".repeat(61),
    ] {
        assert!(check_name(name).is_err(), "{name}");
    }
    for name in ["a", "no-test-machines", "v2"] {
        assert!(check_name(name).is_ok(), "{name}");
    }
}

#[test]
fn the_whole_sdk_comes_along() {
    let into = tempfile::tempdir().unwrap();
    make(Language::Rust, into.path()).unwrap();
    for (vendored, ours) in [
        ("vendor/sdk", "../../plugins/sdk"),
        ("vendor/record/src", "../record/src"),
    ] {
        let vendored = paths(&into.path().join("my-policy").join(vendored));
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(ours);
        assert_eq!(vendored, paths(&ours));
    }
    let manifest = into.path().join("my-policy/vendor/record/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(!manifest.contains("volward-samples"), "{manifest}");
}

#[test]
fn what_the_sdk_takes_from_its_workspace_is_the_same() {
    let read = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::read_to_string(path).unwrap()
    };
    let theirs = read("templates/rust/Cargo.toml");
    let (plugins, host) = ("../../plugins/Cargo.toml", "../../Cargo.toml");
    for (ours, key) in [
        (plugins, "wit-bindgen = "),
        (plugins, "edition = "),
        (plugins, "rust-version = "),
        (plugins, "opt-level = "),
        (host, "serde = "),
        (host, "thiserror = "),
        (host, "uuid = "),
    ] {
        let ours = read(ours);
        let line = |text: &str| {
            let found = text.lines().find(|line| line.starts_with(key));
            found.map(str::to_owned)
        };
        assert!(line(&ours).is_some(), "{key}");
        assert_eq!(line(&ours), line(&theirs));
    }
}
