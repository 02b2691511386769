//! sanlock's own account of what this node holds, read from its socket.
//!
//! It is what `sanlock client status -D` prints, asked for by the same message (`SM_CMD_STATUS`)
//! without starting a process for it: an attach asks three times, and a process costs more than
//! all else it does for itself. The message is no part of libsanlock; its version has been 1 since
//! sanlock 3.1, and another one is refused. Answers come from memory, no disk is touched.
//!
//! The answer is a header and then, until the connection ends, one state after another: a fixed
//! part, a text of `key=value` words, and for lockspaces and leases the structs of sanlock.h.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use volward_model::{HeldLease, LeaseMode};
use volward_ports::{Freshness, PortError, PortResult};

/// Where sanlock listens.
pub(super) const SOCKET: &str = "/run/sanlock/sanlock.sock";

// sanlock_sock.h.
const MAGIC: u32 = 0x0428_2010;
const PROTOCOL: u32 = 1;
const CMD_STATUS: u32 = 5;
const HEADER: usize = 32;
/// `struct sanlk_state`: four words, a long word, the name, the text's length, padding.
const STATE: usize = 80;
/// `SANLK_STATE_MAXSTR`.
const MOST_TEXT: usize = 4096;
const DAEMON: u32 = 1;
const CLIENT: u32 = 2;
const LOCKSPACE: u32 = 3;
const RESOURCE: u32 = 4;
// sanlock.h; `ffi` holds its structs against the system's header.
const NAME: usize = 48;
/// `SANLK_PATH_LEN`: where in a disk's struct its offset is.
const PATH: usize = 1024;
const LOCKSPACE_STRUCT: usize = 1104;
const RESOURCE_STRUCT: usize = 128;
const DISK_STRUCT: usize = 1040;
/// `SANLK_MAX_DISKS`.
const MOST_DISKS: u32 = 4;
const RES_SHARED: u32 = 4;
/// More than a node with thousands of leases has: 1.3 kB each.
const MOST_BYTES: u64 = 64 << 20;

/// What is used of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// What sanlock is called on this node, which it writes into its place of a lockspace.
    pub(super) our_name: String,
    /// The running daemon has wdmd reset the node when it cannot renew: it refuses to join a
    /// lockspace otherwise, so there is no need to ask wdmd too.
    pub(super) use_watchdog: bool,
    /// Lockspaces this node is in; those being joined or left are not among them.
    pub(super) lockspaces: Vec<Lockspace>,
    /// sanlock's clock, seconds: what the times of its lockspaces are compared with.
    pub(super) monotime: u64,
    /// Leases this node holds; those being taken or given up are not among them.
    pub(super) resources: Vec<Resource>,
}

/// Whether a lockspace goes on (`space_dead`, and `renew_fail` that says why not).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing ends it.
    No,
    /// Somebody has told sanlock to leave it (`sanlock client rem_lockspace`): it is renewed as before.
    Told,
    /// Its renewal failed, or its lease was another's: what was held in it is lost.
    Lost,
}

/// A lockspace this node is in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lockspace {
    pub(super) name: String,
    /// The last renewal that succeeded, in seconds of `monotime`.
    pub(super) renewed: u64,
    /// Seconds; all of sanlock's timing follows from it.
    pub(super) io_timeout: u64,
    /// How often this host-id has joined.
    pub(super) generation: u64,
    /// Whether sanlock waits for processes to end, to leave it then.
    pub(super) end: End,
}

impl Lockspace {
    /// sanlock renews every 2 x io_timeout; after 8 x io_timeout without it gives the lockspace
    /// up and has the watchdog reset the node (sanlock's `id_renewal_fail_seconds`).
    pub(super) fn freshness(&self, monotime: u64) -> Freshness {
        let ago = Duration::from_secs(monotime.saturating_sub(self.renewed));
        let expires_after = Duration::from_secs(8 * self.io_timeout);
        match self.end {
            End::No => Freshness::Renewed { ago, expires_after },
            End::Told => Freshness::Leaving { ago, expires_after },
            End::Lost => Freshness::GivenUp,
        }
    }
}

/// A lease this node holds. One that several processes share is told once for each of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) lockspace: String,
    pub(super) name: String,
    pub(super) lease: HeldLease,
    /// The process that holds it; an orphan's has died.
    pub(super) pid: u32,
    /// The device that the lease is on, and bytes from its beginning: of its first disk, and lvmlockd's
    /// leases have no other.
    pub(super) disk: String,
    pub(super) offset: u64,
}

/// Asks the sanlock that listens there; each read has `patience`.
///
/// # Errors
/// When none listens, it does not answer in time, or its answer is not understood.
pub(super) fn ask(socket: &Path, patience: Duration) -> PortResult<Status> {
    let failed = |source: std::io::Error| match source.kind() {
        // sanlock answers from memory: one that does not is as good as none.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => PortError::Io {
            what: format!("cannot ask sanlock on {}", socket.display()),
            reason: format!("it does not answer within {} s", patience.as_secs()),
        },
        _ => PortError::Io {
            what: format!(
                "cannot ask sanlock on {}; `systemctl status sanlock` says whether it runs",
                socket.display()
            ),
            reason: source.to_string(),
        },
    };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(patience)).map_err(failed)?;
    stream.set_write_timeout(Some(patience)).map_err(failed)?;
    stream.write_all(&request()).map_err(failed)?;
    let mut answer = Vec::new();
    stream
        .take(MOST_BYTES)
        .read_to_end(&mut answer)
        .map_err(failed)?;
    parse(&answer)
}

