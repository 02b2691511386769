//! What can go wrong in the lab.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the lab, with what was being done.
#[derive(thiserror::Error)]
pub enum LabError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start `{program}`; `cargo xtask setup` installs what the lab needs")]
    Start {
        /// Name of the program, as given to the system.
        program: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed ({status}):\n{stderr}")]
    Command {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: String,
        /// What it said on stderr, or on stdout when stderr was empty.
        stderr: String,
    },
    /// A script ran on a node and failed.
    #[error(
        "node {node}: exit {status} from script:\n{script}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
    )]
    Script {
        /// Number of the node.
        node: u8,
        /// Exit status of the shell; above 128 the script ended by signal `status - 128`.
        status: i32,
        /// The script as given.
        script: String,
        /// All that the script wrote to stdout.
        stdout: String,
        /// All that the script wrote to stderr.
        stderr: String,
    },
    /// Something did not happen in time.
    #[error(
        "node {node}: {what} did not happen within {seconds} s; end of its console:\n{console}"
    )]
    Deadline {
        /// Number of the node.
        node: u8,
        /// What was awaited.
        what: String,
        /// For how long.
        seconds: u64,
        /// The last lines of the node's console.
        console: String,
    },
    /// QEMU ended although it should not have.
    #[error("node {node}: its QEMU ended:\n{said}")]
    Ended {
        /// Number of the node.
        node: u8,
        /// What QEMU said last.
        said: String,
    },
    /// The conversation with a node's agent broke.
    #[error("node {node}: lost its agent while {doing}")]
    Agent {
        /// Number of the node.
        node: u8,
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// QEMU's monitor refused a command.
    #[error("QMP {command} was refused: {answer}")]
    Qmp {
        /// QMP command's name, such as `device_del`.
        command: String,
        /// The answer as JSON.
        answer: String,
    },
    /// The machine is not what the lab expects.
    #[error("{0}")]
    Machine(String),
}

/// What `unwrap` in a test shows: scripts and their output as lines, and the causes.
impl fmt::Debug for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Adds what was being done to an [`io::Result`].
pub(crate) trait IoContext<T> {
    /// `action` is a verb: "read", "create".
    fn at(self, action: &'static str, path: &Path) -> Result<T, LabError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, LabError> {
        self.map_err(|source| LabError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
