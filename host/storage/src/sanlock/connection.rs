//! sanlock's socket.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use volward_model::LeaseMode;
use volward_ports::{PortError, PortResult};

use super::wire::{self, Command, HEADER};
use super::{Conversation, Inquired, Line, Place, SanlockError};

/// Where sanlock listens.
pub(crate) const SOCKET: &str = "/run/sanlock/sanlock.sock";

/// Who holds the leases, for those who look at `sanlock client status -D`.
const OWNER: &str = "volwardd";

/// A registered connection. sanlock takes its end for the end of the process: leases become orphans
/// then, and whoever connects next adopts them.
///
/// Reading has no time limit: a reply that is given up would be taken for that of the next message.
/// Whoever calls does so from a thread that nobody waits for longer than a deadline.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Registers this process.
    ///
    /// # Errors
    /// If no sanlock listens there, or it does not accept the process.
    pub(crate) fn register(socket: &Path) -> PortResult<Self> {
        let failed = |source: std::io::Error| PortError::Io {
            what: format!(
                "cannot speak to sanlock on {}; `systemctl status sanlock` says whether it runs",
                socket.display()
            ),
            reason: source.to_string(),
        };
        let mut stream = UnixStream::connect(socket).map_err(failed)?;
        stream.write_all(&wire::register()).map_err(failed)?;
        let mut registered = Self { stream };
        // Registering has no answer; this has. Without it sanlock would end a process whose connection
        // breaks off, or that has leases in a lockspace that fails, by SIGKILL.
        let (result, _) = registered.say(&wire::restrict_kill(), Command::Restrict)?;
        match result {
            0 => Ok(registered),
            other => Err(wire::unreadable(format!(
                "the answer {other} to a registration"
            ))),
        }
    }

    /// A message and its answer.
    fn say(&mut self, message: &[u8], command: Command) -> PortResult<(i32, Vec<u8>)> {
        let failed = |source: std::io::Error| PortError::Io {
            what: format!("speaking to sanlock ({command:?})"),
            reason: match source.kind() {
                ErrorKind::UnexpectedEof => "it has ended the conversation".to_owned(),
                _ => source.to_string(),
            },
        };
        self.stream.write_all(message).map_err(failed)?;
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).map_err(failed)?;
        let answer = wire::answer(&header, command)?;
        let mut content = vec![0; answer.content];
        self.stream.read_exact(&mut content).map_err(failed)?;
        Ok((answer.result, content))
    }

    fn tell(&mut self, message: &[u8], command: Command) -> Result<(), SanlockError> {
        match self.say(message, command)? {
            // An acquired lease is 1 in some versions (SANLK_OK), 0 in others.
            (0.., _) => Ok(()),
            (code, _) => Err(SanlockError::of(code)),
        }
    }
}

impl Line for UnixStream {
    fn hang_up(&self) {
        // Of a connection that is over already nothing is left to end.
        drop(self.shutdown(Shutdown::Both));
    }
}

impl Conversation for Connection {
    fn acquire(&mut self, places: &[Place], mode: LeaseMode) -> Result<(), SanlockError> {
        let message = wire::acquire(places, mode, OWNER)?;
        self.tell(&message, Command::Acquire)
    }

    fn adopt(&mut self, place: &Place, mode: LeaseMode) -> Result<(), SanlockError> {
        let message = wire::adopt(place, mode, OWNER)?;
        self.tell(&message, Command::Acquire)
    }

    fn convert(&mut self, place: &Place, mode: LeaseMode) -> Result<(), SanlockError> {
        let message = wire::convert(place, mode)?;
        match self.tell(&message, Command::Convert) {
            // EALREADY: it has that mode.
            Err(SanlockError::Code(-114)) => Ok(()),
            told => told,
        }
    }

    fn release(&mut self, places: &[Place]) -> Result<(), SanlockError> {
        let message = wire::release(places)?;
        match self.tell(&message, Command::Release) {
            // -1: the process has none of that name.
            Err(SanlockError::Code(-1)) => Err(SanlockError::NotHeld),
            told => told,
        }
    }

    fn give_up_orphan(&mut self, place: &Place) -> Result<(), SanlockError> {
        let message = wire::give_up_orphan(place)?;
        match self.tell(&message, Command::Release) {
            // ENOENT: there is none.
            Err(SanlockError::NotHeld) => Ok(()),
            told => told,
        }
    }

    fn line(&self) -> PortResult<Box<dyn Line>> {
        let line = self.stream.try_clone().map_err(|source| PortError::Io {
            what: "keeping hold of the connection to sanlock".to_owned(),
            reason: source.to_string(),
        })?;
        Ok(Box::new(line))
    }

    fn inquire(&mut self) -> Result<Vec<Inquired>, SanlockError> {
        let (result, content) = self.say(&wire::inquire(), Command::Inquire)?;
        if result < 0 {
            return Err(SanlockError::of(result));
        }
        let text = content.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text)
            .map_err(|_| wire::unreadable("its list of leases is not UTF-8"))?;
        let all = text.split_ascii_whitespace().map(|one| {
            let mut parts = one.split(':').map(str::to_owned);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(lockspace), Some(name), Some(_)) => Ok(Inquired { lockspace, name }),
                _ => Err(wire::unreadable(format!("the lease {one:?}")).into()),
            }
        });
        all.collect()
    }
}
