//! Before a node goes down.

use super::Node;

impl Node {
    /// Write-backs end where they are, and none begins, until the daemon is started again: each gives up its devices
    /// and its lease, which would otherwise keep the lockspace from being left. Returns before they have; what
    /// [`Node::copies`] still calls returning has not.
    pub fn put_copies_down(&self) {
        self.state.put_copies_down();
    }
}
