//! What one side has and the other does not know of. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use volward_api::{AttachmentView, ClusterReply, PoolView};

use super::lists::{CinderVolume, Lists};

/// Something that is on one side only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Ghost {
    /// Who has it.
    pub(crate) side: Side,
    /// Cinder's id of the volume.
    pub(crate) cinder: String,
    /// Pool and name, where the pools have it.
    pub(crate) volume: Option<String>,
    /// The instance, of an attachment.
    pub(crate) instance: Option<String>,
    /// The node that has it attached.
    pub(crate) node: Option<String>,
    /// What is wrong, a sentence.
    pub(crate) why: String,
}

/// Who has what the other one does not know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    Volward,
    Cinder,
}

/// What the comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// In the order of the volumes.
    pub(crate) ghosts: Vec<Ghost>,
    /// Volumes that both have.
    pub(crate) volumes: usize,
    /// Attachments that both have.
    pub(crate) attachments: usize,
    /// Volumes of Cinder's list that are in none of the pools.
    pub(crate) others_of_cinder: usize,
    /// Attachments of volumes that Cinder does not have.
    pub(crate) others_here: usize,
    /// What of the cluster cannot be read, a sentence each: what is missing may be there.
    pub(crate) unreadable: Vec<String>,
}

/// How Cinder's driver names its volumes; a volume that was managed keeps its own name.
const PREFIX: &str = "volume-";
/// States of a server in which no guest runs: libvirt's hook has given its volumes back.
const AT_REST: [&str; 6] = [
    "SHUTOFF",
    "SHELVED",
    "SHELVED_OFFLOADED",
    "DELETED",
    "SOFT_DELETED",
    "ERROR",
];
/// States of a volume in which a service of OpenStack's reads or writes it, without a server.
const SERVED: [&str; 8] = [
    "downloading",
    "uploading",
    "backing-up",
    "restoring-backup",
    "maintenance",
    "migrating",
    "retyping",
    "reimaging",
];

/// A volume of the pools that is Cinder's.
struct Known<'a> {
    path: String,
    id: &'a str,
}

/// Compares.
pub(crate) fn compare(pools: &[PoolView], cluster: &ClusterReply, lists: &Lists) -> Audit {
    let mut unreadable = cluster.unreadable.clone();
    let troubles = pools
        .iter()
        .filter_map(|pool| Some((&pool.name, pool.trouble.as_ref()?)));
    unreadable.extend(troubles.map(|(name, trouble)| format!("pool {name}: {trouble}")));
    let mut audit = Audit {
        unreadable,
        ..Audit::default()
    };
    let known = known(pools, lists);
    let mut ours: BTreeMap<&str, Vec<&AttachmentView>> = BTreeMap::new();
    for view in &cluster.attachments {
        let path = format!("{}/{}", view.pool, view.volume);
        match known.iter().find(|(_, known)| known.path == path) {
            Some((cinder, _)) => ours.entry(cinder).or_default().push(view),
            None => audit.others_here += 1,
        }
    }
    for (cinder, volume) in &lists.volumes {
        match known.get(cinder.as_str()) {
            Some(found) => {
                audit.volumes += 1;
                let here = ours.remove(cinder.as_str()).unwrap_or_default();
                attachments(&mut audit, (cinder, volume, found), &here, lists);
            }
            None => without_lv(&mut audit, cinder, volume, pools),
        }
    }
    without_cinder(&mut audit, pools, &known, lists);
    audit.ghosts.sort();
    audit
}

/// By Cinder's ids; by the LV's UUID where Cinder tells it, else by the name that its driver gives.
fn known<'a>(pools: &'a [PoolView], lists: &'a Lists) -> BTreeMap<&'a str, Known<'a>> {
    let all = pools
        .iter()
        .flat_map(|pool| pool.volumes.iter().map(move |volume| (pool, volume)));
    let all: Vec<_> = all.collect();
    let mut known = BTreeMap::new();
    for (cinder, volume) in &lists.volumes {
        let found = all.iter().find(|(_, view)| match &volume.provider_id {
            Some(id) => view.id == *id,
            None => view.name.strip_prefix(PREFIX) == Some(cinder),
        });
        if let Some((pool, view)) = found {
            let path = format!("{}/{}", pool.name, view.name);
            known.insert(cinder.as_str(), Known { path, id: &view.id });
        }
    }
    known
}

