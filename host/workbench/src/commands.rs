//! What the commands do with their arguments.

mod check;

pub(crate) use check::check;

use std::fs;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use volward_policy::scenarios::Placed;
use volward_policy::{CompileError, Compiler, Settings};
use volward_workbench::bench::{self, Figures, Tolerance};
use volward_workbench::chain::{Candidates, Selection};
use volward_workbench::stream::{log_files, scenarios};
use volward_workbench::{
    InProcess, capture, componentize as components, explain, inspect as inspection,
    new as scaffold, one_line, replay, rlimits, test,
};

/// The policy is refused: the author's concern, not the machine's.
const REFUSED: u8 = 3;
/// A scenario came out otherwise, a decision would change, a policy costs more than it did.
const NOT_SO: u8 = 4;

/// Says in one line why a policy is refused.
fn refuse(reason: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("volward-policy: {}", one_line(&reason.to_string()));
    ExitCode::from(REFUSED)
}

fn verdict(so: bool) -> ExitCode {
    if so {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_SO)
    }
}

/// Prints; whoever stops reading (`| head`) has seen enough.
fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn report<T: Serialize>(json: bool, report: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
    if json {
        print(&(serde_json::to_string_pretty(report)? + "\n"))
    } else {
        print(&text(report))
    }
}

