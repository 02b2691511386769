//! Waiting for a device's event without a blocked ioctl: `DM_DEV_ARM_POLL` and poll.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use volward_model::DeviceId;
use volward_ports::{PortError, PortResult};

use super::{by_uuid, control, errno, failed, missing};
use crate::deadline::Deadline;

/// Whether the event counter left `event` in time.
pub(super) fn event(id: DeviceId, event: u32, at_most: Duration) -> PortResult<bool> {
    let deadline = Deadline::after(at_most);
    // Its own open file: the kernel counts events per file.
    let dm = control()?;
    loop {
        // Armed before looking, so that what happens in between is not missed.
        dm.arm_poll()
            .map_err(|error| failed("cannot wait for device-mapper's events", &error))?;
        let info = by_uuid(id, |dev| dm.device_info(dev)).map_err(|error| match errno(&error) {
            Some(Errno::NXIO) => missing(id),
            _ => failed(format!("cannot ask about device {id}"), &error),
        })?;
        if info.event_nr() != event {
            return Ok(true);
        }
        if deadline.passed() {
            return Ok(false);
        }
        let io = |error: std::io::Error| PortError::Io {
            what: "cannot wait for device-mapper's events".to_owned(),
            reason: error.to_string(),
        };
        let timeout = Timespec::try_from(deadline.left())
            .map_err(|_| io(std::io::ErrorKind::InvalidInput.into()))?;
        match poll(&mut [PollFd::new(dm.file(), PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io(error.into())),
        }
    }
}
