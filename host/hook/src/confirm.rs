//! libvirt says what became of a guest. The daemon compares with what it has.

use std::time::Duration;

use volward_api::{Client, ConfirmRequest, DomainEvent};

use crate::input::Guest;
use crate::operation::Call;
use crate::place::Place;
use crate::say;

/// The daemon compares with what it has in memory; no storage is asked.
const DEADLINE: Duration = Duration::from_secs(5);

/// Whether libvirt may go on. Only `start` can be refused, and only by a daemon that says a disk
/// is missing: later than that a refusal would kill a guest that runs (I31).
pub(crate) fn confirm(call: &Call, event: DomainEvent, guest: &Guest, place: &Place) -> bool {
    let Some(instance) = guest.instance else {
        return true;
    };
    // A guest may have started without managed disks and got some since.
    let marks = place.open_marks();
    let marked = marks.is_ok_and(|marks| marks.dir().exists(instance.to_string()));
    if guest.managed.disks.is_empty() && !marked {
        return true;
    }
    let disks = guest.managed.disks.iter();
    let request = ConfirmRequest {
        instance,
        event,
        volumes: disks.map(|d| (d.pool.clone(), d.volume.clone())).collect(),
    };
    let missing = match Client::new(place.socket(), DEADLINE).confirm(&request) {
        Ok(reply) => reply.missing,
        Err(error) => {
            say::failure(&format!("guest {} goes on", call.guest), &error);
            return true;
        }
    };
    // After the end nothing is attached, and nothing has to be.
    if event == DomainEvent::Stopped {
        return true;
    }
    for (pool, volume) in &missing {
        say::line(&format!(
            "guest {} has the disk {pool}/{volume}, but it is not attached on this node: see \
             `volward explain --instance {instance}`",
            call.guest
        ));
    }
    missing.is_empty() || event != DomainEvent::Start
}
