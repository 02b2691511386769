//! Running a program of this machine to its end.

use std::process::{Command, Output, Stdio};

use crate::{LabError, Result};

/// Runs `command`, answers its stdout; a failure carries what it said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = start(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    Err(LabError::Command {
        command: line(command),
        status: output.status.to_string(),
        stderr: tail(&String::from_utf8_lossy(said), 30),
    })
}

fn start(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })
}

/// The command line as a person would type it, without quoting.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last `count` lines of a text.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
