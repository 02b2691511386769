//! The managed pools' names, from the daemon's configuration.
//!
//! The daemon is strict with that file; the hook takes what it can use. A guest without managed
//! disks must not suffer from a typo there (I31), and one with `/dev/volward/` disks needs no name.

use std::fs;
use std::io;

use toml::{Table, Value};
use volward_api::model::PoolName;

use crate::place::{Place, shown};
use crate::say;

/// The names of all `[[pool]]` tables.
#[expect(
    clippy::disallowed_methods,
    reason = "the operator's file, at the path where the daemon is told of it"
)]
pub(crate) fn pools(place: &Place) -> Vec<PoolName> {
    let path = place.config();
    let trouble = match fs::read_to_string(&path) {
        Ok(text) => match text.parse::<Table>() {
            Ok(table) => return names(&table),
            Err(error) => first_line(&error.to_string()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => error.to_string(),
    };
    say::line(&format!(
        "{} cannot be read, so disks given as /dev/<pool>/<volume> are not recognised: {trouble}",
        shown(&path)
    ));
    Vec::new()
}

fn names(table: &Table) -> Vec<PoolName> {
    table
        .get("pool")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|pool| pool.get("name")?.as_str()?.parse().ok())
        .collect()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_among_whatever_else_there_is() {
        let text = r#"
            future = { key = 1 }
            [[pool]]
            name = "vg0"
            kind = "shared"
            [[pool]]
            kind = "local"
            [[pool]]
            name = "not/a/name"
            [[pool]]
            name = "nvme"
        "#;
        let pools = names(&text.parse().unwrap());
        assert_eq!(pools, ["vg0".parse().unwrap(), "nvme".parse().unwrap()]);
        assert!(names(&"pool = 3".parse().unwrap()).is_empty());
    }
}
