//! Which LVs are served, by what LVM makes of them.
//!
//! lvmlockd gives a lease to most LVs, and not to all: thin and VDO volumes go by the lease of their
//! pool, a snapshot by its origin's. Of those that have one, some cannot be active on two nodes at
//! once, whatever their guests agree on (LVM's `lockd_lv`). [`ALL`](Kind::ALL) is the table of both;
//! the operator guide has it too.

use volward_model::{Sharing, VolumeInfo};

use crate::refusal::RefusalCode;

/// What an LV is, as far as serving it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `linear` and `striped`, over one or several physical volumes.
    Plain,
    /// `raid0` to `raid10`, `mirror`.
    Raid,
    /// `cache` and `writecache`: a volume with a faster one before it.
    Cached,
    /// A volume that snapshots were made of.
    Origin,
    /// A copy-on-write snapshot (`lvcreate -s` of a volume that is not thin).
    Snapshot,
    /// A volume of a thin pool, thin snapshots included.
    Thin,
    /// A volume of a VDO pool.
    Vdo,
    /// `thin-pool`, `vdo-pool`, `cache-pool`: other volumes' data is in it.
    Pool,
    /// Any other segment type.
    Other,
    /// A volume of a type that has a lease, but without one.
    Unleased,
}

/// How a kind is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Exclusive and shared.
    Served,
    /// On one node at a time; shared is refused with this code.
    ExclusiveOnly(RefusalCode),
    /// Not at all; refused with this code.
    Refused(RefusalCode),
}

impl Kind {
    /// Every kind, in the order of the operator guide.
    pub const ALL: &'static [Self] = &[
        Self::Plain,
        Self::Raid,
        Self::Cached,
        Self::Origin,
        Self::Snapshot,
        Self::Thin,
        Self::Vdo,
        Self::Pool,
        Self::Other,
        Self::Unleased,
    ];

    /// What a volume of a shared pool is.
    #[must_use]
    pub fn of(info: &VolumeInfo) -> Self {
        let types: Vec<&str> = info.segment_type.split(',').collect();
        let any = |of: fn(&str) -> bool| types.iter().any(|name| of(name));
        let role = |wanted: &str| info.roles.iter().any(|role| role == wanted);
        if any(|name| name.ends_with("-pool")) {
            return Self::Pool;
        }
        if any(|name| name == "thin") {
            return Self::Thin;
        }
        if any(|name| name == "vdo") {
            return Self::Vdo;
        }
        if role("snapshot") || any(|name| name == "snapshot") {
            return Self::Snapshot;
        }
        let kind = Self::of_types(&types);
        match kind {
            Self::Other => kind,
            _ if !info.own_lease => Self::Unleased,
            _ if role("origin") => Self::Origin,
            _ => kind,
        }
    }

    /// Of several types the one that is served least.
    fn of_types(types: &[&str]) -> Self {
        let of_one = |name: &str| match name {
            "linear" | "striped" => Self::Plain,
            "mirror" => Self::Raid,
            "cache" | "writecache" => Self::Cached,
            name if name.starts_with("raid") => Self::Raid,
            _ => Self::Other,
        };
        let kinds: Vec<Self> = types.iter().map(|name| of_one(name)).collect();
        [Self::Other, Self::Cached, Self::Raid]
            .into_iter()
            .find(|kind| kinds.contains(kind))
            .unwrap_or(Self::Plain)
    }

    /// Whether it is served, and if so, how.
    #[must_use]
    pub fn service(self) -> Service {
        match self {
            Self::Plain => Service::Served,
            Self::Raid | Self::Cached | Self::Origin => {
                Service::ExclusiveOnly(RefusalCode::ExclusiveOnly)
            }
            Self::Snapshot | Self::Thin | Self::Vdo | Self::Unleased => {
                Service::Refused(RefusalCode::NoOwnLease)
            }
            Self::Pool | Self::Other => Service::Refused(RefusalCode::SegmentType),
        }
    }

    /// The words of the operator guide.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Plain => "`linear`, `striped`, on one or several physical volumes",
            Self::Raid => "`raid0` to `raid10`, `mirror`",
            Self::Cached => "`cache`, `writecache`",
            Self::Origin => "a volume that snapshots were made of",
            Self::Snapshot => "a snapshot (copy on write)",
            Self::Thin => "`thin`",
            Self::Vdo => "`vdo`",
            Self::Pool => "`thin-pool`, `vdo-pool`, `cache-pool`",
            Self::Other => "any other segment type",
            Self::Unleased => "without a lease of its own (`lv_lockargs` is empty)",
        }
    }
}

impl Service {
    /// The code with which that sharing is refused; `None` if it is served.
    #[must_use]
    pub fn refuses(self, sharing: Sharing) -> Option<RefusalCode> {
        match (self, sharing) {
            (Self::Refused(code), _) | (Self::ExclusiveOnly(code), Sharing::Shared) => Some(code),
            (Self::Served, _) | (Self::ExclusiveOnly(_), Sharing::Exclusive) => None,
        }
    }
}

/// Why a volume of that kind is refused and what to do, as the end of a sentence that begins with
/// the volume's name.
pub(crate) fn sentence(kind: Kind, info: &VolumeInfo) -> String {
    let copy = "copy it to a linear volume of this volume group, and attach that";
    match kind {
        Kind::Plain => "is served; ask again".to_owned(),
        Kind::Raid | Kind::Cached => format!(
            "was asked for shared, and LVM activates a volume of type {} on one node at a time; ask \
             for it exclusively",
            info.segment_type
        ),
        Kind::Origin => {
            "was asked for shared, and LVM activates a volume that has snapshots on one \
                         node at a time; ask for it exclusively"
                .to_owned()
        }
        Kind::Snapshot => "is a snapshot and has no lease of its own: it shares its origin's, and \
                           with it the origin would become active; attach the origin, or copy the \
                           snapshot to a volume of its own"
            .to_owned(),
        Kind::Thin => format!(
            "is a thin volume and has no lease of its own: all volumes of its thin pool share one; {copy}"
        ),
        Kind::Vdo => format!(
            "is a VDO volume and has no lease of its own: all volumes of its VDO pool share one; {copy}"
        ),
        Kind::Unleased => format!(
            "has no lease of its own (its lv_lockargs is empty), so nothing would keep other nodes \
             from it; {copy}"
        ),
        Kind::Pool => format!(
            "is a {}: the data of other volumes is in it; name a volume that is a disk",
            info.segment_type
        ),
        Kind::Other => format!(
            "has segments of type {:?}, which this version does not serve; {copy}",
            info.segment_type
        ),
    }
}
