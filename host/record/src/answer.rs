//! What a policy answers. An answer starts as asked and is only ever narrowed; the answers of
//! several policies combine by strictness.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::attachment::{Access, Sharing};
use crate::facts::Facts;
use crate::ids::VolumeId;
use crate::units::Bytes;

/// How much copying is allowed. In order: each allows all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CopyMode {
    /// The volume is served from the shared LV.
    None,
    /// dm-clone without background hydration: only what is written lands in the copy.
    WritesOnly,
    /// Copied in the background under the running guest.
    Background,
    /// Copied whole before the guest starts.
    BeforeStart,
}

/// What detach does with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CopyFate {
    /// Written back to the shared volume; then the copy goes.
    WriteBack,
    /// Stays on the node.
    Keep,
    /// Thrown away; only a copy nobody wrote.
    Discard,
}

/// A proposed or granted copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CopyPlan {
    /// When the data is copied, and how much of it.
    pub mode: CopyMode,
    /// At most this much being copied at once; `None`: the daemon's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<Bytes>,
    /// At most this much in one batch; `None`: the daemon's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Bytes>,
    /// What becomes of it at detach.
    pub fate: CopyFate,
}

/// The answer for one disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskAnswer {
    /// The disk's volume; an answer is matched to its disk by it.
    pub volume: VolumeId,
    /// The sharing granted: the one requested, or a stricter one.
    pub sharing: Sharing,
    /// The access granted: the one requested, or a stricter one.
    pub access: Access,
    /// No more copying than this.
    pub copy_at_most: CopyMode,
    /// The copy proposed, before the ceiling; `None`: nobody proposed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyPlan>,
}

/// A remark for the decision log; changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What the note is about, such as a volume's full name; free text.
    pub key: String,
    /// Free text for people.
    pub value: String,
}

/// A whole answer: one entry a disk, in the request's order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// One entry a disk, in the request's order.
    pub disks: Vec<DiskAnswer>,
    /// Notes in the order in which the policies made them; empty where none did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// A policy's refusal of the whole request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// For programs: lower-case words joined by `-`.
    pub code: String,
    /// For the person at virsh.
    pub message: String,
    /// When asking again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl fmt::Display for CopyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::WritesOnly => "writes-only",
            Self::Background => "background",
            Self::BeforeStart => "before-start",
        })
    }
}

impl fmt::Display for CopyFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WriteBack => "write-back",
            Self::Keep => "keep",
            Self::Discard => "discard",
        })
    }
}

impl fmt::Display for CopyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, then {}", self.mode, self.fate)?;
        if let Some(amount) = self.in_flight {
            write!(f, ", {amount} in flight")?;
        }
        if let Some(amount) = self.batch {
            write!(f, ", {amount} in a batch")?;
        }
        Ok(())
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl Answer {
    /// The answer that grants what was asked: where every policy starts.
    #[must_use]
    pub fn as_asked(facts: &Facts) -> Self {
        let disks = facts
            .disks
            .iter()
            .map(|disk| DiskAnswer {
                volume: disk.id,
                sharing: disk.asked_sharing,
                access: disk.asked_access,
                copy_at_most: CopyMode::BeforeStart,
                copy: None,
            })
            .collect();
        Self {
            disks,
            notes: Vec::new(),
        }
    }

    /// Narrows this answer by a later policy's. Whatever `other` holds, nothing gets wider:
    /// sharing, access and ceiling take the stricter, the first proposal stays.
    /// Both must be answers to the same request; a disk `other` does not name stays as it is, one
    /// that it names twice is narrowed twice.
    pub fn narrow_by(&mut self, other: &Self) {
        for disk in &mut self.disks {
            let theirs = other.disks.iter().filter(|d| d.volume == disk.volume);
            for theirs in theirs {
                disk.sharing = disk.sharing.max(theirs.sharing);
                disk.access = disk.access.max(theirs.access);
                disk.copy_at_most = disk.copy_at_most.min(theirs.copy_at_most);
                disk.copy = disk.copy.or(theirs.copy);
            }
        }
        self.notes.extend(other.notes.iter().cloned());
    }
}

impl DiskAnswer {
    /// The copy that is granted: the proposal lowered to the ceiling; `None` where that leaves
    /// nothing to copy.
    #[must_use]
    pub fn granted_copy(&self) -> Option<CopyPlan> {
        let plan = self.copy?;
        let mode = plan.mode.min(self.copy_at_most);
        (mode > CopyMode::None).then_some(CopyPlan { mode, ..plan })
    }
}

impl CopyFate {
    /// The fate several policies agree on: write-back before keep before discard.
    #[must_use]
    pub fn safest(fates: impl IntoIterator<Item = Self>) -> Option<Self> {
        fates.into_iter().min_by_key(|fate| match fate {
            Self::WriteBack => 0,
            Self::Keep => 1,
            Self::Discard => 2,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(mode: CopyMode, at_most: CopyMode) -> DiskAnswer {
        DiskAnswer {
            volume: VolumeId {
                vg: "a".repeat(32).parse().unwrap(),
                lv: "b".repeat(32).parse().unwrap(),
            },
            sharing: Sharing::Shared,
            access: Access::ReadWrite,
            copy_at_most: at_most,
            copy: Some(CopyPlan {
                mode,
                in_flight: None,
                batch: None,
                fate: CopyFate::WriteBack,
            }),
        }
    }

    #[test]
    fn narrowing_never_widens() {
        let sharings = [Sharing::Shared, Sharing::Exclusive];
        let accesses = [Access::ReadWrite, Access::ReadOnly];
        let modes = [
            CopyMode::None,
            CopyMode::WritesOnly,
            CopyMode::Background,
            CopyMode::BeforeStart,
        ];
        for (s1, s2) in sharings.into_iter().flat_map(|a| sharings.map(|b| (a, b))) {
            for (a1, a2) in accesses.into_iter().flat_map(|a| accesses.map(|b| (a, b))) {
                for (m1, m2) in modes.into_iter().flat_map(|a| modes.map(|b| (a, b))) {
                    let one = DiskAnswer {
                        sharing: s1,
                        access: a1,
                        ..disk(m1, m1)
                    };
                    let two = DiskAnswer {
                        sharing: s2,
                        access: a2,
                        ..disk(m2, m2)
                    };
                    let mut answer = Answer {
                        disks: vec![one.clone()],
                        notes: vec![],
                    };
                    answer.narrow_by(&Answer {
                        disks: vec![two.clone()],
                        notes: vec![],
                    });
                    let got = &answer.disks[0];
                    assert!(got.sharing >= one.sharing && got.sharing >= two.sharing);
                    assert!(got.access >= one.access && got.access >= two.access);
                    assert!(got.copy_at_most <= m1 && got.copy_at_most <= m2);
                    assert_eq!(got.copy, one.copy);
                }
            }
        }
    }

    #[test]
    fn a_proposal_is_lowered_to_the_ceiling() {
        let granted = disk(CopyMode::BeforeStart, CopyMode::WritesOnly).granted_copy();
        assert_eq!(granted.map(|g| g.mode), Some(CopyMode::WritesOnly));
        assert_eq!(
            disk(CopyMode::Background, CopyMode::None).granted_copy(),
            None
        );
    }

    #[test]
    fn the_safest_fate_wins() {
        use CopyFate::{Discard, Keep, WriteBack};
        assert_eq!(
            CopyFate::safest([Discard, Keep, WriteBack]),
            Some(WriteBack)
        );
        assert_eq!(CopyFate::safest([Discard, Keep]), Some(Keep));
        assert_eq!(CopyFate::safest([]), None);
    }
}
