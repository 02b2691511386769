//! Zeroing a part of an LV within a deadline (I27, I28). The kernel cannot be interrupted in it: what takes
//! too long goes on in a thread of its own, which has the device open, so that neither its LV nor its
//! lease can be given up meanwhile.

use std::time::Duration;

use rustix::fs::OFlags;
use volward_model::{Bytes, VolumeId, VolumeRef};
use volward_ports::PortResult;

use crate::blockdev;
use crate::late::LateCalls;
use crate::zero::zero_from;

/// For one chunk, which takes an array a second. Longer than the kernel waits before it gives a request to a
/// disk up (30 s), so that an error is told as one.
const DEADLINE: Duration = Duration::from_secs(60);

/// Zeroes, at most once at a time on each volume.
#[derive(Debug)]
pub(super) struct Zeroing(LateCalls<VolumeId>);

impl Default for Zeroing {
    fn default() -> Self {
        Self(LateCalls::new("zeroing", DEADLINE))
    }
}

impl Zeroing {
    /// Zeroes `amount` from `start` on and flushes; `shared`: others have devices on the LV.
    pub(super) fn zero(
        &self,
        volume: &VolumeRef,
        (start, amount): (Bytes, Bytes),
        shared: bool,
    ) -> PortResult<()> {
        let flags = if shared {
            OFlags::empty()
        } else {
            OFlags::EXCL
        };
        let (id, name) = (volume.id, volume.to_string());
        self.0.call(&id, format!("zeroing {volume}"), move || {
            let device = blockdev::open_lv(id, true, flags)?;
            zero_from(&device, &name, start, amount)
        })
    }
}

#[cfg(test)]
mod tests {
    use volward_ports::PortError;

    use super::*;

    fn volume() -> VolumeRef {
        VolumeRef {
            id: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: "a".repeat(32).parse().unwrap(),
            },
            pool: "vg0".parse().unwrap(),
            name: "a".parse().unwrap(),
        }
    }

    #[test]
    fn i28_what_is_not_mapped_is_not_zeroed() {
        let error = Zeroing::default().zero(&volume(), (Bytes(0), Bytes::mib(1)), false);
        assert!(matches!(error, Err(PortError::Missing { .. })), "{error:?}");
    }
}
