//! libvirt says release also after a prepare that was refused. What the instance had before, by a
//! person's hand, is then not to be taken away: between the two, the refusal is remembered.
//!
//! A note is a [`RefusalNote`]; that of 0.1.0 is an empty file. One that a later version wrote is
//! said to be one and left: what it asks for is not known, so nothing is taken away.

use std::fs;
use std::io;

use volward_api::model::InstanceId;
use volward_api::model::handover::RefusalNote;

use crate::place::{Place, shown};
use crate::release::later;
use crate::say;

/// This start was refused, and has nothing.
pub(crate) fn note(place: &Place, instance: InstanceId) {
    let path = place.refused(instance);
    if let Err(error) = later(&path) {
        say::line(&format!("{}: {error}", shown(&path)));
        return;
    }
    let folder = path.parent().unwrap_or(&path);
    let noted = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, serde_json::to_vec(&RefusalNote::CURRENT)?));
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
    if let Err(error) = later(&path) {
        say::line(&format!(
            "{}: {error}; until then nothing of {instance} is detached when it ends: `volward detach \
             {instance}`",
            shown(&path)
        ));
        return true;
    }
    match fs::remove_file(&path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            say::line(&format!("{}: {error}", shown(&path)));
            false
        }
    }
}
