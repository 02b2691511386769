//! The rules of dependency (design: rooms), read from cargo and from the sources.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start cargo, and end at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[path = "../src/sets.rs"]
mod sets;

/// Who may import whom among our own crates. The daemon sees everything.
const ROOMS: &[(&str, &[&str])] = &[
    // Handles of folders: what a part may read and write. Knows nothing of what is in them.
    ("folder", &[]),
    // Serves the SDK too, which is built for another target.
    ("record", &[]),
    ("model", &["record"]),
    ("plan", &["model"]),
    // Traits and plain data; both sides of a port import it, and neither the other.
    ("ports", &["model", "plan"]),
    ("control", &["model", "plan", "ports"]),
    // No use case: what it serves is in ports. The journal's records are of plan's steps.
    ("storage", &["model", "plan", "ports", "folder"]),
    // A plugin's answer becomes a model answer and nothing else.
    ("policy", &["model", "folder"]),
    ("api", &["model"]),
    // A man page is made of a command line, whose ever that is.
    ("manual", &[]),
    // Texts of files in, texts of files out; writes them by the handle of the root folder.
    ("setup", &["folder", "model"]),
    ("cli", &["api", "folder", "manual", "model", "setup"]),
    ("hook", &["api", "model", "folder"]),
    ("workbench", &["manual", "model", "policy", "folder"]),
    (
        "daemon",
        &[
            "model", "plan", "ports", "control", "storage", "policy", "api", "folder", "manual",
        ],
    ),
    // The lab knows nothing of the product: it only carries its programs to a node.
    ("system", &[]),
    // Nothing but a manifest, for whoever builds what is not packaged.
    ("features", &[]),
    // What it measures, and what a client and a compiler are; and what does harm meanwhile.
    (
        "bench",
        &["model", "policy", "api", "workbench", "corpus", "folder"],
    ),
    // Hostile components: what is to become of them is said in the model's words.
    ("corpus", &["model", "workbench"]),
    // The daemon over storage's fakes, for tests of clients in other languages.
    ("fake-daemon", &["daemon", "model", "ports", "storage"]),
    // Made-up facts and answers, for property tests.
    ("samples", &["model"]),
    // Compiled policies on the real runtime.
    ("compat", &["model", "policy", "workbench", "folder"]),
    // The real plan and control over a simulated cluster, storage's fakes.
    (
        "simulation",
        &["model", "plan", "ports", "control", "storage"],
    ),
];

/// What each room of `policy` may name from the crate's root, itself aside.
const ROOMS_OF_POLICY: &[(&str, &[&str])] = &[
    // Loading tries each policy.
    ("load", &["run", "digest", "BASELINE"]),
    ("run", &[]),
    ("log", &["digest"]),
];

/// Rooms that may use these crates only, of all the world's.
const FRUGAL: &[(&str, &[&str])] = &[
    ("folder", &["cap-std", "rustix"]),
    ("record", &["serde", "uuid", "thiserror"]),
    ("model", &["serde", "uuid", "thiserror"]),
    ("plan", &["serde", "uuid", "thiserror"]),
];

/// What must not be anywhere in a room's tree: it gets clock, disk and threads as ports.
const BANNED: &[(&str, &[&str])] = &[
    ("plan", &["tokio", "wasmtime", "rustix", "devicemapper"]),
    (
        "ports",
        &["tokio", "wasmtime", "rustix", "devicemapper", "rusqlite"],
    ),
    (
        "control",
        &["tokio", "wasmtime", "rustix", "devicemapper", "rusqlite"],
    ),
    ("policy", &["tokio", "devicemapper", "rusqlite"]),
    ("storage", &["tokio", "wasmtime"]),
    ("api", &["tokio", "wasmtime", "rusqlite"]),
    ("hook", &["tokio", "wasmtime", "devicemapper", "rusqlite"]),
    ("cli", &["wasmtime", "devicemapper", "rusqlite"]),
];

