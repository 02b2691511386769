//! Preconditions that a port found not to hold, each for an operator to put right.

use std::fmt;

use volward_model::{PoolName, VolumeRef};

use super::{Refusal, RefusalCode};

/// Another node has this one's place in a pool's lockspace: sanlock does not let this one join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdTaken {
    /// The number that this node was given.
    pub host_id: u64,
    /// What sanlock is called on the node that has it.
    pub node: String,
    /// Whether that one was seen to renew its lease; else it may be gone.
    pub renewed: bool,
}

impl HostIdTaken {
    /// What is to be done about it in that pool.
    #[must_use]
    pub fn remedy(&self, pool: &PoolName) -> String {
        let own = format!(
            "give this node a host-id of its own (host_id in the section local of /etc/lvm/lvmlocal.conf; `sanlock direct \
             dump /dev/mapper/{}-lvmlock` lists those that were ever used), then `vgchange --lock-start {pool}`",
            pool.as_str().replace('-', "--")
        );
        match self.renewed {
            true => own,
            false => format!(
                "if {} is a node that is still used, {own}; if it is gone for good, or was the name of this node: `vgchange \
                 --lock-start {pool}` waits until its place was not renewed for long enough (140 s with sanlock's defaults), \
                 and joins",
                self.node
            ),
        }
    }
}

impl fmt::Display for HostIdTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host_id, node, .. } = self;
        match self.renewed {
            true => write!(
                f,
                "its host-id {host_id} is that of node {node}, which is in the lockspace"
            ),
            false => write!(
                f,
                "its host-id {host_id} is that of node {node}, which was in the lockspace last"
            ),
        }
    }
}

