//! Who takes the shared pool's leases on the nodes: every story runs with either.

use std::fmt;
use std::str::FromStr;

use crate::{LabError, Result};

/// The provider of the shared pool, as volward.toml names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// volwardd itself.
    Direct,
    /// lvmlockd, by LVM's commands.
    Lvmlockd,
}

impl Provider {
    /// What the stories run with unless somebody says otherwise: what the product takes by itself, which a story
    /// of the providers checks.
    pub const DEFAULT: Self = Self::Direct;

    /// The environment variable that says otherwise, for a whole run; `cargo xtask test lab --provider` sets it.
    pub const VARIABLE: &str = "VOLWARD_LAB_PROVIDER";

    /// What [`Provider::VARIABLE`] says, or [`Provider::DEFAULT`].
    ///
    /// # Errors
    /// When the variable has another word.
    pub fn chosen() -> Result<Self> {
        match std::env::var(Self::VARIABLE) {
            Ok(word) => word.parse(),
            Err(_) => Ok(Self::DEFAULT),
        }
    }
}

impl FromStr for Provider {
    type Err = LabError;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "direct" => Ok(Self::Direct),
            "lvmlockd" => Ok(Self::Lvmlockd),
            other => Err(LabError::Machine(format!(
                "there is no lease provider {other:?}: it is direct or lvmlockd"
            ))),
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Lvmlockd => "lvmlockd",
        })
    }
}
