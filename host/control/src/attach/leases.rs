//! What an attach is refused for on account of leases that are lost, or may be (I2), and of a pool that is older than this
//! node left it.

use volward_model::VolumeRef;
use volward_plan::Refusal;

use super::{Attach, AttachRequest, refuse};
use crate::error::ControlError;

impl Attach {
    /// Nothing is attached where leases may be lost before long, or in a pool that is older than this node left it.
    pub(super) fn leases_must_be_sound(&self, ask: &AttachRequest) -> Result<(), ControlError> {
        let now = self.ports.clock.monotonic();
        for disk in &ask.disks {
            if let Some(why) = self.state.uncertain(&disk.pool, now) {
                let refusal = Refusal::leases_uncertain(&disk.pool, &why);
                return Err(refuse(ask.request, refusal));
            }
            if let Some(refusal) = self.state.older_refusal(&disk.pool) {
                return Err(refuse(ask.request, refusal));
            }
        }
        Ok(())
    }

    /// An instance whose I/O is cut off is not told that it has what it asks for.
    pub(super) fn must_not_be_fenced(
        &self,
        ask: &AttachRequest,
        volumes: &[VolumeRef],
    ) -> Result<(), ControlError> {
        let attachment_table = self.state.attachment_table();
        let fences = self.state.fences();
        let mut own = attachment_table
            .of_instance(ask.instance)
            .filter(|a| volumes.iter().any(|volume| volume.id == a.volume.id));
        match own.find_map(|a| Some((a, fences.get(a)?))) {
            Some((attachment, fenced)) => {
                let refusal = Refusal::fenced(&attachment.volume, &fenced.reason);
                Err(refuse(ask.request, refusal))
            }
            None => Ok(()),
        }
    }
}
