//! The last use of volumes by instances that had them alone.

use std::collections::BTreeMap;

use volward_model::{InstanceId, VolumeId, VolumeRef};
use volward_plan::last_use::LastUse;

use super::recording::Recording;

/// Kept for so long: whose memory was saved is restored before that, or hardly ever.
const KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1000;

/// All of a node's.
#[derive(Debug, Default)]
pub(crate) struct LastUses {
    all: BTreeMap<(VolumeId, InstanceId), LastUse>,
    recording: Recording,
}

impl LastUses {
    /// What an earlier daemon has put on record.
    pub(crate) fn load(&mut self, recorded: Vec<LastUse>) {
        let keyed = recorded
            .into_iter()
            .map(|one| ((one.volume.id, one.instance), one));
        self.all.extend(keyed);
    }

    /// An instance is about to leave its volume.
    pub(crate) fn leaves(&mut self, last: LastUse) {
        let now = last.at_ms;
        // Also where a daemon that died had not noted that it came.
        self.comes(last.volume.id, last.instance, true);
        self.all.insert((last.volume.id, last.instance), last);
        self.all
            .retain(|_, one| one.at_ms.saturating_add(KEPT_MS) > now);
        self.recording.changed(true);
    }

    /// This node has taken the lease of a volume, or found that it has it.
    pub(crate) fn leased(&mut self, volume: VolumeId, version: u64) {
        for one in of(&mut self.all, volume) {
            let before = one.version;
            one.leased(version);
            self.recording.changed(one.version != before);
        }
    }

    /// An instance has the volume, to write or not: its last use is this one, and what it writes others do not know of.
    pub(crate) fn comes(&mut self, volume: VolumeId, instance: InstanceId, writes: bool) {
        let had = self.all.remove(&(volume, instance));
        self.recording.changed(had.is_some());
        if !writes {
            return;
        }
        self.spoil(|one| one.id == volume);
    }

    /// What these volumes have is not what anybody left in them.
    pub(crate) fn spoil(&mut self, which: impl Fn(&VolumeRef) -> bool) {
        for one in self.all.values_mut().filter(|one| which(&one.volume)) {
            self.recording.changed(one.version.is_some());
            one.spoiled();
        }
    }

    /// All of them, for the record.
    pub(crate) fn all(&self) -> Vec<LastUse> {
        self.all.values().cloned().collect()
    }

    pub(crate) fn get(&self, volume: VolumeId, instance: InstanceId) -> Option<&LastUse> {
        self.all.get(&(volume, instance))
    }

    /// What is to be put on record, if it is not, and nobody does it now.
    pub(crate) fn take_unrecorded(&mut self) -> Option<Vec<LastUse>> {
        let begins = self.recording.begin();
        begins.then(|| self.all())
    }

    /// Whether it could be put on record; it is tried again where not.
    pub(crate) fn recorded(&mut self, done: bool) {
        self.recording.end(done);
    }
}

fn of(
    all: &mut BTreeMap<(VolumeId, InstanceId), LastUse>,
    volume: VolumeId,
) -> impl Iterator<Item = &mut LastUse> {
    let of_it = all.iter_mut().filter(move |((id, _), _)| *id == volume);
    of_it.map(|(_, one)| one)
}
