//! Before the guest starts: all its managed disks are attached, or it does not start.

use std::time::Duration;

use volward_api::model::{Access, PoolName, Purpose};
use volward_api::{
    AttachReply, AttachRequest, Client, ClientError, DiskPath, DiskRequest, ProblemCode,
};

use crate::arrival::Arrival;
use crate::input::Guest;
use crate::operation::Call;
use crate::place::Place;
use crate::{arrival, chain, refusal, say};

/// Longer than an attach with retries at slow storage (sanlock's shared lease is retried for some
/// seconds, and three rounds are possible), shorter than the patience of who waits at virsh.
const DEADLINE: Duration = Duration::from_secs(60);
/// The pools are asked for where a guest names an LV by its UUID, which may be none of ours.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many of what is wrong with a guest's XML are said: one in each of its elements may be.
const MOST_TROUBLES: usize = 16;

/// `prepare`: whether the guest may start.
pub(crate) fn attach(call: &Call, mut guest: Guest, pools: &[PoolName], place: &Place) -> bool {
    find_by_uuid(&mut guest, place);
    if guest.managed.is_empty() {
        return true;
    }
    // Good once, also where this call comes to nothing.
    let arrival = guest
        .instance
        .and_then(|instance| arrival::take(place, instance));
    let (purpose, what) = match arrival {
        Some(Arrival::Migrates) => (Purpose::MigrationIn, "taken over from its node"),
        Some(Arrival::Restored) => (Purpose::Restore, "started"),
        None => (Purpose::Boot, "started"),
    };
    let outcome = format!("guest {} was not {what}", call.guest);
    // Also of XML that does not say whose it is.
    let can_be = complain(&guest, &outcome);
    let Some(instance) = guest.instance else {
        return false;
    };
    refusal::forget(place, instance);
    if !can_be {
        refusal::note(place, instance);
        return false;
    }
    let request = AttachRequest {
        instance,
        instance_name: call.guest.clone(),
        purpose,
        hints: guest.hints.clone(),
        disks: guest.managed.disks.clone(),
        dry_run: false,
        // libvirt releases a guest that it did not start, and asks nobody whether we still wait.
        only_while_waiting: true,
    };
    match Client::new(place.socket(), DEADLINE).attach(&request) {
        Ok(reply) => {
            for note in &reply.notes {
                say::line(note);
            }
            // libvirt releases a guest that it does not start, so what is attached now is detached.
            let troubles = [
                narrowed(&request, &reply),
                chain::unnamed(&guest, pools, place),
            ]
            .concat();
            for trouble in &troubles {
                say::line(&format!("{outcome}: {trouble}"));
            }
            troubles.is_empty()
        }
        Err(error) => {
            say::failure(&outcome, &error);
            if nothing_is_left(&error) {
                refusal::note(place, instance);
            }
            false
        }
    }
}

/// Whether it is sure that this start has nothing: it was never asked for, or it was taken back.
fn nothing_is_left(error: &ClientError) -> bool {
    match error {
        ClientError::NoDaemon { .. } | ClientError::NotAllowed { .. } => true,
        ClientError::TimedOut { .. } | ClientError::Protocol { .. } => false,
        // Of a kind that a later daemon has added nobody knows here.
        ClientError::Problem(problem) => !matches!(
            problem.kind.known(),
            None | Some(ProblemCode::Quarantined | ProblemCode::Internal)
        ),
    }
}

/// `migrate` and `restore`: whether the XML is one that `prepare`, which follows, could attach.
/// libvirt reads a changed XML from stdout here, and takes an empty output for "unchanged". That it
/// migrates `prepare` is not told, so that is noted.
pub(crate) fn check(call: &Call, mut guest: Guest, place: &Place) -> bool {
    find_by_uuid(&mut guest, place);
    let what = match call.operation.as_str() {
        "migrate" => {
            let here = here_already(&guest, place);
            guest.managed.troubles.extend(here);
            "taken over from its node"
        }
        _ => "restored",
    };
    let can_be = complain(&guest, &format!("guest {} was not {what}", call.guest));
    let how = match call.operation.as_str() {
        "migrate" => Arrival::Migrates,
        _ => Arrival::Restored,
    };
    if let (true, false, Some(instance)) = (can_be, guest.managed.is_empty(), guest.instance) {
        arrival::note(place, how, instance);
    }
    can_be
}

