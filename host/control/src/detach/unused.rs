//! What nobody has open: all that goes before a node does.

use std::collections::BTreeSet;

use volward_model::{DeviceId, VolumeRef};
use volward_plan::DiskForm;

use super::Detach;
use crate::ports::{PortResult, StoredAttachment};

impl Detach {
    /// Takes out of the list what somebody has open, and names it. What nobody can be asked about may be open. A
    /// device is only looked at here: the kernel itself refuses to remove one that was opened since.
    pub(super) fn set_aside_what_is_open(
        &self,
        selected: &mut Vec<StoredAttachment>,
    ) -> Vec<VolumeRef> {
        let devices = self.ports.devices.list();
        if let Err(error) = &devices {
            self.trouble("looking at what is open".to_owned(), error);
        }
        let open = devices.map(|all| {
            let open = all.into_iter().filter(|device| device.open);
            open.map(|device| device.id).collect()
        });
        let all = std::mem::take(selected).into_iter();
        let (stay, go): (Vec<_>, Vec<_>) = all.partition(|a| self.may_be_open(a, &open));
        *selected = go;
        stay.into_iter().map(|a| a.volume).collect()
    }

    fn may_be_open(
        &self,
        attachment: &StoredAttachment,
        open: &PortResult<BTreeSet<DeviceId>>,
    ) -> bool {
        let volume = attachment.volume.id;
        match attachment.form {
            DiskForm::Own => open.as_ref().map_or(true, |open| {
                open.contains(&DeviceId::attachment(volume, attachment.instance))
            }),
            DiskForm::Lv => self.ports.devices.is_lv_open(volume).unwrap_or(true),
        }
    }
}
