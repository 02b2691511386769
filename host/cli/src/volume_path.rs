//! A volume on the command line.

use std::fmt;
use std::str::FromStr;

use volward_api::model::{PoolName, VolumeName};

/// A volume as it is typed, `POOL/VOLUME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumePath {
    pub(crate) pool: PoolName,
    pub(crate) volume: VolumeName,
}

impl fmt::Display for VolumePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.volume)
    }
}

impl FromStr for VolumePath {
    type Err = String;

    /// LVM's own path of it is taken too: `/dev/POOL/VOLUME`.
    fn from_str(text: &str) -> Result<Self, String> {
        let how = "write it as POOL/VOLUME".to_owned();
        let inside = match text.strip_prefix("/dev/") {
            Some(inside) if inside.starts_with("mapper/") || inside.starts_with("volward/") => {
                return Err(how);
            }
            Some(inside) => inside,
            None if text.starts_with('/') => return Err(how),
            None => text,
        };
        let (pool, volume) = inside.split_once('/').ok_or(how)?;
        Ok(Self {
            pool: pool.parse().map_err(|e| format!("{e}"))?,
            volume: volume.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lvms_own_path_of_a_volume_is_taken_and_others_are_not() {
        let named: VolumePath = "vg0/data".parse().unwrap();
        assert_eq!("/dev/vg0/data".parse(), Ok(named));
        for text in [
            "data",
            "/dev/mapper/vg0-data",
            "/dev/volward/11111111-2222-3333-4444-555555555555/vg0/data",
            "/vg0/data",
            "/dev/data",
        ] {
            let error = text.parse::<VolumePath>().unwrap_err();
            assert_eq!(error, "write it as POOL/VOLUME", "{text}");
        }
    }
}
