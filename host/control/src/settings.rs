//! What a node is composed of: every port, and what the operator configured. Each use case takes
//! the ports it names from here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use volward_model::{NodeName, PoolName};
use volward_plan::NodeRoles;
use volward_plan::operate::Wipe;

use crate::ports::{
    Activation, Clock, Decisions, Devices, Events, FaultPoints, FenceRecords, Guests, Journal,
    LastUses, LastWrites, Leases, Machine, Marks, Operations, Policy, Registry, Tasks, Volumes,
};

/// Every port.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port its type names")]
pub struct Ports {
    pub volumes: Arc<dyn Volumes>,
    pub leases: Arc<dyn Leases>,
    pub activation: Arc<dyn Activation>,
    pub devices: Arc<dyn Devices>,
    pub registry: Arc<dyn Registry>,
    pub journal: Arc<dyn Journal>,
    pub operations: Arc<dyn Operations>,
    pub fence_records: Arc<dyn FenceRecords>,
    pub last_uses: Arc<dyn LastUses>,
    pub last_writes: Arc<dyn LastWrites>,
    pub policy: Arc<dyn Policy>,
    pub decisions: Arc<dyn Decisions>,
    pub marks: Arc<dyn Marks>,
    pub clock: Arc<dyn Clock>,
    pub machine: Arc<dyn Machine>,
    pub guests: Arc<dyn Guests>,
    pub tasks: Arc<dyn Tasks>,
    pub fault_points: Arc<dyn FaultPoints>,
    pub events: Arc<dyn Events>,
}

/// What the operator configured, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's name: sanlock's, stable over reboots.
    pub node: NodeName,
    /// What this node is for.
    pub roles: NodeRoles,
    /// Free words about the node, for policies.
    pub labels: Vec<(String, String)>,
    /// The shared pools.
    pub pools: Vec<PoolName>,
    /// The local pool.
    pub local: Option<PoolName>,
    /// The configuration says in so many words that this is a lab that may do without a watchdog.
    pub lab_without_watchdog: bool,
    /// How long a request waits for another one on the same volume.
    pub lock_wait: Duration,
    /// How long a detach does. Longer: whoever asked may have given up (libvirt's hook does after
    /// 45 s), but what he asked for is still to be done.
    pub detach_lock_wait: Duration,
    /// How long a request waits for another node's intent to be settled.
    pub intent_wait: Duration,
    /// How long a device that is still open is tried to be removed.
    pub busy_for: Duration,
    /// After so long without progress a hydration is called stalled (I23).
    pub stall_after: Duration,
    /// What was cut off because leases were lost gets its I/O back by itself when they have been sound
    /// for so long; `None`: only when somebody asks for it.
    pub unfence_after: Option<Duration>,
    /// A copy that this node has in `split`, and no guest, comes home by itself after so long; `None`: it waits for its
    /// guest.
    pub alone_home_after: Option<Duration>,
    /// When each shared pool's extents are zeroed; one that is not named: before they are used.
    pub wipe: BTreeMap<PoolName, Wipe>,
}

impl Settings {
    /// When a pool's extents are zeroed.
    #[must_use]
    pub fn wipe(&self, pool: &PoolName) -> Wipe {
        self.wipe.get(pool).copied().unwrap_or_default()
    }
}

/// Names the ports that a struct needs, and takes them from [`Ports`]: what a use case can touch
/// is read from there.
macro_rules! needs {
    ($name:ident { $($port:ident: $kind:ident),+ $(,)? }) => {
        #[derive(Clone)]
        pub(crate) struct $name {
            $($port: std::sync::Arc<dyn $kind>),+
        }

        impl From<&$crate::settings::Ports> for $name {
            fn from(all: &$crate::settings::Ports) -> Self {
                Self { $($port: std::sync::Arc::clone(&all.$port)),+ }
            }
        }
    };
}

pub(crate) use needs;
