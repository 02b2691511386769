//! libvirt says release also after a prepare that was refused. What the instance had before, by a
//! person's hand, is then not to be taken away: between the two, the refusal is remembered.

use std::fs;
use std::io;

use volward_api::model::InstanceId;

use crate::place::{Place, shown};
use crate::say;

/// This start was refused, and has nothing.
pub(crate) fn note(place: &Place, instance: InstanceId) {
    let path = place.refused(instance);
    let folder = path.parent().unwrap_or(&path);
    let noted = fs::create_dir_all(folder).and_then(|()| fs::write(&path, ""));
    if let Err(error) = noted {
        // The release asks the daemon then, which finds nothing of this start.
        say::line(&format!(
            "{}: {error}; what {instance} had before this start may be detached",
            shown(&path)
        ));
    }
}

/// Whether the last start was refused; from now on it is not.
pub(crate) fn forget(place: &Place, instance: InstanceId) -> bool {
    let path = place.refused(instance);
    match fs::remove_file(&path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            say::line(&format!("{}: {error}", shown(&path)));
            false
        }
    }
}
