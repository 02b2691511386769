//! One program from start to end, in one thread: poll on its pidfd and its pipes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::lane::Place;
use super::{ExecError, Invocation, Output};
use crate::deadline::Deadline;

/// A killed process that is still there after this waits in the kernel for a device.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// Pipes that stay open after the program ended are held by something it left behind.
const PIPE_GRACE: Duration = Duration::from_millis(200);

/// Why following a child ended early.
enum Stop {
    Deadline,
    TooMuch,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Stop {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

pub(super) fn run(
    invocation: &Invocation,
    deadline: Deadline,
    place: Place,
) -> Result<Output, ExecError> {
    let command = || invocation.line();
    let mut child = spawn(invocation).map_err(|source| ExecError::Start {
        command: command(),
        source,
    })?;
    let followed = follow(&mut child, invocation, deadline);
    // The group is killed before its leader is reaped: until then its number cannot be reused.
    kill_group(&child);
    let stop = match followed {
        Ok((stdout, stderr)) => match child.wait() {
            Ok(status) => {
                return Ok(Output {
                    status,
                    stdout,
                    stderr: String::from_utf8_lossy(&stderr).into_owned(),
                });
            }
            Err(error) => Stop::Io(error),
        },
        Err(stop) => stop,
    };
    reap(child, place);
    Err(match stop {
        Stop::Deadline => ExecError::Deadline {
            command: command(),
            after: invocation.deadline,
        },
        Stop::TooMuch => ExecError::TooMuch {
            command: command(),
            limit: invocation.output_limit,
        },
        Stop::Io(source) => ExecError::Follow {
            command: command(),
            source,
        },
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that starts processes"
)]
fn spawn(invocation: &Invocation) -> io::Result<Child> {
    let stdin = if invocation.input.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    };
    Command::new(&invocation.program)
        .args(&invocation.args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .envs(invocation.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// A pipe from the child and what came out of it so far.
struct Drain {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl Drain {
    fn new(pipe: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            pipe: pipe.map(nonblocking).transpose()?,
            bytes: Vec::new(),
        })
    }

    /// Reads what is there.
    fn read(&mut self, limit: usize) -> Result<(), Stop> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        let mut chunk = [0; 16 << 10];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => {
                    self.pipe = None;
                    return Ok(());
                }
                Ok(n) if self.bytes.len() + n > limit => return Err(Stop::TooMuch),
                Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Feeds and drains the child until it has ended and its pipes are empty.
fn follow(
    child: &mut Child,
    invocation: &Invocation,
    deadline: Deadline,
) -> Result<(Vec<u8>, Vec<u8>), Stop> {
    let pidfd = pidfd_open(pid(child)?, PidfdFlags::empty())?;
    let mut stdout = Drain::new(child.stdout.take().map(OwnedFd::from))?;
    let mut stderr = Drain::new(child.stderr.take().map(OwnedFd::from))?;
    let mut stdin = child
        .stdin
        .take()
        .map(|pipe| nonblocking(OwnedFd::from(pipe)))
        .transpose()?;
    let mut unsent = invocation.input.as_slice();
    let mut ended: Option<Deadline> = None;
    loop {
        let left = ended.map_or(deadline, |grace| grace).left();
        if left.is_zero() {
            return match ended {
                Some(_) => Ok((stdout.bytes, stderr.bytes)),
                None => Err(Stop::Deadline),
            };
        }
        let has_ended = wait(
            &pidfd,
            &stdout,
            &stderr,
            stdin.as_ref(),
            ended.is_some(),
            left,
        )?;
        if let Some(pipe) = &mut stdin
            && feed(pipe, &mut unsent)?
        {
            stdin = None;
        }
        stdout.read(invocation.output_limit)?;
        stderr.read(invocation.output_limit)?;
        if has_ended {
            stdin = None;
            ended.get_or_insert_with(|| Deadline::after(PIPE_GRACE));
        }
        if ended.is_some() && stdout.pipe.is_none() && stderr.pipe.is_none() {
            return Ok((stdout.bytes, stderr.bytes));
        }
    }
}

/// Sleeps until something happens; says whether the child has ended.
fn wait(
    pidfd: &OwnedFd,
    stdout: &Drain,
    stderr: &Drain,
    stdin: Option<&File>,
    ended: bool,
    at_most: Duration,
) -> Result<bool, Stop> {
    let mut fds = Vec::with_capacity(4);
    // First, so that its answer has a known place; once it has fired it always fires.
    if !ended {
        fds.push(PollFd::new(pidfd, PollFlags::IN));
    }
    for pipe in [&stdout.pipe, &stderr.pipe].into_iter().flatten() {
        fds.push(PollFd::new(pipe, PollFlags::IN));
    }
    if let Some(pipe) = stdin {
        fds.push(PollFd::new(pipe, PollFlags::OUT));
    }
    let timeout = Timespec::try_from(at_most).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(!ended && fds.first().is_some_and(|fd| !fd.revents().is_empty()))
}

impl From<io::ErrorKind> for Stop {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Io(kind.into())
    }
}

/// Writes what the pipe takes; true when all is sent or nobody reads any more.
fn feed(pipe: &mut File, unsent: &mut &[u8]) -> Result<bool, Stop> {
    while !unsent.is_empty() {
        match pipe.write(unsent) {
            Ok(n) => *unsent = &unsent[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A program may end without reading everything; its status tells how it went.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn nonblocking(pipe: OwnedFd) -> io::Result<File> {
    fcntl_setfl(pipe.as_fd(), fcntl_getfl(pipe.as_fd())? | OFlags::NONBLOCK)?;
    Ok(File::from(pipe))
}

fn pid(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn kill_group(child: &Child) {
    if let Ok(pid) = pid(child)
        && let Err(error) = kill_process_group(pid, Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = child.id(), %error, "cannot kill a program's process group");
    }
}

/// Collects a killed child. One that waits in the kernel for a device ignores even SIGKILL: a
/// thread waits for it, and its place in the lane stays taken, so that such are bounded.
fn reap(mut child: Child, place: Place) {
    let grace = Deadline::after(KILL_GRACE);
    let gone = pid(&child)
        .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))
        .and_then(|pidfd| {
            let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
            let timeout = Timespec::try_from(grace.left())
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            Ok(poll(&mut fds, Some(&timeout))? > 0)
        })
        .unwrap_or(false);
    let wait = move || {
        if let Err(error) = child.wait() {
            tracing::warn!(pid = child.id(), %error, "cannot collect a program that was killed");
        }
        drop(place);
    };
    if gone {
        wait();
    } else {
        tracing::warn!("a program that was killed waits in the kernel; its place stays taken");
        std::thread::spawn(wait);
    }
}
