//! The kernel's own files, by path: `/sys`, `/proc`, and the nodes of devices under `/dev`. Nobody
//! else can put a file in the first two, and what a node is of is checked on the open file
//! (`blockdev`). What is Volward's own on disk is reached by a folder's handle instead.
#![expect(
    clippy::disallowed_methods,
    reason = "the kernel's files have no folder that could be handed down: each is named by a fixed path"
)]

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The text of an attribute or of a file of `/proc`.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// Sets an attribute.
pub(crate) fn set(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

/// The names in a folder of `/sys` or `/proc`.
pub(crate) fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let entries = std::fs::read_dir(path)?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// What a device's node is; a link of udev's is followed.
pub(crate) fn node(path: &Path) -> io::Result<Metadata> {
    std::fs::metadata(path)
}

/// Whether something has that path; a link is not followed.
pub(crate) fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Opens a device by its node, for reading at least.
pub(crate) fn open(path: &Path, write: bool, flags: OFlags) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(write)
        .custom_flags((flags | OFlags::CLOEXEC).bits().cast_signed())
        .open(path)
}
