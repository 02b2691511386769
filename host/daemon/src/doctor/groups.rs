//! A pool whose volume group cannot be read: why, and what to do, by what LVM finds on the node. A
//! remedy must not make a group that is there.

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::PortError;
use volward_model::{PoolKind as Locking, PoolName};
use volward_storage::lvm::FoundGroup;

use super::bad;
use crate::config::PoolKind;
use crate::wiring::Daemon;

/// What LVM finds, beside the pool's own report.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// By the node's own LVM.
    node: Vec<FoundGroup>,
    /// On the disks of the pool's devices file.
    disks: Vec<FoundGroup>,
}

/// Asks LVM; what does not answer is taken for nothing found.
pub(super) fn look(daemon: &Daemon, pool: &PoolName) -> Groups {
    Groups {
        node: daemon.lvm.groups_of_the_node().unwrap_or_default(),
        disks: daemon.lvm.groups_on_disks_of(pool).unwrap_or_default(),
    }
}

/// `error`: what became of reading the pool.
pub(super) fn unreadable(
    check: &str,
    pool: &PoolName,
    kind: PoolKind,
    error: &PortError,
    groups: &Groups,
) -> DoctorCheck {
    let (found, remedy) = cause(pool, kind, error, groups);
    match kind {
        PoolKind::Shared => super::refusing(bad(check, DoctorVerdict::Failed, found, remedy)),
        PoolKind::Local => {
            let found = format!(
                "{found}; no copies can be made here, and volumes whose copy is here are refused; all \
                 others are served from their pools"
            );
            bad(check, DoctorVerdict::Failed, found, remedy)
        }
    }
}

fn cause(pool: &PoolName, kind: PoolKind, error: &PortError, groups: &Groups) -> (String, String) {
    let named = groups.node.iter().find(|group| group.name == pool.as_str());
    match (named.map(|group| &group.kind), kind) {
        (Some(Locking::Local), PoolKind::Shared) => (
            format!("volume group {pool} is there, and is not shared"),
            "say kind = \"local\" in its [[pool]] section if it is on this node's own disks; a group for \
             a LUN is made anew with `vgcreate --shared`"
                .to_owned(),
        ),
        (Some(Locking::Shared), PoolKind::Local) => (
            format!("volume group {pool} is there, and is shared by sanlock"),
            "say kind = \"shared\" in its [[pool]] section, and restart volwardd".to_owned(),
        ),
        // No devices file, or one of other disks: so it is before the first `pool init` on this node.
        (Some(_), _) if matches!(error, PortError::Missing { .. }) => (
            format!(
                "volume group {pool} is there, and this node has not been told of its disks: it is no pool here yet"
            ),
            format!("volward pool init {pool}"),
        ),
        (Some(_), _) => (
            error.to_string(),
            format!("volume group {pool} is there: volward pool init {pool} lists its disks"),
        ),
        (None, _) if !groups.disks.is_empty() => renamed(pool, &groups.disks),
        (None, PoolKind::Shared) => (
            error.to_string(),
            "check the path to the LUN (lsblk, multipath -ll) and `vgs`".to_owned(),
        ),
        (None, PoolKind::Local) => (
            error.to_string(),
            format!("make it with `vgcreate {pool} DEVICE`, then volward pool init {pool}"),
        ),
    }
}

