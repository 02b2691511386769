//! `volume mv`: a volume gets another name, or goes to another pool.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use volward_api::model::{ParseIdError, PoolName, VolumeName};
use volward_api::{Client, VolumeMoveRequest, VolumeRenameRequest};

use super::{How, follow};
use crate::exit::Exit;
use crate::volume_path::VolumePath;

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The volume
    #[arg(value_name = "POOL/VOLUME")]
    volume: VolumePath,
    /// A name in the same pool that is free; or another shared pool, or one with a name there: then the content is copied, and the volume goes
    #[arg(value_name = "NEW|POOL/[NEW]")]
    to: Destination,
    #[command(flatten)]
    how: How,
}

/// Where a volume goes, as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Absent: the pool it is in.
    pool: Option<PoolName>,
    /// Absent: the name it has.
    name: Option<VolumeName>,
}

impl FromStr for Destination {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let Some((pool, name)) = text.split_once('/') else {
            return Ok(Self {
                pool: None,
                name: Some(text.parse()?),
            });
        };
        let name = match name.is_empty() {
            true => None,
            false => Some(name.parse()?),
        };
        Ok(Self {
            pool: Some(pool.parse()?),
            name,
        })
    }
}

pub(crate) fn move_to(client: &Client, json: bool, args: MoveArgs) -> anyhow::Result<Exit> {
    let (pool, volume) = (args.volume.pool, args.volume.volume);
    must_not_mean_a_pool(client, (&pool, &volume), &args.to)?;
    let how = args.how.told(json);
    let Destination { pool: to, name } = args.to;
    let reply = match to.filter(|to| *to != pool) {
        Some(to) => client.volume_move(&VolumeMoveRequest {
            id: how.id.clone(),
            pool: pool.to_string(),
            volume: volume.to_string(),
            to_pool: to.to_string(),
            to_volume: name.map(|name| name.to_string()),
            hints: how.hints.clone(),
            dry_run: how.dry_run,
        }),
        None => client.volume_rename(&VolumeRenameRequest {
            id: how.id.clone(),
            pool: pool.to_string(),
            to: name.unwrap_or_else(|| volume.clone()).to_string(),
            volume: volume.to_string(),
            hints: how.hints.clone(),
            dry_run: how.dry_run,
        }),
    };
    follow(client, json, &how, reply)
}

/// A name without a pool that is a pool's: more likely than not that pool is meant.
fn must_not_mean_a_pool(
    client: &Client,
    (pool, volume): (&PoolName, &VolumeName),
    to: &Destination,
) -> anyhow::Result<()> {
    let (None, Some(name)) = (&to.pool, &to.name) else {
        return Ok(());
    };
    // A daemon that does not answer is told of when it is asked for the rename.
    let pools = client.status().map(|status| status.pools);
    if pools.is_ok_and(|pools| pools.iter().any(|pool| pool == name.as_str())) {
        return Err(MeansAPool(format!(
            "{name} is the name of a pool: to have {pool}/{volume} go there, write {name}/; to call it {name} \
             all the same, write {pool}/{name}"
        ))
        .into());
    }
    Ok(())
}

/// A pool's name where a volume's is typed; the display says how each is written.
#[derive(Debug)]
pub(crate) struct MeansAPool(String);

impl fmt::Display for MeansAPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MeansAPool {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_goes_to_a_name_a_pool_or_both() {
        let both = |text: &str| {
            let to: Destination = text.parse().unwrap();
            (
                to.pool.map(|p| p.to_string()),
                to.name.map(|n| n.to_string()),
            )
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(both("new"), (None, some("new")));
        assert_eq!(both("vg1/new"), (some("vg1"), some("new")));
        assert_eq!(both("vg1/"), (some("vg1"), None));
        for bad in ["", "/", "/new", "vg1/a/b", "-a"] {
            assert!(bad.parse::<Destination>().is_err(), "{bad:?}");
        }
    }
}
