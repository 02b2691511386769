//! Device-mapper devices of ours: what they are called and what is in their tables.
//!
//! A device's dm UUID is `LVM-<VG uuid><LV uuid>-volward-<role>`: LVM takes a device with such a
//! suffix for an internal layer of its own and never looks inside (I15). The name repeats the
//! role for people; the UUID is the identity (I12).

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{InstanceId, LvmUuid, VolumeId};
use crate::units::Sectors;

/// What a device of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRole {
    /// The device one guest opens.
    Attachment(InstanceId),
    /// The node's one dm-clone device of a volume: reads go to copy or shared LV as the case is.
    Clone,
    /// The reverse clone that writes a copy back to the shared LV.
    Return,
    /// The part of the copy's LV on which the clone keeps its metadata.
    Metadata,
    /// The part of the copy's LV on which the reverse clone does.
    ReturnMetadata,
}

/// One device of ours: volume and role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId {
    /// The volume it belongs to.
    pub volume: VolumeId,
    /// Which of the volume's devices this is.
    pub role: DeviceRole,
}

impl DeviceId {
    /// The device an instance opens for a volume.
    #[must_use]
    pub fn attachment(volume: VolumeId, instance: InstanceId) -> Self {
        Self {
            volume,
            role: DeviceRole::Attachment(instance),
        }
    }

    /// Device-mapper's name of it: at most 77 bytes, dm allows 127.
    #[must_use]
    pub fn name(&self) -> String {
        let lv = self.volume.lv.compact();
        match self.role {
            DeviceRole::Attachment(instance) => format!("volward-{instance}-{lv}"),
            DeviceRole::Clone => format!("volward-clone-{lv}"),
            DeviceRole::Return => format!("volward-return-{lv}"),
            DeviceRole::Metadata => format!("volward-meta-{lv}"),
            DeviceRole::ReturnMetadata => format!("volward-back-{lv}"),
        }
    }

    /// Its dm UUID: at most 109 bytes, dm allows 128.
    #[must_use]
    pub fn dm_uuid(&self) -> String {
        let layer = match self.role {
            DeviceRole::Attachment(instance) => instance.0.simple().to_string(),
            DeviceRole::Clone => "clone".to_owned(),
            DeviceRole::Return => "return".to_owned(),
            DeviceRole::Metadata => "meta".to_owned(),
            DeviceRole::ReturnMetadata => "back".to_owned(),
        };
        format!("{}-volward-{layer}", lv_dm_uuid(self.volume))
    }

    /// The device a dm UUID belongs to; `None` if it is not one of ours.
    #[must_use]
    pub fn from_dm_uuid(uuid: &str) -> Option<Self> {
        let (lv, layer) = uuid.strip_prefix("LVM-")?.split_once("-volward-")?;
        let (vg, lv) = lv.split_at_checked(32)?;
        let volume = VolumeId {
            vg: vg.parse::<LvmUuid>().ok()?,
            lv: lv.parse().ok()?,
        };
        let role = match layer {
            "clone" => DeviceRole::Clone,
            "return" => DeviceRole::Return,
            "meta" => DeviceRole::Metadata,
            "back" => DeviceRole::ReturnMetadata,
            instance => DeviceRole::Attachment(InstanceId(Uuid::try_parse(instance).ok()?)),
        };
        Some(Self { volume, role })
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

/// The dm UUID LVM gives the device of an LV.
#[must_use]
pub fn lv_dm_uuid(volume: VolumeId) -> String {
    format!("LVM-{}{}", volume.vg.compact(), volume.lv.compact())
}

/// What a table stands on, by identity; resolved to a device number when the table is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backing {
    /// An active LV.
    Volume(VolumeId),
    /// Another device of ours.
    Device(DeviceId),
}

/// A device's table: one target over its whole length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// One to one.
    Linear {
        /// The device below, whole and from its first sector.
        on: Backing,
        /// Length of the table in sectors of 512 bytes.
        size: Sectors,
    },
    /// A part of the device below, one to one.
    Part {
        /// The device below.
        on: Backing,
        /// Where the part begins, in sectors of 512 bytes.
        start: Sectors,
        /// Its length in sectors of 512 bytes.
        size: Sectors,
    },
    /// dm-clone; always with `no_discard_passdown`: a discard must not reach the source.
    Clone(CloneTable),
    /// dm-mirror: every write goes to both, and the kernel copies what was there before. Reads are of the first.
    Mirror(MirrorTable),
    /// Every I/O fails: a fenced attachment.
    Error {
        /// Length of the table in sectors of 512 bytes.
        size: Sectors,
    },
}

/// A dm-mirror table of two legs, in the kernel's units; which regions are equal the kernel keeps in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorTable {
    /// What the guest reads.
    pub on: Backing,
    /// What becomes equal to it.
    pub copy: Backing,
    /// Length of the table in sectors of 512 bytes.
    pub size: Sectors,
}