fn request() -> Vec<u8> {
    let length = u32::try_from(HEADER).unwrap_or_default();
    let words = [MAGIC, PROTOCOL, CMD_STATUS, 0, length, 0, 0, 0];
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn unreadable(reason: impl Into<String>) -> PortError {
    PortError::Unreadable {
        what: "sanlock's status".to_owned(),
        reason: reason.into(),
    }
}

/// What of the answer has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> PortResult<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| unreadable("it ends in the middle"))?;
        self.0 = rest;
        Ok(taken)
    }
}

/// A word of a struct that is long enough.
fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_ne_bytes(found.unwrap_or_default())
}

/// A name is as long as its field, or ends before with a zero.
fn name(bytes: &[u8], at: usize) -> PortResult<String> {
    text(bytes.get(at..at + NAME).unwrap_or_default())
}

fn text(field: &[u8]) -> PortResult<String> {
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| unreadable("a name is not UTF-8"))?;
    Ok(text.to_owned())
}

/// The words of a state's text.
struct Values<'a>(&'a str);

impl Values<'_> {
    fn number<T: std::str::FromStr>(&self, key: &str) -> PortResult<T> {
        let text = self.get(key)?;
        text.parse()
            .map_err(|_| unreadable(format!("{key}={text}")))
    }

    fn get(&self, key: &str) -> PortResult<&str> {
        let mut pairs = self.0.split(' ').filter_map(|word| word.split_once('='));
        let found = pairs.find(|(name, _)| *name == key);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| unreadable(format!("{:?} has no {key}", self.0)))
    }
}

fn end(of: &Values<'_>) -> PortResult<End> {
    let is = |key| of.number(key).map(|number: u32| number != 0);
    Ok(match (is("space_dead")?, is("renew_fail")?) {
        (false, _) => End::No,
        (true, false) => End::Told,
        (true, true) => End::Lost,
    })
}

fn parse(answer: &[u8]) -> PortResult<Status> {
    let mut rest = Rest(answer);
    let header = rest.take(HEADER)?;
    let (magic, protocol) = (word(header, 0), word(header, 4));
    if (magic, protocol) != (MAGIC, PROTOCOL) {
        return Err(unreadable(format!(
            "protocol {protocol} ({magic:#x}), where {PROTOCOL} ({MAGIC:#x}) is known"
        )));
    }
    let mut status = Status::default();
    let mut watchdog = None;
    while !rest.0.is_empty() {
        let state = rest.take(STATE)?;
        let length = usize::try_from(word(state, 72)).unwrap_or(usize::MAX);
        if length > MOST_TEXT {
            return Err(unreadable(format!("a text of {length} bytes")));
        }
        let text = std::str::from_utf8(rest.take(length)?)
            .map_err(|_| unreadable("a text is not UTF-8"))?;
        let values = Values(text.trim_end_matches('\0'));
        match word(state, 0) {
            DAEMON => {
                watchdog = Some(match values.get("use_watchdog")? {
                    "1" => true,
                    "0" => false,
                    other => return Err(unreadable(format!("use_watchdog={other}"))),
                });
                status.monotime = values.number("monotime")?;
                values
                    .get("our_host_name")?
                    .clone_into(&mut status.our_name);
            }
            CLIENT => {}
            LOCKSPACE => {
                let space = rest.take(LOCKSPACE_STRUCT)?;
                if values.get("list")? == "spaces" {
                    status.lockspaces.push(Lockspace {
                        name: name(space, 0)?,
                        renewed: values.number("renewal_last_success")?,
                        io_timeout: u64::from(values.number::<u32>("io_timeout")?),
                        generation: values.number("host_generation")?,
                        end: end(&values)?,
                    });
                }
            }
            RESOURCE => {
                let pid = word(state, 8);
                status.resources.extend(resource(&values, pid, &mut rest)?);
            }
            other => return Err(unreadable(format!("a state of kind {other}"))),
        }
    }
    status.use_watchdog = watchdog.ok_or_else(|| unreadable("no daemon answered"))?;
    Ok(status)
}

/// A lease, unless it is on its way.
fn resource(values: &Values<'_>, pid: u32, rest: &mut Rest<'_>) -> PortResult<Option<Resource>> {
    let found = rest.take(RESOURCE_STRUCT)?;
    let (flags, disks) = (word(found, 120), word(found, 124));
    if disks > MOST_DISKS {
        return Err(unreadable(format!("a lease on {disks} disks")));
    }
    let mut place = None;
    for _ in 0..disks {
        let disk = rest.take(DISK_STRUCT)?;
        place.get_or_insert(disk);
    }
    let orphan = match values.get("list")? {
        "held" => false,
        "orphan" => true,
        // Not yet, or no more.
        "add" | "rem" => return Ok(None),
        other => return Err(unreadable(format!("list={other}"))),
    };
    let place = place.ok_or_else(|| unreadable("a lease without a place"))?;
    let (path, offset) = place.split_at_checked(PATH).unwrap_or_default();
    let offset = offset.first_chunk().copied().unwrap_or_default();
    let version = values.number("lver")?;
    let mode = match flags & RES_SHARED {
        0 => LeaseMode::Exclusive,
        _ => LeaseMode::Shared,
    };
    Ok(Some(Resource {
        lockspace: name(found, 0)?,
        name: name(found, NAME)?,
        lease: HeldLease {
            mode,
            version,
            orphan,
        },
        pid,
        disk: text(path)?,
        offset: u64::from_ne_bytes(offset),
    }))
}

#[cfg(test)]
mod tests;
