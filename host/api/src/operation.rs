//! Operations on volumes: what is long is asked for under an id of the caller's, and looked at again.

use serde::{Deserialize, Serialize};
use volward_model::OperationId;

use crate::pool::VolumeView;
use crate::view::AttachmentView;
use crate::words::{Open, OperationKind, OperationState};

/// `POST /v1/volumes/create`: makes a volume that reads as zeroes. Answers with an [`OperationReply`] as
/// soon as it is on record; the same id with the same request finds it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeCreateRequest {
    /// What the caller calls the operation: 1 to 100 letters, digits and `_.:+-`. Absent: the daemon makes
    /// one up, and a retry is another operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool's name.
    pub pool: String,
    /// The volume's name in its pool; free now.
    pub volume: String,
    /// At least this size in bytes, a multiple of 512; the volume group rounds up to its extent.
    pub size: u64,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/delete`: deletes a volume that nobody has. One that is not there is done, with a note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeDeleteRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool's name.
    pub pool: String,
    /// The volume's name in its pool.
    pub volume: String,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/extend`: gives a volume at least this size, attached on this node or not. One that has
/// it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeExtendRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool's name.
    pub pool: String,
    /// The volume's name in its pool.
    pub volume: String,
    /// Its size afterwards in bytes, a multiple of 512; the volume group rounds up to its extent.
    pub size: u64,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/copy`: makes a volume with the content that another one has, in the same pool or another
/// shared one. The other one is detached, or attached read-only, and nobody attaches it until that has ended; or, in the
/// same pool, one instance has it alone and goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeCopyRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool of the volume whose content is copied.
    pub pool: String,
    /// That volume's name in its pool.
    pub volume: String,
    /// The pool that the new volume is made in; absent: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_pool: Option<String>,
    /// The new volume's name; free now.
    pub to_volume: String,
    /// At least this size in bytes, a multiple of 512 and not less than the other one's; absent: as that.
    /// What is behind the content reads as zeroes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/snapshot`: keeps what a volume holds now in a volume of its own, in the same pool. The
/// volume is detached, or attached read-only, or one instance has it alone and goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeSnapshotRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool's name.
    pub pool: String,
    /// The volume's name in its pool.
    pub volume: String,
    /// The snapshot's name in the same pool; free now.
    pub snapshot: String,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/snapshots`: keeps what several volumes hold at one and the same moment, each in a volume of its own. Instances
/// of one node write to each of them alone, and go on: the disks of a guest, say; where that is another node than the one that is
/// asked, all are of one pool. All are made or none. Answers with an [`OperationsReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeSnapshotsRequest {
    /// What the caller calls all of them, as in [`VolumeCreateRequest`]; the operations are `ID:1`, `ID:2` and so on, in the
    /// order of `snapshots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// At least one, and each volume once.
    pub snapshots: Vec<SnapshotOf>,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// One of several snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SnapshotOf {
    /// The pool's name.
    pub pool: String,
    /// The volume's name in its pool.
    pub volume: String,
    /// The snapshot's name in the same pool; free now.
    pub snapshot: String,
}

/// `POST /v1/volumes/move`: a volume that nobody has goes to another shared pool, with its content, whether it may be shared, and people's
/// tags; nobody attaches it meanwhile. In its own pool that is [`VolumeRenameRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeMoveRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool that the volume is in.
    pub pool: String,
    /// The volume's name there.
    pub volume: String,
    /// The pool that it goes to.
    pub to_pool: String,
    /// The name that it gets there, free now; absent: the one that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_volume: Option<String>,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/relocate`: all of a volume goes to one disk of its pool, beneath the instance that has it alone, on whichever node, with a
/// device of its own, which goes on; or nobody has it, and nobody attaches it until that has ended. One that is there is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeRelocateRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool's name.
    pub pool: String,
    /// The volume's name in its pool.
    pub volume: String,
    /// The disk that it goes to: its path on the node that is asked, or LVM's UUID of it, as `GET /v1/pools/{pool}` lists them.
    pub disk: String,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST /v1/volumes/rename`: gives a volume that nobody has another name in its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeRenameRequest {
    /// What the caller calls the operation, as in [`VolumeCreateRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub id: Option<OperationId>,
    /// The pool's name.
    pub pool: String,
    /// The name that the volume has.
    pub volume: String,
    /// The name that it gets; free now.
    pub to: String,
    /// For policies: whose it is, say (`project-id`). At most 64, of 16 KiB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<(String, String)>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What each of the requests above answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationReply {
    /// How the operation stands; absent after a dry run of one that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationView>,
    /// Of a dry run: what would be done, a line each.
    #[serde(default)]
    pub plan: Vec<String>,
}

/// What [`VolumeSnapshotsRequest`] answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationsReply {
    /// How each operation stands, in the order of the request; empty after a dry run of what is not known.
    pub operations: Vec<OperationView>,
    /// Of a dry run: what would be done, a line each, with the volume's name before it.
    #[serde(default)]
    pub plan: Vec<String>,
}

/// An operation as it stands. `GET /v1/operations` lists those that have not ended and the latest that have;
/// `GET /v1/operations/ID` answers with one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationView {
    /// What its caller calls it.
    pub id: String,
    /// What it does.
    pub operation: Open<OperationKind>,
    /// The pool's name; of a copy and a move, the new volume's.
    pub pool: String,
    /// The volume's name when it was asked for; of a copy, a snapshot and a move, the new volume's.
    pub volume: String,
    /// Of a copy, a snapshot and a move: the volume whose content is copied, `POOL/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Of a rename: the new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of a relocation: LVM's UUID of the disk that all of the volume goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Of several snapshots that hold the same moment: what their caller calls all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The volume's identity, `VG UUID:LV UUID`; absent until it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    /// The size in bytes that was asked for; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How it stands.
    pub state: Open<OperationState>,
    /// Bytes that are copied, moved or zeroed so far.
    pub done: u64,
    /// Bytes that are to be copied, moved and zeroed in all; 0 until that is known, and where nothing is.
    pub total: u64,
    /// A refusal's code, or `storage`; absent unless it failed or is being taken back for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason, a sentence; absent where `code` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it does not get on now, a sentence; it is tried again. Absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Of one that is done: that there was nothing to do, a sentence. A delete of what is not there is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it last got on or ended, in milliseconds since the Unix epoch.
    pub changed_ms: u64,
}

impl OperationView {
    /// Whether it has ended, whatever it ended as; a state that this version does not know has not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(
            self.state.known(),
            Some(OperationState::Done | OperationState::Cancelled | OperationState::Failed)
        )
    }
}

/// `POST /v1/operations/cancel`: has an operation taken back, before its commit point. Answers with its
/// [`OperationView`]: it has ended when nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OperationCancelRequest {
    /// What its caller calls it.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub id: OperationId,
}

/// One volume, with all that this node knows of it. `GET /v1/volumes?volume=POOL/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VolumeReply {
    /// The pool's name.
    pub pool: String,
    /// The volume as the pool lists it.
    pub volume: VolumeView,
    /// Who has it, in the whole cluster.
    pub attachments: Vec<AttachmentView>,
    /// What of the cluster cannot be read, a sentence each.
    pub unreadable: Vec<String>,
    /// Operations of this node on it, those that have ended included; the oldest first.
    pub operations: Vec<OperationView>,
}