/// Of a guest that is to come: its disks that are here. That they are not is what libvirt goes by where it is to copy disks too
/// (`--copy-storage-all`): it looks for them between this call and `prepare`, and ends a migration whose disks it cannot make.
/// One that it found it would copy onto itself, over what the guest writes meanwhile.
#[expect(
    clippy::disallowed_methods,
    reason = "a link of the daemon's in /dev, looked at and not opened"
)]
fn here_already(guest: &Guest, place: &Place) -> Vec<String> {
    let Some(instance) = guest.instance else {
        return Vec::new();
    };
    let own = guest.managed.disks.iter();
    let own = own.filter(|disk| disk.path == DiskPath::Own);
    let here = own.filter(|disk| {
        let path = format!("/dev/volward/{instance}/{}/{}", disk.pool, disk.volume);
        place.path(&path).symlink_metadata().is_ok()
    });
    here.map(|disk| {
        format!(
            "{}/{} is attached to it on this node already, by a migration that has not come to its end: see that the \
             guest does not run here (`virsh domstate`), run `volward detach {instance}` here, and migrate again",
            disk.pool, disk.volume
        )
    })
    .collect()
}

/// libvirt passes the guest's own wish to write on to qemu, which does not start where the device
/// cannot be written to: a grant of less is of no use to it, whatever the metadata accepts.
fn narrowed(request: &AttachRequest, reply: &AttachReply) -> Vec<String> {
    let granted = |disk: &DiskRequest| {
        let found = reply
            .attached
            .iter()
            .find(|a| (&a.pool, &a.volume) == (&disk.pool, &disk.volume));
        found.and_then(|attached| attached.access.known())
    };
    let less = request
        .disks
        .iter()
        .filter(|disk| disk.access == Access::ReadWrite && granted(disk) == Some(Access::ReadOnly));
    less.map(|disk| {
        format!(
            "{}/{} was granted read-only, and qemu starts no guest with a disk that it is to write \
             to then: write <readonly/> in the disk, or take accept-narrowing away to be refused",
            disk.pool, disk.volume
        )
    })
    .collect()
}

/// The daemon knows whose a UUID is. It is asked for nothing else, so without it such a path stays
/// what it is: one that leads nowhere.
fn find_by_uuid(guest: &mut Guest, place: &Place) {
    if guest.managed.by_uuid.is_empty() {
        return;
    }
    let Ok(pools) = Client::new(place.socket(), PATIENCE).pools() else {
        return;
    };
    for (path, vg) in &guest.managed.by_uuid {
        let is_it = |uuid: &String| uuid.replace('-', "") == *vg;
        if let Some(pool) = pools
            .iter()
            .find(|pool| pool.vg_uuid.as_ref().is_some_and(is_it))
        {
            let name = &pool.name;
            guest.managed.troubles.push(format!(
                "{path} is another name of a volume of pool {name}: write \
                 /dev/volward/<instance UUID>/{name}/<volume> or /dev/{name}/<volume>"
            ));
        }
    }
}

/// Tells the troubles; true if there are none.
fn complain(guest: &Guest, outcome: &str) -> bool {
    let troubles = &guest.managed.troubles;
    for trouble in troubles.iter().take(MOST_TROUBLES) {
        say::line(&format!("{outcome}: {trouble}"));
    }
    if let more @ 1.. = troubles.len().saturating_sub(MOST_TROUBLES) {
        say::line(&format!("and {more} more"));
    }
    guest.managed.troubles.is_empty()
}
