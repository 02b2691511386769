//! What is asked of an attach, and what comes of it.

use volward_model::{
    Access, Claim, InstanceId, Origin, PoolName, Purpose, RequestId, Sharing, VolumeName,
};
use volward_plan::{DiskForm, Grant};

use crate::state::{Cancellation, Wanted, WantedDisk};

/// An attach as it is asked for: one instance with its disks, all of them or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// The id of the request, new for each.
    pub request: RequestId,
    /// Who asks, derived from the socket's peer credentials.
    pub origin: Origin,
    /// The caller's user id, from the socket's peer credentials.
    pub caller_uid: u32,
    /// What the disks are for.
    pub purpose: Purpose,
    /// The virtual machine, by its domain UUID.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Pairs of key and value for policies; they prove nothing.
    pub hints: Vec<(String, String)>,
    /// The disks; the answer has them in this order.
    pub disks: Vec<DiskRequest>,
    /// Plan and begin nothing.
    pub dry_run: bool,
    /// Called off when nobody waits for it any more.
    pub cancellation: Cancellation,
}

impl AttachRequest {
    /// For whoever looks while it is under way.
    pub(crate) fn wanted(&self, now_ms: u64) -> Wanted {
        let disks = self.disks.iter().map(|disk| WantedDisk {
            pool: disk.pool.clone(),
            volume: disk.volume.clone(),
            sharing: disk.sharing,
            access: disk.access,
        });
        Wanted {
            instance: self.instance,
            instance_name: self.instance_name.clone(),
            claim: Claim::from(&self.origin),
            since_ms: now_ms,
            disks: disks.collect(),
        }
    }
}

/// One disk of a request: a volume, the access and the sharing asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRequest {
    /// The pool, by name.
    pub pool: PoolName,
    /// The volume, by its name in the pool.
    pub volume: VolumeName,
    /// Which device the guest opens.
    pub form: DiskForm,
    /// The access asked for.
    pub access: Access,
    /// The sharing asked for; `None`: shared for read-only access to a shareable volume, else
    /// exclusive.
    pub sharing: Option<Sharing>,
    /// A grant of less than was asked for is accepted.
    pub accept_narrowing: bool,
}

/// What came of an attach that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachDone {
    /// Counts attach requests on this node; 0 for a dry run.
    pub sequence: u64,
    /// The disks, in the order asked for.
    pub grants: Vec<Grant>,
    /// The plan's steps, a line each.
    pub plan: Vec<String>,
    /// Remarks for people, a sentence each.
    pub notes: Vec<String>,
}
