//! The attachment table, a volume at a time: what this node has and is about to have or to give back, and what the
//! other nodes' slots show; and the status that `plan` derives from it.

use std::collections::BTreeMap;

use volward_model::{
    Access, AttachmentState, Claim, InstanceId, PoolName, Sharing, VolumeId, VolumeInfo,
    VolumeName, VolumeStatus,
};
use volward_plan::status::{Row, StatusCounts, UnderWay, VolumeTable, status};

use super::{Views, VolumeTrouble};
use crate::observe::PoolSnapshot;
use crate::ports::StoredAttachment;
use crate::state::{Owed, Rest, Wanted};

/// How a volume stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeStanding {
    /// In a word.
    pub status: VolumeStatus,
    /// How many attachments are at each stage.
    pub counts: StatusCounts,
    /// What contradicts itself, and what cannot be read, a sentence each.
    pub troubles: Vec<String>,
}

/// A disk that an attach under way on this node asks for, and that the instance does not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachingDisk {
    /// Whose.
    pub instance: InstanceId,
    /// The instance's name, for people; empty where it was not given.
    pub instance_name: String,
    /// Who asks.
    pub claim: Claim,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The volume's pool.
    pub pool: PoolName,
    /// The volume's name in it, as it was asked for.
    pub volume: VolumeName,
    /// The sharing asked for; where none was, the strictest: nothing is granted yet.
    pub sharing: Sharing,
    /// The access asked for.
    pub access: Access,
}

impl AttachingDisk {
    /// Whether that is the attachment that comes of it.
    #[must_use]
    pub fn is(&self, attachment: &StoredAttachment) -> bool {
        let volume = &attachment.volume;
        let names = (&volume.pool, &volume.name) == (&self.pool, &self.volume);
        names && attachment.instance == self.instance
    }
}

impl Views {
    /// What attaches under way on this node ask for.
    pub(crate) fn attaching(&self) -> Vec<AttachingDisk> {
        let wanted = self.state.in_flight.wanted();
        let mut has: Vec<StoredAttachment> = self.attachments();
        let owed = self.state.owed();
        let concerned = owed.operations().flat_map(|(_, owed)| &owed.concerned);
        has.extend(concerned.cloned());
        drop(owed);
        let mut disks: Vec<AttachingDisk> = wanted.iter().flat_map(disks).collect();
        // Asked for again, it is what it was.
        disks.retain(|disk| !has.iter().any(|a| disk.is(a)));
        disks
    }

    /// What works on an attachment of this node now, other than what failed and is tried again.
    pub(crate) fn is_leaving(&self, attachment: &StoredAttachment) -> bool {
        self.state.leaving.has(attachment.key())
    }

    /// How each volume of a pool stands, Volward's own left out.
    pub(crate) fn standings(&self, snapshot: &PoolSnapshot) -> BTreeMap<VolumeId, VolumeStanding> {
        let mut rows = self.rows_here();
        for disk in self.attaching() {
            let named =
                (snapshot.info.name == disk.pool).then(|| snapshot.info.named(&disk.volume));
            if let Some(info) = named.flatten() {
                rows.entry(info.volume.id).or_default().push(Row {
                    state: AttachmentState::Intent,
                    under_way: Some(UnderWay::Attaching),
                    cut_off: false,
                });
            }
        }
        for (volume, row) in rows_elsewhere(snapshot) {
            rows.entry(volume).or_default().push(row);
        }
        let unclear = self.unclear(snapshot);
        let volumes = snapshot.info.volumes.iter().filter(|v| !v.is_internal());
        let standing = |info: &VolumeInfo| {
            let id = info.volume.id;
            let table = VolumeTable {
                rows: rows.get(&id).cloned().unwrap_or_default(),
                home: info.home().ok().map(|home| home.state),
                marked: info.mark().is_some(),
                leased: snapshot.held.contains_key(&id.lv),
                troubles: [self.contradictions(snapshot, info), unclear.clone()].concat(),
            };
            let (status, counts) = status(&table);
            let troubles = table.troubles;
            VolumeStanding {
                status,
                counts,
                troubles,
            }
        };
        volumes.map(|v| (v.volume.id, standing(v))).collect()
    }

