//! Where text goes.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;
use volward_api::{ClientError, Problem};

use crate::exit::Exit;
use crate::instance::NoUuid;
use crate::operations::{MeansAPool, NotHeardOf};
use crate::time::span;

/// Prints what a command found: as JSON for programs, else as `show` tells it.
pub(crate) fn answer<T: Serialize>(
    json: bool,
    value: &T,
    show: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(value)?
    } else {
        show(value)
    };
    print(&text)
}

/// Writes text to stdout, with a line's end. Whoever stops reading (`| head`) has seen enough.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.trim_end().as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says on stderr why a command failed, and which code it ends with.
pub(crate) fn complain(error: &anyhow::Error, json: bool) -> Exit {
    let client = error.downcast_ref::<ClientError>();
    let exit = match error.is::<NoUuid>() || error.is::<MeansAPool>() {
        true => Exit::Usage,
        false => client.map_or(Exit::Failure, Exit::of),
    };
    let text = match (client, json) {
        (Some(ClientError::Problem(problem)), false) => problem_text(problem),
        (Some(ClientError::Problem(problem)), true) => json!({ "problem": problem }).to_string(),
        (_, false) => sentence(error, client),
        (_, true) => json!({ "error": sentence(error, client) }).to_string(),
    };
    // If nobody reads it there is nobody to tell.
    drop(writeln!(io::stderr(), "{text}"));
    exit
}

/// Says more on stderr, for people.
pub(crate) fn hint(text: &str) {
    // If nobody reads it there is nobody to tell.
    drop(writeln!(io::stderr(), "{text}"));
}

fn sentence(error: &anyhow::Error, client: Option<&ClientError>) -> String {
    if let Some(NotHeardOf(id)) = error.downcast_ref() {
        return format!(
            "volward: {error:#}; it may still be at work: `volward op show {id}` says how it stands; to ask for the same \
             again with `--id {id}` is safe, and never begins it twice"
        );
    }
    let advice = match client {
        Some(ClientError::NoDaemon { .. }) => ": start it with `systemctl start volwardd`",
        Some(ClientError::TimedOut { .. }) => {
            "; it may still be at work: look with `volward ls` and `volward op ls`, or wait longer with --timeout"
        }
        _ => "",
    };
    // The causes too, which a client error's own sentence leaves out.
    format!("volward: {error:#}{advice}")
}

fn problem_text(problem: &Problem) -> String {
    let mut lines = vec![format!(
        "volward: {}: {} ({})",
        problem.kind, problem.message, problem.code
    )];
    lines.extend(problem.details.iter().map(|detail| format!("  {detail}")));
    if let Some(ms) = problem.retry_after_ms {
        lines.push(format!("try again in {}", span(ms)));
    }
    if let Some(request) = &problem.request {
        lines.push(format!("why: volward explain {request}"));
    }
    lines.join("\n")
}
