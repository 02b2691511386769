//! What every conversation with device-mapper begins with, and how one fails.

use devicemapper::{DM, DmError, errors::Error as CoreError};
use rustix::io::Errno;
use volward_ports::{PortError, PortResult};

pub(crate) fn control() -> PortResult<DM> {
    DM::new().map_err(|error| failed("cannot open device-mapper's control device", &error))
}

pub(crate) fn failed(what: impl Into<String>, error: &DmError) -> PortError {
    match errno(error) {
        Some(errno) => refused(what, errno),
        None => PortError::Io {
            what: what.into(),
            reason: error.to_string(),
        },
    }
}

pub(crate) fn refused(what: impl Into<String>, errno: Errno) -> PortError {
    let what = what.into();
    match errno {
        Errno::BUSY => PortError::Busy { what },
        errno => PortError::Io {
            what,
            reason: std::io::Error::from(errno).to_string(),
        },
    }
}

pub(crate) fn errno(error: &DmError) -> Option<Errno> {
    match error {
        DmError::Core(CoreError::Ioctl(_, _, _, errno)) => {
            Some(Errno::from_raw_os_error(**errno as i32))
        }
        _ => None,
    }
}
