//! What this node has, with the names that its volumes have now.

use std::collections::BTreeMap;

use volward_model::VolumeId;

use super::Node;
use crate::observe::PoolSnapshot;
use crate::ports::StoredAttachment;
use crate::state::CopyView;
use crate::views::{AttachingDisk, SeenAttachment, VolumeStanding};

impl Node {
    /// Attachments of this node beside what the pools say of their volumes now. A pool whose disks do not
    /// answer at once is not waited for.
    #[must_use]
    pub fn attachments_seen(&self) -> Vec<SeenAttachment> {
        self.views.attachments_seen()
    }

    /// The same from memory: with what the pools said when somebody looked last.
    #[must_use]
    pub fn attachments_remembered(&self) -> Vec<SeenAttachment> {
        self.views.attachments_remembered()
    }

    /// What attaches under way on this node ask for, and their instances do not have yet.
    #[must_use]
    pub fn attaching(&self) -> Vec<AttachingDisk> {
        self.views.attaching()
    }

    /// Whether a detach works on an attachment of this node now. What failed and is tried again is unfinished
    /// ([`Node::unfinished`]).
    #[must_use]
    pub fn is_leaving(&self, attachment: &StoredAttachment) -> bool {
        self.views.is_leaving(attachment)
    }

    /// How each volume of a shared pool stands, by what its snapshot says and by what goes on here.
    #[must_use]
    pub fn standings(&self, snapshot: &PoolSnapshot) -> BTreeMap<VolumeId, VolumeStanding> {
        self.views.standings(snapshot)
    }

    /// Copies on this node, from memory: with the names that the pools gave their volumes when somebody looked
    /// last.
    #[must_use]
    pub fn copies(&self) -> Vec<CopyView> {
        self.state.copies()
    }

    /// The same after a look at the pools. One whose disks do not answer at once is not waited for.
    #[must_use]
    pub fn copies_seen(&self) -> Vec<CopyView> {
        self.views.copies_seen()
    }
}