/// A precondition of a storage operation that does not hold. Nothing failed: the operation was
/// not begun. Each becomes the refusal that says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// This node is not in the pool's lockspace.
    #[error(
        "this node has not joined the lockspace of pool {pool}{}",
        how_to_join(pool, taken.as_ref())
    )]
    NotJoined {
        /// The name of the pool concerned.
        pool: PoolName,
        /// Who has its place there, where that is another node.
        taken: Option<HostIdTaken>,
    },
    /// sanlock has lost this node's leases in the pool's lockspace, and does not leave it as long as a process has some:
    /// it goes on renewing, and gives no lease.
    #[error(
        "sanlock has given up the lockspace of pool {pool} on this node: its leases were lost, or it is to be left; once nothing of the pool is attached here (`volward ls`): `lvchange -an {pool}/volward-registry`, `vgchange --lock-stop {pool}`, `vgchange --lock-start {pool}`; where one of these hangs, restart this node"
    )]
    GivenUp {
        /// The name of the pool concerned.
        pool: PoolName,
    },
    /// What is on the pool's disks is older than what this node wrote there.
    #[error(
        "pool {pool} is older on its disks than this node left it, as where the LUN was replaced by an earlier snapshot or replica of itself: {why}; nothing is attached or changed in it here until the right LUN is back, or somebody says that this one is to be used: `volward pool init {pool} --accept-older`, on each node"
    )]
    PoolOlder {
        /// The name of the pool concerned.
        pool: PoolName,
        /// How that shows.
        why: String,
    },
    /// The registry volume is there, and was never formatted.
    #[error("{registry} holds no registry; make one with `volward pool init`")]
    NoRegistry {
        /// The registry volume or its device.
        registry: String,
    },
    /// The registry volume is to be formatted, and holds a registry.
    #[error(
        "{registry} already holds a registry, which stays as it is; use it, or remove the volume once no node uses the pool"
    )]
    RegistryExists {
        /// The registry volume or its device.
        registry: String,
    },
    /// The registry volume begins as a registry does, and cannot be read.
    #[error("{registry} {reason}; see `volward doctor`")]
    RegistryUnreadable {
        /// The registry volume or its device.
        registry: String,
        /// What it holds instead of a registry that can be read: `holds a damaged registry`.
        reason: String,
    },
    /// The registry has the layout of 0.1.0, and cannot be converted while other nodes use it.
    #[error(
        "pool {pool} is open on this node, but its registry still has the layout of 0.1.0 (host-ids 1 to {places}), and other nodes have it active{why}; to convert it, upgrade every node, run `systemctl stop volwardd volward-registry` on the others (their guests go on), run `volward pool init {pool}` here, and start both units there again; until then the pool works as before"
    )]
    RegistryInUse {
        /// The name of the pool concerned.
        pool: PoolName,
        /// The registry's number of places; host-ids count from 1.
        places: u32,
        /// What LVM said of it, in parentheses after a space; empty if it said nothing.
        why: String,
    },
    /// The node's host-id is beyond the registry's last place.
    #[error(
        "{registry} has places for host-ids 1 to {places}, and this node has host-id {host_id}; give the node a lower host_id in /etc/lvm/lvmlocal.conf"
    )]
    NoPlace {
        /// The registry volume or its device.
        registry: String,
        /// The registry's number of places; host-ids count from 1.
        places: u64,
        /// This node's host-id.
        host_id: u64,
    },
    /// The node's slot is longer than its place.
    #[error(
        "this node's slot needs {bytes} bytes, and a place in {registry} has {most}; detach volumes of the pool on this node first"
    )]
    RegistryFull {
        /// The registry volume or its device.
        registry: String,
        /// The slot's length.
        bytes: usize,
        /// A place's length.
        most: usize,
    },
    /// The exclusive lease under which something was to be changed is not held (I1, I19).
    #[error(
        "the exclusive lease of {volume} is not held on this node, so its home was not changed; `volward doctor` shows the state of the leases"
    )]
    LeaseLost {
        /// The volume whose lease it is.
        volume: VolumeRef,
    },
    /// The volume is active on this node, and it was not Volward that activated it.
    #[error(
        "{volume} was activated on this node by hand ({why}); once nobody uses it, `lvchange -an {volume}` frees it"
    )]
    ActiveByHand {
        /// The volume that is active.
        volume: VolumeRef,
        /// Who holds its lease, and who has it open.
        why: String,
    },
    /// LVM misses a physical volume of the pool on this node, and would write that into its metadata with
    /// whatever it changes: the disk would be missing for every node then.
    #[error(
        "pool {pool} is not changed while LVM misses one of its physical volumes on this node; `volward doctor` says which, why, and what brings it back"
    )]
    PoolIncomplete {
        /// The name of the pool concerned.
        pool: PoolName,
    },
    /// The pool has no devices file of its own (I16).
    #[error(
        "pool {pool} needs a devices file of its own, other than `system.devices`; set `devices-file` in its [[pool]] section of /etc/volward/volward.toml"
    )]
    DevicesFile {
        /// The name of the pool concerned.
        pool: PoolName,
    },
}

fn how_to_join(pool: &PoolName, taken: Option<&HostIdTaken>) -> String {
    match taken {
        None => format!("; join it with `vgchange --lock-start {pool}`"),
        Some(taken) => format!(": {taken}; {}", taken.remedy(pool)),
    }
}

impl From<Unmet> for Refusal {
    fn from(unmet: Unmet) -> Self {
        let message = unmet.to_string();
        let code = match unmet {
            Unmet::NotJoined { .. } | Unmet::GivenUp { .. } => RefusalCode::NotJoined,
            Unmet::PoolOlder { .. } => RefusalCode::PoolOlder,
            Unmet::NoRegistry { .. } => RefusalCode::NoRegistry,
            Unmet::RegistryExists { .. } => RefusalCode::RegistryExists,
            Unmet::RegistryUnreadable { .. } => RefusalCode::RegistryUnreadable,
            Unmet::RegistryInUse { .. } => RefusalCode::RegistryInUse,
            Unmet::NoPlace { .. } => RefusalCode::NoPlace,
            Unmet::RegistryFull { .. } => RefusalCode::RegistryFull,
            Unmet::LeaseLost { volume } => {
                return Self::of(RefusalCode::LeaseLost, &volume, message);
            }
            Unmet::ActiveByHand { volume, .. } => {
                return Self::of(RefusalCode::ActiveByHand, &volume, message);
            }
            Unmet::PoolIncomplete { .. } => RefusalCode::PoolIncomplete,
            Unmet::DevicesFile { .. } => RefusalCode::DevicesFile,
        };
        Self::general(code, message)
    }
}
