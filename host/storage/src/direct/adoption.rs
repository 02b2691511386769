//! lvmlockd that has been started again, and takes back what an earlier one held.
//!
//! It reads which LVs that were from a file, which goes on naming what was given up since, and passes over those without a device. Of
//! the others it adopts the orphaned lease, *or takes a lease that nobody has*. So an LV of ours that is given up after it looked for
//! devices, and before it asks for leases, would be leased by it for good: with no device, and kept from every other node. It answers
//! nobody until it is through, which on an emulated node takes 6 s: so its answer is waited for before a lease is given up.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Where lvmlockd listens (lvmlockd(8), `--socket-path`).
const SOCKET: &str = "/run/lvm/lvmlockd.socket";
/// One that has not answered by then is stopped, or hangs: guests are not kept from being detached by that.
const PATIENCE: Duration = Duration::from_secs(20);
/// A request of libdaemon's that each of LVM's daemons answers.
const HELLO: &[u8] = b"request = \"hello\"\n\n##\n";

/// The node's lvmlockd.
#[derive(Debug)]
pub(super) struct Adoption {
    socket: PathBuf,
    patience: Duration,
    /// The process that has answered, or was waited for in vain.
    settled: Mutex<Option<i32>>,
}

impl Default for Adoption {
    fn default() -> Self {
        Self::of(Path::new(SOCKET), PATIENCE)
    }
}

impl Adoption {
    fn of(socket: &Path, patience: Duration) -> Self {
        Self {
            socket: socket.to_owned(),
            patience,
            settled: Mutex::default(),
        }
    }

    /// Returns once the lvmlockd that runs now, if any does, has adopted what it adopts.
    pub(super) fn wait(&self) {
        // Where none runs, the next one finds no device of what is given up now.
        let Ok((mut stream, pid)) = self.connected() else {
            return;
        };
        if *self.settled() == Some(pid) {
            return;
        }
        if let Err(error) = answered(&mut stream, self.patience) {
            tracing::warn!(
                %error, pid,
                "lvmlockd does not answer; should it take the lease of what is detached now, `lvchange -an` gives that up"
            );
        }
        *self.settled() = Some(pid);
    }

    /// Nobody is waited for: an lvmlockd that hangs may have many in front of it.
    fn connected(&self) -> io::Result<(UnixStream, i32)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(&self.socket)?)?;
        let pid = rustix::net::sockopt::socket_peercred(&socket)?.pid;
        Ok((socket.into(), pid.as_raw_nonzero().get()))
    }

    fn settled(&self) -> std::sync::MutexGuard<'_, Option<i32>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answered(stream: &mut UnixStream, patience: Duration) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(HELLO)?;
    // Whatever it says: it has come to listen.
    match stream.read(&mut [0; 64])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    fn listener(folder: &tempfile::TempDir) -> (UnixListener, PathBuf) {
        let path = folder.path().join("socket");
        (UnixListener::bind(&path).unwrap(), path)
    }

    #[test]
    fn it_is_waited_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let (listener, path) = listener(&folder);
        let adoption = Adoption::of(&path, Duration::from_secs(60));
        let (through, is_through) = mpsc::channel();
        let lvmlockd = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut said = [0; HELLO.len()];
            client.read_exact(&mut said).unwrap();
            assert_eq!(said, HELLO);
            through.send(()).unwrap();
            client.write_all(b"response = \"OK\"\n\n##\n").unwrap();
            listener
        });
        adoption.wait();
        is_through.try_recv().unwrap();
        // The same process does not answer any more, and is not asked.
        let listener = lvmlockd.join().unwrap();
        adoption.wait();
        drop(listener);
    }

    #[test]
    fn none_that_runs_and_one_that_hangs_keep_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let minute = Duration::from_secs(60);
        Adoption::of(&folder.path().join("none"), minute).wait();
        let (listener, path) = listener(&folder);
        let adoption = Adoption::of(&path, Duration::from_millis(50));
        adoption.wait();
        assert!(adoption.settled().is_some());
        // Not even where it listens no more.
        drop(listener);
        adoption.wait();
        assert!(begun.elapsed() < minute);
    }
}
