//! libvirt says `migrate` and then `prepare` on the node to which a guest migrates, or `restore` and then `prepare`, and only the
//! first of the two says that it does: between them, it is remembered.
//!
//! A note that nobody has taken is of a migration that another hook refused, say. It counts for a
//! moment only: a start of the guest a day later is no arrival.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use volward_api::model::InstanceId;
use volward_api::model::handover::ArrivalNote;

use crate::place::{Place, shown};
use crate::say;

/// libvirt calls the one right after the other, with work of its own in between that takes
/// milliseconds.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How a guest comes, where it is no ordinary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It migrates.
    Migrates,
    /// It is restored from its saved memory.
    Restored,
}

impl Arrival {
    fn file(self, instance: InstanceId) -> String {
        match self {
            Self::Migrates => instance.to_string(),
            Self::Restored => format!("{instance}.restored"),
        }
    }

    /// What comes of a note that cannot be written.
    fn unnoted(self) -> &'static str {
        match self {
            // `prepare` takes it for a start then, which is refused while the guest runs elsewhere.
            Self::Migrates => "cannot migrate here",
            Self::Restored => "is taken for an ordinary start",
        }
    }
}

/// The guest arrives.
pub(crate) fn note(place: &Place, how: Arrival, instance: InstanceId) {
    let name = how.file(instance);
    let path = shown(&place.arriving().join(&name));
    let noted = place.make_arriving().and_then(|folder| {
        let note = serde_json::to_vec(&ArrivalNote::new(now()))?;
        folder.dir().write(&name, note)
    });
    if let Err(error) = noted {
        say::line(&format!("{path}: {error}; {instance} {}", how.unnoted()));
    }
}

/// How the guest arrives, as was said a moment ago; the note is good once. `None`: it starts.
pub(crate) fn take(place: &Place, instance: InstanceId) -> Option<Arrival> {
    // Both are good once, whatever comes of this call.
    let noted =
        [Arrival::Migrates, Arrival::Restored].map(|how| (how, is_noted(place, how, instance)));
    noted
        .into_iter()
        .find(|(_, noted)| *noted)
        .map(|(how, _)| how)
}

fn is_noted(place: &Place, how: Arrival, instance: InstanceId) -> bool {
    let name = how.file(instance);
    let taken = place.open_arriving().and_then(|folder| {
        let note = folder.dir().read(&name)?;
        folder.dir().remove_file(&name)?;
        Ok(note)
    });
    match taken {
        Ok(note) => is_fresh(&note, now()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            let path = shown(&place.arriving().join(&name));
            say::line(&format!("{path}: {error}; taken for an ordinary start"));
            false
        }
    }
}

fn is_fresh(note: &[u8], now: Duration) -> bool {
    let note: Option<ArrivalNote> = serde_json::from_slice(note).ok();
    let at = note.and_then(ArrivalNote::at);
    // One of the future is of no boot of this node.
    at.is_some_and(|at| now.checked_sub(at).is_some_and(|age| age < GOOD_FOR))
}

/// Time since the node's start, time asleep included: no clock that anybody sets.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_for_a_minute() {
        let at = |seconds| Duration::from_secs(seconds);
        let note = serde_json::to_vec(&ArrivalNote::new(at(100))).unwrap();
        assert!(is_fresh(&note, at(100)) && is_fresh(&note, at(159)));
        assert!(!is_fresh(&note, at(160)) && !is_fresh(&note, at(99)));
        assert!(!is_fresh(b"", at(100)) && !is_fresh(b"{\"version\":9}", at(100)));
    }
}
