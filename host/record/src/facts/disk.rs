//! A disk's facts, and a scenario's disk, of which everything may be left out: one table for both.

use serde::{Deserialize, Serialize};

use super::HydrationFacts;
use crate::attachment::{Access, Attachment, Sharing};
use crate::home::Home;
use crate::ids::{LvmUuid, PoolName, VolumeId, VolumeName};
use crate::scenario::{DISK_BYTES, ScenarioAttachment};
use crate::units::Bytes;

/// Where a disk stands in a scenario: what is left out of it is made from that.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its pool's place among the scenario's, from 1.
    pub(crate) pool: usize,
    /// The list it is in: `disk` or `held`.
    pub(crate) word: &'a str,
    /// Its own place in that list, from 1.
    pub(crate) n: usize,
    /// Its identity, where the scenario says one.
    pub(crate) id: Option<VolumeId>,
}

impl Place<'_> {
    /// The disk's identity.
    fn disk(self) -> VolumeId {
        self.id.unwrap_or_else(|| VolumeId {
            vg: LvmUuid::numbered("pool", self.pool),
            lv: LvmUuid::numbered(self.word, self.n),
        })
    }
}

/// Something of a fact that a scenario may say otherwise, or leave out.
trait Said<Fact> {
    /// The fact, with what was left out.
    fn whole(&self, place: Place<'_>) -> Fact;
    /// The fact as a scenario that leaves nothing out says it.
    fn of(fact: &Fact) -> Self;
}

/// Most are the same in both.
impl<T: Clone> Said<T> for T {
    fn whole(&self, _: Place<'_>) -> T {
        self.clone()
    }

    fn of(fact: &T) -> Self {
        fact.clone()
    }
}

impl Said<VolumeId> for Option<VolumeId> {
    fn whole(&self, place: Place<'_>) -> VolumeId {
        self.unwrap_or_else(|| place.disk())
    }

    fn of(fact: &VolumeId) -> Self {
        Some(*fact)
    }
}

impl Said<VolumeName> for Option<VolumeName> {
    fn whole(&self, place: Place<'_>) -> VolumeName {
        let made = || VolumeName::fixed(&format!("{}{}", place.word, place.n));
        self.clone().unwrap_or_else(made)
    }

    fn of(fact: &VolumeName) -> Self {
        Some(fact.clone())
    }
}

impl Said<Vec<Attachment>> for Vec<ScenarioAttachment> {
    fn whole(&self, place: Place<'_>) -> Vec<Attachment> {
        self.iter().map(|one| one.whole(place.disk())).collect()
    }

    fn of(fact: &Vec<Attachment>) -> Self {
        fact.iter().map(Into::into).collect()
    }
}

/// A row: the fact with what stands in records of it; then what a scenario says of it, and what is
/// meant where it does not.
macro_rules! disk {
    ($(
        $(#[$of_fact:meta])* $field:ident: $fact:ty;
            $(#[$of_said:meta])* said as $said:ty = $default:expr;
    )+) => {
        /// One volume, as asked for and as it is.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct DiskFacts { $($(#[$of_fact])* pub $field: $fact,)+ }

        /// A disk, of which everything may be left out: a free volume of 10 GiB, asked for
        /// exclusively and read-write.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields, default)]
        pub struct ScenarioDisk { $($(#[$of_said])* pub $field: $said,)+ }

        impl Default for ScenarioDisk {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl ScenarioDisk {
            /// The facts, with what was left out.
            pub(crate) fn whole(&self, place: Place<'_>) -> DiskFacts {
                DiskFacts { $($field: Said::<$fact>::whole(&self.$field, place),)+ }
            }
        }

        impl From<&DiskFacts> for ScenarioDisk {
            fn from(facts: &DiskFacts) -> Self {
                Self { $($field: Said::<$fact>::of(&facts.$field),)+ }
            }
        }
    };
}

disk! {
    /// Identity.
    id: VolumeId;
        /// Identity; made from the place in the list unless it is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        said as Option<VolumeId> = None;
    /// Its pool, for people.
    pool: PoolName;
        /// Its pool; `vg0` unless it is given.
        said as PoolName = PoolName::fixed("vg0");
    /// Its name, for people.
    name: VolumeName;
        /// Its name; `disk1`, `disk2` and so on (`held1` among those held) unless it is given.
        #[serde(skip_serializing_if = "Option::is_none")]
        said as Option<VolumeName> = None;
    /// Size of the volume.
    size: Bytes;
        /// Bytes; 10 GiB unless it is given.
        said as Bytes = DISK_BYTES;
    /// Marked shareable by `volward volume set`.
    shareable: bool;
        /// Marked shareable; not, unless it is given.
        said as bool = false;
    /// The LV's tags, Volward's own excepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>;
        /// The LV's tags.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        said as Vec<String> = Vec::new();
    /// Where the current data is.
    home: Home;
        /// Where the current data is; the pool unless it is given.
        said as Home = Home::POOL;
    /// Every attachment in the cluster, intents included, but for this instance's own on this
    /// node: what it has on another node counts (I6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment>;
        /// Attachments of others; none unless they are given.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        said as Vec<ScenarioAttachment> = Vec::new();
    /// The hydration on this node, if one is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hydration: Option<HydrationFacts>;
        /// The hydration on this node, if one is loaded.
        #[serde(skip_serializing_if = "Option::is_none")]
        said as Option<HydrationFacts> = None;
    /// What the caller wishes, defaults resolved; a policy narrows from here.
    asked_sharing: Sharing;
        /// What the caller wishes; exclusive unless it is given.
        said as Sharing = Sharing::Exclusive;
    /// What the caller wishes, defaults resolved; a policy narrows from here.
    asked_access: Access;
        /// What the caller wishes; read-write unless it is given.
        said as Access = Access::ReadWrite;
}

impl DiskFacts {
    /// A free volume of 10 GiB in pool `vg0`, asked for exclusively and read-write: what a scenario
    /// means that says no more than identity and name.
    #[must_use]
    pub fn free(id: VolumeId, name: VolumeName) -> Self {
        let said = ScenarioDisk {
            id: Some(id),
            name: Some(name),
            ..ScenarioDisk::default()
        };
        said.whole(Place {
            pool: 1,
            word: "disk",
            n: 1,
            id: Some(id),
        })
    }
}
