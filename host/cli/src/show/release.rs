//! After `release`: what is detached, and what still keeps a lease.

use crate::release::{Disk, Left, Released};

/// A line each; what is left comes last, where it is seen.
pub(crate) fn released(released: &Released) -> String {
    let detached = released.detached.iter();
    let detached = detached.map(|disk| {
        format!(
            "{}/{} of {} detached",
            disk.pool,
            disk.volume,
            instance(disk)
        )
    });
    let left = released.left.iter().map(line);
    let lines: Vec<String> = detached.chain(left).collect();
    match lines.is_empty() {
        true => "nothing was attached".to_owned(),
        false => lines.join("\n"),
    }
}

/// What is left, a line each.
pub(crate) fn left(left: &[Left]) -> String {
    left.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(left: &Left) -> String {
    let of = left
        .disk
        .as_ref()
        .map(|disk| format!(" of {}", instance(disk)));
    format!(
        "left: {}/{}{}: {}",
        left.pool,
        left.volume,
        of.unwrap_or_default(),
        left.why
    )
}

fn instance(disk: &Disk) -> String {
    match &disk.instance_name {
        Some(name) => format!("{name} ({})", disk.instance),
        None => format!("instance {}", disk.instance),
    }
}
