//! Who is let in at the socket, and for how long without a word. Anybody on the node may connect;
//! connections are descriptors, and device-mapper, sanlock and LVM need descriptors too.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, Sleep, sleep};

use super::peer::Peer;

/// How many connections, and how long one may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections of one user that may ask.
    pub(crate) each_caller: usize,
    /// Connections of all users together that may not ask: enough to tell them so.
    pub(crate) strangers: usize,
    /// From connecting to the first byte.
    pub(crate) first_byte: Duration,
    /// From an answer to the next request.
    pub(crate) between: Duration,
    /// From the last byte to an answer: longer than any request takes that somebody waits for.
    pub(crate) answer: Duration,
}

/// A hook and a CLI use one connection each, a compute service a few, and 256 guests may start at once;
/// at 16 strangers' connections a script that asks as the wrong user still reads why.
pub(crate) const LIMITS: Limits = Limits {
    each_caller: 512,
    strangers: 16,
    first_byte: Duration::from_secs(10),
    between: Duration::from_secs(60),
    answer: Duration::from_secs(3600),
};

/// Between two looks whether a client that has closed its writing side is still there; and the
/// silence after which its answer counts as written.
const HALF_CLOSED_PAUSE: Duration = Duration::from_millis(200);
/// After the system would give no connection, as where descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who has how many connections; strangers are counted together.
type Counts = Arc<Mutex<BTreeMap<Option<u32>, usize>>>;

/// The listening socket, with a bound for each who comes.
pub(crate) struct Door {
    listener: UnixListener,
    may_ask: Box<dyn Fn(u32) -> bool + Send + Sync>,
    limits: Limits,
    counts: Counts,
}

impl Door {
    /// `may_ask` tells whether a user id may ask anything at all.
    pub(crate) fn new(
        listener: UnixListener,
        may_ask: impl Fn(u32) -> bool + Send + Sync + 'static,
        limits: Limits,
    ) -> Self {
        Self {
            listener,
            may_ask: Box::new(may_ask),
            limits,
            counts: Counts::default(),
        }
    }

    /// A place for one more connection of that user, if there is one.
    fn place(&self, uid: Option<u32>) -> Option<Place> {
        let caller = uid.filter(|uid| (self.may_ask)(*uid));
        let bound = match caller {
            Some(_) => self.limits.each_caller,
            None => self.limits.strangers,
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(caller).or_default();
        if *count >= bound {
            return None;
        }
        *count += 1;
        Some(Place {
            caller,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = Peer::of(&stream);
            if let Some(place) = self.place(peer.uid()) {
                let visitor = Visitor {
                    stream,
                    peer,
                    silence: Box::pin(sleep(self.limits.first_byte)),
                    limits: self.limits,
                    half_closed: None,
                    answered: None,
                    _place: place,
                };
                return (visitor, address);
            }
            // Dropped: whoever has so many open gets no more.
            tracing::debug!(uid = ?peer.uid(), "one connection too many");
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection among those counted.
struct Place {
    caller: Option<u32>,
    counts: Counts,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.caller) {
            *count = count.saturating_sub(1);
        }
    }
}

/// A connection.
pub(crate) struct Visitor {
    stream: UnixStream,
    peer: Peer,
    /// Ends the connection: begun anew with each byte that is read or written.
    silence: Pin<Box<Sleep>>,
    limits: Limits,
    /// The client has closed its writing side and may be waiting for its answer: the next look
    /// whether it is still there.
    half_closed: Option<Pin<Box<Sleep>>>,
    /// When something was last written to it since it last said something.
    answered: Option<Instant>,
    _place: Place,
}

impl Visitor {
    /// Who it is.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A client that has closed its writing side only is told to be gone when it is, or when its
    /// answer is written: an end that is told earlier calls its request off.
    fn wait_half_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let answered = self.answered;
            let answered = answered.is_some_and(|at| at.elapsed() >= HALF_CLOSED_PAUSE);
            if answered || is_gone(&self.stream) {
                return Poll::Ready(Ok(()));
            }
            let look = self
                .half_closed
                .get_or_insert_with(|| Box::pin(sleep(HALF_CLOSED_PAUSE)));
            if look.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            *look = Box::pin(sleep(HALF_CLOSED_PAUSE));
        }
    }
}

/// Whether the other end is closed altogether.
fn is_gone(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(&mut fds, Some(&at_once)) {
        Ok(_) => fds[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL),
        // Whoever cannot be looked at is not waited for.
        Err(_) => true,
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.half_closed.is_some() {
            return self.wait_half_closed(context);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() == before => {
                self.wait_half_closed(context)
            }
            Poll::Ready(read) => {
                let next = Instant::now() + self.limits.answer;
                self.silence.as_mut().reset(next);
                self.answered = None;
                Poll::Ready(read)
            }
            Poll::Pending => match self.silence.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            let now = Instant::now();
            self.answered = Some(now);
            let next = now + self.limits.between;
            self.silence.as_mut().reset(next);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
