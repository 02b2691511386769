//! The documents: links lead somewhere, commands exist, and no machine's own paths are in them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start programs, and end at the first surprise"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every Markdown file of the repository, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    walk(&path, found);
                }
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 10, "only {} documents found", found.len());
    found
}

/// The lines of a document that are prose: outside of fenced blocks, `code` taken out.
fn prose(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside = line.split('`').step_by(2);
            lines.push(outside.collect::<Vec<_>>().join("code"));
        }
    }
    lines
}

/// Targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

/// What a heading is called in a link to it, as the common forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim_start_matches('#')
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    let mut fenced = false;
    text.lines().any(|line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced && line.starts_with('#') && anchor(line) == wanted
    })
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        for line in prose(&text) {
            for link in links(&line).filter(|link| !link.contains("://")) {
                seen += 1;
                let (file, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = match file {
                    "" => path.clone(),
                    file => path.parent().unwrap().join(file),
                };
                let found = match heading {
                    "" => target.exists(),
                    heading => {
                        fs::read_to_string(&target).is_ok_and(|text| has_anchor(&text, heading))
                    }
                };
                if !found {
                    broken.push(format!("{}: {link}", path.display()));
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_document_has_a_path_of_a_build_machine() {
    let here = root().display().to_string();
    for (path, text) in documents() {
        for foreign in [here.as_str(), "/home/", "/root/", "/work/", "/tmp/"] {
            assert!(!text.contains(foreign), "{} has {foreign}", path.display());
        }
    }
}

#[test]
fn every_xtask_command_in_a_document_exists() {
    let mut used = BTreeSet::new();
    for (path, text) in documents() {
        // Also those in prose end with the code they stand in.
        for part in text.split("cargo xtask ").skip(1) {
            let words = part.lines().next().unwrap().split(['`', '|', '#', ',']);
            let command: Vec<String> = words
                .take(1)
                .flat_map(str::split_whitespace)
                .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
                .take(2)
                .map(ToOwned::to_owned)
                .collect();
            if !command.is_empty() {
                used.insert((command, path.clone()));
            }
        }
    }
    for verb in ["demo", "test"] {
        let readme = root().join("README.md");
        assert!(used.contains(&(vec![verb.to_owned()], readme)), "{verb}");
    }
    for (command, path) in used {
        let program = env!("CARGO_BIN_EXE_xtask");
        // A second word may be an argument: then the first one's help knows it.
        let output = Command::new(program)
            .arg(&command[0])
            .arg("--help")
            .output()
            .unwrap();
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        let known = output.status.success()
            && command.get(1).is_none_or(|word| {
                help.split_whitespace()
                    .any(|w| w.trim_matches([',', ':']) == word)
            });
        assert!(known, "{}: cargo xtask {command:?}", path.display());
    }
}

/// The table of refusals has a row for every code, in the code's order, and no row for a code
/// that is gone.
#[test]
fn the_operator_guide_has_every_refusal_and_no_other() {
    let source = fs::read_to_string(root().join("host/plan/src/refusal.rs")).unwrap();
    let guide = fs::read_to_string(root().join("docs/operator-guide.md")).unwrap();
    let codes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.split("=> \"").nth(1)?.strip_suffix("\","))
        .collect();
    assert!(codes.len() > 10, "{codes:?}");
    let section = guide.split("## Refusals and what to do").nth(1).unwrap();
    let table = section.split("\n\n").nth(2).unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(rows, codes, "rows of the operator guide, and codes");
}

/// Every invariant has its row, with or without a test.
#[test]
fn the_invariants_are_all_there_and_the_tests_they_name_exist() {
    let text = fs::read_to_string(root().join("docs/invariants.md")).unwrap();
    for number in 1..=32 {
        let heading = format!("**I{number}.**");
        assert!(
            text.contains(&heading),
            "docs/invariants.md lacks {heading}"
        );
    }
    let mut sources = String::new();
    for folder in ["host", "plugins", "tests", "xtask"] {
        read_sources(&root().join(folder), &mut sources);
    }
    for line in text.lines() {
        let Some(named) = line.trim().strip_prefix("Tests: ") else {
            continue;
        };
        for name in named.split('`').skip(1).step_by(2) {
            let function = format!("fn {name}(");
            assert!(sources.contains(&function), "there is no test {name}");
        }
    }
    // And a test whose name begins with an invariant's number stands there.
    let mut unlisted: Vec<&str> = sources
        .split("fn i")
        .skip(1)
        .filter_map(of_invariant)
        .collect();
    unlisted.retain(|name| !text.contains(&format!("`i{name}`")));
    assert_eq!(
        unlisted, [""; 0],
        "docs/invariants.md lacks these, each after an i"
    );
}

/// `24_what_it_says` of what follows an `fn i`.
fn of_invariant(rest: &str) -> Option<&str> {
    let name = rest.split('(').next()?;
    let (number, words) = name.split_once('_')?;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_of_one = number.parse::<u8>().is_ok() && words.chars().all(is_name);
    is_of_one.then_some(name)
}

fn read_sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            read_sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
