//! What each request for an operation on volumes wants.

use serde::de::DeserializeOwned;
use volward_api::{
    VolumeCopyRequest, VolumeCreateRequest, VolumeDeleteRequest, VolumeExtendRequest,
    VolumeMoveRequest, VolumeRenameRequest, VolumeSnapshotRequest,
};
use volward_model::{Bytes, OperationId, PoolName, VolumeName, VolumeTask};

use super::super::problem::Failure;
use super::super::views::parse;

/// A request, understood.
pub(crate) struct Wanted {
    pub(super) id: Option<OperationId>,
    pub(super) task: VolumeTask,
    pub(super) hints: Vec<(String, String)>,
    pub(super) dry_run: bool,
}

/// A request that says what it wants by itself.
pub(crate) trait Wish: DeserializeOwned + Send + 'static {
    /// All of it.
    fn wanted(self) -> Result<Wanted, Failure>;
}

/// What differs is the task; every request has the other fields.
macro_rules! wishes {
    ($request:ty, |$body:ident| $task:expr) => {
        impl Wish for $request {
            fn wanted(self) -> Result<Wanted, Failure> {
                let $body = &self;
                Ok(Wanted {
                    task: $task,
                    id: self.id,
                    hints: self.hints,
                    dry_run: self.dry_run,
                })
            }
        }
    };
}

wishes!(VolumeCreateRequest, |body| VolumeTask::Create {
    pool: parse(&body.pool)?,
    name: parse(&body.volume)?,
    size: Bytes(body.size),
});

wishes!(VolumeDeleteRequest, |body| VolumeTask::Delete {
    pool: parse(&body.pool)?,
    name: parse(&body.volume)?,
});

wishes!(VolumeExtendRequest, |body| VolumeTask::Extend {
    pool: parse(&body.pool)?,
    name: parse(&body.volume)?,
    size: Bytes(body.size),
});

wishes!(VolumeCopyRequest, |body| VolumeTask::Copy {
    from_pool: parse(&body.pool)?,
    from: parse(&body.volume)?,
    pool: parse(body.to_pool.as_ref().unwrap_or(&body.pool))?,
    name: parse(&body.to_volume)?,
    size: body.size.map(Bytes),
});

wishes!(VolumeSnapshotRequest, |body| VolumeTask::Snapshot {
    pool: parse(&body.pool)?,
    from: parse(&body.volume)?,
    name: parse(&body.snapshot)?,
});

wishes!(VolumeMoveRequest, |body| moved(body)?);

wishes!(VolumeRenameRequest, |body| VolumeTask::Rename {
    pool: parse(&body.pool)?,
    name: parse(&body.volume)?,
    to: parse(&body.to)?,
});

/// In its own pool nothing is to be copied.
fn moved(body: &VolumeMoveRequest) -> Result<VolumeTask, Failure> {
    let (from_pool, pool): (PoolName, PoolName) = (parse(&body.pool)?, parse(&body.to_pool)?);
    let from: VolumeName = parse(&body.volume)?;
    let name: VolumeName = parse(body.to_volume.as_ref().unwrap_or(&body.volume))?;
    Ok(match from_pool == pool {
        true => VolumeTask::Rename {
            pool,
            name: from,
            to: name,
        },
        false => VolumeTask::Move {
            from_pool,
            from,
            pool,
            name,
        },
    })
}
