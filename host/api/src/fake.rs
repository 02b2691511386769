//! A daemon with canned replies, for the tests of programs that talk to the real one. It decides
//! nothing and does nothing.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::net::{Shutdown, shutdown};
use serde::Serialize;

use crate::problem::Problem;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Method and target: `POST /v1/attach`.
    pub line: String,
    /// The body, empty for a GET.
    pub body: String,
}

/// What the fake does with a request.
#[derive(Clone, Debug)]
pub enum Canned {
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing, with the connection left open until the caller gives up.
    Silence,
}

impl Canned {
    /// A reply with status 200 and this value as its body, in JSON.
    #[must_use]
    pub fn json(body: &impl Serialize) -> Self {
        Self::with_status(200, body)
    }

    /// A failure, under the status of its kind.
    #[must_use]
    pub fn problem(problem: &Problem) -> Self {
        Self::with_status(problem.http_status(), problem)
    }

    fn with_status(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_string(body).unwrap_or_default();
        let text = format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self::Raw(text.into_bytes())
    }
}

/// A fake daemon on a socket; it stops listening and removes the socket when it is dropped.
pub struct FakeDaemon {
    socket: PathBuf,
    listener: Arc<UnixListener>,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    /// Listens at `socket` and answers each request with what `answer` says.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub fn listen(
        socket: &Path,
        answer: impl Fn(&Seen) -> Canned + Send + 'static,
    ) -> io::Result<Self> {
        let listener = Arc::new(UnixListener::bind(socket)?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            let listener = Arc::clone(&listener);
            move || {
                let mut silent = Vec::new();
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that goes away in the middle is part of some tests.
                    if let Ok(Some(open)) = stream.and_then(|s| serve(s, &seen, &answer)) {
                        silent.push(open);
                    }
                }
            }
        });
        Ok(Self {
            socket: socket.to_owned(),
            listener,
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// What was asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, also when the socket's folder is gone already.
        shutdown(&self.listener, Shutdown::Both).ok();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        #[expect(clippy::disallowed_methods, reason = "a test's socket")]
        drop(std::fs::remove_file(&self.socket));
    }
}

fn serve(
    mut stream: UnixStream,
    seen: &Mutex<Vec<Seen>>,
    answer: &impl Fn(&Seen) -> Canned,
) -> io::Result<Option<UnixStream>> {
    let request = receive(&mut stream)?;
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    match answer(&request) {
        Canned::Raw(bytes) => stream.write_all(&bytes).map(|()| None),
        Canned::Silence => Ok(Some(stream)),
    }
}

fn receive(stream: &mut UnixStream) -> io::Result<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                let line = head.lines().next().unwrap_or_default();
                return Ok(Seen {
                    line: line.trim_end_matches(" HTTP/1.1").to_owned(),
                    body: body.to_owned(),
                });
            }
        }
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..got]);
    }
}
