//! Detach: from the protocol to `control` and back.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use volward_api::{DetachReply, DetachRequest, Detached, TryingAgain};
use volward_control::{Node, NotAfter};
use volward_model::{Origin, PoolName, RequestId, VolumeName};

use super::Peer;
use super::handler::{Shared, blocking};
use super::patience::Patience;
use super::places;
use super::problem::Failure;
use super::views;
use crate::wiring::Daemon;

pub(super) async fn detach(
    State(daemon): State<Shared>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    patience: Patience,
    Json(body): Json<DetachRequest>,
) -> Result<Json<DetachReply>, Failure> {
    let caller = peer.caller(&daemon.config.api)?;
    let asked = (caller.origin == Origin::Operator && !body.only_unused)
        .then(|| (body.instance, body.volumes.clone()));
    let background = Shared::clone(&daemon);
    let place = daemon
        .places
        .in_pools(&pools_of(&daemon, &body), patience)
        .await?;
    let work = blocking(move || {
        let ask = volward_control::DetachRequest {
            request: RequestId(uuid::Uuid::new_v4()),
            origin: caller.origin,
            caller_uid: caller.uid,
            instance: body.instance,
            volumes: body.volumes,
            not_after: body.not_after.map(|start| NotAfter {
                boot_id: start.boot_id,
                sequence: start.sequence,
            }),
            only_unused: body.only_unused,
            dry_run: body.dry_run,
        };
        tracing::info!(
            request = %ask.request, instance = %ask.instance, uid = ask.caller_uid,
            origin = ?ask.origin, only_unused = ask.only_unused, "detach"
        );
        let done = daemon.node.detach(&ask);
        let done =
            done.inspect_err(|error| tracing::warn!(request = %ask.request, %error, "detach"))?;
        let detached = done
            .detached
            .into_iter()
            .map(|(volume, writing_back)| Detached {
                pool: volume.pool,
                volume: volume.name,
                writing_back,
            });
        let trying_again = done
            .trying_again
            .into_iter()
            .map(|(volume, cause)| TryingAgain {
                pool: volume.pool,
                volume: volume.name,
                cause,
            });
        let in_use = done.in_use.into_iter().map(|v| (v.pool, v.name));
        Ok(DetachReply {
            detached: detached.collect(),
            trying_again: trying_again.collect(),
            in_use: in_use.collect(),
            notes: Vec::new(),
            plan: done.plan,
        })
    });
    let Json(mut reply) = places::within(place, work).await?;
    // Programs and hooks ask again and again, and know what they do.
    if let Some((instance, named)) = asked
        && let Some(missed) = missed(&reply, named)
    {
        let look = move |node: &Node| node.not_here(instance, &missed);
        let notes = views::seen(&background, look).await;
        reply.notes = notes.unwrap_or_else(|| vec![NOT_ANSWERED.to_owned()]);
    }
    Ok(Json(reply))
}

/// The disks of the pools have not answered at once.
const NOT_ANSWERED: &str = "whether another node has it is not known: the pools do not answer at once; `volward ls \
                            --all` waits for them";

/// The volumes that were named and not found, none where everything the instance has was meant; `None` where nothing is
/// missed.
fn missed(
    reply: &DetachReply,
    named: Vec<(PoolName, VolumeName)>,
) -> Option<Vec<(PoolName, VolumeName)>> {
    let detached = reply.detached.iter().map(|d| (&d.pool, &d.volume));
    let trying = reply.trying_again.iter().map(|d| (&d.pool, &d.volume));
    let done: Vec<(&PoolName, &VolumeName)> = detached.chain(trying).collect();
    // A volume may be named otherwise than it was when it was attached: then the number tells.
    if !reply.plan.is_empty() || (!done.is_empty() && done.len() >= named.len()) {
        return None;
    }
    let missed = named
        .into_iter()
        .filter(|(pool, name)| !done.contains(&(pool, name)));
    Some(missed.collect())
}

/// The pools whose volumes a detach is about, as far as this node knows.
fn pools_of(daemon: &Daemon, body: &DetachRequest) -> BTreeSet<PoolName> {
    match body.volumes.is_empty() {
        true => daemon.node.pools_of(body.instance),
        false => body.volumes.iter().map(|(pool, _)| pool.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<(PoolName, VolumeName)> {
        let named = |name: &&str| ("vg0".parse().unwrap(), name.parse().unwrap());
        names.iter().map(named).collect()
    }

    fn reply(detached: &[&str], trying: &[&str], plan: &[&str]) -> DetachReply {
        let detached = named(detached).into_iter().map(|(pool, volume)| Detached {
            pool,
            volume,
            writing_back: false,
        });
        let trying_again = named(trying).into_iter().map(|(pool, volume)| TryingAgain {
            pool,
            volume,
            cause: "a test's".to_owned(),
        });
        DetachReply {
            detached: detached.collect(),
            trying_again: trying_again.collect(),
            in_use: Vec::new(),
            notes: Vec::new(),
            plan: plan.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_was_named_and_is_not_here_is_missed_and_nothing_else() {
        let missed = |reply: DetachReply, names: &[&str]| missed(&reply, named(names));
        assert_eq!(missed(reply(&["a"], &["b"], &[]), &["a", "b"]), None);
        assert_eq!(
            missed(reply(&["a"], &[], &[]), &["a", "b"]),
            Some(named(&["b"]))
        );
        // Everything the instance has was meant, and it has nothing here.
        assert_eq!(missed(reply(&[], &[], &[]), &[]), Some(Vec::new()));
        assert_eq!(missed(reply(&["a"], &[], &[]), &[]), None);
        // Attached under a name of before: one was named, and one was detached.
        assert_eq!(missed(reply(&["a"], &[], &[]), &["renamed"]), None);
        // What would be done is no answer about what was not found.
        assert_eq!(missed(reply(&[], &[], &["a step"]), &["b"]), None);
    }
}