/// How far a mirror's second leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Regions that are equal on both legs.
    pub equal: u64,
    /// Regions of the device.
    pub total: u64,
    /// No leg has failed to read or write.
    pub sound: bool,
}

impl MirrorStatus {
    /// The second leg holds what the first one does.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.sound && self.equal == self.total
    }
}

/// A dm-clone table, in the kernel's units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneTable {
    /// Where dm-clone keeps its bitmap.
    pub metadata: Backing,
    /// Where the copy goes.
    pub destination: Backing,
    /// What is copied.
    pub source: Backing,
    /// Length of source, destination and table in sectors of 512 bytes.
    pub size: Sectors,
    /// Copied as one piece.
    pub region: Sectors,
    /// Background hydration from the start.
    pub hydrating: bool,
    /// Regions being copied at once (`hydration_threshold`); never 0: nothing would hydrate.
    pub threshold: u32,
    /// Regions copied in one piece (`hydration_batch_size`); never 0.
    pub batch: u32,
}

/// A dm-clone's status line, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneStatus {
    /// Size of a region.
    pub region: Sectors,
    /// Regions in the destination.
    pub hydrated: u64,
    /// Regions of the volume.
    pub total: u64,
    /// Regions being copied at this moment.
    pub in_flight: u64,
    /// Background hydration is on.
    pub hydrating: bool,
    /// What the metadata device can do.
    pub mode: CloneMode,
}

/// The last word of a dm-clone's status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloneMode {
    /// Metadata can be written: hydration goes on.
    ReadWrite,
    /// The metadata became read-only after an error.
    ReadOnly,
    /// The metadata failed.
    Fail,
}

impl CloneStatus {
    /// Everything is copied and nothing is on its way: the condition for the switch to linear (I22).
    #[must_use]
    pub fn complete(&self) -> bool {
        self.hydrated == self.total && self.in_flight == 0 && self.mode == CloneMode::ReadWrite
    }
}

/// I/O of a device since it was made, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// Reads and writes that have ended.
    pub done: u64,
    /// What they took together, in microseconds; the kernel counts milliseconds.
    pub busy_us: u64,
    /// Those that have not ended, at this moment.
    pub in_flight: u64,
    /// What the writes that have ended have written.
    pub written: Sectors,
}

impl IoCounters {
    /// What has come since `before`; `None` where they are another device's.
    #[must_use]
    pub fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            done: self.done.checked_sub(before.done)?,
            busy_us: self.busy_us.checked_sub(before.busy_us)?,
            in_flight: self.in_flight,
            written: Sectors(self.written.0.checked_sub(before.written.0)?),
        })
    }

    /// Of two devices together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            done: self.done.saturating_add(other.done),
            busy_us: self.busy_us.saturating_add(other.busy_us),
            in_flight: self.in_flight.saturating_add(other.in_flight),
            written: Sectors(self.written.0.saturating_add(other.written.0)),
        }
    }
}

/// A device of ours as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Volume and role, parsed from the dm UUID.
    pub id: DeviceId,
    /// Block device number, as in `/dev/dm-<minor>`.
    pub number: crate::volume::DeviceNumber,
    /// Somebody has it open (device-mapper's own layers count too).
    pub open: bool,
    /// I/O waits.
    pub suspended: bool,
    /// The kernel refuses writes.
    pub read_only: bool,
    /// The live table's target type (`linear`, `clone`, `error`); `None` without a table.
    pub target: Option<String>,
    /// The live table's length in sectors of 512 bytes; 0 without a table.
    pub size: Sectors,
    /// dm's event counter, for waiting.
    pub event: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> VolumeId {
        VolumeId {
            vg: "a".repeat(32).parse().unwrap(),
            lv: "b".repeat(32).parse().unwrap(),
        }
    }

    #[test]
    fn i12_the_dm_uuid_names_the_device_and_is_read_back() {
        let instance = "11111111-2222-3333-4444-555555555555".parse().unwrap();
        for role in [
            DeviceRole::Attachment(instance),
            DeviceRole::Clone,
            DeviceRole::Return,
            DeviceRole::Metadata,
            DeviceRole::ReturnMetadata,
        ] {
            let id = DeviceId {
                volume: volume(),
                role,
            };
            assert_eq!(DeviceId::from_dm_uuid(&id.dm_uuid()), Some(id));
            assert!(id.dm_uuid().len() <= 128 && id.name().len() <= 127);
        }
    }

    #[test]
    fn other_devices_are_not_ours() {
        let lv = lv_dm_uuid(volume());
        for uuid in [
            lv.as_str(),
            "",
            "mpath-1",
            &format!("{lv}-volward-x"),
            "LVM-ä-volward-clone",
        ] {
            assert_eq!(DeviceId::from_dm_uuid(uuid), None, "{uuid}");
        }
    }
}
