//! What udev does about a device is not waited for: its table is live before that, and whoever maps a device
//! onto it needs no more. Only who opens it by its path does ([`path_of`]).

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use volward_model::VolumeRef;
use volward_ports::{PortError, PortResult};

use crate::deadline::Deadline;
use crate::kernel;

/// Between two looks whether the kernel has done it: an ioctl takes 20 us.
const PAUSE: Duration = Duration::from_millis(1);
/// For what the kernel does, and for udev where its path is waited for: on a busy node it is behind by
/// seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs `change` in a thread of its own, which goes on until udev has done its part; returns when `is_done`
/// says that the kernel has.
///
/// # Errors
/// As `change` and `is_done`; and if neither ends in time.
pub(super) fn unawaited(
    what: &str,
    change: impl FnOnce() -> PortResult<()> + Send + 'static,
    is_done: impl Fn() -> PortResult<bool>,
) -> PortResult<()> {
    let (answer, answered) = sync_channel(1);
    // Whoever asked may have seen by himself that it is done, and waits no more.
    let work = move || drop(answer.try_send(change()));
    let thread = std::thread::Builder::new().name("udev".into());
    thread.spawn(work).map_err(|error| PortError::Io {
        what: what.to_owned(),
        reason: error.to_string(),
    })?;
    let end = Deadline::after(DEADLINE);
    while !end.passed() {
        match answered.recv_timeout(PAUSE) {
            Ok(done) => return done,
            Err(RecvTimeoutError::Timeout) if is_done()? => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Err(PortError::Deadline {
        what: what.to_owned(),
        after: DEADLINE,
    })
}

/// Where udev makes an LV's path.
fn path_of(volume: &VolumeRef) -> PathBuf {
    Path::new("/dev")
        .join(volume.pool.as_str())
        .join(volume.name.as_str())
}

/// Waits until udev has made the volume's path.
///
/// # Errors
/// If it does not in time.
pub(super) fn await_path(volume: &VolumeRef) -> PortResult<()> {
    let path = path_of(volume);
    let end = Deadline::after(DEADLINE);
    while kernel::node(&path).is_err() {
        if end.passed() {
            return Err(PortError::Deadline {
                what: format!("udev, which makes {},", path.display()),
                after: DEADLINE,
            });
        }
        std::thread::sleep(10 * PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_the_kernel_has_done_is_done_while_udev_is_still_at_work() {
        let (udev_ends, udev) = channel::<()>();
        let looks = Cell::new(0);
        let done = unawaited(
            "making it",
            move || {
                let _until_then = udev.recv();
                Ok(())
            },
            || {
                looks.set(looks.get() + 1);
                Ok(looks.get() == 3)
            },
        );
        done.unwrap();
        assert_eq!(looks.get(), 3);
        drop(udev_ends);
    }

    #[test]
    fn a_change_that_fails_is_an_error_at_once() {
        let error = PortError::Busy {
            what: "x".to_owned(),
        };
        let fails = error.clone();
        let done = unawaited("making it", move || Err(fails), || Ok(false));
        assert_eq!(done.unwrap_err().to_string(), error.to_string());
    }
}
