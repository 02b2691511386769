//! Volumes and pools that need a person: what each witness says, and what he decides.

use volward_model::{Home, LvUuid, PoolName, RequestId, VolumeName};
use volward_plan::witness::Testimony;

use super::Node;
use crate::error::ControlError;
use crate::pools::SaidBy;
use crate::ports::Applied;

impl Node {
    /// What each witness says of where a volume's data is, and what a person can do where they
    /// contradict each other. Changes nothing.
    ///
    /// # Errors
    /// If there is no such volume, its home tag cannot be understood, or the pool cannot be read.
    pub fn testimony(
        &self,
        request: RequestId,
        pool: &PoolName,
        volume: &VolumeName,
    ) -> Result<Testimony, ControlError> {
        self.views.testimony(request, pool, volume)
    }

    /// Replaces a volume's home tag by the one that a person says is right, if what the witnesses say
    /// still leaves that choice.
    ///
    /// # Errors
    /// If it does not, or the tag says something else than `found` by now; nothing is changed then. If a copy
    /// would be given up without a reason.
    pub fn set_home(
        &self,
        request: RequestId,
        of: (&PoolName, &VolumeName),
        found: &Home,
        right: &Home,
        said: &SaidBy,
    ) -> Result<(), ControlError> {
        self.pools.set_home(request, of, found, right, said)
    }

    /// Brings a volume's copy home while its guest runs on: it is written to the shared volume in the background, then the
    /// guest stands on that, and the copy goes. `false`: it is at home, or on its way. With `dry_run` the first
    /// steps are answered, and nothing is begun.
    ///
    /// # Errors
    /// If there is no such volume, nobody has it here, or its copy is not hydrated whole; or as storage fails.
    pub fn bring_home(
        &self,
        request: RequestId,
        pool: &PoolName,
        volume: &VolumeName,
        dry_run: bool,
    ) -> Result<(bool, Vec<String>), ControlError> {
        self.copies.bring_home(request, (pool, volume), dry_run)
    }

    /// Removes a copy on this node that was given up while the node was away, and what a guest wrote to it. It is
    /// cleared away in the background, or with the attachment that had it.
    ///
    /// # Errors
    /// If it was not given up, or is in use; or as storage fails.
    pub fn discard_copy(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        copy: LvUuid,
    ) -> Result<(), ControlError> {
        let volume = self.pools.discard_copy(request, pool, name, copy)?;
        self.recovery.clear_discarded(&volume);
        Ok(())
    }

    /// Somebody says that a shared pool whose disks are older than this node left them is to be used so: a LUN that was
    /// replaced by an earlier snapshot of itself. Of one that is not older nothing is changed.
    ///
    /// # Errors
    /// If its registry cannot be read here, or that cannot be put on record.
    pub fn accept_older(
        &self,
        request: RequestId,
        pool: &PoolName,
        uid: u32,
    ) -> Result<Applied, ControlError> {
        self.pools.accept_older(request, pool, uid)
    }
}