/// Crates that turn wasm into machine code. (cranelift-entity and -bitset are plain containers
/// that the runtime needs too.)
const COMPILERS: &[&str] = &[
    "cranelift-codegen",
    "cranelift-frontend",
    "cranelift-native",
    "wasmtime-internal-cranelift",
    "wasmtime-internal-winch",
    "winch-codegen",
    "regalloc2",
];

/// The only files that may lift the ban on unsafe code.
const UNSAFE: &[&str] = &[
    "host/storage/src/lease/ffi.rs",
    "host/storage/src/dm/discard.rs",
    "host/storage/src/dm/quiet.rs",
    "host/policy/src/load/artefact.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn cargo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(words)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Direct dependencies (dev-dependencies aside) of each of our crates, `volward-` taken off.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let text = cargo(&["metadata", "--format-version=1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|one| one["kind"] != "dev")
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    packages
        .iter()
        .filter_map(|package| {
            let name = package["name"].as_str()?.strip_prefix("volward-")?;
            Some((name.to_owned(), of(package)))
        })
        .collect()
}

/// Names of all crates that one `cargo build` of these packages compiles into them.
fn tree(packages: &[&str]) -> BTreeSet<String> {
    let mut words = vec![
        "tree",
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
    ];
    words.extend(packages.iter().flat_map(|package| ["--package", *package]));
    cargo(&words)
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

fn allowed(table: &[(&str, &[&str])], room: &str) -> Option<BTreeSet<String>> {
    let (_, names) = table.iter().find(|(name, _)| *name == room)?;
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn every_room_imports_only_what_it_may() {
    for (room, needs) in dependencies() {
        let may = allowed(ROOMS, &room)
            .unwrap_or_else(|| panic!("volward-{room} is a new room: say here whom it may import"));
        let ours = needs
            .iter()
            .filter_map(|name| name.strip_prefix("volward-"));
        for name in ours {
            assert!(may.contains(name), "{room} must not import {name}");
        }
        if let Some(may) = allowed(FRUGAL, &room) {
            for name in needs.iter().filter(|name| !name.starts_with("volward-")) {
                assert!(may.contains(name), "{room} must not use {name}");
            }
        }
    }
}

#[test]
fn policies_import_record_and_nothing_else_of_the_host() {
    let manifest = root().join("plugins/Cargo.toml").display().to_string();
    let words = ["metadata", "--format-version=1", "--no-deps"];
    let text = cargo(&[&words[..], &["--manifest-path", &manifest]].concat());
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let host = root().join("host");
    let mut found = BTreeSet::new();
    for needed in packages.flat_map(|package| package["dependencies"].as_array().unwrap()) {
        if let Some(path) = needed["path"]
            .as_str()
            .filter(|path| path.contains("/host/"))
        {
            assert!(Path::new(path).starts_with(&host), "{path}");
            found.insert(needed["name"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(found, BTreeSet::from(["volward-record".to_owned()]));
}

#[test]
fn no_room_has_what_it_must_not_have_anywhere_in_its_tree() {
    for (room, banned) in BANNED {
        let tree = tree(&[&format!("volward-{room}")]);
        let found: Vec<_> = banned.iter().filter(|name| tree.contains(**name)).collect();
        assert!(
            found.is_empty(),
            "volward-{room} must not depend on {found:?}"
        );
    }
}

#[test]
fn the_daemon_has_no_compiler() {
    let found_in = |packages: &[&str]| -> Vec<&str> {
        let tree = tree(packages);
        let all = COMPILERS.iter().copied();
        all.filter(|name| tree.contains(*name)).collect()
    };
    let [daemon_set, workbench_set] = sets::SETS;
    assert!(daemon_set.contains(&"volward-daemon"));
    assert_eq!(found_in(daemon_set), [""; 0], "as xtask builds it");
    assert_eq!(found_in(&["volward-daemon"]), [""; 0], "alone");
    // The same question finds one where one is.
    assert!(found_in(workbench_set).contains(&"cranelift-codegen"));
}

#[test]
fn adapters_of_storage_do_not_import_each_other() {
    let source = root().join("host/storage/src");
    // lvmlockd is made of two of them: LVM's commands and sanlock's answers; direct of all three,
    // and of sanlock's leases.
    let adapters = [
        "dm", "lvm", "lease", "registry", "machine", "journal", "marks", "spool", "events",
        "sanlock", "guests",
    ];
    for adapter in adapters {
        let mut files = Vec::new();
        rust_files(&source.join(adapter), &mut files);
        assert!(
            !files.is_empty(),
            "storage has no adapter {adapter} any more"
        );
        // A fake stands in for several of them at once.
        for file in files.iter().filter(|file| !file.ends_with("fake.rs")) {
            let text = fs::read_to_string(file).unwrap();
            for other in adapters.iter().filter(|other| **other != adapter) {
                let import = format!("crate::{other}");
                assert!(!text.contains(&import), "{} uses {import}", file.display());
            }
        }
    }
}

/// Modules of `control` by the modules they name (`crate::x`), tests aside.
fn imports_of_control() -> BTreeMap<String, BTreeSet<String>> {
    let source = root().join("host/control/src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.ends_with("lib.rs")) {
        let inside = file.strip_prefix(&source).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let named = code.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        });
        let of = imports.entry(module.clone()).or_default();
        // `ports` is a crate by another name.
        of.extend(named.filter(|name| *name != module && name != "ports"));
    }
    imports
}

/// What leads from a module back to itself, if anything does.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        imports: &BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<String>,
    ) -> Option<Vec<String>> {
        let here = path.last()?.clone();
        for next in imports.get(&here).into_iter().flatten() {
            if path.contains(next) {
                return Some([path.as_slice(), std::slice::from_ref(next)].concat());
            }
            path.push(next.clone());
            if let Some(found) = walk(imports, path) {
                return Some(found);
            }
            path.pop();
        }
        None
    }
    let starts = imports.keys();
    starts
        .map(|start| vec![start.clone()])
        .find_map(|mut path| walk(imports, &mut path))
}

#[test]
fn no_module_of_control_leads_back_to_itself() {
    let imports = imports_of_control();
    assert_eq!(circle(&imports), None);
    // What all else stands on knows no use case.
    let low = ["settings", "rounds", "error", "state", "observe", "engine"];
    for module in low {
        for name in &imports[module] {
            assert!(low.contains(&name.as_str()), "{module} uses {name}");
        }
    }
    // Only the front door sees all of them.
    let use_cases = ["attach", "detach", "copies", "pools", "recover", "views"];
    let node = &imports["node"];
    assert!(use_cases.iter().all(|name| node.contains(*name)));
    // The same question finds a circle where one is.
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let round = BTreeMap::from([
        ("a".to_owned(), of(&["b"])),
        ("b".to_owned(), of(&["c"])),
        ("c".to_owned(), of(&["a"])),
    ]);
    assert!(circle(&round).is_some());
}

#[test]
fn rooms_of_policy_import_only_what_they_may() {
    let source = root().join("host/policy/src");
    for (room, may) in ROOMS_OF_POLICY {
        let mut files = Vec::new();
        rust_files(&source.join(room), &mut files);
        assert!(!files.is_empty(), "policy has no room {room} any more");
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            for name in names_from_the_root(&text) {
                assert!(
                    name == *room || may.contains(&name),
                    "{} uses crate::{name}: {room} may use {may:?}",
                    file.display()
                );
            }
        }
    }
    // Whatever lies beside the rooms is seen by all of them: it must stay small.
    let beside: BTreeSet<_> = fs::read_dir(&source)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let known = ["digest.rs", "lib.rs", "load", "log", "run"];
    assert_eq!(beside, known.map(str::to_owned).into());
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    for (line, found) in [
        ("use crate::load::source::Level;", vec!["load"]),
        ("    let x = crate::log::path(0);", vec!["log"]),
        ("use crate::{load::source, digest};", vec!["{"]),
        ("use super::super::load::source;", vec!["super::super"]),
        ("/// As [`crate::load`] has it.", vec![]),
        ("use super::path;", vec![]),
    ] {
        assert_eq!(names_from_the_root(line), found, "{line}");
    }
}

/// What code names by `crate::NAME`. Names in braces, and two steps up, are not told apart: they
/// are given as they stand, which no room may use.
fn names_from_the_root(text: &str) -> Vec<&str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| {
        let named = line.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len()).max(1).min(rest.len())]
        });
        let climbs = line.contains("super::super").then_some("super::super");
        named.chain(climbs)
    })
    .collect()
}

