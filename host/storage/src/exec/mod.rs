//! Starting programs. Nothing else in Volward does.
//!
//! Every program runs with `LC_ALL=C`, an empty standard input (or the given one), no descriptor
//! of ours beyond 0 to 2 (all are opened close-on-exec; what a shell leaves open when it starts
//! the daemon by hand is passed on), bounded output, a deadline, and in a process group of its own, which is killed as a whole. At most a few run at a time per
//! *lane*, in the order they came; a pool has a lane of its own, so that a hanging LUN does not
//! stall commands on another pool (I27).

mod child;
mod lane;
mod tools;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use volward_ports::PortError;

use crate::deadline::Deadline;
use lane::Lane;
pub use tools::{MissingTools, Tools};

/// A program to be run.
#[derive(Clone, Debug)]
pub struct Invocation {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
    deadline: Duration,
    output_limit: usize,
}

impl Invocation {
    /// The program at an absolute path, with 30 s to finish and 16 MiB of output.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            input: Vec::new(),
            deadline: Duration::from_secs(30),
            output_limit: 16 << 20,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; nothing but `PATH` and `LC_ALL` is there otherwise.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// What the program reads on its standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Time to finish, waiting for a place in the lane included.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Bytes of standard output, and of standard error, beyond which the program is killed.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// The command line, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.program.display().to_string();
        for arg in &self.args {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }
}

/// What a program said.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, whole.
    pub stdout: Vec<u8>,
    /// Standard error, for people only (I29).
    pub stderr: String,
}

/// Why a program's answer is not there.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It could not be started.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Talking to it failed.
    #[error("cannot follow `{command}`")]
    Follow {
        /// The command line.
        command: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// It did not finish in time and was killed.
    #[error("`{command}` did not finish within {} s and was stopped", after.as_secs())]
    Deadline {
        /// The command line.
        command: String,
        /// Its deadline.
        after: Duration,
    },
    /// It printed too much and was killed.
    #[error("`{command}` printed more than {limit} bytes and was stopped")]
    TooMuch {
        /// The command line.
        command: String,
        /// The bound.
        limit: usize,
    },
    /// Too many wait in the lane already.
    #[error("`{command}` was not started: {waiting} commands wait already")]
    QueueFull {
        /// The command line.
        command: String,
        /// How many.
        waiting: usize,
    },
    /// It ran and failed.
    #[error("`{command}` failed with {}", output.status)]
    Failed {
        /// The command line.
        command: String,
        /// Status and what it printed.
        output: Output,
    },
}

impl From<ExecError> for PortError {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Failed { command, output } => Self::Command {
                command,
                status: output.status.to_string(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: output.stderr,
            },
            ExecError::Deadline { command, after } => Self::Deadline {
                what: format!("`{command}`"),
                after,
            },
            ExecError::Start { ref source, .. } | ExecError::Follow { ref source, .. } => {
                Self::Io {
                    what: error.to_string(),
                    reason: source.to_string(),
                }
            }
            ExecError::TooMuch { command, limit } => Self::Unreadable {
                what: format!("`{command}`"),
                reason: format!("it printed more than {limit} bytes and was stopped"),
            },
            ExecError::QueueFull { command, waiting } => Self::Overloaded {
                what: format!("`{command}`"),
                waiting,
            },
        }
    }
}

/// Starts programs, a few at a time per lane.
#[derive(Debug)]
pub struct Exec {
    per_lane: usize,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

impl Exec {
    /// At most `per_lane` programs run at once in a lane.
    #[must_use]
    pub fn new(per_lane: usize) -> Self {
        Self {
            per_lane,
            lanes: Mutex::default(),
        }
    }

    /// Runs a program and returns its output whatever its status is.
    ///
    /// # Errors
    /// If it could not be run to its end: [`ExecError`] without [`ExecError::Failed`].
    pub fn output(&self, lane: &str, invocation: &Invocation) -> Result<Output, ExecError> {
        let deadline = Deadline::after(invocation.deadline);
        let place = self.lane(lane).enter(invocation, deadline)?;
        tracing::debug!(command = invocation.line(), lane, "start");
        child::run(invocation, deadline, place)
    }

    /// Runs a program that must succeed.
    ///
    /// # Errors
    /// If it could not be run to its end or its status is not 0.
    pub fn run(&self, lane: &str, invocation: &Invocation) -> Result<Output, ExecError> {
        let output = self.output(lane, invocation)?;
        if output.status.success() {
            Ok(output)
        } else {
            Err(ExecError::Failed {
                command: invocation.line(),
                output,
            })
        }
    }

    /// Runs a filter: gives it `input`, returns its standard output.
    ///
    /// # Errors
    /// As [`Exec::run`].
    pub fn run_with_input(
        &self,
        lane: &str,
        invocation: Invocation,
        input: &[u8],
    ) -> Result<Vec<u8>, ExecError> {
        self.run(lane, &invocation.input(input))
            .map(|output| output.stdout)
    }

    fn lane(&self, name: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            lanes
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(Lane::new(self.per_lane))),
        )
    }
}

#[cfg(test)]
mod tests;
