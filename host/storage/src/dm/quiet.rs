//! Resuming and removing a device without a cookie for udev. The crate makes one each time, and udev's rules for a
//! cookie start two programs for each event, which cost a busy node more than all that the daemon does for an attach
//! (ADR 66). Without one udev still makes the device's node and name, and lets rules by content alone (I15).
#![expect(
    unsafe_code,
    reason = "the crate's calls always make a cookie; each block says why it is sound"
)]

use std::fs::File;

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use volward_ports::PortResult;

use super::ioctl::{control, refused};

/// `linux/dm-ioctl.h`: `struct dm_ioctl`, of the interface's version 4.
#[repr(C)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    /// The cookie, for the two calls below: none.
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const SIZE: u32 = size_of::<Header>() as u32;
const _: () = assert!(SIZE == 312, "the kernel's struct has 312 bytes");

/// `linux/dm-ioctl.h`: the calls' numbers are an enumeration, which begins with `DM_VERSION_CMD`.
const DEV_REMOVE: Opcode = opcode::read_write::<Header>(0xfd, 4);
const DEV_SUSPEND: Opcode = opcode::read_write::<Header>(0xfd, 6);

fn header(dm_uuid: &str) -> Result<Header, Errno> {
    let mut header = Header {
        version: [4, 0, 0],
        data_size: SIZE,
        data_start: SIZE,
        target_count: 0,
        open_count: 0,
        flags: 0,
        event_nr: 0,
        padding: 0,
        dev: 0,
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
    };
    // With a zero byte at its end.
    let room = header.uuid.len() - 1;
    match header.uuid[..room].get_mut(..dm_uuid.len()) {
        Some(place) if !dm_uuid.is_empty() => place.copy_from_slice(dm_uuid.as_bytes()),
        _ => return Err(Errno::INVAL),
    }
    Ok(header)
}

fn call<const CALL: Opcode>(device_mapper: &File, dm_uuid: &str) -> Result<(), Errno> {
    let mut header = header(dm_uuid)?;
    // SAFETY: these two calls read and write one `struct dm_ioctl`, of which `data_size` says how long it is.
    let call = unsafe { Updater::<CALL, Header>::new(&mut header) };
    // SAFETY: the kernel touches nothing else of ours, and the header outlives the call.
    unsafe { ioctl(device_mapper, call) }
}

/// Makes the table that was loaded last live, and lets I/O go on; `what` begins the sentence of a failure.
///
/// # Errors
/// If the kernel does not.
pub(crate) fn resume(dm_uuid: &str, what: &str) -> PortResult<()> {
    call::<DEV_SUSPEND>(control()?.file(), dm_uuid).map_err(|errno| refused(what, errno))
}

/// Removes a device; one that is gone is removed.
///
/// # Errors
/// [`Busy`](volward_ports::PortError::Busy) if somebody has it open; others as they come.
pub(crate) fn remove(dm_uuid: &str, what: &str) -> PortResult<()> {
    match call::<DEV_REMOVE>(control()?.file(), dm_uuid) {
        Ok(()) | Err(Errno::NXIO) => Ok(()),
        Err(errno) => Err(refused(what, errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_are_the_kernels() {
        // As `strace dmsetup` shows them.
        assert_eq!(DEV_REMOVE, 0xc138_fd04);
        assert_eq!(DEV_SUSPEND, 0xc138_fd06);
    }

    #[test]
    fn a_uuid_is_whole_or_refused() {
        let longest = "u".repeat(128);
        assert_eq!(header(&longest).unwrap().uuid[127..], *b"u\0");
        for bad in ["", &"u".repeat(129)] {
            assert_eq!(header(bad).err(), Some(Errno::INVAL), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_device_mapper_refuses_the_call() {
        let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(call::<DEV_REMOVE>(&file, "x"), Err(Errno::NOTTY));
    }
}
