//! `volward-policy check`: what the daemon would say, and the scenarios beside the policy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use volward_policy::scenarios::about;
use volward_policy::{Level, Limits, Runtime, Settings};
use volward_workbench::chain::{Candidates, Selection, plain_name};
use volward_workbench::inspect::reads_configuration;
use volward_workbench::{InProcess, test};

use super::{print, read, read_scenarios, refuse, settings, verdict};

pub(crate) fn check(component: &Path, given: Option<&Path>) -> Result<ExitCode> {
    let bytes = read(component)?;
    let settings = match settings(component, given) {
        Ok(settings) => settings,
        Err(status) => return status,
    };
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, Box::new(InProcess::new()?))?;
    let name = component.file_stem().unwrap_or_default().to_string_lossy();
    let limit = Limits::default().component_bytes;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        let reason = format!("{name} would be refused: it is bigger than {limit} bytes");
        return Ok(refuse(&reason));
    }
    let hooks = match runtime.check(&name, &bytes, &settings) {
        Ok(status) => status.hooks.join(", "),
        Err(error) => return Ok(refuse(&format!("{name} would be refused: {error}"))),
    };
    println!("{name} would be loaded; hooks: {hooks}");
    if plain_name(component) == name {
        println!("in the daemon's folder it must be called NN-{name}.wasm, with two digits");
    }
    if !hooks.contains("lifecycle") && reads_configuration(&bytes)? {
        println!(
            "it reads its configuration and has no lifecycle hook: nobody notices a key that is misspelt, \
             and a limit that is not read is none; export lifecycle, and name what is wrong in check-config"
        );
    }
    let beside = read_scenarios(&scenario_files(component)?)?;
    if beside.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let beside = match about(&plain_name(component), beside) {
        Ok(beside) => beside,
        Err(error) => return Ok(refuse(&format!("{name} would be refused: {error}"))),
    };
    let mut list = Selection::default();
    list.policies.push(component.to_owned());
    let mut candidates = Candidates::read(&list)?.list;
    // Those given, not those beside it; and as loading tries them, whatever the level.
    if let Some(one) = candidates.last_mut() {
        one.settings = Settings {
            level: Level::Enforce,
            ..settings
        };
    }
    let ran = test::run(&Candidates::new(candidates, None)?, &beside);
    print(&ran.text())?;
    Ok(verdict(ran.ok()))
}

/// The file that the daemon would read, or else what an author has: a folder of them.
fn scenario_files(component: &Path) -> Result<Vec<PathBuf>> {
    let beside = component.with_extension("scenarios.jsonl");
    if beside.is_file() {
        return Ok(vec![beside]);
    }
    let folder = component.with_file_name("scenarios");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let files: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut files = files.with_context(|| folder.display().to_string())?;
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    Ok(files)
}