    /// Sentences: what cannot be read of the pool's nodes. Any of its volumes may be somebody's for that.
    fn unclear(&self, snapshot: &PoolSnapshot) -> Vec<String> {
        let node = &self.settings.node;
        let mut unclear = [snapshot.unreadable(), snapshot.impostors(node)].concat();
        if snapshot.newer_slots().any(|(_, slot)| slot.held.is_none()) {
            unclear.extend(snapshot.newer(None));
        }
        unclear
    }

    /// What is known of its data and contradicts itself, a sentence each. A copy that waits for its guest is none: its
    /// home says where it is.
    fn contradictions(&self, snapshot: &PoolSnapshot, info: &VolumeInfo) -> Vec<String> {
        match self.trouble_of(snapshot, info) {
            None | Some(VolumeTrouble::WaitsForItsGuest) => return Vec::new(),
            // Seen between two steps of a request, perhaps: looked at again under the volume's lock.
            Some(VolumeTrouble::Contradiction(_) | VolumeTrouble::Silent(_)) => {}
        }
        match self.confirmed(&info.volume) {
            Some(VolumeTrouble::Contradiction(sentences)) => sentences,
            Some(VolumeTrouble::Silent(why)) => vec![why],
            None | Some(VolumeTrouble::WaitsForItsGuest) => Vec::new(),
        }
    }

    /// This node's attachments, by volume; those included that are neither whole nor gone.
    fn rows_here(&self) -> BTreeMap<VolumeId, Vec<Row>> {
        let mut rows: BTreeMap<_, (VolumeId, Row)> = BTreeMap::new();
        for attachment in self.attachments() {
            let leaving = self.is_leaving(&attachment);
            let row = Row {
                state: attachment.state,
                under_way: leaving.then_some(UnderWay::Detaching),
                cut_off: self.state.fences().get(&attachment).is_some(),
            };
            rows.insert(attachment.key(), (attachment.volume.id, row));
        }
        let owed = self.state.owed();
        for (_, owed) in owed.operations() {
            let under_way = match is_leaving(owed) {
                true => UnderWay::Detaching,
                false => UnderWay::Attaching,
            };
            for attachment in &owed.concerned {
                let fresh = Row::elsewhere(attachment.state);
                let of = rows.entry(attachment.key());
                let (_, row) = of.or_insert((attachment.volume.id, fresh));
                row.under_way = Some(under_way);
            }
        }
        drop(owed);
        let mut by_volume: BTreeMap<VolumeId, Vec<Row>> = BTreeMap::new();
        for (volume, row) in rows.into_values() {
            by_volume.entry(volume).or_default().push(row);
        }
        by_volume
    }
}

/// What the other nodes' slots show. How far that is what a newer version's slot names only that version knows: it counts as
/// attached, as it does everywhere.
fn rows_elsewhere(snapshot: &PoolSnapshot) -> Vec<(VolumeId, Row)> {
    let others = snapshot.attachments_of_others();
    let others = others.map(|(_, a)| (a.volume, Row::elsewhere(a.state)));
    let newer = snapshot
        .newer_slots()
        .filter_map(|(_, slot)| slot.held.as_ref());
    let named = newer.flatten();
    let named = named.map(|volume| (*volume, Row::elsewhere(AttachmentState::Attached)));
    others.chain(named).collect()
}

/// Whether what is tried again takes its attachments back.
pub(super) fn is_leaving(owed: &Owed) -> bool {
    let undone = matches!(owed.rest, Rest::Undo { .. });
    owed.entry.operation.undoable().is_none() || undone
}

fn disks(wanted: &Wanted) -> impl Iterator<Item = AttachingDisk> + '_ {
    wanted.disks.iter().map(|disk| AttachingDisk {
        instance: wanted.instance,
        instance_name: wanted.instance_name.clone(),
        claim: wanted.claim,
        since_ms: wanted.since_ms,
        pool: disk.pool.clone(),
        volume: disk.volume.clone(),
        sharing: disk.sharing.unwrap_or(Sharing::Exclusive),
        access: disk.access,
    })
}
