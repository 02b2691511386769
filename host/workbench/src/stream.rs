//! Files of JSON values: scenarios, and decision logs.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use volward_folder::Folder;
use volward_policy::scenarios::{Placed, parse};
use volward_policy::{LogEntry, LogFolder, LogReader};

/// Standard input, on the command line.
const STDIN: &str = "-";

/// The scenarios of a file, one JSON value after the other; `-` is standard input.
///
/// # Errors
/// If it cannot be read, or something in it is no scenario: with the line, and what was expected.
pub fn scenarios(path: &Path) -> Result<Vec<Placed>> {
    let name = path.display().to_string();
    let bytes = if name == STDIN {
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .context("standard input")?;
        bytes
    } else {
        fs::read(path).with_context(|| format!("cannot read {name}"))?
    };
    Ok(parse(&name, &bytes)?)
}

/// A log: a file, a folder as the daemon has one, or standard input (`-`).
///
/// # Errors
/// If there is none.
pub fn log_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let names = Folder::open(path)
        .and_then(|folder| LogFolder::new(folder).files())
        .with_context(|| path.display().to_string())?;
    if names.is_empty() {
        bail!("{} holds no decision log (decisions.jsonl)", path.display());
    }
    // In the order in which they were written.
    Ok(names.iter().rev().map(|name| path.join(name)).collect())
}

/// Reads the decisions of a log file; a line that is none is handed on with its place.
///
/// # Errors
/// If it cannot be opened or read.
pub fn read_log(path: &Path, mut each: impl FnMut(LogLine) -> Result<()>) -> Result<()> {
    let name = path.display().to_string();
    let input: Box<dyn Read> = if name == STDIN {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {name}"))?)
    };
    let mut reader = LogReader::new(BufReader::with_capacity(1 << 20, input));
    while let Some(item) = reader.next() {
        let item = item.with_context(|| format!("cannot read {name}"))?;
        let place = || format!("{name}:{}", reader.line_number());
        each(match item {
            Ok(entry) => LogLine::Entry(Box::new(entry)),
            Err(bad) => LogLine::Bad(format!("{}: {bad}", place())),
        })?;
    }
    Ok(())
}

/// A line of a log.
pub enum LogLine {
    /// A decision.
    Entry(Box<LogEntry>),
    /// None; where, and why.
    Bad(String),
}
