//! Pools: their devices files, lockspaces and slots.

use std::io;
use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::PortResult;
use volward_model::{PoolInfo, PoolName, RegistryLayout};

use super::{bad, fine, groups, refusing};
use crate::config::{PoolKind, PoolSection, Provider};
use crate::wiring::Daemon;

pub(super) fn examine(daemon: &Daemon, pool: &PoolSection) -> Vec<DoctorCheck> {
    // Through the devices file: what it does not list LVM does not see.
    let info = daemon.node.pool_info(&pool.name);
    let (path, text) = daemon.lvm.devices_file(&pool.devices_file());
    let devices = devices_file(&path, text, &pool.name, info.as_ref().ok());
    let state = match pool.kind {
        PoolKind::Shared => shared_pool(daemon, &pool.name, info),
        PoolKind::Local => local_pool(daemon, &pool.name, info),
    };
    let provider = pool
        .provider()
        .map(|who| provider(&pool.name, who, pool.provider.is_some()));
    [devices, state].into_iter().chain(provider).collect()
}

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

/// `seen`: the pool as LVM finds it on the devices the file lists, if it does.
fn devices_file(
    path: &Path,
    text: io::Result<String>,
    pool: &PoolName,
    seen: Option<&PoolInfo>,
) -> DoctorCheck {
    let check = format!("devices file of {pool}");
    let shown = path.display();
    let failed = |found| {
        let remedy = format!("volward pool init {pool}");
        bad(&check, DoctorVerdict::Failed, found, remedy)
    };
    let text = match text {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return failed(format!("{shown} is missing"));
        }
        Err(error) => return failed(format!("{shown} cannot be read: {error}")),
        Ok(text) => text,
    };
    let listed = match devices_in(&text) {
        0 => return failed(format!("{shown} lists no device")),
        listed => listed,
    };
    if seen.is_some_and(|info| !info.partial) {
        return fine(&check, shown.to_string());
    }
    bad(
        &check,
        DoctorVerdict::Warning,
        format!("{shown} lists {listed} device(s), and LVM does not find all of the pool on them"),
        format!(
            "where a device of the pool is there (lsblk): volward pool init {pool} lists it; where \
             it is not: check the path to it"
        ),
    )
}

/// `IDTYPE=... IDNAME=... DEVNAME=... PVID=...`, a line a device (lvmdevices(8)).
fn devices_in(text: &str) -> usize {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.starts_with("IDTYPE=")).count()
}

fn shared_pool(daemon: &Daemon, pool: &PoolName, info: PortResult<PoolInfo>) -> DoctorCheck {
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
        Err(error) => {
            let remedy = format!(
                "vgchange --lock-start {pool}; then, once per pool, volward pool init {pool}"
            );
            refusing(bad(
                &check,
                DoctorVerdict::Failed,
                error.to_string(),
                remedy,
            ))
        }
        Ok(snapshot) => {
            let settings = daemon.node.settings();
            let trouble = snapshot.slot_troubles().into_iter().next();
            let seen = SeenPool {
                host_id: snapshot.own.host_id,
                nodes: snapshot.members.len(),
                partial: info.partial,
                impostor: snapshot.impostors(&settings.node).into_iter().next(),
                unreadable: snapshot.unreadable().into_iter().next(),
                newer: snapshot.newer(None).into_iter().next(),
                registry: daemon.node.registry_layout(pool).ok(),
                slot: trouble.map(|s| format!("the slot of host-id {} {}", s.host_id, s.trouble)),
            };
            seen_pool(&check, seen)
        }
    }
}

