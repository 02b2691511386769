//! A VG's metadata, read from its disks without LVM: labels and headers past every cache, and the text where they are not what
//! they were at the last look.
//!
//! | module | has |
//! |---|---|
//! | `reading`, `disk` | labels, headers and text on the disks |
//! | `text`, `layout` | what the text says |
//! | `table` | LVM's table of an LV |

pub(crate) mod disk;
pub(crate) mod layout;
pub(crate) mod reading;
pub(crate) mod table;
mod text;