fn attachments(
    audit: &mut Audit,
    (cinder, volume, known): (&str, &CinderVolume, &Known<'_>),
    here: &[&AttachmentView],
    lists: &Lists,
) {
    let ghost = |side, instance: Option<&str>, node: Option<&str>, why: String| Ghost {
        side,
        cinder: cinder.to_owned(),
        volume: Some(known.path.clone()),
        instance: instance.map(str::to_owned),
        node: node.map(str::to_owned),
        why,
    };
    let servers = volume
        .attachments
        .iter()
        .filter_map(|a| a.server.as_deref());
    let servers: BTreeSet<&str> = servers.collect();
    let nameless = volume
        .attachments
        .iter()
        .filter(|a| a.server.is_none())
        .count();
    // Whoever reads or writes it for Cinder has an id that no server has.
    let mut services = nameless.max(usize::from(SERVED.contains(&volume.status.as_str())));
    for view in here {
        if servers.contains(view.instance.as_str()) {
            audit.attachments += 1;
        } else if services > 0 {
            services -= 1;
            audit.attachments += 1;
        } else {
            let why = match servers.is_empty() {
                true => format!("Cinder has it {}, and attached to nobody", status(volume)),
                false => format!("Cinder has it attached to {}", join(&servers)),
            };
            let state = &view.state;
            let why = format!("{state} since {}; {why}", crate::time::utc(view.since_ms));
            audit.ghosts.push(ghost(
                Side::Volward,
                Some(&view.instance),
                Some(&view.node),
                why,
            ));
        }
    }
    let has = |server: &str| here.iter().any(|view| view.instance == server);
    let attached = volume.attachments.iter().filter(|a| a.is_attached());
    for server in attached.filter_map(|a| a.server.as_deref()) {
        let state = lists.servers.get(server).map(String::as_str);
        if has(server) || state.is_some_and(|state| AT_REST.contains(&state)) {
            continue;
        }
        let why = match state {
            Some(state) => format!("no node has it for that server, which is {state}"),
            None if lists.servers.is_empty() => {
                "no node has it for that server, which is right if it is shut \
                                                 off (give nova's list of servers too)"
                    .to_owned()
            }
            None => "no node has it for that server, which nova's list does not have".to_owned(),
        };
        audit
            .ghosts
            .push(ghost(Side::Cinder, Some(server), None, why));
    }
}

/// A volume of Cinder's that no pool has: another backend's, unless Cinder says that it is in a pool of ours.
fn without_lv(audit: &mut Audit, cinder: &str, volume: &CinderVolume, pools: &[PoolView]) {
    let readable = |pool: &&PoolView| pool.trouble.is_none();
    let of_ours = volume.pool.as_ref().filter(|named| {
        let mut ours = pools.iter().filter(readable);
        ours.any(|pool| pool.name == **named)
    });
    // It is being made, or was never made.
    let not_made = ["creating", "error", "deleting"].contains(&volume.status.as_str());
    match of_ours {
        Some(pool) if !not_made => audit.ghosts.push(Ghost {
            side: Side::Cinder,
            cinder: cinder.to_owned(),
            volume: None,
            instance: None,
            node: None,
            why: format!(
                "Cinder has it {} in pool {pool}, which has no such volume",
                status(volume)
            ),
        }),
        _ => audit.others_of_cinder += 1,
    }
}

/// Volumes with the name that Cinder's driver gives, and of which Cinder's list knows nothing.
fn without_cinder(
    audit: &mut Audit,
    pools: &[PoolView],
    known: &BTreeMap<&str, Known<'_>>,
    lists: &Lists,
) {
    let ids: BTreeSet<&str> = known.values().map(|known| known.id).collect();
    for pool in pools {
        for view in pool
            .volumes
            .iter()
            .filter(|view| !ids.contains(view.id.as_str()))
        {
            let Some(cinder) = view.name.strip_prefix(PREFIX).filter(|id| is_uuid(id)) else {
                continue;
            };
            let why = match lists.volumes.get(cinder) {
                Some(_) => "Cinder has another volume under that id".to_owned(),
                None => "Cinder's list has no such volume".to_owned(),
            };
            audit.ghosts.push(Ghost {
                side: Side::Volward,
                cinder: cinder.to_owned(),
                volume: Some(format!("{}/{}", pool.name, view.name)),
                instance: None,
                node: None,
                why,
            });
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    parts == [8, 4, 4, 4, 12] && digits
}

fn status(volume: &CinderVolume) -> &str {
    match volume.status.as_str() {
        "" => "in a state that the list does not tell",
        status => status,
    }
}

fn join(servers: &BTreeSet<&str>) -> String {
    let all: Vec<&str> = servers.iter().copied().collect();
    all.join(", ")
}

#[cfg(test)]
mod tests;
