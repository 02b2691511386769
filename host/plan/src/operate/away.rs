//! A volume whose data is in a local copy on this node: an operation waits until the copy is home, and has it come home
//! under its guest. What would be done to the shared volume before that would be done to old data. What another node writes back by
//! itself is waited for, too.

use volward_model::{CopyMode, CopyStage, Home, HomeState, NodeName};

use super::OperationStep;
use crate::input::VolumeInput;
use crate::refusal::home_of;

/// Where the data is, as long as it is not at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Its guest runs on the copy, which is not whole: that comes first.
    Filling,
    /// Its guest runs on the copy, which is whole.
    Whole,
    /// It is on the way home.
    Returning,
}

impl Away {
    /// Of a volume that this node looks at. `None`: it is at home; or nothing brings it there by itself.
    #[must_use]
    pub fn of(node: &NodeName, seen: &VolumeInput) -> Option<Self> {
        // What has a mark is in the pool: it refuses every attach.
        match home_of(&seen.info) {
            Ok(home) if seen.info.mark().is_none() => Self::by(node, &home, seen),
            _ => None,
        }
    }

    fn by(node: &NodeName, home: &Home, seen: &VolumeInput) -> Option<Self> {
        let is_ours = home.copy().is_none_or(|(owner, _)| owner == node);
        match &home.state {
            // A node that is alive tells how far it is; nobody has the volume meanwhile, so it comes home by itself.
            HomeState::Returning { .. } if !is_ours => {
                let alone = seen.here.is_empty() && seen.elsewhere.is_empty();
                (alone && seen.progress.is_some()).then_some(Self::Returning)
            }
            _ if !is_ours => None,
            // Its guest is gone; what is on record as begun is about to begin.
            HomeState::Split { .. } if seen.here.is_empty() => {
                seen.witnesses.write_back.then_some(Self::Returning)
            }
            HomeState::Split { .. } if seen.clone_is_linear() => Some(Self::Whole),
            HomeState::Split { .. } => is_hydrated(seen).then_some(Self::Filling),
            HomeState::Returning { .. } => Some(Self::Returning),
            HomeState::Pool => is_arriving(seen).then_some(Self::Returning),
            HomeState::Node { .. } => None,
        }
    }

    pub(super) fn next(self) -> OperationStep {
        match self {
            Self::Filling => OperationStep::AwaitWhole,
            Self::Whole => OperationStep::BringHome,
            Self::Returning => OperationStep::AwaitHome,
        }
    }
}

/// Its copy is to become whole: one that takes only what its guest writes never is.
fn is_hydrated(seen: &VolumeInput) -> bool {
    let mut modes = seen.here.iter().filter_map(|a| a.copy);
    modes.any(|mode| mode != CopyMode::WritesOnly)
}

/// All of it is at home, and what is left of its copy is about to be removed.
fn is_arriving(seen: &VolumeInput) -> bool {
    let mut copies = seen.witnesses.copies.found().iter();
    let returned = copies.any(|copy| copy.stage == Some(CopyStage::Returned));
    seen.witnesses.write_back && (returned || seen.here.iter().any(|a| a.copy.is_some()))
}
