//! Copying a part of an LV to another one within a deadline (I27, I28), by reading and writing past the page
//! cache. As with zeroing, what takes too long goes on in a thread of its own, which has both devices open.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::OFlags;
use volward_model::{Bytes, VolumeId, VolumeRef};
use volward_ports::{PortError, PortResult};

use crate::blockdev::{self, Checked, io};
use crate::buffer::Buffer;
use crate::late::LateCalls;

/// For one chunk of 64 MiB: slow disks read and write it in ten seconds. Longer than the kernel waits before it
/// gives a request to a disk up (30 s), so that an error is told as one.
const DEADLINE: Duration = Duration::from_secs(60);

/// Read and written at a time: a request of this size has a disk at its full speed, and two copies of a pool
/// take little memory.
const PIECE: usize = 4 << 20;

/// Copies, at most once at a time to each volume.
#[derive(Debug)]
pub(super) struct Copying(LateCalls<VolumeId>);

impl Default for Copying {
    fn default() -> Self {
        Self(LateCalls::new("copying", DEADLINE))
    }
}

impl Copying {
    /// Copies `amount` from `start` on and flushes; `read`: others have the source open.
    pub(super) fn copy(
        &self,
        (from, to): (&VolumeRef, &VolumeRef),
        (start, amount): (Bytes, Bytes),
        read: bool,
    ) -> PortResult<()> {
        let alone = if read { OFlags::empty() } else { OFlags::EXCL };
        let (ids, names) = ((from.id, to.id), (from.to_string(), to.to_string()));
        let what = format!("copying {from} to {to}");
        self.0.call(&to.id, what, move || {
            let source = blockdev::open_lv(ids.0, false, OFlags::DIRECT | alone)?;
            let target = blockdev::open_lv(ids.1, true, OFlags::DIRECT | OFlags::EXCL)?;
            reaches(&source, &names.0, start, amount)?;
            reaches(&target, &names.1, start, amount)?;
            pieces((&source, &names.0), (&target, &names.1), (start, amount))
        })
    }
}

fn reaches(device: &Checked, what: &str, start: Bytes, amount: Bytes) -> PortResult<()> {
    let (size, end) = (
        blockdev::size(device.number)?,
        start.0.saturating_add(amount.0),
    );
    match end <= size.0 {
        true => Ok(()),
        false => Err(PortError::Identity {
            what: what.to_owned(),
            expected: format!("at least {}", Bytes(end)),
            found: size.to_string(),
        }),
    }
}

fn pieces(
    (source, read_from): (&Checked, &str),
    (target, written_to): (&Checked, &str),
    (start, amount): (Bytes, Bytes),
) -> PortResult<()> {
    let mut buffer = Buffer::zeroed(PIECE);
    let (mut at, mut left) = (start.0, amount.0);
    while left > 0 {
        let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let piece = &mut buffer[..length];
        let read = source.file.read_exact_at(piece, at);
        read.map_err(io(format!(
            "cannot read {read_from} ({})",
            source.path.display()
        )))?;
        let written = target.file.write_all_at(piece, at);
        written.map_err(io(format!(
            "cannot write {written_to} ({})",
            target.path.display()
        )))?;
        (at, left) = (at + length as u64, left - length as u64);
    }
    let flushed = target.file.sync_all();
    flushed.map_err(io(format!(
        "cannot flush {written_to} ({})",
        target.path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(letter: &str) -> VolumeRef {
        VolumeRef {
            id: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: letter.repeat(32).parse().unwrap(),
            },
            pool: "vg0".parse().unwrap(),
            name: letter.parse().unwrap(),
        }
    }

    #[test]
    fn i28_what_is_not_mapped_is_not_copied() {
        let (from, to) = (volume("a"), volume("b"));
        let part = (Bytes(0), Bytes::mib(1));
        let error = Copying::default().copy((&from, &to), part, false);
        assert!(matches!(error, Err(PortError::Missing { .. })), "{error:?}");
    }
}
