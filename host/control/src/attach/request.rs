//! What is asked of an attach, and what comes of it.

use volward_model::{
    Access, InstanceId, Origin, PoolName, Purpose, RequestId, Sharing, VolumeName,
};
use volward_plan::{DiskForm, Grant};

use crate::state::Cancellation;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// Its number.
    pub request: RequestId,
    /// From the socket's peer credentials.
    pub origin: Origin,
    /// From the socket's peer credentials.
    pub caller_uid: u32,
    /// What for.
    pub purpose: Purpose,
    /// The virtual machine.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Free words for policies.
    pub hints: Vec<(String, String)>,
    /// All of these, or none.
    pub disks: Vec<DiskRequest>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Called off when nobody waits for it any more.
    pub cancellation: Cancellation,
}

/// One disk of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRequest {
    /// In which pool.
    pub pool: PoolName,
    /// Which volume.
    pub volume: VolumeName,
    /// Which device the guest opens.
    pub form: DiskForm,
    /// Wished.
    pub access: Access,
    /// Wished; `None`: shared for read-only access to a shareable volume, else exclusive.
    pub sharing: Option<Sharing>,
    /// Less will do.
    pub accept_narrowing: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachDone {
    /// Counts attach requests on this node; 0 for a dry run.
    pub sequence: u64,
    /// The disks, in the order asked for.
    pub grants: Vec<Grant>,
    /// The plan's steps, a line each.
    pub plan: Vec<String>,
    /// For people.
    pub notes: Vec<String>,
}