/// The pool's disks are there, and the group on them has another name.
fn renamed(pool: &PoolName, disks: &[FoundGroup]) -> (String, String) {
    let there: Vec<String> = disks
        .iter()
        .map(|group| format!("{} (VG UUID {})", group.name, group.vg))
        .collect();
    let name = disks.first().map_or("NAME", |group| group.name.as_str());
    (
        format!(
            "there is no volume group {pool}; on the disks of its devices file is {}, as after vgrename",
            there.join(", ")
        ),
        format!(
            "put name = \"{name}\" into its [[pool]] section and restart volwardd, then volward pool init \
             {name}; the guests' XML needs the new name too"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, kind: Locking) -> FoundGroup {
        FoundGroup {
            name: name.to_owned(),
            vg: "v".repeat(32).parse().unwrap(),
            kind,
        }
    }

    fn said(kind: PoolKind, node: Vec<FoundGroup>, disks: Vec<FoundGroup>) -> DoctorCheck {
        let error = PortError::Missing {
            what: "/etc/lvm/devices/volward-vg0.devices".to_owned(),
        };
        said_of(&error, kind, node, disks)
    }

    fn said_of(
        error: &PortError,
        kind: PoolKind,
        node: Vec<FoundGroup>,
        disks: Vec<FoundGroup>,
    ) -> DoctorCheck {
        let pool: PoolName = "vg0".parse().unwrap();
        let groups = Groups { node, disks };
        unreadable("pool vg0", &pool, kind, error, &groups)
    }

    /// A second pool before its `pool init`: nothing that is there is said not to exist.
    #[test]
    fn a_group_that_is_no_pool_yet_is_said_to_be_there() {
        let there = || vec![group("vg0", Locking::Shared)];
        let check = said(PoolKind::Shared, there(), vec![]);
        assert!(check.found.contains("is there"), "{check:?}");
        assert!(!check.found.contains("does not exist"), "{check:?}");
        assert_eq!(check.remedy.unwrap(), "volward pool init vg0");
        // What LVM could not do for another reason is what has to be mended.
        let error = PortError::Deadline {
            what: "fullreport".to_owned(),
            after: std::time::Duration::from_secs(30),
        };
        let check = said_of(&error, PoolKind::Shared, there(), vec![]);
        assert!(check.found.contains("fullreport"), "{check:?}");
    }

    #[test]
    fn a_group_that_is_there_is_never_to_be_made() {
        for (configured, is, remedy) in [
            (PoolKind::Shared, Locking::Shared, "pool init vg0"),
            (PoolKind::Local, Locking::Local, "pool init vg0"),
            (PoolKind::Shared, Locking::Local, "kind = \"local\""),
            (PoolKind::Local, Locking::Shared, "kind = \"shared\""),
        ] {
            let check = said(configured, vec![group("vg0", is.clone())], vec![]);
            let says = check.remedy.clone().unwrap_or_default();
            assert!(says.contains(remedy), "{configured:?} {is:?}: {check:?}");
            assert!(
                !says.contains("vgcreate vg0") && !says.contains("--shared vg0"),
                "{says}"
            );
            assert_eq!(check.refuses_read_write, configured == PoolKind::Shared);
        }
        let others = vec![group("debian-vg", Locking::Local)];
        let local = said(PoolKind::Local, others.clone(), vec![]);
        assert!(local.remedy.unwrap_or_default().contains("vgcreate vg0"));
        let shared = said(PoolKind::Shared, others, vec![]);
        assert!(
            shared
                .remedy
                .unwrap_or_default()
                .contains("path to the LUN")
        );
    }

    /// Guests that have no copy there do not need it.
    #[test]
    fn a_dead_local_pool_is_a_failure_that_says_what_still_works() {
        let found = said(PoolKind::Local, vec![], vec![]);
        assert_eq!(found.verdict, DoctorVerdict::Failed);
        assert!(!found.refuses_read_write, "{found:?}");
        for words in ["no copies can be made", "all others are served"] {
            assert!(found.found.contains(words), "{found:?}");
        }
    }

    #[test]
    fn a_group_that_was_renamed_is_named_by_its_new_name_and_its_uuid() {
        let now = group("vg9", Locking::Shared);
        let check = said(PoolKind::Shared, vec![now.clone()], vec![now.clone()]);
        assert!(check.found.contains("vg9") && check.found.contains(&now.vg.to_string()));
        assert!(check.remedy.unwrap_or_default().contains("name = \"vg9\""));
    }
}
