//! Files of JSON values: scenarios, and decision logs.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Deserializer;
use volward_model::Scenario;
use volward_policy::{LogEntry, LogFolder, LogReader};

/// Standard input, on the command line.
const STDIN: &str = "-";

/// A scenario and where it stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// `file:line`.
    pub place: String,
    /// The scenario.
    pub scenario: Scenario,
}

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
    parse(&name, &bytes)
}

/// The scenarios in some bytes.
///
/// # Errors
/// If something there is no scenario.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Vec<Placed>> {
    let mut values = Deserializer::from_slice(bytes).into_iter::<Scenario>();
    let mut found = Vec::new();
    // Counted on from the last value: counting from the start each time would be quadratic.
    let (mut counted, mut line) = (0, 1);
    loop {
        let begin = values.byte_offset();
        let begin = begin + leading_space(&bytes[begin..]);
        line += bytes[counted..begin]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        counted = begin;
        match values.next() {
            None => return Ok(found),
            Some(Ok(scenario)) => found.push(Placed {
                place: format!("{name}:{line}"),
                scenario,
            }),
            Some(Err(error)) => bail!("{name}: no scenario: {error}"),
        }
    }
}

fn leading_space(bytes: &[u8]) -> usize {
    bytes.len() - bytes.trim_ascii_start().len()
}

/// A log: a file, a folder as the daemon has one, or standard input (`-`).
///
/// # Errors
/// If there is none.
pub fn log_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = LogFolder::new(path)
        .files()
        .with_context(|| path.display().to_string())?;
    if files.is_empty() {
        bail!("{} holds no decision log (decisions.jsonl)", path.display());
    }
    // In the order in which they were written.
    files.reverse();
    Ok(files)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_stand_one_after_the_other_on_as_many_lines_as_they_like() {
        let text = "{}\n\n{\n \"title\": \"b\"\n}{\"title\":\"c\"}\n";
        let found = parse("f", text.as_bytes()).unwrap();
        let places: Vec<_> = found
            .iter()
            .map(|p| (p.place.as_str(), p.scenario.title.as_str()))
            .collect();
        assert_eq!(places, [("f:1", ""), ("f:3", "b"), ("f:5", "c")]);
    }

    #[test]
    fn what_is_no_scenario_is_named_with_its_line() {
        let error = parse("f", b"{}\n{\"facts\":\n {\"disk\": []}}").unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("f: no scenario") && said.contains("line 3"),
            "{said}"
        );
        assert!(said.contains("disk"), "{said}");
    }
}
