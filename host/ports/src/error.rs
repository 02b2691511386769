//! How a port fails.

use std::time::Duration;

use super::Unmet;

/// What went wrong, in terms the callers act upon. The display is one line for people; what a
/// program printed is kept whole for the log and for `volward explain`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PortError {
    /// A program ran and failed. Nothing is concluded from its stderr (I29).
    #[error(
        "{}`{command}` failed with {status}{}",
        known(stderr),
        first_line(stderr)
    )]
    Command {
        /// The whole command line.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// What it printed.
        stdout: String,
        /// What it complained about.
        stderr: String,
    },
    /// It did not finish in time and was killed.
    #[error("{what} did not finish within {} s and was stopped", after.as_secs())]
    Deadline {
        /// The command line or operation.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// A system call or library call failed.
    #[error("{what}: {reason}")]
    Io {
        /// What was being done, with the path or device.
        what: String,
        /// The system's words.
        reason: String,
    },
    /// It is in use (EBUSY): trying again may help.
    #[error("{what} is in use")]
    Busy {
        /// The device or volume.
        what: String,
    },
    /// It is in use, and whoever has it keeps it for as long as he runs.
    #[error("{what} is in use by {by}; {so}")]
    Open {
        /// The device.
        what: String,
        /// Who has it open.
        by: String,
        /// What releases it.
        so: String,
    },
    /// It is not there.
    #[error("{what} does not exist")]
    Missing {
        /// The volume, pool or device.
        what: String,
    },
    /// What was found under that name is not what was meant (I12).
    #[error("{what} is not what it was: expected {expected}, found {found}")]
    Identity {
        /// The path or name.
        what: String,
        /// UUID, size or table expected.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A command reported success, and reading the state back shows something else (I29).
    #[error(
        "the command for {what} reported success, but reading back shows {found} instead of {expected}"
    )]
    NotInEffect {
        /// What was changed: a volume's lease, its activation.
        what: String,
        /// The state asked for.
        expected: String,
        /// The state found.
        found: String,
    },
    /// A typed answer could not be understood.
    #[error("{what} answered in a way this version does not understand: {reason}")]
    Unreadable {
        /// The source.
        what: String,
        /// Why.
        reason: String,
    },
    /// The port was asked for what it can never do: a device without a length, a name too long.
    #[error("{what} cannot be done: {reason}")]
    Invalid {
        /// What was asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Too many calls wait already; this one was not begun, and asking again may help.
    #[error("{what} was not begun: {waiting} calls wait for an answer already")]
    Overloaded {
        /// The call.
        what: String,
        /// The calls that wait.
        waiting: usize,
    },
    /// An operator has to put something right first. A refusal, not a failure.
    #[error(transparent)]
    Unmet(#[from] Unmet),
}

impl PortError {
    /// Whether trying the same again shortly may help.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Whether no later try can help before somebody has looked: a device is open, something else
    /// is there than was meant, or the port can never do it. All other failures may pass: a disk
    /// that does not answer, a deadline, a program that failed or has only just started.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Open { .. }
            | Self::Identity { .. }
            | Self::Invalid { .. } => true,
            Self::Command { .. }
            | Self::Deadline { .. }
            | Self::Io { .. }
            | Self::Missing { .. }
            | Self::NotInEffect { .. }
            | Self::Unreadable { .. }
            | Self::Overloaded { .. }
            | Self::Unmet(_) => false,
        }
    }
}

/// What is wrong and what to do, where that is plain: the command line before the complaint is longer than people read.
fn known(stderr: &str) -> &'static str {
    match stderr.contains("lvmlockd.socket: connect failed") {
        true => {
            "lvmlockd does not run on this node, and LVM changes nothing of a shared pool without it (systemctl \
             start lvmlockd): "
        }
        false => "",
    }
}

fn first_line(stderr: &str) -> String {
    match stderr.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!(": {line}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_lvmlockd_is_said_before_the_command() {
        let failed = |stderr: &str| PortError::Command {
            command: "lvcreate".to_owned(),
            status: "exit status: 5".to_owned(),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        };
        // As LVM 2.03.16 says it.
        let missing = "  /run/lvm/lvmlockd.socket: connect failed: Connection refused\n  lvmlockd process is not running.\n";
        let said = failed(missing).to_string();
        assert!(
            said.starts_with("lvmlockd does not run on this node"),
            "{said}"
        );
        assert!(
            said.contains("`lvcreate` failed with exit status: 5"),
            "{said}"
        );
        let said = failed("  no space\n").to_string();
        assert_eq!(said, "`lvcreate` failed with exit status: 5: no space");
    }
}
