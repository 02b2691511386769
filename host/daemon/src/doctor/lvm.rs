//! What the node's own LVM and libvirt do to the pools behind Volward: what is not activated, what
//! somebody else activates, LVM's global lock, and what became of attached volumes.

use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::SeenAttachment;
use volward_model::{PoolName, VolumeId, VolumeRef};
use volward_storage::lvm::{ActivationLists, Listed, listed};
use volward_storage::probe::Probes;

use super::{bad, fine, in_pool, refusing};
use crate::config::{PoolKind, PoolSection};
use crate::wiring::Daemon;

/// Where libvirt keeps the storage pools that were defined.
const LIBVIRT_POOLS: &str = "/etc/libvirt/storage";

pub(super) fn examine(daemon: &Daemon) -> Vec<DoctorCheck> {
    let pools = &daemon.config.pool;
    let mut checks = match daemon.lvm.activation_lists() {
        Ok(lists) => activation(&lists, pools),
        Err(error) => vec![bad(
            "activation lists",
            DoctorVerdict::Warning,
            format!("lvmconfig cannot be asked: {error}"),
            "see that the package lvm2 is whole",
        )],
    };
    if pools.iter().any(|pool| pool.kind == PoolKind::Shared)
        && let Ok(holders) = daemon.lvm.global_lock_pools()
    {
        checks.push(global_lock(&holders, pools));
    }
    checks.extend(libvirt_pools(&*daemon.probes, pools));
    checks.extend(changed(&daemon.node.attachments_seen()));
    checks.extend(orphans(&daemon.node.orphaned_copies()));
    checks
}

/// Copies of volumes that were removed: the data in them is nobody's, unless the volume comes back.
fn orphans(copies: &[(VolumeRef, VolumeId)]) -> Option<DoctorCheck> {
    if copies.is_empty() {
        return None;
    }
    let shown: Vec<String> = copies
        .iter()
        .map(|(lv, of)| format!("{lv} of LV UUID {}", of.lv))
        .collect();
    Some(bad(
        "copies of no volume",
        DoctorVerdict::Warning,
        format!(
            "the local pool has copies whose volume is in no pool of this node any more: {}",
            shown.join(", ")
        ),
        // No command to paste: a pool that is only missing from the configuration has its newest data
        // there.
        "their pool may be missing from volward.toml: put it back and restart volwardd; only where the volumes \
         were removed for good are these copies of no use, a volume of the same name being another one: then \
         lvremove takes them away",
    ))
}

/// What lvm.conf keeps from activation, or activates read-only.
fn activation(lists: &ActivationLists, pools: &[PoolSection]) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    for pool in pools {
        let check = format!("activation of {}", pool.name);
        let found = not_activated(&check, &pool.name, pool.kind, lists).into_iter();
        let found = found.chain(read_only(&check, &pool.name, lists));
        checks.extend(found.map(|check| in_pool(check, &pool.name)));
    }
    if checks.is_empty() {
        checks.push(fine(
            "activation lists",
            "no list of lvm.conf keeps a pool from activation",
        ));
    }
    checks
}

fn not_activated(
    check: &str,
    pool: &PoolName,
    kind: PoolKind,
    lists: &ActivationLists,
) -> Option<DoctorCheck> {
    let list = lists.volumes.as_ref()?;
    let shown = list.join(", ");
    let remedy = format!("add \"{pool}\" to activation/volume_list in /etc/lvm/lvm.conf");
    match listed(list, pool) {
        Listed::Whole => None,
        Listed::No => {
            let found = format!(
                "volume_list ({shown}) does not name {pool}: its leases are taken, its volumes are not \
                 activated, and attaches are refused"
            );
            let failed = bad(check, DoctorVerdict::Failed, found, remedy);
            Some(match kind {
                PoolKind::Shared => refusing(failed),
                PoolKind::Local => failed,
            })
        }
        Listed::Partly => {
            let found = format!(
                "volume_list ({shown}) names some volumes of {pool}, or tags: attaches of others are refused"
            );
            Some(bad(check, DoctorVerdict::Warning, found, remedy))
        }
    }
}

fn read_only(check: &str, pool: &PoolName, lists: &ActivationLists) -> Option<DoctorCheck> {
    let list = lists.read_only.as_ref()?;
    let shown = list.join(", ");
    let remedy = "take it out of activation/read_only_volume_list in /etc/lvm/lvm.conf";
    let (verdict, what) = match listed(list, pool) {
        Listed::No => return None,
        Listed::Whole => (DoctorVerdict::Failed, "names"),
        Listed::Partly => (DoctorVerdict::Warning, "names some volumes of, or by tags,"),
    };
    let found = format!(
        "read_only_volume_list ({shown}) {what} {pool}: what it names is attached read-only or not at all"
    );
    let said = bad(check, verdict, found, remedy);
    Some(match verdict {
        DoctorVerdict::Failed => refusing(said),
        _ => said,
    })
}

/// LVM's global lock is in one volume group, by default the first that was made shared. While that one
/// is gone, what needs the lock fails on every node; leases of volumes do not need it.
fn global_lock(holders: &[String], pools: &[PoolSection]) -> DoctorCheck {
    let check = "LVM's global lock";
    if !holders.is_empty() {
        return fine(check, format!("in {}", holders.join(", ")));
    }
    let shared = pools.iter().find(|pool| pool.kind == PoolKind::Shared);
    let pool = shared.map_or("VG", |pool| pool.name.as_str());
    bad(
        check,
        DoctorVerdict::Warning,
        "no volume group with the global lock is joined: attach, detach and `volward pool init` go on; \
         vgcreate, vgextend and pvcreate fail",
        format!(
            "join the group that has it (vgchange --lock-start); if that is gone for good: lvmlockctl \
             --gl-enable {pool}, on one node"
        ),
    )
}

