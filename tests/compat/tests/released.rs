//! Policies compiled for every release of the interface load and answer today as they did then.
//!
//! A release's folder is added once and never changed: `witness.jsonl` and the others hold what
//! each policy was told and what it answered. With `BLESS=1` answers are written anew, which is
//! right for a folder that was not released yet, and for no other.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests end at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use volward_compat::Desk;
use volward_model::scenario::Hook;
use volward_model::{CopyFate, Facts, VolumeId};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == ending));
    found.sort();
    found
}

/// Folders of releases, by version.
fn releases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| !files_of(path).is_empty());
    found.sort();
    found
}

fn files_of(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        files(path, "wasm")
    } else {
        Vec::new()
    }
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_release_of_the_interface_has_its_policies() {
    let entries = fs::read_dir(folder().join("../../wit/released")).unwrap();
    let versions: BTreeSet<_> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name())
        .collect();
    let kept: BTreeSet<_> = releases()
        .iter()
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(versions, kept);
    for release in releases() {
        let policies: Vec<_> = files(&release, "wasm").iter().map(|p| name(p)).collect();
        let asked: Vec<_> = files(&release, "jsonl").iter().map(|p| name(p)).collect();
        assert_eq!(policies, asked, "in {}", release.display());
        assert!(policies.contains(&"witness".to_owned()));
    }
}

#[test]
fn they_answer_as_they_did() {
    let desk = Desk::new();
    for path in releases().iter().flat_map(|release| files(release, "wasm")) {
        let component = fs::read(&path).unwrap();
        let records = path.with_extension("jsonl");
        let text = fs::read_to_string(&records).unwrap();
        let kept: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(!kept.is_empty(), "{} asks nothing", records.display());
        let today: Vec<Value> = kept
            .iter()
            .map(|record| ask(&desk, &name(&path), &component, record))
            .collect();
        if std::env::var_os("BLESS").is_some() {
            let lines: Vec<String> = today.iter().map(|record| format!("{record}\n")).collect();
            fs::write(&records, lines.concat()).unwrap();
            continue;
        }
        for (then, now) in kept.iter().zip(&today) {
            assert_eq!(then, now, "{}", path.display());
        }
    }
}

/// The record with what comes out today.
fn ask(desk: &Desk, name: &str, component: &[u8], record: &Value) -> Value {
    let mut record = record.clone();
    let facts: Facts = serde_json::from_value(record["facts"].clone()).unwrap();
    let plugin = &mut record["plugins"][0];
    let config: BTreeMap<String, String> =
        serde_json::from_value(plugin["config"].clone()).unwrap();
    // Not under its own name, which no file may have if it is the baseline's.
    let chain = desk
        .load("kept", component, &config)
        .unwrap_or_else(|reason| panic!("{name} is refused: {reason}"));
    let copies: Vec<(VolumeId, CopyFate)> = match record.get("copies") {
        Some(copies) => serde_json::from_value(copies.clone()).unwrap(),
        None => Vec::new(),
    };
    let hook = Hook::of_word(record["hook"].as_str().unwrap()).unwrap();
    let found = volward_workbench::chain::ask(&chain, hook, &facts, &copies);
    let said = &found.plugins[0];
    let plugin = &mut record["plugins"][0];
    plugin["verdict"] = serde_json::to_value(&said.verdict).unwrap();
    plugin["log"] = serde_json::to_value(&said.log).unwrap();
    record
}

#[test]
fn a_wrong_configuration_is_still_refused() {
    let desk = Desk::new();
    let config = BTreeMap::from([("denny".to_owned(), "x".to_owned())]);
    for release in releases() {
        let witness = fs::read(release.join("witness.wasm")).unwrap();
        let reason = desk.load("witness", &witness, &config).map(drop);
        let reason = reason.unwrap_err();
        assert!(reason.contains("did you mean \"deny\"?"), "{reason}");
    }
}
