//! Who may do what: a right for each route, and the rights of each kind of caller. One table; doctor
//! prints it.

use std::fmt;

use crate::config::ApiSection;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// To see what this node has and how it is.
    Look,
    /// To attach and detach an instance's volumes, and to ask why.
    Serve,
    /// To change what volumes and pools are, which policies serve, and to read the decision log,
    /// which holds every tenant's words.
    Administer,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Look => "look",
            Self::Serve => "attach and detach",
            Self::Administer => "administer",
        })
    }
}

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The user id 0, and the daemon's own user: libvirt's hook, and people.
    Root,
    /// `api.openstack-uids`.
    Openstack,
    /// `api.monitoring-uids`.
    Monitoring,
}

impl Role {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Root, Self::Openstack, Self::Monitoring];

    /// The kind of a user id; `None` if it may ask nothing. Who is in both lists has the greater
    /// right.
    pub(crate) fn of(uid: u32, api: &ApiSection) -> Option<Self> {
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            Some(Self::Root)
        } else if api.openstack_uids.contains(&uid) {
            Some(Self::Openstack)
        } else if api.monitoring_uids.contains(&uid) {
            Some(Self::Monitoring)
        } else {
            None
        }
    }

    /// Its rights.
    pub(crate) fn rights(self) -> &'static [Right] {
        match self {
            Self::Root => &[Right::Look, Right::Serve, Right::Administer],
            Self::Openstack => &[Right::Look, Right::Serve],
            Self::Monitoring => &[Right::Look],
        }
    }

    /// Whether it may do what needs that right.
    pub(crate) fn may(self, right: Right) -> bool {
        self.rights().contains(&right)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Root => "root",
            Self::Openstack => "openstack",
            Self::Monitoring => "monitoring",
        })
    }
}
