//! What volumes are called, as the pools said when somebody looked last: an answer from memory must not name one by
//! what it was called when it was attached.

use std::collections::{BTreeMap, BTreeSet};

use volward_model::{Bytes, VolumeId, VolumeName};

use super::{State, unpoisoned};

/// What a pool says of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentVolume {
    /// The name it has now.
    pub name: VolumeName,
    /// Its present size.
    pub size: Bytes,
}

impl State {
    /// Remembers what was seen, as long as this node has something of the volume.
    pub(crate) fn note_present(&self, seen: &BTreeMap<VolumeId, PresentVolume>) {
        let mut known: BTreeSet<VolumeId> = self.monitors().keys().copied().collect();
        known.extend(self.attachment_table().attachments().map(|a| a.volume.id));
        let mut present = unpoisoned(&self.present);
        present.extend(seen.iter().map(|(id, volume)| (*id, volume.clone())));
        present.retain(|id, _| known.contains(id));
    }

    /// What a pool said of the volume when somebody looked last.
    pub(crate) fn present(&self, volume: VolumeId) -> Option<PresentVolume> {
        unpoisoned(&self.present).get(&volume).cloned()
    }
}
