//! One pool with everything that is known of it.

use axum::Json;
use axum::extract::{Path, State};
use volward_api::model::Sharing;
use volward_api::{
    CarriedView, LeaseInstance, LeaseView, OperationElsewhere, OperationKind, PoolDisk, PoolReply,
    ProblemCode, VolumeMark,
};
use volward_control::{OperationAbroad, SeenLease};
use volward_model::{LeaseMode, PhysicalVolume, PoolName};

use super::handler::{Shared, blocking};
use super::operations::operations_in;
use super::pools::pool_view;
use super::problem::{Failure, plain};
use super::views::{hydration, parse};

pub(super) async fn pool(
    State(daemon): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<PoolReply>, Failure> {
    let name: PoolName = parse(&name)?;
    if !daemon.config.pool.iter().any(|pool| pool.name == name) {
        let message =
            format!("there is no pool {name} on this node; `volward pool ls` shows what there is");
        return Err(plain(ProblemCode::NotFound, "not-found", message).into());
    }
    blocking(move || {
        let found = daemon.node.inventory(&name);
        let mut copies = daemon.node.copies_seen();
        copies.retain(|copy| copy.volume.pool == name);
        let mut operations = operations_in(&daemon, &name);
        operations.retain(|one| !one.has_ended());
        Ok(PoolReply {
            pool: pool_view(&daemon, &name),
            disks: found.disks.into_iter().map(disk).collect(),
            leases: found.leases.into_iter().map(lease).collect(),
            operations,
            operations_elsewhere: found.operations.into_iter().map(elsewhere).collect(),
            hydrations: copies.into_iter().map(hydration).collect(),
            unreadable: found.unreadable,
        })
    })
    .await
}

fn elsewhere(found: OperationAbroad) -> OperationElsewhere {
    let (done, total) = found.progress.unzip();
    OperationElsewhere {
        id: found.id.map(|id| id.to_string()),
        volume: found.volume.name.to_string(),
        mark: found.mark.map(|mark| VolumeMark::from(&mark).into()),
        operation: found
            .ordered
            .map(|ordered| OperationKind::from(&ordered).into()),
        node: found.node.map(|node| node.to_string()),
        asked_on: found.asked_on.map(|node| node.to_string()),
        done: done.map(|bytes| bytes.0),
        total: total.map(|bytes| bytes.0),
    }
}

fn disk(found: PhysicalVolume) -> PoolDisk {
    let carries = found.carries.into_iter().map(|one| CarriedView {
        name: one.name,
        size: one.size.0,
    });
    PoolDisk {
        path: found.path,
        uuid: found.id.to_string(),
        size: found.size.0,
        free: found.free.0,
        missing: found.missing,
        carries: carries.collect(),
    }
}

fn lease(found: SeenLease) -> LeaseView {
    let sharing = match found.mode {
        LeaseMode::Exclusive => Sharing::Exclusive,
        LeaseMode::Shared => Sharing::Shared,
    };
    let instances = found.instances.into_iter();
    LeaseView {
        volume: found.volume.name.to_string(),
        sharing: sharing.into(),
        host_id: found.host_id,
        node: found.node.map(|node| node.to_string()),
        state: found.state.map(Into::into),
        own: found.own,
        orphan: found.orphan,
        by_hand: found.by_hand,
        instances: instances
            .map(|(instance, since_ms)| LeaseInstance {
                instance: instance.to_string(),
                since_ms,
            })
            .collect(),
    }
}
