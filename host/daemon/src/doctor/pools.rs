//! Pools: their devices files, lockspaces and slots.

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::{PortError, PortResult, Unmet};
use volward_model::{PoolInfo, PoolName, RegistryLayout};
use volward_storage::lvm::SeenDisks;

use super::{bad, disks, fine, groups, refusing};
use crate::config::{PoolKind, PoolSection, Provider};
use crate::wiring::Daemon;

pub(super) fn examine(daemon: &Daemon, pool: &PoolSection) -> Vec<DoctorCheck> {
    // Through the devices file: what it does not list LVM does not see.
    let info = daemon.node.pool_info(&pool.name);
    let seen = daemon.lvm.disks(&pool.name);
    let (path, text) = daemon.lvm.devices_file(&pool.devices_file());
    let listed = disks::devices_file((&path, text), &pool.name, info.as_ref().ok(), &seen);
    let metadata = disks::metadata(&pool.name, &seen);
    let state = match pool.kind {
        PoolKind::Shared => shared_pool(daemon, &pool.name, (info, &seen)),
        PoolKind::Local => local_pool(daemon, &pool.name, (info, &seen)),
    };
    let provider = pool
        .provider()
        .map(|who| provider(&pool.name, who, pool.provider.is_some()));
    let checks = [listed, state].into_iter();
    checks.chain(metadata).chain(provider).collect()
}

/// A pool, and its disks, as far as they could be read.
type Read<'a> = (PortResult<PoolInfo>, &'a PortResult<SeenDisks>);

/// Who serves a shared pool's leases, and why: `named`, whether volward.toml says so.
fn provider(pool: &PoolName, provider: Provider, named: bool) -> DoctorCheck {
    let what = match provider {
        Provider::Direct => {
            "direct: leases are taken by volwardd itself; the registry's, and those of volumes that are neither \
             linear nor striped, through lvmlockd"
        }
        Provider::Lvmlockd => "lvmlockd: leases are taken by LVM's commands",
    };
    let why = match named {
        true => "volward.toml says so",
        false => "the default",
    };
    fine(&format!("provider of {pool}"), format!("{what} ({why})"))
}

fn shared_pool(daemon: &Daemon, pool: &PoolName, (info, disks): Read) -> DoctorCheck {
    let check = format!("pool {pool}");
    let info = match info {
        Ok(info) => info,
        Err(error) => {
            let found = groups::look(daemon, pool);
            return groups::unreadable(&check, pool, PoolKind::Shared, &error, &found);
        }
    };
    if !info.is_shared() {
        let remedy = "say kind = \"local\" in its [[pool]] section if it is on this node's own disks; a \
                      group for a LUN is made anew with `vgcreate --shared`";
        let found = format!("{}, where a pool is shared by sanlock", info.kind);
        return refusing(bad(&check, DoctorVerdict::Failed, found, remedy));
    }
    match daemon.node.pool_snapshot(pool) {
        Err(error) => unseen(&check, pool, &error),
        Ok(snapshot) => {
            let settings = daemon.node.settings();
            let trouble = snapshot.slot_troubles().into_iter().next();
            let seen = SeenPool {
                host_id: snapshot.own.host_id,
                nodes: snapshot.members.len(),
                incomplete: info
                    .partial
                    .then(|| disks::incomplete(&check, &info, disks)),
                older: daemon.node.older(pool),
                impostor: snapshot.impostors(&settings.node).into_iter().next(),
                unreadable: snapshot.unreadable().into_iter().next(),
                newer: snapshot.newer(None).into_iter().next(),
                registry: daemon.node.registry_layout(pool).ok(),
                slot: trouble.map(|s| format!("the slot of host-id {} {}", s.host_id, s.trouble)),
            };
            seen_pool(pool, seen)
        }
    }
}

/// A shared pool that cannot be used on this node.
fn unseen(check: &str, pool: &PoolName, error: &PortError) -> DoctorCheck {
    let (found, remedy) = match error {
        PortError::Unmet(Unmet::NotJoined {
            taken: Some(taken), ..
        }) => (
            format!("this node has not joined the lockspace: {taken}"),
            taken.remedy(pool),
        ),
        _ => (
            error.to_string(),
            format!("vgchange --lock-start {pool}; then, once per pool, volward pool init {pool}"),
        ),
    };
    refusing(bad(check, DoctorVerdict::Failed, found, remedy))
}

