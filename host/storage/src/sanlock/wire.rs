//! sanlock's messages, in bytes: a header of eight words, then structs of sanlock.h.
//!
//! The numbers are those of sanlock_sock.h (protocol 1, since sanlock 3.1) and sanlock.h. A test has
//! the system's libsanlock speak to a socket of ours and compares what it sends with what is made here.

use volward_model::LeaseMode;
use volward_ports::{PortError, PortResult};

use super::Place;

pub(super) const HEADER: usize = 32;
const MAGIC: u32 = 0x0428_2010;
const PROTOCOL: u32 = 1;
/// `SANLK_NAME_LEN`.
const NAME: usize = 48;
/// `SANLK_PATH_LEN`, with its terminating zero.
const PATH: usize = 1024;
/// `SANLK_MAX_RESOURCES`: more in one message overrun an array of the daemon's.
pub(super) const MOST_RESOURCES: usize = 8;

/// A process that speaks for itself: "whoever is at the other end of this connection".
const MYSELF: u32 = u32::MAX;

const RES_SHARED: u32 = 0x4;
const RES_PERSISTENT: u32 = 0x8;
/// `SANLK_ACQUIRE_ORPHAN_ONLY`.
const ORPHAN_ONLY: u32 = 0x4;
/// `SANLK_ACQUIRE_OWNER_NOWAIT` and `SANLK_CONVERT_OWNER_NOWAIT`.
const OWNER_NOWAIT: u32 = 0x8;
/// `SANLK_REL_ORPHAN`.
const ORPHAN: u32 = 0x4;
/// `SANLK_RESTRICT_SIGKILL`.
const RESTRICT_SIGKILL: u32 = 0x2;

/// `SM_CMD_...`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Register = 1,
    Acquire = 7,
    Release = 8,
    Inquire = 9,
    Restrict = 10,
    Convert = 27,
}

/// A message: header, then content.
fn message(command: Command, flags: u32, data: u32, data2: u32, content: &[u8]) -> Vec<u8> {
    let length = HEADER + content.len();
    // A message holds eight leases at most: some ten kilobytes.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let words = [
        MAGIC,
        PROTOCOL,
        command as u32,
        flags,
        length,
        0,
        data,
        data2,
    ];
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    bytes.extend_from_slice(content);
    bytes
}

/// A text in a field of that length, filled up with zeroes.
fn field(text: &str, length: usize, most: usize) -> PortResult<Vec<u8>> {
    if text.len() > most || text.contains('\0') {
        return Err(PortError::Invalid {
            what: format!("telling sanlock of {text:?}"),
            reason: format!("it has more than {most} bytes, or a zero among them"),
        });
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, 0);
    Ok(bytes)
}

/// `struct sanlk_resource`, without its disks.
fn resource(place: &Place, mode: LeaseMode) -> PortResult<Vec<u8>> {
    let mut bytes = field(&place.lockspace, NAME, NAME)?;
    bytes.extend(field(&place.name, NAME, NAME)?);
    // lver, data64, data32, unused.
    bytes.extend([0; 24]);
    let shared = match mode {
        LeaseMode::Exclusive => 0,
        LeaseMode::Shared => RES_SHARED,
    };
    bytes.extend((shared | RES_PERSISTENT).to_ne_bytes());
    bytes.extend(1_u32.to_ne_bytes());
    Ok(bytes)
}

/// `struct sanlk_disk`.
fn disk(place: &Place) -> PortResult<Vec<u8>> {
    let mut bytes = field(&place.disk, PATH, PATH - 1)?;
    bytes.extend(place.offset.to_ne_bytes());
    bytes.extend([0; 8]);
    Ok(bytes)
}

/// `struct sanlk_options`: a name for those who look, flags, length.
fn options(owner: &str) -> PortResult<Vec<u8>> {
    let mut bytes = field(owner, NAME, NAME - 1)?;
    bytes.extend([0; 8]);
    Ok(bytes)
}

/// From now on this connection stands for its process. There is no answer.
pub(super) fn register() -> Vec<u8> {
    message(Command::Register, 0, 0, 0, &[])
}