/// Rooms that run with the rights of whoever calls them: they have the workspace's bans only.
const BY_PATH: &[&str] = &["cli", "workbench"];

#[test]
fn files_by_path_are_banned_in_every_room_but_those_that_say_so() {
    let text = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let bans = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with("{ path = "))
            .map(str::to_owned)
            .collect()
    };
    let (everywhere, rooms) = (bans(&text("clippy.toml")), bans(&text("host/clippy.toml")));
    assert!(everywhere.is_subset(&rooms), "host/clippy.toml lacks a ban");
    for by_path in [
        "std::fs::read\"",
        "std::fs::File::open\"",
        "ambient_authority\"",
    ] {
        assert!(rooms.iter().any(|ban| ban.contains(by_path)), "{by_path}");
    }
    // Clippy takes the nearest file above a room.
    let found: BTreeSet<String> = fs::read_dir(root().join("host"))
        .unwrap()
        .map(|room| room.unwrap().file_name().into_string().unwrap())
        .filter(|room| root().join("host").join(room).join("clippy.toml").exists())
        .collect();
    assert_eq!(found, BY_PATH.iter().map(|&room| room.to_owned()).collect());
    for room in BY_PATH {
        assert_eq!(bans(&text(&format!("host/{room}/clippy.toml"))), everywhere);
    }
}

