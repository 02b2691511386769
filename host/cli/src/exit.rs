//! Exit codes. Part of the interface: scripts depend on them.

use std::process;

use volward_api::{ClientError, ProblemCode};

/// The exit codes; scripts depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The command did what was asked.
    Ok = 0,
    /// Anything that has no code of its own.
    Failure = 1,
    /// The command line, or what it asks for, makes no sense.
    Usage = 2,
    /// At least one policy refused the request.
    Denied = 3,
    /// An invariant refused: held elsewhere, data elsewhere, no watchdog. Or two settings of the node contradict
    /// each other.
    Refused = 4,
    /// A policy broke, so nobody can say it is allowed.
    Fault = 5,
    /// Storage failed; what was begun has been undone.
    Storage = 6,
    /// Storage failed and could not be undone: somebody has to look.
    Quarantined = 7,
    /// The daemon does not run, or did not answer in time.
    Unreachable = 8,
    /// This user may not ask that.
    Forbidden = 9,
    /// No such pool, volume, instance or request.
    NotFound = 10,
    /// `doctor` found something that does not work.
    Unhealthy = 11,
    /// What was printed is not all there is: a part could not be read.
    Partial = 12,
    /// `audit` found what is on one side only.
    Ghosts = 13,
}

/// Shown at the end of `--help`; docs/cli.md has the same table.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done
   1  failed in a way that has no code of its own
   2  the command line or the request is invalid
   3  denied by a policy
   4  refused: held elsewhere, data elsewhere, no watchdog, settings that contradict each other
   5  a policy failed, so the request is not granted
   6  storage failed; the request was rolled back
   7  storage failed and the rollback failed too: the attachments are quarantined, and an operator has to act
   8  the daemon does not run, or did not answer in time
   9  this user may not do that
  10  no such pool, volume, instance or request
  11  doctor found a fault
  12  ls --all, pool show or audit could not read everything: there may be more than it printed
  13  audit found something that is on one side only";

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code for a failed call.
    pub(crate) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::NoDaemon { .. } | ClientError::TimedOut { .. } => Self::Unreachable,
            ClientError::NotAllowed { .. } => Self::Forbidden,
            ClientError::Protocol { .. } => Self::Failure,
            ClientError::Problem(problem) => {
                problem.kind.known().map_or(Self::Failure, Self::of_kind)
            }
        }
    }

    fn of_kind(kind: ProblemCode) -> Self {
        match kind {
            ProblemCode::BadRequest => Self::Usage,
            ProblemCode::Forbidden => Self::Forbidden,
            ProblemCode::NotFound => Self::NotFound,
            ProblemCode::Denied => Self::Denied,
            ProblemCode::Refused => Self::Refused,
            ProblemCode::Faulted => Self::Fault,
            ProblemCode::Storage => Self::Storage,
            ProblemCode::Quarantined => Self::Quarantined,
            ProblemCode::Internal => Self::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help and the document name every code with the same words.
    #[test]
    fn help_and_document_agree() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        let document = std::fs::read_to_string(path).unwrap();
        let lines: Vec<_> = HELP.lines().skip(1).collect();
        assert_eq!(lines.len(), Exit::Ghosts as usize + 1);
        for (code, line) in lines.iter().enumerate() {
            let (number, words) = line.trim().split_once("  ").unwrap();
            assert_eq!(number, code.to_string());
            let row = format!("| {number} | {words} |");
            assert!(document.contains(&row), "docs/cli.md lacks {row}");
        }
    }
}