/// sanlock never sends this process SIGKILL.
pub(super) fn restrict_kill() -> Vec<u8> {
    message(Command::Restrict, RESTRICT_SIGKILL, 0, MYSELF, &[])
}

/// Takes new leases, all or none; `places` has [`MOST_RESOURCES`] at most.
pub(super) fn acquire(places: &[Place], mode: LeaseMode, owner: &str) -> PortResult<Vec<u8>> {
    acquire_with(OWNER_NOWAIT, places, mode, owner)
}

/// Takes over an orphan.
pub(super) fn adopt(place: &Place, mode: LeaseMode, owner: &str) -> PortResult<Vec<u8>> {
    acquire_with(ORPHAN_ONLY, std::slice::from_ref(place), mode, owner)
}

fn acquire_with(flags: u32, places: &[Place], mode: LeaseMode, owner: &str) -> PortResult<Vec<u8>> {
    let mut content = Vec::new();
    for place in places {
        content.extend(resource(place, mode)?);
        content.extend(disk(place)?);
    }
    content.extend(options(owner)?);
    let message = message(Command::Acquire, flags, count(places)?, MYSELF, &content);
    Ok(message)
}

/// Gives a held lease another mode.
pub(super) fn convert(place: &Place, mode: LeaseMode) -> PortResult<Vec<u8>> {
    let content = resource(place, mode)?;
    Ok(message(Command::Convert, OWNER_NOWAIT, 0, MYSELF, &content))
}

/// Gives leases up; `places` has [`MOST_RESOURCES`] at most.
pub(super) fn release(places: &[Place]) -> PortResult<Vec<u8>> {
    release_with(0, places)
}

/// Gives up an orphan, which no process has.
pub(super) fn give_up_orphan(place: &Place) -> PortResult<Vec<u8>> {
    release_with(ORPHAN, std::slice::from_ref(place))
}

fn release_with(flags: u32, places: &[Place]) -> PortResult<Vec<u8>> {
    let mut content = Vec::new();
    for place in places {
        content.extend(resource(place, LeaseMode::Exclusive)?);
    }
    Ok(message(
        Command::Release,
        flags,
        count(places)?,
        MYSELF,
        &content,
    ))
}

/// Asks what this process holds.
pub(super) fn inquire() -> Vec<u8> {
    message(Command::Inquire, 0, 0, MYSELF, &[])
}

fn count(places: &[Place]) -> PortResult<u32> {
    match places.len() {
        1..=MOST_RESOURCES => u32::try_from(places.len()).map_err(|_| too_many(places)),
        _ => Err(too_many(places)),
    }
}

fn too_many(places: &[Place]) -> PortError {
    PortError::Invalid {
        what: format!("telling sanlock of {} leases at once", places.len()),
        reason: format!("a message has between 1 and {MOST_RESOURCES}"),
    }
}

/// An answer's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What the command came to: 0, a count, or an error below zero.
    pub(super) result: i32,
    /// Bytes that follow.
    pub(super) content: usize,
}

/// More text than a process with thousands of leases has.
const MOST_CONTENT: usize = 16 << 20;

/// Reads the header of an answer to `command`.
pub(super) fn answer(header: &[u8; HEADER], command: Command) -> PortResult<Answer> {
    let mut words = [0_u32; 8];
    for (word, bytes) in words.iter_mut().zip(header.chunks_exact(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
    }
    let [magic, protocol, of, _, length, _, result, _] = words;
    if magic != MAGIC || protocol >> 16 != PROTOCOL >> 16 {
        return Err(unreadable(format!(
            "protocol {protocol:#x} ({magic:#x}), where {PROTOCOL} ({MAGIC:#x}) is known"
        )));
    }
    if of != command as u32 {
        return Err(unreadable(format!(
            "an answer to command {of}, where {command:?} was asked"
        )));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let content = length.checked_sub(HEADER).filter(|c| *c <= MOST_CONTENT);
    Ok(Answer {
        result: result.cast_signed(),
        content: content.ok_or_else(|| unreadable(format!("a message of {length} bytes")))?,
    })
}

pub(super) fn unreadable(reason: impl Into<String>) -> PortError {
    PortError::Unreadable {
        what: "sanlock".to_owned(),
        reason: reason.into(),
    }
}