/// A shared pool that is joined.
struct SeenPool {
    host_id: u64,
    nodes: usize,
    /// What is to be said where a physical volume is missing.
    incomplete: Option<DoctorCheck>,
    /// What is on its disks is older than what this node wrote there, in a sentence.
    older: Option<String>,
    /// Another node has this node's name or place, in a sentence.
    impostor: Option<String>,
    /// A slot of a node that may be alive cannot be read, in a sentence.
    unreadable: Option<String>,
    /// A node that may be alive has a slot of a newer version, in a sentence.
    newer: Option<String>,
    /// How the registry is laid out, where it could be asked.
    registry: Option<RegistryLayout>,
    /// The first trouble with a slot, in a sentence.
    slot: Option<String>,
}

fn seen_pool(pool: &PoolName, seen: SeenPool) -> DoctorCheck {
    let check = &format!("pool {pool}");
    if let Some(older) = seen.older {
        let found = format!(
            "older on its disks than this node left it: {older}; attaches and operations are refused, what is attached goes on"
        );
        let remedy = format!(
            "find out which LUN this is: where it was replaced by an earlier snapshot or replica of itself, what was written \
             since is not on it. Put the right one back and restart volwardd; or, to go on with this one, volward pool init \
             {pool} --accept-older, on each node that says so"
        );
        return refusing(bad(check, DoctorVerdict::Failed, found, remedy));
    }
    if let Some(impostor) = seen.impostor {
        let found = format!("{impostor}; attaches in this pool are refused on both until then");
        let remedy = "correct the node that is wrong, and restart volwardd there";
        return refusing(bad(check, DoctorVerdict::Failed, found, remedy));
    }
    if let Some(trouble) = seen.unreadable {
        let found = format!("{trouble}; attaches in this pool are refused until then");
        let remedy = "restart volwardd on that node; if it is gone, stop it for good, so that \
                      sanlock counts it dead";
        return refusing(bad(check, DoctorVerdict::Failed, found, remedy));
    }
    if let Some(newer) = seen.newer {
        let found = format!("{newer}; the volumes it has are refused here until then");
        let remedy = "install on this node the version that runs on that one";
        return bad(check, DoctorVerdict::Warning, found, remedy);
    }
    if let Some(trouble) = seen.slot {
        let remedy = "restart volwardd on that node";
        return bad(check, DoctorVerdict::Warning, trouble, remedy);
    }
    if let Some(incomplete) = seen.incomplete {
        return incomplete;
    }
    let joined = format!("joined as host-id {}, {} node(s)", seen.host_id, seen.nodes);
    match seen.registry {
        Some(layout) if layout.format == 1 => bad(
            check,
            DoctorVerdict::Warning,
            format!(
                "{joined}; the registry has the layout of 0.1.0: host-ids 1 to {}, some 250 \
                 attachments a node",
                layout.places
            ),
            "when every node runs this version: stop volwardd and volward-registry on all but one, \
             volward pool init there, start them again",
        ),
        _ => fine(check, joined),
    }
}

fn local_pool(daemon: &Daemon, pool: &PoolName, (info, disks): Read) -> DoctorCheck {
    let check = format!("local pool {pool}");
    match info {
        Ok(info) if info.is_shared() => bad(
            &check,
            DoctorVerdict::Failed,
            "it is a shared volume group",
            "take it out of the configuration, or say kind = \"shared\"",
        ),
        Ok(info) if info.partial => disks::incomplete(&check, &info, disks),
        Ok(info) => fine(&check, format!("{} of {} free", info.free, info.size)),
        Err(error) => {
            let found = groups::look(daemon, pool);
            groups::unreadable(&check, pool, PoolKind::Local, &error, &found)
        }
    }
}

#[cfg(test)]
mod tests {
    use volward_model::Bytes;
    use volward_plan::HostIdTaken;

    use super::*;

    fn vg0() -> PoolName {
        "vg0".parse().unwrap()
    }

    #[test]
    fn a_pool_that_is_older_on_its_disks_refuses_and_both_ways_out_are_said() {
        let seen = SeenPool {
            host_id: 1,
            nodes: 2,
            incomplete: None,
            older: Some("this node's place was written 3 times, and 9 times before".to_owned()),
            impostor: Some("the node with host-id 2 is called n1 too".to_owned()),
            unreadable: None,
            newer: None,
            registry: None,
            slot: None,
        };
        let check = seen_pool(&vg0(), seen);
        assert!(check.refuses_read_write, "{check:?}");
        assert!(check.found.contains("written 3 times"), "{check:?}");
        let remedy = check.remedy.unwrap();
        assert!(remedy.contains("right one back"), "{remedy}");
        assert!(
            remedy.contains("volward pool init vg0 --accept-older"),
            "{remedy}"
        );
    }

