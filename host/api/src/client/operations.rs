//! Calls about operations on volumes, and about one pool or volume.

use std::time::Duration;

use volward_model::{OperationId, PoolName, VolumeName};

use super::{Client, Reply, http};
use crate::inventory::PoolReply;
use crate::operation::{
    OperationCancelRequest, OperationReply, OperationView, OperationsReply, VolumeCopyRequest,
    VolumeCreateRequest, VolumeDeleteRequest, VolumeExtendRequest, VolumeMoveRequest,
    VolumeRelocateRequest, VolumeRenameRequest, VolumeReply, VolumeSnapshotRequest,
    VolumeSnapshotsRequest,
};

impl Client {
    /// `POST /v1/volumes/create`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists; so for every call below.
    pub fn volume_create(&self, request: &VolumeCreateRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/create", request)
    }

    /// `POST /v1/volumes/delete`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_delete(&self, request: &VolumeDeleteRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/delete", request)
    }

    /// `POST /v1/volumes/extend`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_extend(&self, request: &VolumeExtendRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/extend", request)
    }

    /// `POST /v1/volumes/copy`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_copy(&self, request: &VolumeCopyRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/copy", request)
    }

    /// `POST /v1/volumes/snapshot`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_snapshot(&self, request: &VolumeSnapshotRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/snapshot", request)
    }

    /// `POST /v1/volumes/snapshots`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_snapshots(&self, request: &VolumeSnapshotsRequest) -> Reply<OperationsReply> {
        self.post("/v1/volumes/snapshots", request)
    }

    /// `POST /v1/volumes/move`.
    ///
    /// # Errors
    /// As all calls.
    pub fn volume_move(&self, request: &VolumeMoveRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/move", request)
    }

    /// `POST /v1/volumes/relocate`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_relocate(&self, request: &VolumeRelocateRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/relocate", request)
    }

    /// `POST /v1/volumes/rename`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn volume_rename(&self, request: &VolumeRenameRequest) -> Reply<OperationReply> {
        self.post("/v1/volumes/rename", request)
    }

    /// `GET /v1/volumes`: one volume, with all that the node knows of it.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists; an unknown volume is a
    /// [`Problem`](crate::Problem) of kind `not-found`.
    pub fn volume(&self, pool: &PoolName, volume: &VolumeName) -> Reply<VolumeReply> {
        let volume = http::query_value(&format!("{pool}/{volume}"));
        self.get(&format!("/v1/volumes?volume={volume}"))
    }

    /// `GET /v1/pools/POOL`: one pool, with its disks and every lease in it.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists; an unknown pool is a
    /// [`Problem`](crate::Problem) of kind `not-found`.
    pub fn pool(&self, pool: &PoolName) -> Reply<PoolReply> {
        self.get(&format!("/v1/pools/{pool}"))
    }

    /// `GET /v1/operations`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists.
    pub fn operations(&self) -> Reply<Vec<OperationView>> {
        self.get("/v1/operations")
    }

    /// `GET /v1/operations/ID`: as it stands when it has ended, or after `at_most`, a minute at most.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists; an unknown operation is a
    /// [`Problem`](crate::Problem) of kind `not-found`.
    pub fn operation(&self, id: &OperationId, at_most: Duration) -> Reply<OperationView> {
        self.get(&format!(
            "/v1/operations/{id}?wait_ms={}",
            at_most.as_millis()
        ))
    }

    /// `POST /v1/operations/cancel`.
    ///
    /// # Errors
    /// As [`ClientError`](crate::ClientError) lists; where it is too late, a
    /// [`Problem`](crate::Problem) of kind `refused`.
    pub fn operation_cancel(&self, request: &OperationCancelRequest) -> Reply<OperationView> {
        self.post("/v1/operations/cancel", request)
    }
}
