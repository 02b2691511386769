//! `pool show`: what a pool is on, who has what of it, and what is under way.

use volward_api::model::{Bytes, MemberState};
use volward_api::{LeaseView, OperationElsewhere, PoolDisk, PoolReply};

use crate::show::lists::{hydrations, or_none, percent, pools};
use crate::show::operations::operations;
use crate::table::table;
use crate::time::utc;

/// `volward pool show`.
pub(crate) fn pool(reply: &PoolReply) -> String {
    let mut parts = vec![pools(std::slice::from_ref(&reply.pool))];
    if !reply.disks.is_empty() {
        parts.extend([String::new(), disks(&reply.disks)]);
    }
    if !reply.leases.is_empty() {
        parts.extend([String::new(), leases(&reply.leases)]);
    }
    if !reply.operations.is_empty() {
        parts.extend([String::new(), operations(&reply.operations)]);
    }
    if !reply.operations_elsewhere.is_empty() {
        parts.extend([String::new(), elsewhere(&reply.operations_elsewhere)]);
    }
    if !reply.hydrations.is_empty() {
        parts.extend([String::new(), hydrations(&reply.hydrations)]);
    }
    parts.join("\n")
}

/// A line a disk and LV: what is on a disk can be looked for with grep.
fn disks(found: &[PoolDisk]) -> String {
    let rows = found.iter().flat_map(|disk| {
        let path = match disk.missing {
            true => format!("{} {} (missing)", disk.path, disk.uuid),
            false => disk.path.clone(),
        };
        let (size, free) = (Bytes(disk.size).to_string(), Bytes(disk.free).to_string());
        let row = move |name: String, on_it: String| {
            [path.clone(), size.clone(), free.clone(), name, on_it]
        };
        let carries = disk.carries.iter();
        let mut rows: Vec<[String; 5]> = carries
            .map(|one| row(one.name.clone(), Bytes(one.size).to_string()))
            .collect();
        if rows.is_empty() {
            rows.push(row("-".to_owned(), "-".to_owned()));
        }
        rows
    });
    let header = ["DISK", "SIZE", "FREE", "CARRIES", "OF IT"];
    table(header, &["SIZE", "FREE", "OF IT"], rows)
}

/// A line an operation and volume that has its mark.
fn elsewhere(found: &[OperationElsewhere]) -> String {
    let rows = found.iter().map(|one| {
        let does = one.operation.as_ref().map(ToString::to_string);
        let mark = || one.mark.as_ref().map(ToString::to_string);
        let done = one.done.zip(one.total);
        [
            or_none(one.id.as_deref().unwrap_or_default()),
            or_none(&does.or_else(mark).unwrap_or_default()),
            one.volume.clone(),
            or_none(one.node.as_deref().unwrap_or_default()),
            or_none(one.asked_on.as_deref().unwrap_or_default()),
            done.map_or_else(|| "-".to_owned(), |(done, total)| percent(done, total)),
        ]
    });
    let header = ["ID", "ELSEWHERE", "VOLUME", "NODE", "ASKED ON", "DONE"];
    table(header, &["DONE"], rows)
}

/// A line a lease and instance.
fn leases(found: &[LeaseView]) -> String {
    let rows = found.iter().flat_map(|lease| {
        let row = |instance: String, since: String| {
            [
                lease.volume.clone(),
                lease.sharing.to_string(),
                holder(lease),
                instance,
                since,
                remark(lease),
            ]
        };
        let instances = lease.instances.iter();
        let mut rows: Vec<[String; 6]> = instances
            .map(|one| row(one.instance.clone(), utc(one.since_ms)))
            .collect();
        if rows.is_empty() {
            rows.push(row("-".to_owned(), "-".to_owned()));
        }
        rows
    });
    let header = ["VOLUME", "LEASE", "NODE", "INSTANCE", "SINCE", "REMARK"];
    table(header, &[], rows)
}

fn holder(lease: &LeaseView) -> String {
    let number = || format!("host-id {}", lease.host_id);
    lease.node.clone().unwrap_or_else(number)
}

fn remark(lease: &LeaseView) -> String {
    let mut remarks = Vec::new();
    match &lease.state {
        Some(state) if *state == MemberState::Live => {}
        Some(state) => remarks.push(format!("sanlock says {state}")),
        None => remarks.push("no member of the lockspace".to_owned()),
    }
    if lease.orphan {
        remarks.push("orphan: no process has it".to_owned());
    }
    if lease.by_hand {
        remarks.push("taken past Volward".to_owned());
    }
    remarks.join(", ")
}
