//! A copy in the local pool: its LV, and what is where on it.

use volward_model::copy::COPY_STAGE_TAG_PREFIX;
use volward_model::{
    Backing, Bytes, CopyLayout, CopyStage, DeviceId, DeviceRole, PoolName, Sectors, Table,
    VolumeId, VolumeInfo, VolumeRef,
};
use volward_plan::home::{CopyNames, copy_names};

use super::run::device;
use super::{Engine, StepError};
use crate::ports::{NewVolume, PortError, PortResult};

/// Zeroed at the start of fresh clone metadata: dm-clone makes new metadata where the first
/// 4 KiB are zero; a whole MiB also wipes an older layout's remains.
const ZEROED: Bytes = Bytes::mib(1);

/// A volume's copy in the local pool.
#[derive(Clone, Debug)]
pub(crate) struct CopyVolumes {
    pub(crate) copy: VolumeInfo,
    pub(super) metadata: MetadataPlace,
    pub(super) return_metadata: MetadataPlace,
    layout: Option<CopyLayout>,
}

/// Where a clone keeps its metadata.
#[derive(Clone, Debug)]
pub(super) enum MetadataPlace {
    /// On the copy's LV: the device that shows this part of it.
    Part {
        id: DeviceId,
        on: VolumeId,
        start: Sectors,
        size: Sectors,
    },
    /// On an LV of its own: of a copy of 0.1.0.
    Own(VolumeInfo),
}

impl MetadataPlace {
    /// The LV, and where on it.
    pub(super) fn begins(&self) -> (VolumeId, Sectors) {
        match self {
            Self::Part { on, start, .. } => (*on, *start),
            Self::Own(info) => (info.volume.id, Sectors(0)),
        }
    }
}

impl CopyVolumes {
    /// Room for data in bytes: what the volume had when the copy was made, rounded up.
    pub(crate) fn data(&self) -> Bytes {
        self.layout.map_or(self.copy.size, |layout| layout.data)
    }

    /// All LVs of it.
    pub(super) fn lvs(&self) -> impl Iterator<Item = &VolumeInfo> {
        let own = [&self.metadata, &self.return_metadata].into_iter();
        let own = own.filter_map(|place| match place {
            MetadataPlace::Own(info) => Some(info),
            MetadataPlace::Part { .. } => None,
        });
        std::iter::once(&self.copy).chain(own)
    }
}

impl Engine {
    /// One LV, made by one command. A copy that was ever in use is not taken for a fresh one: its tags
    /// differ.
    pub(super) fn make_copy(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Bytes,
        metadata: Bytes,
    ) -> Result<(), StepError> {
        let names = names(volume)?;
        let layout = CopyLayout::new(size, metadata).ok_or_else(|| PortError::Invalid {
            what: format!("the copy of {volume}"),
            reason: format!("{size} and twice {metadata} are too much"),
        })?;
        let new = NewVolume {
            pool: local.clone(),
            name: names.copy,
            size: layout.total(),
            tags: vec![names.tag, CopyStage::Fresh.tag(), layout.tag()],
        };
        if let Err(error) = self.ports.volumes.create(&new) {
            return Err(match self.room_for(&new) {
                // Another attach was quicker: the next decision sees what is left.
                Ok(Some(free)) => StepError::Changed(format!(
                    "the copy of {volume} needs {} in {local}, and {free} is free now",
                    new.size
                )),
                _ => StepError::Port(error),
            });
        }
        // It is in the pool's figures now, also while the rest of a long attach runs.
        self.state.promise_no_more(volume.id);
        Ok(())
    }

    /// What is free in the pool, where that is too little for the LV.
    fn room_for(&self, new: &NewVolume) -> PortResult<Option<Bytes>> {
        let pool = self.ports.volumes.validated_pool(&new.pool)?;
        let wanted = new.size.0.next_multiple_of(pool.extent.0.max(1));
        let missing = pool.named(&new.name).is_none();
        Ok((missing && pool.free.0 < wanted).then_some(pool.free))
    }

    pub(super) fn remove_copy(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        unstaged: bool,
    ) -> PortResult<()> {
        let names = names(volume)?;
        let pool = self.ports.volumes.validated_pool(local)?;
        // Whatever was known when this was planned: what a guest has used and nobody has written
        // back is the only place of its data. Before the metadata goes, without which it is lost.
        if let Some(copy) = pool.named(&names.copy) {
            must_be_of_no_use(copy, unstaged)?;
        }
        for role in [DeviceRole::ReturnMetadata, DeviceRole::Metadata] {
            self.remove_device(device(volume.id, role))?;
        }
        for name in [&names.return_metadata, &names.metadata, &names.copy] {
            let Some(info) = pool.named(name) else {
                continue;
            };
            if !info.tags.contains(&names.tag) {
                return Err(not_ours(info, &names.tag));
            }
            self.ports.volumes.remove(&info.volume, None)?;
        }
        Ok(())
    }

