//! What this node itself has of a pool's volumes: devices and copies, whatever homes and records say.

use std::sync::PoisonError;
use std::time::Duration;

use volward_model::{
    CopyLv, CopyStage, DeviceId, DeviceInfo, DeviceRole, PoolInfo, PoolName, VolumeInfo,
};
use volward_plan::home::copy_names;
use volward_plan::{VolumeInput, Witnesses};

use super::Observer;
use crate::ports::{PortError, PortResult, StoredAttachment};

/// A local pool that ran into the deadline of a look is not looked at again for so long.
const HUNG_FOR: Duration = Duration::from_secs(30);

/// Volward's devices and copies on this node, whatever the homes say of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    /// All of Volward's devices that the kernel has.
    pub(crate) devices: Vec<DeviceInfo>,
    /// The local pool; `None` if there is none, or it cannot be read.
    pub(crate) local: Option<PoolInfo>,
}

impl Observer {
    /// What this node has of its volumes, beside what homes and records say.
    pub(crate) fn traces(&self) -> PortResult<Traces> {
        let devices = self.ports.devices.list()?;
        let local = self.settings.local.as_ref().and_then(|name| {
            let info = self.look_at_local(name);
            info.inspect_err(|error| tracing::debug!(%error, "the local pool cannot be read"))
                .ok()
        });
        Ok(Traces { devices, local })
    }

    /// The local pool. One that has just let a look run into its deadline is not looked at again for
    /// a while: each look of each request would take as long.
    pub(super) fn look_at_local(&self, name: &PoolName) -> PortResult<PoolInfo> {
        let now = self.ports.clock.monotonic();
        let hung = |place: &Option<(Duration, PortError)>| {
            let (at, error) = place.as_ref()?;
            (now < *at + HUNG_FOR).then(|| error.clone())
        };
        // Never held through a look.
        let place = || {
            self.local_hung
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(error) = hung(&place()) {
            return Err(error);
        }
        let seen = self.ports.volumes.validated_pool(name);
        *place() = match &seen {
            Err(error @ PortError::Deadline { .. }) => {
                Some((self.ports.clock.monotonic(), error.clone()))
            }
            _ => None,
        };
        seen
    }

    /// What is known of a volume on this node alone.
    pub(crate) fn local_input(
        &self,
        traces: &Traces,
        info: &VolumeInfo,
    ) -> PortResult<VolumeInput> {
        let id = info.volume.id;
        let of_volume = traces.devices.iter().filter(|d| d.id.volume == id);
        let devices: Vec<DeviceInfo> = of_volume.cloned().collect();
        let clone_loaded = devices
            .iter()
            .any(|d| d.id.role == DeviceRole::Clone && d.target.is_some());
        let clone = if clone_loaded {
            let id = DeviceId {
                volume: id,
                role: DeviceRole::Clone,
            };
            self.ports.devices.clone_status(id)?
        } else {
            None
        };
        // Before the table is locked: nobody waits for one of the two with the other.
        let write_back = self.state.has_recorded_write_back(id);
        let attachment_table = self.state.attachment_table();
        Ok(VolumeInput {
            info: info.clone(),
            lease: None,
            here: attachment_table
                .of_volume(id)
                .map(StoredAttachment::local)
                .collect(),
            elsewhere: Vec::new(),
            unreadable: Vec::new(),
            newer: Vec::new(),
            progress: attachment_table.copy(id),
            clone,
            clone_loaded,
            witnesses: Witnesses {
                devices,
                copies: traces.local.as_ref().map(|local| copies_of(info, local)),
                write_back,
            },
        })
    }
}

/// The LVs of the local pool that say they are the volume's copy: by the tag, not by the home.
fn copies_of(info: &VolumeInfo, local: &PoolInfo) -> Vec<CopyLv> {
    let Ok(names) = copy_names(info.volume.id) else {
        return Vec::new();
    };
    local
        .volumes
        .iter()
        .filter(|lv| lv.volume.name == names.copy && lv.tags.contains(&names.tag))
        .map(|lv| CopyLv {
            lv: lv.volume.id.lv,
            size: lv.size,
            stage: CopyStage::from_tags(lv.tags.iter().map(String::as_str)),
        })
        .collect()
}
