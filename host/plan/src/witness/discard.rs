//! Whether a copy may be removed although a guest has written to it: a person gave it up, and says so once more.

use volward_model::{DeviceInfo, DeviceRole, GivenUp, Home, HomeState, LvUuid};

use super::given_up;
use crate::input::VolumeInput;
use crate::refusal::Refusal;

/// What was said of the copy when it was given up.
///
/// # Errors
/// `home-changed` where it was not given up, counts again, is not here, or is in use.
pub fn may_discard(home: &Home, seen: &VolumeInput, copy: LvUuid) -> Result<GivenUp, Refusal> {
    let no = |now: &str| Err(Refusal::home_changed(&seen.info.volume, now));
    let mut here = seen.witnesses.copies.found().iter();
    let Some(found) = here.find(|found| found.lv == copy) else {
        return no(&format!("this node has no copy {copy} of it"));
    };
    let Some(said) = given_up(seen, found) else {
        return no(&format!("the copy {copy} was not given up"));
    };
    if home.state != HomeState::Pool {
        return no(&format!("its home is {home}"));
    }
    let used =
        |device: &&DeviceInfo| device.open && matches!(device.id.role, DeviceRole::Attachment(_));
    match seen.witnesses.devices.iter().find(used) {
        Some(device) => no(&format!(
            "device {} is in use, so somebody may still write to the copy",
            device.id
        )),
        None => Ok(said),
    }
}
