//! What operations on volumes need of LVM: making an LV that is not active, renaming one, growing one
//! whose lease is held.

use volward_model::{Bytes, Mark, PoolInfo, VolumeId, VolumeName, VolumeRef};
use volward_ports::{Applied, NewVolume, PortError, PortResult, Volumes};

use super::create::{create_args, same_volume};
use super::{LEASE_DEADLINE, Lvm, selection};

/// `-an`: LVM zeroes nothing and takes no lease that would have to be given up.
pub(super) const INACTIVE: &str = "-an";

/// LVM takes an LV's lease to change its size or its place, and refuses where this daemon holds it, or lvmlockd holds
/// it shared. This leaves it out, which is right for those two alone: the lease is held, for the attachments.
/// For a command that removes or deactivates, the same option takes a volume from whoever uses it.
pub(super) const HELD: [&str; 2] = ["--lockopt", "skiplv"];

impl Lvm {
    pub(super) fn make_inactive(&self, new: &NewVolume) -> PortResult<(VolumeId, Applied)> {
        let settings = self.settings(&new.pool)?;
        if let Some(existing) = self.validated_pool(&new.pool)?.named(&new.name) {
            return Ok((same_volume(existing, new)?, Applied::Identity));
        }
        self.must_be_whole(&new.pool)?;
        let args = create_args(INACTIVE, new);
        self.run(settings, LEASE_DEADLINE, "lvcreate", &args)?;
        let made = self.pool(&new.pool)?;
        let made = made.named(&new.name).ok_or_else(|| PortError::Missing {
            what: format!("{}/{}, which LVM said it made,", new.pool, new.name),
        })?;
        Ok((made.volume.id, Applied::Changed))
    }

    pub(super) fn give_name(&self, volume: &VolumeRef, to: &VolumeName) -> PortResult<Applied> {
        let settings = self.settings(&volume.pool)?;
        let now = self.present(volume)?;
        if now.volume.name == *to {
            return Ok(Applied::Identity);
        }
        self.must_be_whole(&volume.pool)?;
        // lvrename takes no selection: the name it has at this moment, and the new one read back by UUID.
        let names = [volume.pool.as_str(), now.volume.name.as_str(), to.as_str()];
        let names = names.map(str::to_owned);
        self.run(settings, LEASE_DEADLINE, "lvrename", &names)?;
        let named = self.present(volume)?;
        if named.volume.name == *to {
            return Ok(Applied::Changed);
        }
        Err(PortError::NotInEffect {
            what: format!("renaming {volume}"),
            expected: to.to_string(),
            found: named.volume.name.to_string(),
        })
    }

    /// The lease is held, and LVM is told not to take it.
    pub(super) fn extend_held(&self, volume: &VolumeRef, size: Bytes) -> PortResult<Applied> {
        self.extend(volume, size, &HELD)
    }

    /// `lvextend`, read back by the UUID.
    pub(super) fn extend(
        &self,
        volume: &VolumeRef,
        size: Bytes,
        options: &[&str],
    ) -> PortResult<Applied> {
        let settings = self.settings(&volume.pool)?;
        let now = self.present(volume)?;
        if now.size >= size {
            return Ok(Applied::Identity);
        }
        self.must_be_whole(&volume.pool)?;
        // lvextend takes no selection: the name it has at this moment, and the size read back by UUID.
        let mut args: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        args.extend([
            "-L".to_owned(),
            format!("{}b", size.0),
            now.volume.to_string(),
        ]);
        self.run(settings, LEASE_DEADLINE, "lvextend", &args)?;
        let grown = self.present(volume)?;
        if grown.size >= size {
            return Ok(Applied::Changed);
        }
        Err(PortError::Identity {
            what: grown.volume.to_string(),
            expected: format!("at least {size} after lvextend"),
            found: grown.size.to_string(),
        })
    }

    /// Removed where it is; LVM takes the exclusive lease for it. LVM looks for the mark under the group's lock: nobody can
    /// take it away in between.
    pub(super) fn take_away(&self, volume: &VolumeRef, mark: Option<&Mark>) -> PortResult<Applied> {
        let there = |info: &PoolInfo| info.volume(volume.id).is_some();
        let known = self.validated_pool(&volume.pool)?;
        if !there(&known) {
            return Ok(Applied::Identity);
        }
        self.must_be_whole(&volume.pool)?;
        let volumes = std::slice::from_ref(volume);
        // lvremove asks no question about an LV that is not active.
        self.deactivate(&volume.pool, volumes)?;
        let mut chosen = selection(volumes);
        if let Some(mark) = mark {
            chosen += &format!(" && lv_tags={{\"{}\"}}", mark.tag());
        }
        let args = ["--select".to_owned(), chosen, volume.pool.to_string()];
        let settings = self.settings(&volume.pool)?;
        self.run(settings, LEASE_DEADLINE, "lvremove", &args)?;
        match there(&self.pool(&volume.pool)?) {
            false => Ok(Applied::Changed),
            true => Err(PortError::NotInEffect {
                what: format!("removing {volume}"),
                expected: "no such volume".to_owned(),
                found: "it".to_owned(),
            }),
        }
    }
}
