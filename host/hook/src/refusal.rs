//! libvirt says release also after a prepare that was refused. What the instance had before, by a
//! person's hand, is then not to be taken away: between the two, the refusal is remembered.
//!
//! A note is a [`RefusalNote`]; that of 0.1.0 is an empty file. One that a later version wrote is
//! said to be one and left: what it asks for is not known, so nothing is taken away.

use std::io;

use volward_api::model::InstanceId;
use volward_api::model::handover::RefusalNote;

use crate::place::{Place, shown};
use crate::release::later;
use crate::say;

/// This start was refused, and has nothing.
pub(crate) fn note(place: &Place, instance: InstanceId) {
    let name = instance.to_string();
    let path = shown(&place.refused().join(&name));
    let noted = place.make_refused().and_then(|folder| {
        if let Err(error) = later(&folder, &name) {
            say::line(&format!("{path}: {error}"));
            return Ok(());
        }
        let note = serde_json::to_vec(&RefusalNote::CURRENT)?;
        folder.dir().write(&name, note)
    });
    if let Err(error) = noted {
        // The release asks the daemon then, which finds nothing of this start.
        say::line(&format!(
            "{path}: {error}; what {instance} had before this start may be detached"
        ));
    }
}

/// Whether the last start was refused; from now on it is not.
pub(crate) fn forget(place: &Place, instance: InstanceId) -> bool {
    let name = instance.to_string();
    let path = shown(&place.refused().join(&name));
    let removed = place.open_refused().and_then(|folder| {
        if let Err(error) = later(&folder, &name) {
            say::line(&format!(
                "{path}: {error}; until then nothing of {instance} is detached when it ends: `volward \
                 detach {instance}`"
            ));
            return Ok(());
        }
        folder.dir().remove_file(&name)
    });
    match removed {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            say::line(&format!("{path}: {error}"));
            false
        }
    }
}