#[test]
fn no_program_has_a_fake_in_it() {
    let has_fake = |packages: &[&str]| {
        let mut words = vec!["tree", "--edges=normal,build,features", "--prefix=none"];
        words.extend(packages.iter().flat_map(|package| ["--package", *package]));
        cargo(&words).contains(r#"feature "fake""#)
    };
    for set in sets::SETS {
        assert!(!has_fake(set), "{set:?}, as xtask builds them");
        for package in set {
            assert!(!has_fake(&[package]), "{package} alone");
        }
    }
    // The same question finds one where one is.
    assert!(has_fake(&["volward-simulation"]));
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    let mut files = Vec::new();
    for folder in ["host", "tests", "xtask/src"] {
        rust_files(&root().join(folder), &mut files);
    }
    let lifts = |file: &&PathBuf| {
        fs::read_to_string(file)
            .unwrap()
            .lines()
            .any(|line| line.contains("unsafe_code") && !line.trim_start().starts_with("//"))
    };
    let found: BTreeSet<String> = files
        .iter()
        .filter(lifts)
        .map(|file| file.strip_prefix(root()).unwrap().display().to_string())
        .collect();
    let may: BTreeSet<String> = UNSAFE.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, may);
}

/// With this option LVM takes no lease of the volume: right where the lease is held and the volume grows or goes to another
/// disk, and the loss of somebody's volume with any other command.
#[test]
fn lvm_is_told_to_leave_a_lease_out_in_one_place() {
    let mut files = Vec::new();
    // The only room that starts programs; elsewhere the option stands in what people are told.
    rust_files(&root().join("host/storage"), &mut files);
    files.retain(|file| !file.ends_with("tests.rs"));
    let code = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("//"));
        lines.filter(|line| line.contains("skiplv")).count()
    };
    let found: Vec<(String, usize)> = files
        .iter()
        .map(|file| {
            (
                file.strip_prefix(root()).unwrap().display().to_string(),
                code(file),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    let only = ("host/storage/src/lvm/operate.rs".to_owned(), 1);
    assert_eq!(found, [only]);
    // And who may have it from there.
    let lvm = files
        .iter()
        .filter(|file| file.parent().is_some_and(|f| f.ends_with("lvm")));
    let uses = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("HELD");
    let mut users: Vec<_> = lvm.filter(|file| uses(file)).collect();
    users.sort();
    let names = users.iter().map(|file| file.file_name().unwrap());
    assert!(names.eq(["operate.rs", "relocate.rs"]), "{users:?}");
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}
