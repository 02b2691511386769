//! udev makes the nodes and names under `/dev`. Who opens a device by one of them waits for it, and nobody else does: a
//! table is live, or a device gone, when the kernel says so.

use std::path::Path;
use std::time::Duration;

use volward_ports::{PortError, PortResult};

use crate::deadline::Deadline;
use crate::kernel;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// On a busy node udev is behind by seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until udev has made that name of a device.
///
/// # Errors
/// If it does not in time.
pub(crate) fn await_node(path: &Path) -> PortResult<()> {
    let end = Deadline::after(DEADLINE);
    while kernel::node(path).is_err() {
        if end.passed() {
            return Err(PortError::Deadline {
                what: format!("udev, which makes {},", path.display()),
                after: DEADLINE,
            });
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
