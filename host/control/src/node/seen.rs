//! What this node has, with the names that its volumes have now.

use super::Node;
use crate::state::CopyView;
use crate::views::SeenAttachment;

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
