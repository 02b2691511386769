//! How a call fails.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::problem::Problem;

/// Why there is no answer, or what the answer was instead. The display is one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: the socket is missing, or nobody accepts on it.
    #[error("the daemon is not running on this node ({})", socket.display())]
    NoDaemon {
        /// The path at which the daemon should listen.
        socket: PathBuf,
        /// Why connecting failed, in the system's words.
        #[source]
        source: io::Error,
    },
    /// The socket is there, but this user may not open it.
    #[error("this user may not talk to the daemon ({}): ask as root", socket.display())]
    NotAllowed {
        /// The path at which the daemon listens.
        socket: PathBuf,
        /// Why connecting failed, in the system's words.
        #[source]
        source: io::Error,
    },
    /// It was asked, and did not answer in time. It may still be at work.
    #[error("the daemon did not answer within {} s ({})", after.as_secs(), socket.display())]
    TimedOut {
        /// The path at which the daemon listens.
        socket: PathBuf,
        /// The deadline of the whole call, connecting included.
        after: Duration,
    },
    /// It answered, and the answer is no.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// What came back is no answer of a daemon of this version, or the connection broke.
    #[error("the daemon's answer cannot be used ({}): {reason}", socket.display())]
    Protocol {
        /// The path at which the daemon listens.
        socket: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// The daemon's own no, if that is what it is.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}

/// What goes wrong on the wire; [`ClientError`] adds the socket's path.
#[derive(Debug)]
pub(super) enum WireError {
    Connect(io::Error),
    TimedOut,
    Broken(String),
}

impl WireError {
    /// An error of a read or write on a socket with a timeout.
    pub(super) fn io(doing: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Broken(format!("{doing}: {error}")),
        }
    }

    pub(super) fn at(self, socket: PathBuf, after: Duration) -> ClientError {
        match self {
            Self::Connect(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                ClientError::NotAllowed { socket, source }
            }
            Self::Connect(source) => ClientError::NoDaemon { socket, source },
            Self::TimedOut => ClientError::TimedOut { socket, after },
            Self::Broken(reason) => ClientError::Protocol { socket, reason },
        }
    }
}
