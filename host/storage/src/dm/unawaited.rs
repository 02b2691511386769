//! What udev does about a device that changed is not waited for where nobody opens it by a path that udev makes: its
//! table is live, or the device gone, before that. On a busy node udev is behind by seconds.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use volward_ports::{PortError, PortResult};

use crate::deadline::Deadline;

/// Between two looks whether the kernel has done it: an ioctl takes 20 us.
const PAUSE: Duration = Duration::from_millis(1);
/// For what the kernel does.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs `change` in a thread of its own, which goes on until udev has done its part; returns when `is_done`
/// says that the kernel has.
///
/// # Errors
/// As `change` and `is_done`; and if neither ends in time.
pub(crate) fn unawaited(
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
