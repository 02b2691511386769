//! Before the guest starts: all its managed disks are attached, or it does not start.

use std::time::Duration;

use volward_api::model::Purpose;
use volward_api::{AttachRequest, Client, ClientError, ProblemCode};

use crate::input::Guest;
use crate::operation::Call;
use crate::place::Place;
use crate::{refusal, say};

/// Longer than an attach with retries at slow storage (sanlock's shared lease is retried for some
/// seconds, and three rounds are possible), shorter than the patience of who waits at virsh.
const DEADLINE: Duration = Duration::from_secs(60);

/// `prepare`: whether the guest may start.
pub(crate) fn attach(call: &Call, guest: &Guest, place: &Place) -> bool {
    if guest.managed.is_empty() {
        return true;
    }
    let outcome = format!("guest {} was not started", call.guest);
    // Also of XML that does not say whose it is.
    let can_be = complain(guest, &outcome);
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
        purpose: Purpose::Boot,
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
            true
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
/// libvirt reads a changed XML from stdout here, and takes an empty output for "unchanged".
pub(crate) fn check(call: &Call, guest: &Guest) -> bool {
    let what = match call.operation.as_str() {
        "migrate" => "taken over from its node",
        _ => "restored",
    };
    complain(guest, &format!("guest {} was not {what}", call.guest))
}

/// Tells the troubles; true if there are none.
fn complain(guest: &Guest, outcome: &str) -> bool {
    for trouble in &guest.managed.troubles {
        say::line(&format!("{outcome}: {trouble}"));
    }
    guest.managed.troubles.is_empty()
}
