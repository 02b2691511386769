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
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream as Client;

    use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
    use axum::routing::get;
    use tempfile::TempDir;

    use super::*;

    /// Serves `GET /`, which takes half a second, in the background.
    fn serve(may_ask: bool, limits: Limits) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let door = Door::new(UnixListener::bind(path).unwrap(), move |_| may_ask, limits);
                let slow = || async {
                    sleep(Duration::from_millis(500)).await;
                    "done"
                };
                let app: IntoMakeServiceWithConnectInfo<axum::Router, Peer> = axum::Router::new()
                    .route("/", get(slow))
                    .into_make_service_with_connect_info();
                ready.send(()).unwrap();
                drop(axum::serve(door, app).await);
            });
        });
        is_ready.recv().unwrap();
        folder
    }

    fn connect(folder: &TempDir) -> Client {
        let client = Client::connect(folder.path().join("socket")).unwrap();
        let patience = Some(Duration::from_secs(20));
        client.set_read_timeout(patience).unwrap();
        client
    }

    fn ask(client: &mut Client) {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
    }

    fn is_answered(client: &mut Client) -> bool {
        let mut first = [0; 12];
        client.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200"
    }

    fn limits(connections: usize, first_byte: Duration) -> Limits {
        Limits {
            each_caller: connections,
            strangers: connections,
            first_byte,
            between: Duration::from_secs(60),
            answer: Duration::from_secs(60),
        }
    }

    #[test]
    fn a_connection_that_says_no_more_after_its_first_byte_or_its_answer_is_ended() {
        // Each by a door of its own: what is short for the one would be for the other's answer, too.
        let short = Duration::from_millis(800);
        let long = limits(4, Duration::from_secs(20));
        let of_half = serve(
            true,
            Limits {
                answer: short,
                ..long
            },
        );
        let of_idle = serve(
            true,
            Limits {
                between: short,
                ..long
            },
        );
        let mut half = connect(&of_half);
        half.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let mut idle = connect(&of_idle);
        ask(&mut idle);
        assert!(is_answered(&mut idle));
        for client in [&mut half, &mut idle] {
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).unwrap();
        }
    }

    #[test]
    fn idle_connections_are_bounded_and_end_and_then_others_are_served() {
        for may_ask in [true, false] {
            let folder = serve(may_ask, limits(4, Duration::from_secs(1)));
            let mut idle: Vec<Client> = (0..10).map(|_| connect(&folder)).collect();
            // The last six find no place: their end comes at once, and before the others'.
            let mut late = connect(&folder);
            assert_eq!(late.read(&mut [0]).unwrap(), 0);
            assert_eq!(idle[9].read(&mut [0]).unwrap(), 0);
            // The first four say nothing for a second, and make place.
            assert!(idle[0].read(&mut [0]).is_ok_and(|n| n == 0));
            let mut served = connect(&folder);
            ask(&mut served);
            assert!(is_answered(&mut served));
        }
    }

    #[test]
    fn a_client_that_closes_its_writing_side_gets_its_answer_and_an_end() {
        let folder = serve(true, limits(4, Duration::from_secs(5)));
        let mut client = connect(&folder);
        ask(&mut client);
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
        assert!(answer.ends_with("done"), "{answer:?}");
    }

    #[test]
    fn a_client_that_closes_its_writing_side_after_its_answer_gets_an_end_too() {
        let folder = serve(true, limits(4, Duration::from_secs(5)));
        let mut client = connect(&folder);
        ask(&mut client);
        assert!(is_answered(&mut client));
        client.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with("done"), "{rest:?}");
    }

    #[test]
    fn who_waits_for_an_answer_is_not_called_silent() {
        let folder = serve(true, limits(4, Duration::from_millis(100)));
        let mut client = connect(&folder);
        ask(&mut client);
        assert!(is_answered(&mut client));
    }
}
