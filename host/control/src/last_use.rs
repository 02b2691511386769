//! The last use of volumes, for guests whose memory was saved: noted when a volume is detached and whenever its lease is taken, looked at
//! when a guest is restored, and on record in the background.

use std::sync::Arc;

use volward_model::{Access, AttachmentState, DeviceId, Sharing, VolumeRef};
use volward_plan::last_use::LastUse;

use crate::ports::{Clock, Devices, LastUses, Leases, PortResult, StoredAttachment, Tasks};
use crate::settings::needs;
use crate::state::State;

needs!(LastUsePorts {
    leases: Leases,
    devices: Devices,
    last_uses: LastUses,
    clock: Clock,
    tasks: Tasks,
});

/// Notes it.
pub(crate) struct LastUseBook {
    pub(crate) ports: LastUsePorts,
    pub(crate) state: Arc<State>,
}

impl LastUseBook {
    /// Reads the records.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn load(&self) -> PortResult<()> {
        let recorded = self.ports.last_uses.last_uses()?;
        self.state.last_uses().load(recorded);
        Ok(())
    }

    /// After a recovery: whoever has something has it, also where the daemon before had not noted that. Most were noted.
    pub(crate) fn take_up(&self) {
        let table = self.state.attachment_table();
        let attached: Vec<StoredAttachment> = table.attachments().cloned().collect();
        drop(table);
        let mut last = self.state.last_uses();
        for one in attached {
            last.comes(one.volume.id, one.instance, one.access == Access::ReadWrite);
        }
    }

    /// Before these are detached, all of one pool: afterwards their leases are anybody's. What cannot be seen is not noted, and keeps
    /// nobody from a detach.
    pub(crate) fn leave(&self, attachments: &[StoredAttachment]) {
        let alone = |a: &&StoredAttachment| {
            a.sharing == Sharing::Exclusive
                && a.access == Access::ReadWrite
                && a.state == AttachmentState::Attached
        };
        let mut alone = attachments.iter().filter(alone).peekable();
        let Some(first) = alone.peek() else { return };
        let Ok(held) = self.ports.leases.held(&first.volume.pool) else {
            return;
        };
        let at_ms = self.ports.clock.now_ms();
        for one in alone {
            let Some(lease) = held.get(&one.volume.id.lv).filter(|lease| !lease.orphan) else {
                continue;
            };
            let id = DeviceId::attachment(one.volume.id, one.instance);
            let device = self.ports.devices.get(id).ok().flatten();
            self.state.last_uses().leaves(LastUse {
                instance: one.instance,
                volume: one.volume.clone(),
                version: Some(lease.version),
                size: device.map(|device| device.size.bytes()),
                at_ms,
            });
        }
    }

    /// Before somebody says which data of these volumes counts: no saved guest goes on with what it left there. On record when
    /// this returns.
    ///
    /// # Errors
    /// If it cannot be put on record.
    pub(crate) fn data_is_chosen(&self, which: impl Fn(&VolumeRef) -> bool) -> PortResult<()> {
        let all = {
            let mut last = self.state.last_uses();
            last.spoil(which);
            last.all()
        };
        // What the background writes meanwhile may be older, and is followed by what it has not seen.
        self.ports.last_uses.replace_last_uses(&all)
    }

    /// Puts on record what is not, in the background: nothing waits for it.
    pub(crate) fn record(self: &Arc<Self>) {
        let Some(all) = self.state.last_uses().take_unrecorded() else {
            return;
        };
        let this = Arc::clone(self);
        let work = move || {
            // Tried again with the next look; the state's disk has its own place in doctor.
            let done = this.ports.last_uses.replace_last_uses(&all).is_ok();
            this.state.last_uses().recorded(done);
        };
        let name = "record the last use of volumes".to_owned();
        self.ports.tasks.spawn(name, Box::new(work));
    }
}
