//! What entries, steps and attachments are made of. Ids keep their text forms: LVM's for UUIDs of
//! volumes, `VG:LV` for both, RFC 9562's for instances and requests.

use serde::{Deserialize, Serialize};
use volward_model as model;
use volward_model::{Bytes, InstanceId, LvUuid, NodeName, PoolName, Sectors, VolumeId, VolumeName};
use volward_plan::geometry::CloneGeometry;
use volward_plan::recheck::Expectation;

use super::RecordError;
use super::words::{Access, CopyFate, CopyMode, Lease, Settled, Sharing};

/// A volume, with the name it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Volume {
    id: VolumeId,
    pool: PoolName,
    name: VolumeName,
}

impl From<&model::VolumeRef> for Volume {
    fn from(volume: &model::VolumeRef) -> Self {
        let model::VolumeRef { id, pool, name } = volume.clone();
        Self { id, pool, name }
    }
}

impl From<Volume> for model::VolumeRef {
    fn from(volume: Volume) -> Self {
        let Volume { id, pool, name } = volume;
        Self { id, pool, name }
    }
}

/// All of them, in their order.
pub(crate) fn volumes(theirs: &[model::VolumeRef]) -> Vec<Volume> {
    theirs.iter().map(Volume::from).collect()
}

/// All of them, in their order, as the product has them.
pub(crate) fn refs(ours: Vec<Volume>) -> Vec<model::VolumeRef> {
    ours.into_iter().map(Into::into).collect()
}

/// What names an attachment on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    volume: VolumeId,
    instance: InstanceId,
}

impl From<model::AttachmentKey> for Key {
    fn from(key: model::AttachmentKey) -> Self {
        let model::AttachmentKey { volume, instance } = key;
        Self { volume, instance }
    }
}

impl From<Key> for model::AttachmentKey {
    fn from(key: Key) -> Self {
        let Key { volume, instance } = key;
        Self { volume, instance }
    }
}

/// An attachment as nodes tell each other of it. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    volume: VolumeId,
    instance: InstanceId,
    node: NodeName,
    sharing: Sharing,
    access: Access,
    since_ms: u64,
    state: Settled,
}

impl From<&model::Attachment> for Published {
    fn from(theirs: &model::Attachment) -> Self {
        Self {
            volume: theirs.volume,
            instance: theirs.instance,
            node: theirs.node.clone(),
            sharing: theirs.sharing.into(),
            access: theirs.access.into(),
            since_ms: theirs.since_ms,
            state: theirs.state.into(),
        }
    }
}

impl From<Published> for model::Attachment {
    fn from(ours: Published) -> Self {
        Self {
            volume: ours.volume,
            instance: ours.instance,
            node: ours.node,
            sharing: ours.sharing.into(),
            access: ours.access.into(),
            since_ms: ours.since_ms,
            state: ours.state.into(),
        }
    }
}

/// The copy granted with an attachment; amounts in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    mode: CopyMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_flight: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<u64>,
    fate: CopyFate,
}

impl From<model::CopyPlan> for Copy {
    fn from(theirs: model::CopyPlan) -> Self {
        Self {
            mode: theirs.mode.into(),
            in_flight: theirs.in_flight.map(|bytes| bytes.0),
            batch: theirs.batch.map(|bytes| bytes.0),
            fate: theirs.fate.into(),
        }
    }
}

impl From<Copy> for model::CopyPlan {
    fn from(ours: Copy) -> Self {
        Self {
            mode: ours.mode.into(),
            in_flight: ours.in_flight.map(Bytes),
            batch: ours.batch.map(Bytes),
            fate: ours.fate.into(),
        }
    }
}

/// Where a volume's current data is: `pool`, or another word with a node and its copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Home {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<NodeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy: Option<LvUuid>,
    generation: u64,
}

impl From<&model::Home> for Home {
    fn from(theirs: &model::Home) -> Self {
        use model::HomeState::{Node, Pool, Returning, Split};
        let (state, place) = match &theirs.state {
            Pool => ("pool", None),
            Split { node, copy } => ("split", Some((node, copy))),
            Node { node, copy } => ("node", Some((node, copy))),
            Returning { node, copy } => ("returning", Some((node, copy))),
        };
        Self {
            state: state.to_owned(),
            node: place.map(|(node, _)| node.clone()),
            copy: place.map(|(_, copy)| *copy),
            generation: theirs.generation,
        }
    }
}

impl TryFrom<Home> for model::Home {
    type Error = RecordError;

    fn try_from(ours: Home) -> Result<Self, RecordError> {
        use model::HomeState::{Node, Pool, Returning, Split};
        let state = match (ours.state.as_str(), ours.node, ours.copy) {
            ("pool", None, None) => Pool,
            ("split", Some(node), Some(copy)) => Split { node, copy },
            ("node", Some(node), Some(copy)) => Node { node, copy },
            ("returning", Some(node), Some(copy)) => Returning { node, copy },
            _ => return Err(RecordError::Unknown(format!("the home `{}`", ours.state))),
        };
        Ok(Self {
            state,
            generation: ours.generation,
        })
    }
}

/// What was read of a volume when it was decided; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    volume: Volume,
    size: u64,
    home: Home,
    shareable: bool,
    others: Vec<Published>,
    lease: Lease,
    own_host_id: u64,
}

impl From<&Expectation> for Expected {
    fn from(theirs: &Expectation) -> Self {
        Self {
            volume: (&theirs.volume).into(),
            size: theirs.size.0,
            home: (&theirs.home).into(),
            shareable: theirs.shareable,
            others: theirs.others.iter().map(Published::from).collect(),
            lease: theirs.lease.into(),
            own_host_id: theirs.own_host_id,
        }
    }
}

impl TryFrom<Expected> for Expectation {
    type Error = RecordError;

    fn try_from(ours: Expected) -> Result<Self, RecordError> {
        Ok(Self {
            volume: ours.volume.into(),
            size: Bytes(ours.size),
            home: ours.home.try_into()?,
            shareable: ours.shareable,
            others: ours.others.into_iter().map(Into::into).collect(),
            lease: ours.lease.into(),
            writes: false,
            own_host_id: ours.own_host_id,
            called: None,
            saved: None,
        })
    }
}

/// A clone's numbers: the region in sectors of 512 bytes, the others in regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Geometry {
    region: u64,
    threshold: u32,
    batch: u32,
}

impl From<CloneGeometry> for Geometry {
    fn from(theirs: CloneGeometry) -> Self {
        Self {
            region: theirs.region.0,
            threshold: theirs.threshold,
            batch: theirs.batch,
        }
    }
}

impl From<Geometry> for CloneGeometry {
    fn from(ours: Geometry) -> Self {
        Self {
            region: Sectors(ours.region),
            threshold: ours.threshold,
            batch: ours.batch,
        }
    }
}
