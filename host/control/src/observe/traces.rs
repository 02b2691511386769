//! What this node itself has of a pool's volumes: devices and copies, whatever homes and records say.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use volward_model::{
    CopyLayout, CopyLv, CopyStage, DeviceId, DeviceInfo, DeviceRole, PoolInfo, PoolName, VolumeId,
    VolumeInfo,
};
use volward_plan::home::copy_names;
use volward_plan::{LocalCopies, NextHome, Step, VolumeInput, Witnesses};

use super::Observer;
use crate::ports::{
    JournalEntry, JournalQuery, JournalState, Operation, PortError, PortResult, StepMark,
    StoredAttachment,
};

/// A local pool that ran into the deadline of a look is not looked at again for so long.
const HUNG_FOR: Duration = Duration::from_secs(30);
/// Entries of a volume that are looked through for the last copy made of it: months of starts.
const ENTRIES: usize = 200;

/// Volward's devices and copies on this node, whatever the homes say of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces {
    /// All of Volward's devices that the kernel has.
    pub(crate) devices: Vec<DeviceInfo>,
    /// The local pool.
    pub(crate) local: LocalLook,
}

/// What a look at the local pool came to.
#[derive(Clone, Debug, Default)]
pub(crate) enum LocalLook {
    /// None is configured.
    #[default]
    NoPool,
    /// It cannot be read; why, a sentence.
    Silent(String),
    Seen(Arc<PoolInfo>),
}

impl LocalLook {
    /// The copies of a volume, by the tag of the LVs and not by the home.
    pub(crate) fn copies_of(&self, volume: VolumeId) -> LocalCopies {
        match self {
            Self::NoPool => LocalCopies::NoPool,
            Self::Silent(why) => LocalCopies::Silent(why.clone()),
            Self::Seen(local) => LocalCopies::Found(copies_of(volume, local)),
        }
    }
}

impl Observer {
    /// What this node has of its volumes, beside what homes and records say.
    pub(crate) fn traces(&self) -> PortResult<Traces> {
        let devices = self.ports.devices.list()?;
        let local = match &self.settings.local {
            None => LocalLook::NoPool,
            Some(name) => match self.look_at_local(name) {
                Ok(info) => LocalLook::Seen(info),
                Err(error) => LocalLook::Silent(error.to_string()),
            },
        };
        Ok(Traces { devices, local })
    }

    /// The same, with a local pool that is not waited for.
    pub(super) fn traces_at_once(&self) -> PortResult<Traces> {
        let devices = self.ports.devices.list()?;
        let local = match &self.settings.local {
            None => LocalLook::NoPool,
            Some(name) => match self.ports.volumes.glance(name) {
                Ok(Some(info)) => LocalLook::Seen(info),
                Ok(None) => LocalLook::Silent("it does not answer at once".to_owned()),
                Err(error) => LocalLook::Silent(error.to_string()),
            },
        };
        Ok(Traces { devices, local })
    }

    /// The local pool. One that has just let a look run into its deadline is not looked at again for
    /// a while: each look of each request would take as long.
    pub(super) fn look_at_local(&self, name: &PoolName) -> PortResult<Arc<PoolInfo>> {
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

    /// The generation with which the volume's home became `split` here the last time, by the journal.
    fn split_at(&self, info: &VolumeInfo) -> PortResult<Option<u64>> {
        let of_volume = JournalQuery::Volume(info.volume.clone());
        let entries = self.ports.journal.find(&of_volume, ENTRIES)?;
        let split = |entry: &JournalEntry| split_by(entry, info.volume.id);
        Ok(entries.iter().filter_map(split).max())
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
        let copies = traces.local.copies_of(id);
        let split_at = match copies.silent() {
            Some(_) => self.split_at(info)?,
            None => None,
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
            answers: Vec::new(),
            progress: attachment_table.copy(id),
            clone,
            clone_loaded,
            witnesses: Witnesses {
                devices,
                copies,
                split_at,
                write_back,
            },
        })
    }
}

/// The generation that an attach gave the home when it made a copy; `None` where it made none, or
/// was undone, so that no guest ever had it.
fn split_by(entry: &JournalEntry, volume: VolumeId) -> Option<u64> {
    let Operation::Attach { .. } = entry.operation else {
        return None;
    };
    let of_step = |(step, mark): (&Step, StepMark)| match step {
        Step::SetHome {
            volume: of,
            from_generation,
            to: NextHome::Split(_),
            ..
        } if of.id == volume && mark != StepMark::Waiting => Some(from_generation + 1),
        _ => None,
    };
    let undone = entry.state == JournalState::Undone;
    let mut steps = entry.operation.steps().into_iter();
    steps.find_map(of_step).filter(|_| !undone)
}

fn copies_of(volume: VolumeId, local: &PoolInfo) -> Vec<CopyLv> {
    let Ok(names) = copy_names(volume) else {
        return Vec::new();
    };
    local
        .volumes
        .iter()
        .filter(|lv| lv.volume.name == names.copy && lv.tags.contains(&names.tag))
        .map(|lv| {
            let tags = || lv.tags.iter().map(String::as_str);
            let layout = CopyLayout::from_tags(tags()).ok().flatten();
            CopyLv {
                lv: lv.volume.id.lv,
                size: layout.map_or(lv.size, |layout| layout.data),
                stage: CopyStage::from_tags(tags()),
            }
        })
        .collect()
}
