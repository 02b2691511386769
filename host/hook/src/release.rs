//! After the guest: what it had is detached, now or when the daemon is back.
//!
//! libvirt ignores what becomes of a release, so it never fails; what goes wrong is said on
//! stderr, which libvirt logs.

use std::io;
use std::time::Duration;

use volward_api::model::InstanceId;
use volward_api::model::handover::{FileVersion, LaterFile, MarkFile, ReleaseFile, StartPoint};
use volward_api::{Client, ClientError, DetachRequest, ProblemCode, StartMark};
use volward_folder::Folder;

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
    /// The start that the release is for.
    Known(StartPoint),
    /// There is one, and it cannot be used.
    Unreadable(String),
}

/// `release`: always lets libvirt go on.
pub(crate) fn detach(call: &Call, guest: &Guest, place: &Place) -> bool {
    let Some(instance) = guest.instance else {
        if !guest.is_named {
            say::line(&format!(
                "there is no domain XML on stdin, so nobody knows which disks guest {} had: if it had \
                 managed ones, `volward detach UUID`",
                call.guest
            ));
        }
        return true;
    };
    let mark = read_mark(place, instance);
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
            Mark::Known(start) => Some(StartMark {
                boot_id: start.boot_id.clone(),
                sequence: start.sequence,
            }),
            _ => None,
        },
        only_unused: false,
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
            Mark::Known(start) => spool(&ReleaseFile::new(instance, Some(start)), place),
            // Whatever was begun has a mark: this is the release after a refused prepare.
            Mark::None => {}
            // Without a mark a later start's disks could be taken for this one's.
            Mark::Unreadable(why) => by_hand(instance, &why),
        }
    }
    true
}

/// Other requests kept the daemon from beginning it.
const BUSY: &str = "busy";

/// Whether the daemon does not know, or has forgotten, that the guest is gone. What it refuses, has
/// quarantined or tries again it remembers itself.
fn worth_spooling(error: &ClientError) -> bool {
    error.problem().is_none_or(|problem| {
        let busy = problem.kind == ProblemCode::Refused && problem.code == BUSY;
        problem.kind == ProblemCode::Internal || busy
    })
}

fn read_mark(place: &Place, instance: InstanceId) -> Mark {
    let name = instance.to_string();
    let path = shown(&place.marks().join(&name));
    let text = match place.open_marks().and_then(|marks| marks.dir().read(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Mark::None,
        Err(error) => return Mark::Unreadable(format!("{path}: {error}")),
    };
    match understood(&text) {
        Ok(mark) => Mark::Known(mark.start()),
        Err(error) => Mark::Unreadable(format!("{path}: {error}")),
    }
}

fn understood(text: &[u8]) -> Result<MarkFile, Box<dyn std::error::Error>> {
    serde_json::from_slice::<FileVersion>(text)?.known()?;
    Ok(serde_json::from_slice(text)?)
}

fn spool(release: &ReleaseFile, place: &Place) {
    let written = place
        .make_spool()
        .and_then(|folder| write_durably(&folder, release));
    match written {
        Ok(()) => say::line("the release is noted and will be done when the daemon is back"),
        Err(error) => by_hand(
            release.instance,
            &format!("{}: {error}", shown(&place.spool())),
        ),
    }
}

fn by_hand(instance: InstanceId, why: &str) {
    say::line(&format!(
        "the release could not be noted ({why}): when the daemon is back, run `volward detach \
         {instance}`"
    ));
}

/// Whole or not at all, also after a power cut. A later release of the same instance covers an
/// earlier one and takes its place, unless a later version wrote that.
fn write_durably(folder: &Folder, release: &ReleaseFile) -> io::Result<()> {
    let instance = release.instance;
    let name = format!("{instance}.json");
    later(folder, &name).map_err(io::Error::other)?;
    let unfinished = format!(".{instance}.{}", std::process::id());
    let text = serde_json::to_vec(release)?;
    let written = folder.replace(&name, &unfinished, &text, 0o600);
    if written.is_err() {
        // The first error counts; the leftover is no entry.
        drop(folder.dir().remove_file(&unfinished));
    }
    written?;
    folder.sync()
}

/// Whether what is there was written by a later version of Volward; what cannot be read was not.
pub(crate) fn later(folder: &Folder, name: &str) -> Result<(), LaterFile> {
    let text = folder.dir().read(name).unwrap_or_default();
    let version: FileVersion = serde_json::from_slice(&text).unwrap_or_default();
    version.known()
}