/// A shared pool that is joined.
struct SeenPool {
    host_id: u64,
    nodes: usize,
    /// A physical volume is missing.
    partial: bool,
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

fn seen_pool(check: &str, seen: SeenPool) -> DoctorCheck {
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
    if seen.partial {
        let (found, remedy) = (
            "a physical volume is missing: what is on it, copies, and volumes that were never attached \
             before are refused; the others are served",
            "check the paths to the LUNs",
        );
        return bad(check, DoctorVerdict::Warning, found, remedy);
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

fn local_pool(daemon: &Daemon, pool: &PoolName, info: PortResult<PoolInfo>) -> DoctorCheck {
    let check = format!("local pool {pool}");
    match info {
        Ok(info) if info.is_shared() => bad(
            &check,
            DoctorVerdict::Failed,
            "it is a shared volume group",
            "take it out of the configuration, or say kind = \"shared\"",
        ),
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

    use super::*;

    fn pool(partial: bool) -> PoolInfo {
        PoolInfo {
            name: "vg0".parse().unwrap(),
            vg: "v".repeat(32).parse().unwrap(),
            kind: volward_model::PoolKind::Shared,
            size: Bytes::mib(64),
            free: Bytes::mib(64),
            extent: Bytes::mib(4),
            partial,
            autoactivation: false,
            volumes: Vec::new(),
        }
    }

    /// As lvmdevices(8) writes it.
    const FILE: &str = "# LVM uses devices listed in this file.\n\
        VERSION=1.1.2\n\
        IDTYPE=sys_wwid IDNAME=naa.6001405 DEVNAME=/dev/sdb PVID=GutDKrOQ9TLMTDPVlZuwJ2rBKo2PVK7K\n";

    #[test]
    fn a_devices_file_must_list_what_the_pool_is_on() {
        let look = |text: Result<&str, io::ErrorKind>, seen: Option<&PoolInfo>| {
            let path = Path::new("volward-vg0.devices");
            let text = text.map(str::to_owned).map_err(io::Error::from);
            devices_file(path, text, &pool(false).name, seen)
        };
        let missing = look(Err(io::ErrorKind::NotFound), None);
        assert_eq!(missing.verdict, DoctorVerdict::Failed);
        assert!(
            missing.found.contains("volward-vg0.devices is missing"),
            "{missing:?}"
        );
        let unreadable = look(Err(io::ErrorKind::PermissionDenied), None);
        assert_eq!(unreadable.verdict, DoctorVerdict::Failed);

        let empty = look(Ok("VERSION=1.1.1\n"), None);
        assert_eq!(empty.verdict, DoctorVerdict::Failed);
        assert!(empty.found.contains("lists no device"), "{empty:?}");

        let whole = look(Ok(FILE), Some(&pool(false)));
        assert_eq!(whole.verdict, DoctorVerdict::Ok);
        for seen in [None, Some(&pool(true))] {
            let found = look(Ok(FILE), seen);
            assert_eq!(found.verdict, DoctorVerdict::Warning);
            assert!(found.found.contains("lists 1 device(s)"), "{found:?}");
        }
    }

    /// Its attaches are refused with `slot-unreadable`.
    #[test]
    fn the_broken_slot_of_a_node_that_may_be_alive_refuses_read_write_and_a_dead_ones_does_not() {
        let slot = "the slot of host-id 2 cannot be read";
        let seen = |unreadable: Option<&str>| SeenPool {
            host_id: 1,
            nodes: 2,
            partial: false,
            impostor: None,
            unreadable: unreadable.map(str::to_owned),
            newer: None,
            registry: None,
            slot: Some(slot.to_owned()),
        };
        let alive = seen_pool("pool vg0", seen(Some("... and that node may be alive")));
        assert_eq!(alive.verdict, DoctorVerdict::Failed);
        assert!(alive.refuses_read_write, "{alive:?}");
        let dead = seen_pool("pool vg0", seen(None));
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
            partial: true,
            impostor: Some("the node with host-id 2 is called n1 too".to_owned()),
            unreadable: None,
            newer: None,
            registry: None,
            slot: None,
        };
        let found = seen_pool("pool vg0", seen);
        assert_eq!(found.verdict, DoctorVerdict::Failed);
        assert!(found.refuses_read_write, "{found:?}");
        assert!(found.found.contains("called n1 too"), "{found:?}");
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
            partial: false,
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
        let newer = seen_pool("pool vg0", seen(Some("node n2 runs a newer Volward"), 2));
        assert_eq!(newer.verdict, DoctorVerdict::Warning);
        assert!(newer.found.contains("node n2"), "{newer:?}");
        let old = seen_pool("pool vg0", seen(None, 1));
        assert_eq!(old.verdict, DoctorVerdict::Warning);
        assert!(old.found.contains("host-ids 1 to 89"), "{old:?}");
        let remedy = old.remedy.unwrap_or_default();
        assert!(remedy.contains("pool init"), "{remedy}");
        let now = seen_pool("pool vg0", seen(None, 2));
        assert_eq!(now.verdict, DoctorVerdict::Ok);
    }
}
