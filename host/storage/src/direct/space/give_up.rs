//! The way back: devices first, then leases; and what is left where the lockspace is gone or being left.

use volward_model::{LeaseMode, VolumeRef};
use volward_ports::{PortError, PortResult, Unmet};

use super::{Space, is_registry, lv_of};
use crate::lease::Entry;
use crate::lease::claims::Held;
use crate::sanlock::{MOST_AT_ONCE, Place, SanlockError};

impl Space {
    /// What sanlock tells of the leases here, also where this node is not in the lockspace, or is leaving it:
    /// then there is nothing but orphans, and nobody can adopt them.
    fn entries(&mut self) -> PortResult<(Vec<Entry>, bool)> {
        match self.join() {
            Ok(account) => {
                let joined = !self.leaving && !account.freshness.is_closed();
                Ok((account.entries, joined))
            }
            Err(PortError::Unmet(Unmet::NotJoined { .. })) => {
                Ok((self.world.stranded(&self.pool)?, false))
            }
            Err(error) => Err(error),
        }
    }

    /// An orphan of Volward's keeps the lockspace from being left. Once its device is gone nobody needs it.
    fn give_up_stranded(&mut self, volume: &VolumeRef, entry: &Entry) -> PortResult<()> {
        if self.world.mapper().is_mapped(volume.id)? {
            return Err(still_mapped(volume));
        }
        let place = self.where_it_is(entry);
        let mut given_up = self.say(|sanlock| sanlock.give_up_orphan(&place));
        // It has hung up since the lockspace failed: the next call begins anew.
        if matches!(given_up, Err(SanlockError::Broken(_))) {
            given_up = self.say(|sanlock| sanlock.give_up_orphan(&place));
        }
        given_up.map_err(|error| self.failed("giving up", &[volume], error))?;
        self.claims().own.remove(&volume.id.lv);
        Ok(())
    }

    /// Gives up what is Volward's; never the lease of what is still mapped (I1).
    pub(in crate::direct) fn release(&mut self, volumes: &[VolumeRef]) -> PortResult<()> {
        let (entries, joined) = self.entries()?;
        let (mut own, mut through_lvm, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        for volume in volumes {
            let pid = self.world.pid();
            let held = self.claims().held(&entries, volume.id.lv, pid);
            match held.map(|(held, entry)| (held, entry.clone())) {
                Some((Held::Own, entry)) => {
                    if self.world.mapper().is_mapped(volume.id)? {
                        return Err(still_mapped(volume));
                    }
                    let place = self.where_it_is(&entry);
                    own.push((volume, place));
                }
                Some((Held::ThroughLvm, _)) => through_lvm.push(volume.clone()),
                Some((Held::Orphan, entry)) if !joined && self.claims().own.contains(&entry.lv) => {
                    self.give_up_stranded(volume, &entry)?;
                }
                None if joined && self.claims().own.contains(&volume.id.lv) => {
                    forgotten.push(volume.clone());
                }
                // Nothing of Volward's; the caller reads back.
                Some((Held::ByHand | Held::Orphan, _)) | None => {}
            }
        }
        if !own.is_empty() {
            self.world.let_lvmlockd_adopt();
        }
        for some in own.chunks(MOST_AT_ONCE) {
            let places: Vec<Place> = some.iter().map(|(_, place)| place.clone()).collect();
            match self.say(|sanlock| sanlock.release(&places)) {
                Ok(()) | Err(SanlockError::NotHeld) => {}
                Err(error) => {
                    let volumes: Vec<&VolumeRef> = some.iter().map(|(volume, _)| *volume).collect();
                    return Err(self.failed("giving up", &volumes, error));
                }
            }
            let mut claims = self.claims();
            for (volume, _) in some {
                claims.own.remove(&volume.id.lv);
            }
        }
        self.clear(&forgotten)?;
        if !through_lvm.is_empty() {
            self.world.lvm_release(&self.pool, &through_lvm)?;
            let mut claims = self.claims();
            for volume in through_lvm.iter().filter(|volume| !is_registry(volume)) {
                claims.through_lvm.remove(&volume.id.lv);
            }
        }
        Ok(())
    }

    /// A lease that was this daemon's, and that sanlock does not list any more: it could not be cleared on the LUN when it was
    /// given up, and other nodes see this one as its holder as long as it lives. It is taken once more, and given up.
    fn clear(&mut self, volumes: &[VolumeRef]) -> PortResult<()> {
        if volumes.is_empty() {
            return Ok(());
        }
        let look = self.look()?;
        for volume in volumes {
            if self.world.mapper().is_mapped(volume.id)? {
                return Err(still_mapped(volume));
            }
            // Removed meanwhile, its lease went with it.
            if let Ok(lv) = lv_of(&look, volume) {
                let place = [self.place(volume, lv)?];
                let cleared = self
                    .say(|sanlock| sanlock.acquire(&place, LeaseMode::Exclusive))
                    .and_then(|()| self.say(|sanlock| sanlock.release(&place)));
                match cleared {
                    // Somebody else's, so it is not this node's.
                    Ok(()) | Err(SanlockError::HeldElsewhere | SanlockError::HeldHere) => {}
                    Err(error) => return Err(self.failed("clearing", &[volume], error)),
                }
            }
            self.claims().own.remove(&volume.id.lv);
        }
        Ok(())
    }

    /// Removes the devices of volumes that Volward activated. One whose lease was lost, or is an orphan of
    /// this daemon's, is removed too (I13); one that somebody activated by hand is not.
    pub(in crate::direct) fn deactivate(&mut self, volumes: &[VolumeRef]) -> PortResult<()> {
        let (entries, _) = self.entries()?;
        for volume in volumes {
            let pid = self.world.pid();
            let claims = self.claims().clone();
            let held = claims.held(&entries, volume.id.lv, pid);
            let removes = match held.map(|(held, _)| held) {
                Some(Held::Own) => true,
                None | Some(Held::Orphan) => claims.own.contains(&volume.id.lv),
                Some(Held::ThroughLvm | Held::ByHand) => false,
            };
            if removes {
                self.world.unmap(volume)?;
            }
        }
        Ok(())
    }
}

fn still_mapped(volume: &VolumeRef) -> PortError {
    PortError::Busy {
        what: format!("{volume}, whose lease is to be given up,"),
    }
}
