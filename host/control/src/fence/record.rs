//! What is cut off is on record, for the daemon that comes after this one.

use std::sync::Arc;

use volward_model::DeviceInfo;

use super::{Fence, device_of};
use crate::ports::FenceRecord;
use crate::state::Fenced;

impl Fence {
    /// Puts on record what is cut off, in the background: nothing waits for it.
    pub(super) fn record(self: &Arc<Self>) {
        let Some(all) = self.state.fences().take_unrecorded() else {
            return;
        };
        let this = Arc::clone(self);
        let work = move || {
            // Tried again with the next look; the state's disk has its own place in doctor.
            let done = this.ports.fence_records.replace_fences(&all).is_ok();
            this.state.fences().recorded(done);
        };
        let name = "record what is cut off".to_owned();
        self.ports.tasks.spawn(name, Box::new(work));
    }

    /// Devices that an earlier daemon cut off stay so. What it has put on record says why, and whether the lease that
    /// is held now is the one from before.
    pub(crate) fn take_up(&self) {
        let Ok(devices) = self.ports.devices.list() else {
            return;
        };
        let recorded = self.ports.fence_records.fences().unwrap_or_default();
        if !recorded.is_empty() {
            // What has its I/O by now may still be among them.
            self.state.fences().recorded(false);
        }
        let since_ms = self.ports.clock.now_ms();
        for attachment in self.attached(|_| true) {
            let id = device_of(&attachment);
            let is_cut = |d: &DeviceInfo| d.id == id && d.target.as_deref() == Some("error");
            if devices.iter().any(is_cut) {
                let is_its = |one: &&FenceRecord| {
                    one.attachment == attachment.key() && one.granted_ms == attachment.since_ms
                };
                let fenced = match recorded.iter().find(is_its) {
                    Some(record) => Fenced {
                        reason: record.reason.clone(),
                        since_ms: record.since_ms,
                        cut: true,
                        regainable: record.regainable,
                        version: record.version,
                        asked: record.asked,
                    },
                    None => Fenced {
                        reason:
                            "it was cut off before volwardd was started, and why is not on record"
                                .to_owned(),
                        since_ms,
                        cut: true,
                        regainable: false,
                        version: None,
                        asked: false,
                    },
                };
                self.state.fences().take_up(&attachment, fenced);
            }
        }
    }
}