/// A `logical` pool of libvirt activates every volume of the group at pool-start, and deactivates what
/// is not in use at pool-destroy.
fn libvirt_pools(probes: &dyn Probes, pools: &[PoolSection]) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    for path in probes.files_in(Path::new(LIBVIRT_POOLS)) {
        let Ok(text) = probes.content(&path) else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let Some(pool) = pools.iter().find(|pool| is_on(&text, &pool.name)) else {
            continue;
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        checks.push(bad(
            &format!("libvirt pool {name}"),
            DoctorVerdict::Warning,
            format!(
                "{} makes volume group {} a storage pool of libvirt: virsh pool-start activates its \
                 volumes past Volward, virsh pool-destroy deactivates what is not open, the registry too",
                path.display(),
                pool.name
            ),
            format!("virsh pool-destroy {name}; virsh pool-undefine {name}"),
        ));
    }
    checks
}

/// libvirt writes these files itself, always in one form.
fn is_on(xml: &str, pool: &PoolName) -> bool {
    let logical = ["type='logical'", "type=\"logical\""];
    let source = xml
        .split_once("<source>")
        .and_then(|(_, rest)| rest.split_once("</source>"))
        .map_or("", |(source, _)| source);
    let named = |text: &str| text.contains(&format!("<name>{pool}</name>"));
    let path = format!("<path>/dev/{pool}</path>");
    logical.iter().any(|word| xml.contains(word)) && (named(source) || xml.contains(&path))
}

/// Attached volumes that have another name or size, or are gone.
fn changed(seen: &[SeenAttachment]) -> Vec<DoctorCheck> {
    let changed = seen.iter().filter(|a| !a.notes().is_empty());
    changed
        .map(|a| {
            let volume = &a.stored.volume;
            bad(
                &format!("attached volume {volume}"),
                DoctorVerdict::Warning,
                format!("instance {}: {}", a.stored.instance, a.notes().join("; ")),
                remedy_for(a),
            )
        })
        .collect()
}

fn remedy_for(changed: &SeenAttachment) -> &'static str {
    if changed.vanished {
        "stop the guest, or detach the volume: what was on it is gone"
    } else if changed.is_renamed() {
        "the guest goes on as it is; put the new name into its XML before its next start"
    } else {
        "the guest goes on as it is, and has the new size when it is stopped and started again"
    }
}

#[cfg(test)]
mod tests {
    use volward_storage::probe::FakeSystem;

    use super::*;

    fn pools() -> Vec<PoolSection> {
        [("vg0", PoolKind::Shared), ("local", PoolKind::Local)]
            .map(|(name, kind)| PoolSection {
                name: name.parse().unwrap(),
                kind,
                devices_file: None,
                provider: None,
            })
            .into()
    }

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn what_lvm_conf_keeps_from_activation_is_a_failure() {
        let none = activation(&ActivationLists::default(), &pools());
        assert_eq!(none.len(), 1);
        assert_eq!(none[0].verdict, DoctorVerdict::Ok);
        let lists = ActivationLists {
            volumes: words(&["debian-vg", "local"]),
            ..ActivationLists::default()
        };
        let found = activation(&lists, &pools());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].verdict, DoctorVerdict::Failed);
        assert!(found[0].refuses_read_write && found[0].found.contains("volume_list"));
        let lists = ActivationLists {
            volumes: words(&["vg0", "@own"]),
            read_only: words(&["vg0"]),
            automatic: words(&[]),
        };
        let found = activation(&lists, &pools());
        let verdicts: Vec<_> = found.iter().map(|check| check.refuses_read_write).collect();
        assert_eq!(verdicts, [true, false], "{found:?}");
        assert!(found[0].found.starts_with("read_only_volume_list"));
        assert!(found[1].name.contains("local"), "by a tag, perhaps");
    }

    #[test]
    fn a_global_lock_that_no_joined_group_has_is_named_with_the_command() {
        assert_eq!(
            global_lock(&["vg0".to_owned()], &pools()).verdict,
            DoctorVerdict::Ok
        );
        let nobody = global_lock(&[], &pools());
        assert_eq!(nobody.verdict, DoctorVerdict::Warning);
        let remedy = nobody.remedy.unwrap_or_default();
        assert!(remedy.contains("lvmlockctl --gl-enable vg0"), "{remedy}");
        assert!(!nobody.refuses_read_write);
    }

    #[test]
    fn a_libvirt_pool_on_a_managed_group_is_named_and_others_are_not() {
        let on = |name: &str| {
            format!(
                "<pool type='logical'>\n <name>pool</name>\n <source>\n  <name>{name}</name>\n </source>\n \
                 <target>\n  <path>/dev/{name}</path>\n </target>\n</pool>"
            )
        };
        let node = FakeSystem::default()
            .with_file("/etc/libvirt/storage/ours.xml", on("vg0"))
            .with_file("/etc/libvirt/storage/other.xml", on("vg01"))
            .with_file(
                "/etc/libvirt/storage/files.xml",
                "<pool type='dir'><name>vg0</name><source></source></pool>",
            );
        let found = libvirt_pools(&node, &pools());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].name, "libvirt pool ours");
        assert!(found[0].found.contains("vg0"), "{found:?}");
        assert!(libvirt_pools(&FakeSystem::default(), &pools()).is_empty());
    }
}