    /// Its attaches are refused with `slot-unreadable`.
    #[test]
    fn the_broken_slot_of_a_node_that_may_be_alive_refuses_read_write_and_a_dead_ones_does_not() {
        let slot = "the slot of host-id 2 cannot be read";
        let seen = |unreadable: Option<&str>| SeenPool {
            host_id: 1,
            nodes: 2,
            incomplete: None,
            older: None,
            impostor: None,
            unreadable: unreadable.map(str::to_owned),
            newer: None,
            registry: None,
            slot: Some(slot.to_owned()),
        };
        let alive = seen_pool(&vg0(), seen(Some("... and that node may be alive")));
        assert_eq!(alive.verdict, DoctorVerdict::Failed);
        assert!(alive.refuses_read_write, "{alive:?}");
        let dead = seen_pool(&vg0(), seen(None));
        assert_eq!(
            (&dead.verdict, dead.found.as_str()),
            (&DoctorVerdict::Warning.into(), slot)
        );
        assert!(!dead.refuses_read_write, "{dead:?}");
    }

    #[test]
    fn a_node_of_the_same_name_refuses_and_is_named_before_anything_else() {
        let seen = SeenPool {
            host_id: 1,
            nodes: 2,
            incomplete: Some(fine("pool vg0", "incomplete")),
            older: None,
            impostor: Some("the node with host-id 2 is called n1 too".to_owned()),
            unreadable: None,
            newer: None,
            registry: None,
            slot: None,
        };
        let found = seen_pool(&vg0(), seen);
        assert_eq!(found.verdict, DoctorVerdict::Failed);
        assert!(found.refuses_read_write, "{found:?}");
        assert!(found.found.contains("called n1 too"), "{found:?}");
    }

    #[test]
    fn a_host_id_that_another_node_has_is_said_with_its_name_and_what_to_do() {
        let pool: PoolName = "vg0".parse().unwrap();
        let said = |taken| {
            let pool = pool.clone();
            let error = PortError::from(Unmet::NotJoined { pool, taken });
            unseen("pool vg0", &"vg0".parse().unwrap(), &error)
        };
        let plain = said(None);
        assert!(
            plain
                .remedy
                .unwrap()
                .starts_with("vgchange --lock-start vg0")
        );
        for renewed in [true, false] {
            let taken = said(Some(HostIdTaken {
                host_id: 2,
                node: "node1".to_owned(),
                renewed,
            }));
            assert!(taken.refuses_read_write, "{taken:?}");
            assert!(
                taken.found.contains("host-id 2 is that of node node1"),
                "{taken:?}"
            );
            let remedy = taken.remedy.unwrap();
            assert!(remedy.contains("/etc/lvm/lvmlocal.conf"), "{remedy}");
            assert_eq!(remedy.contains("waits"), !renewed, "{remedy}");
        }
    }

    #[test]
    fn who_takes_the_leases_is_said() {
        let pool = "vg0".parse().unwrap();
        let direct = provider(&pool, Provider::Direct, false);
        assert_eq!(direct.name, "provider of vg0");
        assert!(direct.found.starts_with("direct"), "{direct:?}");
        assert!(direct.found.ends_with("(the default)"), "{direct:?}");
        let lvmlockd = provider(&pool, Provider::Lvmlockd, true);
        assert!(lvmlockd.found.starts_with("lvmlockd"), "{lvmlockd:?}");
        assert!(lvmlockd.found.ends_with("says so)"), "{lvmlockd:?}");
    }

    #[test]
    fn a_newer_node_and_a_registry_of_0_1_0_are_said_with_what_to_do() {
        let seen = |newer: Option<&str>, format| SeenPool {
            host_id: 1,
            nodes: 2,
            incomplete: None,
            older: None,
            impostor: None,
            unreadable: None,
            newer: newer.map(str::to_owned),
            registry: Some(RegistryLayout {
                format,
                places: 89,
                place_size: Bytes::kib(64),
            }),
            slot: None,
        };
        let newer = seen_pool(&vg0(), seen(Some("node n2 runs a newer Volward"), 2));
        assert_eq!(newer.verdict, DoctorVerdict::Warning);
        assert!(newer.found.contains("node n2"), "{newer:?}");
        let old = seen_pool(&vg0(), seen(None, 1));
        assert_eq!(old.verdict, DoctorVerdict::Warning);
        assert!(old.found.contains("host-ids 1 to 89"), "{old:?}");
        let remedy = old.remedy.unwrap_or_default();
        assert!(remedy.contains("pool init"), "{remedy}");
        let now = seen_pool(&vg0(), seen(None, 2));
        assert_eq!(now.verdict, DoctorVerdict::Ok);
    }
}
