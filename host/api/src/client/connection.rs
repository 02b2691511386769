//! A connection that keeps to a deadline over all its reads and writes together.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::error::WireError;

/// A full backlog clears as soon as the daemon accepts.
const BACKLOG_PAUSE: Duration = Duration::from_millis(20);

/// When a call must have ended.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    start: Instant,
    after: Duration,
}

impl Deadline {
    #[expect(
        clippy::disallowed_methods,
        reason = "the client is outside control: nothing it times is decided or replayed"
    )]
    pub(super) fn after(after: Duration) -> Self {
        Self {
            start: Instant::now(),
            after,
        }
    }

    /// What is left of it, never zero.
    fn left(self) -> Result<Duration, WireError> {
        self.after
            .checked_sub(self.start.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or(WireError::TimedOut)
    }
}

pub(super) struct Connection {
    stream: UnixStream,
    deadline: Deadline,
}

impl Connection {
    /// Connects without waiting for ever: a blocking connect on a unix socket hangs while the
    /// backlog of a stuck daemon is full.
    pub(super) fn open(socket: &Path, deadline: Deadline) -> Result<Self, WireError> {
        let refuse = |errno: Errno| WireError::Connect(errno.into());
        let address = SocketAddrUnix::new(socket).map_err(refuse)?;
        let fd = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .map_err(refuse)?;
        loop {
            match connect(&fd, &address) {
                Ok(()) => break,
                Err(Errno::AGAIN | Errno::INTR) => {
                    thread::sleep(deadline.left()?.min(BACKLOG_PAUSE));
                }
                Err(errno) => return Err(refuse(errno)),
            }
        }
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(false).map_err(WireError::Connect)?;
        Ok(Self { stream, deadline })
    }

    /// Sends all of it. A daemon that answers early and closes is no error here: its answer is
    /// still to be read.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        const DOING: &str = "sending the request";
        while !bytes.is_empty() {
            self.stream
                .set_write_timeout(Some(self.deadline.left()?))
                .map_err(|e| WireError::io(DOING, &e))?;
            match self.stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(e) => return Err(WireError::io(DOING, &e)),
            }
        }
        Ok(())
    }

    /// Appends what has arrived to `into`; 0 at the end.
    pub(super) fn receive(&mut self, into: &mut Vec<u8>) -> Result<usize, WireError> {
        const DOING: &str = "reading the answer";
        let mut buffer = [0; 8192];
        loop {
            self.stream
                .set_read_timeout(Some(self.deadline.left()?))
                .map_err(|e| WireError::io(DOING, &e))?;
            match self.stream.read(&mut buffer) {
                Ok(got) => {
                    into.extend_from_slice(&buffer[..got]);
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(WireError::io(DOING, &e)),
            }
        }
    }
}
