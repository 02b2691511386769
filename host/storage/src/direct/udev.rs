//! Who opens an LV by its path waits for udev, which makes it. Nobody else does (`dm::unawaited`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use volward_model::VolumeRef;
use volward_ports::{PortError, PortResult};

use crate::deadline::Deadline;
use crate::kernel;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// On a busy node udev is behind by seconds.
const DEADLINE: Duration = Duration::from_secs(60);

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
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
