//! The policy interface: what is released stays as it is, and grows only in the ways that
//! docs/wit-evolution.md permits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end at the first surprise"
)]

mod growth;
mod inventory;

use std::fs;
use std::path::{Path, PathBuf};

use growth::violations;
use inventory::Inventory;
use sha2::{Digest, Sha256};

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

fn today() -> String {
    fs::read_to_string(wit().join("policy.wit")).unwrap()
}

/// Versions and texts of all releases.
fn released() -> Vec<(String, String)> {
    let folders = fs::read_dir(wit().join("released")).unwrap();
    let folders = folders
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.is_dir());
    let mut found: Vec<_> = folders
        .map(|folder| {
            let version = folder.file_name().unwrap().to_string_lossy().into_owned();
            (
                version,
                fs::read_to_string(folder.join("policy.wit")).unwrap(),
            )
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no release");
    found
}

#[test]
fn no_released_file_was_edited() {
    let sums = fs::read_to_string(wit().join("released/SHA256SUMS")).unwrap();
    let mut listed: Vec<_> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    for (version, text) in released() {
        let name = format!("{version}/policy.wit");
        let place = listed.iter().position(|(_, listed)| *listed == name);
        let place = place.unwrap_or_else(|| panic!("wit/released/SHA256SUMS lacks {name}"));
        let sum: String = Sha256::digest(&text)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            listed.remove(place).0,
            sum,
            "wit/released/{name} was edited"
        );
    }
    assert!(listed.is_empty(), "released and gone: {listed:?}");
}

#[test]
fn a_release_is_in_the_folder_of_its_version() {
    for (version, text) in released() {
        assert_eq!(Inventory::parse(&text).unwrap().version, version);
    }
}

#[test]
fn today_keeps_every_release_and_grows_only_as_permitted() {
    let today = Inventory::parse(&today()).unwrap();
    for (version, text) in released() {
        let found = violations(&Inventory::parse(&text).unwrap(), &today);
        assert!(found.is_empty(), "against {version}:\n{}", found.join("\n"));
    }
}

#[test]
fn every_released_item_says_since_when() {
    let today = Inventory::parse(&today()).unwrap();
    // `use` lines are types of the interface, too. An import that came with `include` has the
    // gate of the world it came from.
    let silent = today.items.iter().filter(|(_, item)| item.since.is_none());
    let silent: Vec<_> = silent.map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no @since: {silent:?}");
    for name in [
        "facts/disk",
        "facts/[method]disk.size",
        "attach/review",
        "world policy",
    ] {
        assert!(today.items.contains_key(name), "{name} is not found");
    }
}

#[test]
fn what_nothing_asks_is_not_released() {
    let today = Inventory::parse(&today()).unwrap();
    assert!(
        !today.items.contains_key("progress"),
        "progress is released"
    );
    for name in ["migrate", "operate", "operations"] {
        assert_eq!(today.items[name].since.as_deref(), Some("0.1.1"), "{name}");
    }
}
