//! What a running guest has given back is released.

use uuid::Uuid;
use volward_model::{InstanceId, Origin, RequestId};

use super::Node;
use crate::detach::{DetachRequest, NotAfter};
use crate::ports::StoredAttachment;

impl Node {
    /// Detaches the disks that running guests have given back: an operating system ejected one, or somebody ran
    /// `virsh detach-disk`, for which libvirt calls no hook. To be called again and again: a disk has to be seen open
    /// first, and closed for a while then.
    pub fn release_unplugged(&self) {
        for (instance, gone) in self.unplugged.look() {
            let ask = given_back(RequestId(Uuid::new_v4()), instance, &gone);
            self.unplugged.tell(ask.request, instance, &gone);
            if let Err(error) = self.detach(&ask) {
                tracing::warn!(request = %ask.request, %instance, %error, "releasing what a guest has given back");
            }
        }
    }
}

/// Neither what was attached again since, nor what somebody has opened.
fn given_back(
    request: RequestId,
    instance: InstanceId,
    gone: &[StoredAttachment],
) -> DetachRequest {
    let newest = gone.iter().max_by_key(|a| a.sequence);
    DetachRequest {
        request,
        // By its guest, which libvirt has said.
        origin: Origin::Libvirt,
        caller_uid: 0,
        instance,
        volumes: gone
            .iter()
            .map(|a| (a.volume.pool.clone(), a.volume.name.clone()))
            .collect(),
        not_after: newest.map(|a| NotAfter {
            boot_id: a.boot_id.clone(),
            sequence: a.sequence,
        }),
        only_unused: true,
        dry_run: false,
    }
}
