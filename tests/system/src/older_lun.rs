//! A LUN that is replaced by an earlier snapshot of itself, as a storage system does it: the same UUIDs, older content.

use std::fs;

use crate::error::IoContext;
use crate::fixture::copy_sparse;
use crate::{Cluster, Node, Result};

const LUN: &str = "lun.img";
const SNAPSHOT: &str = "lun.snapshot";
const ASIDE: &str = "lun.aside";

impl Cluster {
    /// Makes a snapshot of the LUN, of one moment: the nodes stand still meanwhile.
    ///
    /// # Errors
    /// When a node cannot be paused, or the LUN not be copied.
    pub fn snapshot_lun(&self) -> Result<()> {
        self.on_all(Node::pause)?;
        let copied = copy_sparse(&self.folder().join(LUN), &self.folder().join(SNAPSHOT));
        self.on_all(Node::resume)?;
        copied
    }

    /// Puts the snapshot in the LUN's place; the LUN as it was is kept aside. No node may run.
    ///
    /// # Errors
    /// When a file cannot be renamed.
    pub fn put_snapshot_back(&self) -> Result<()> {
        self.exchange(ASIDE, SNAPSHOT)
    }

    /// Puts the LUN in its place again that was there before [`Cluster::put_snapshot_back`]. No node may run.
    ///
    /// # Errors
    /// When a file cannot be renamed.
    pub fn put_right_lun_back(&self) -> Result<()> {
        self.exchange(SNAPSHOT, ASIDE)
    }

    /// What is in the LUN's place goes to `to`, and what is in `from` comes there.
    fn exchange(&self, to: &str, from: &str) -> Result<()> {
        let [lun, to, from] = [LUN, to, from].map(|name| self.folder().join(name));
        fs::rename(&lun, &to).at("keep", &lun)?;
        fs::rename(&from, &lun).at("put back", &from)
    }

    /// Gives a node a new local disk, with nothing on it. The node may not run.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new_local_disk(&self, number: u8) -> Result<()> {
        let path = self.folder().join(format!("node{number}.local"));
        let size = fs::metadata(&path).at("look at", &path)?.len();
        fs::remove_file(&path).at("remove", &path)?;
        let file = fs::File::create(&path).at("create", &path)?;
        file.set_len(size).at("size", &path)
    }
}