    /// The copy, by name and tag.
    pub(crate) fn copy_volumes(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
    ) -> PortResult<CopyVolumes> {
        let names = names(volume)?;
        let pool = self.ports.volumes.validated_pool(local)?;
        let find = |name| {
            let info = pool.named(name).cloned();
            let info = info.ok_or_else(|| PortError::Missing {
                what: format!("{local}/{name}"),
            })?;
            if info.tags.contains(&names.tag) {
                Ok(info)
            } else {
                Err(not_ours(&info, &names.tag))
            }
        };
        let copy = find(&names.copy)?;
        let layout = CopyLayout::from_tags(copy.tags.iter().map(String::as_str));
        let layout = layout.map_err(|reason| PortError::Unreadable {
            what: copy.volume.to_string(),
            reason,
        })?;
        let (metadata, return_metadata) = match layout {
            None => (
                MetadataPlace::Own(find(&names.metadata)?),
                MetadataPlace::Own(find(&names.return_metadata)?),
            ),
            Some(layout) => {
                let part = |role, start: Bytes| MetadataPlace::Part {
                    id: device(volume.id, role),
                    on: copy.volume.id,
                    start: Sectors(start.0 / 512),
                    size: Sectors(layout.metadata.0 / 512),
                };
                (
                    part(DeviceRole::Metadata, layout.metadata_at()),
                    part(DeviceRole::ReturnMetadata, layout.return_metadata_at()),
                )
            }
        };
        Ok(CopyVolumes {
            copy,
            metadata,
            return_metadata,
            layout,
        })
    }

    /// What a clone's table names as its metadata; the device that shows it is made.
    pub(super) fn metadata_backing(&self, place: &MetadataPlace) -> PortResult<Backing> {
        match place {
            MetadataPlace::Own(info) => Ok(Backing::Volume(info.volume.id)),
            MetadataPlace::Part {
                id,
                on,
                start,
                size,
            } => {
                let table = Table::Part {
                    on: Backing::Volume(*on),
                    start: *start,
                    size: *size,
                };
                self.ports.devices.create(*id, &table, false, true)?;
                Ok(Backing::Device(*id))
            }
        }
    }

    /// I21: what was there before is no clone's metadata.
    pub(super) fn zero_metadata(&self, volume: &VolumeRef, local: &PoolName) -> PortResult<()> {
        let lvs = self.copy_volumes(volume, local)?;
        self.zero_place(&lvs.metadata)
    }

    fn zero_place(&self, place: &MetadataPlace) -> PortResult<()> {
        match place {
            MetadataPlace::Own(info) => self.ports.volumes.zero(&info.volume, ZEROED),
            MetadataPlace::Part { id, .. } => {
                self.metadata_backing(place)?;
                self.ports.devices.zero_device(*id, ZEROED)
            }
        }
    }

    /// Room for the metadata of the write-back is made with the copy, so that writing back never
    /// fails for want of space. Of a copy of 0.1.0 it may have been lost.
    pub(super) fn make_return_metadata(
        &self,
        volume: &VolumeRef,
        local: &PoolName,
        size: Bytes,
    ) -> PortResult<()> {
        let names = names(volume)?;
        let pool = self.ports.volumes.validated_pool(local)?;
        let copy = pool.named(&names.copy);
        let tags = copy.iter().flat_map(|copy| &copy.tags).map(String::as_str);
        if let Ok(Some(layout)) = CopyLayout::from_tags(tags) {
            if layout.metadata < size {
                return Err(PortError::Identity {
                    what: format!("the copy of {volume}"),
                    expected: format!("room for {size} of metadata"),
                    found: layout.metadata.to_string(),
                });
            }
            return self.zero_place(&self.copy_volumes(volume, local)?.return_metadata);
        }
        let new = NewVolume {
            pool: local.clone(),
            name: names.return_metadata,
            size,
            tags: vec![names.tag],
        };
        let (id, _) = self.ports.volumes.create(&new)?;
        let made = VolumeRef {
            id,
            pool: new.pool,
            name: new.name,
        };
        self.ports.volumes.zero(&made, ZEROED)
    }
}

fn names(volume: &VolumeRef) -> PortResult<CopyNames> {
    copy_names(volume.id).map_err(|error| PortError::Unreadable {
        what: format!("the UUID of {volume}"),
        reason: error.to_string(),
    })
}

/// Whether a copy may be removed: what has no stage is an earlier version's, and goes only where the
/// record of that version speaks for it (`unstaged`); what has more than one, or one that is not
/// understood, may be anything.
fn must_be_of_no_use(copy: &VolumeInfo, unstaged: bool) -> PortResult<()> {
    let tags = || copy.tags.iter().map(String::as_str);
    let staged: Vec<&str> = tags()
        .filter(|tag| tag.starts_with(COPY_STAGE_TAG_PREFIX))
        .collect();
    match CopyStage::from_tags(tags()) {
        Some(CopyStage::Fresh | CopyStage::Returned) => Ok(()),
        None if staged.is_empty() && unstaged => Ok(()),
        None | Some(CopyStage::Used { .. }) => Err(PortError::Identity {
            what: copy.volume.to_string(),
            expected: "a copy that nobody has used, or that is written back".to_owned(),
            found: match staged.is_empty() {
                true => "one that does not say how far it is".to_owned(),
                false => format!("one with the tag {}", staged.join(", ")),
            },
        }),
    }
}

fn not_ours(info: &VolumeInfo, tag: &str) -> PortError {
    PortError::Identity {
        what: info.volume.to_string(),
        expected: format!("the tag {tag}"),
        found: info.tags.join(", "),
    }
}
