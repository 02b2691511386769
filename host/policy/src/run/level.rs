//! Whether a policy's answer counts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a policy's answer counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It counts.
    #[default]
    Enforce,
    /// It is logged only.
    Monitor,
    /// It is not asked.
    Off,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::Off => "off",
        })
    }
}