pub(crate) fn componentize(module: &Path, world: Option<&str>, out: &Path) -> Result<ExitCode> {
    let module = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    match components::componentize(&module, world) {
        Ok(component) => fs::write(out, component).with_context(|| out.display().to_string())?,
        Err(error) => return Ok(refuse(&format!("{error:#}"))),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn new(options: &scaffold::New) -> Result<ExitCode> {
    print(&options.make()?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn compile(
    component: Option<&Path>,
    out: Option<&Path>,
    limit: u64,
) -> Result<ExitCode> {
    rlimits::set(limit).context("cannot limit itself")?;
    let bytes = match component {
        Some(path) => read(path)?,
        None => {
            // One more than allowed, to notice it.
            let mut bytes = Vec::new();
            io::stdin()
                .lock()
                .take(limit.saturating_add(1))
                .read_to_end(&mut bytes)
                .context("standard input")?;
            bytes
        }
    };
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Ok(refuse(&format!("it is bigger than {limit} bytes")));
    }
    let artefact = match InProcess::new()?.compile(&bytes) {
        Ok(artefact) => artefact,
        Err(CompileError::Refused { reason }) => return Ok(refuse(&reason)),
        Err(other) => return Err(other.into()),
    };
    match out {
        Some(path) => fs::write(path, artefact).with_context(|| path.display().to_string())?,
        None => io::stdout()
            .lock()
            .write_all(&artefact)
            .context("standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn inspect(component: &Path) -> Result<ExitCode> {
    let settings = match settings(component, None) {
        Ok(settings) => settings,
        Err(status) => return status,
    };
    match inspection::describe(&InProcess::new()?, &read(component)?, &settings) {
        Ok(text) => print(&text)?,
        Err(error) => return Ok(refuse(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings given, or those beside the component; else how to end.
fn settings(component: &Path, given: Option<&Path>) -> Result<Settings, Result<ExitCode>> {
    let beside = component.with_extension("toml");
    let Some(path) = given.or_else(|| beside.is_file().then_some(&*beside)) else {
        return Ok(Settings::default());
    };
    let text = read(path).map_err(Err)?;
    Settings::parse(&String::from_utf8_lossy(&text)).map_err(|reason| {
        // TOML's reason draws a picture of the place.
        eprintln!("volward-policy: {}: {reason}", path.display());
        Ok(ExitCode::from(REFUSED))
    })
}

/// `volward-policy test`
#[derive(Args)]
pub(crate) struct Test {
    #[command(flatten)]
    chain: Selection,
    /// Files of scenarios; `-` is standard input
    #[arg(required = true, value_name = "SCENARIOS")]
    files: Vec<PathBuf>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let candidates = Candidates::read(&self.chain)?;
        let all = read_scenarios(&self.files)?;
        if all.is_empty() {
            bail!("there are no scenarios in these files");
        }
        let ran = test::run(&candidates, &all);
        report(self.json, &ran, test::Report::text)?;
        Ok(verdict(ran.ok()))
    }
}

fn read_scenarios(files: &[PathBuf]) -> Result<Vec<Placed>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(scenarios(file)?);
    }
    Ok(all)
}

/// `volward-policy bench`
#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    chain: Selection,
    /// Scenarios to measure [default: requests of 1, 10 and 100 disks]
    #[arg(value_name = "SCENARIOS")]
    files: Vec<PathBuf>,
    /// How often each is decided
    #[arg(long, default_value_t = 5_000)]
    rounds: u32,
    /// Save the figures here
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with figures saved before; ends with status 4 when something is worse
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// So much more fuel or memory is not worse yet, in percent
    #[arg(long, default_value_t = 5, value_name = "PERCENT")]
    cost_tolerance: u64,
    /// So much more time is not worse yet, in percent
    #[arg(long, default_value_t = 50, value_name = "PERCENT")]
    time_tolerance: u64,
    /// The figures as JSON
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let candidates = Candidates::read(&self.chain)?;
        // Before minutes of measuring.
        let before = self.against.as_deref().map(Figures::read).transpose()?;
        let requests = if self.files.is_empty() {
            bench::requests()
        } else {
            read_scenarios(&self.files)?
        };
        let figures = bench::measure(&candidates, &requests, self.rounds)?;
        report(self.json, &figures, Figures::text)?;
        if let Some(path) = &self.save {
            let text = serde_json::to_string_pretty(&figures)? + "\n";
            fs::write(path, text).with_context(|| path.display().to_string())?;
        }
        let tolerance = Tolerance {
            cost: self.cost_tolerance,
            time: self.time_tolerance,
        };
        let worse = before.map_or_else(Vec::new, |before| figures.worse_than(&before, tolerance));
        worse.iter().for_each(|what| eprintln!("worse: {what}"));
        Ok(verdict(worse.is_empty()))
    }
}

/// `volward-policy capture`
#[derive(Args)]
pub(crate) struct Capture {
    /// Log files, folders of them (/var/lib/volward/decisions), or `-` for standard input
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    which: capture::Which,
    /// The scenarios' title [default: what was asked]
    #[arg(long)]
    title: Option<String>,
    /// Put stand-ins for names, UUIDs, hints, labels and settings
    #[arg(long)]
    mask: bool,
    /// Where to write them [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Capture {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (found, bad) = capture::select(&files(&self.logs)?, &self.which)?;
        for why in &bad {
            eprintln!("volward-policy: passed over {why}");
        }
        if found.is_empty() {
            bail!("no such decision in these logs");
        }
        let count = found.len();
        let text = capture::lines(found, self.title.as_deref(), self.mask)?;
        match &self.out {
            None => print(&text)?,
            Some(path) => {
                fs::write(path, text).with_context(|| path.display().to_string())?;
                println!("{}: {count} scenarios", path.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn files(logs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for log in logs {
        files.extend(log_files(log)?);
    }
    Ok(files)
}

/// `volward-policy replay`
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    chain: Selection,
    /// Log files, folders of them (/var/lib/volward/decisions), or `-` for standard input
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Policies that stand in a record with settings get those, not the ones beside them
    #[arg(long)]
    recorded_settings: bool,
    /// Where only messages and notes read differently, nothing changes
    #[arg(long)]
    ignore_words: bool,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let candidates = Candidates::read(&self.chain)?;
        if !self.recorded_settings
            && let Some((name, reason)) = candidates.refused().into_iter().next()
        {
            // It would fault at every decision, which is not what anybody wants to read.
            return Ok(refuse(&format!("{name} would be refused: {reason}")));
        }
        let options = replay::Options {
            recorded_settings: self.recorded_settings,
            ignore_words: self.ignore_words,
            threads: self.threads,
        };
        let replayed = replay::files(&candidates, &files(&self.logs)?, options)?;
        report(self.json, &replayed, replay::Report::text)?;
        if replayed.decisions() == 0 {
            bail!("there are no decisions in these logs");
        }
        Ok(verdict(replayed.nothing_changes()))
    }
}

/// `volward-policy explain`
#[derive(Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    chain: Selection,
    /// Files of scenarios; `-` is standard input
    #[arg(required = true, value_name = "SCENARIOS")]
    files: Vec<PathBuf>,
}

impl Explain {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let candidates = Candidates::read(&self.chain)?;
        let told: Vec<String> = read_scenarios(&self.files)?
            .iter()
            .map(|one| explain::explain(&candidates, one))
            .collect();
        print(&told.join("\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
