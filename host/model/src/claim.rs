//! Who has asked for an attachment. Several may have: libvirt's hook and nova own one together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Origin;

/// One who has asked for it, and was granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// libvirt's hook.
    Libvirt,
    /// OpenStack: nova's driver, or a service's connector.
    Openstack,
    /// A person at the command line.
    Operator,
    /// Somebody else.
    Other,
}

impl Claim {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Libvirt, Self::Openstack, Self::Operator, Self::Other];
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Libvirt => "libvirt",
            Self::Openstack => "openstack",
            Self::Operator => "operator",
            Self::Other => "other",
        })
    }
}

impl From<&Origin> for Claim {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Libvirt => Self::Libvirt,
            Origin::Openstack => Self::Openstack,
            Origin::Operator => Self::Operator,
            Origin::Other(_) => Self::Other,
        }
    }
}
