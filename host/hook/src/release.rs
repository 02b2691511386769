//! After the guest: what it had is detached, now or when the daemon is back.
//!
//! libvirt ignores what becomes of a release, so it never fails; what goes wrong is said on
//! stderr, which libvirt logs.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use volward_api::model::InstanceId;
use volward_api::{Client, ClientError, DetachRequest, ProblemCode, StartMark};

use crate::input::Guest;
use crate::operation::Call;
use crate::place::{Place, shown};
use crate::{refusal, say};

/// A detach retries for some seconds while something still has the device open.
const DEADLINE: Duration = Duration::from_secs(45);

/// What the daemon left about this start of the guest.
#[derive(Debug)]
enum Mark {
    /// Nothing is attached for it on this node.
    None,
    /// This start.
    Known(StartMark),
    /// There is one, and it cannot be used.
    Unreadable(String),
}

/// `release`: always lets libvirt go on.
pub(crate) fn detach(call: &Call, guest: &Guest, place: &Place) -> bool {
    let Some(instance) = guest.instance else {
        return true;
    };
    let mark = read_mark(&place.mark(instance));
    if guest.managed.is_empty() && matches!(mark, Mark::None) {
        return true;
    }
    if refusal::forget(place, instance) {
        return true;
    }
    let request = DetachRequest {
        instance,
        // Everything recorded, not what the XML says: hot-plug calls no hook.
        volumes: Vec::new(),
        not_after: match &mark {
            Mark::Known(mark) => Some(mark.clone()),
            _ => None,
        },
        dry_run: false,
    };
    let Err(error) = Client::new(place.socket(), DEADLINE).detach(&request) else {
        return true;
    };
    say::failure(
        &format!("the disks of guest {} may still be attached", call.guest),
        &error,
    );
    if worth_spooling(&error) {
        match mark {
            Mark::Known(_) => spool(&request, instance, place),
            // Whatever was begun has a mark: this is the release after a refused prepare.
            Mark::None => {}
            // Without a mark a later start's disks could be taken for this one's.
            Mark::Unreadable(why) => by_hand(instance, &why),
        }
    }
    true
}

/// Whether the daemon does not know, or has forgotten, that the guest is gone. What it refuses or
/// has quarantined it remembers itself.
fn worth_spooling(error: &ClientError) -> bool {
    error
        .problem()
        .is_none_or(|problem| problem.kind == ProblemCode::Internal)
}

fn read_mark(path: &Path) -> Mark {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Mark::None,
        Err(error) => return Mark::Unreadable(format!("{}: {error}", shown(path))),
    };
    match serde_json::from_slice(&text) {
        Ok(mark) => Mark::Known(mark),
        Err(error) => Mark::Unreadable(format!("{}: {error}", shown(path))),
    }
}

fn spool(request: &DetachRequest, instance: InstanceId, place: &Place) {
    let directory = place.spool();
    match write_durably(&directory, instance, request) {
        Ok(()) => say::line("the release is noted and will be done when the daemon is back"),
        Err(error) => by_hand(instance, &format!("{}: {error}", shown(&directory))),
    }
}

fn by_hand(instance: InstanceId, why: &str) {
    say::line(&format!(
        "the release could not be noted ({why}): when the daemon is back, run `volward detach \
         {instance}`"
    ));
}

/// Whole or not at all, also after a power cut. A later release of the same instance covers an
/// earlier one and takes its place.
fn write_durably(
    directory: &Path,
    instance: InstanceId,
    request: &DetachRequest,
) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let unfinished = directory.join(format!(".{instance}.{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    let written = file
        .write_all(&serde_json::to_vec(request)?)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, directory.join(format!("{instance}.json"))));
    if written.is_err() {
        // The first error counts; the leftover is no entry.
        drop(fs::remove_file(&unfinished));
    }
    written?;
    fs::File::open(directory)?.sync_all()
}
