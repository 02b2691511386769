//! What a node needs before Volward can serve on it: settings of sanlock, its watchdog, LVM and lvmlockd,
//! and Volward's own. `volward setup` reads what is there ([`fn@look`]), makes a [`Plan`] of it, shows it, and
//! writes it ([`fn@write`]).
//!
//! | module | does |
//! |---|---|
//! | `wanted` | what the operator says, and what the node says of itself already: one answer, or a contradiction |
//! | `plan` | from texts of files to changed texts; pure |
//! | `text` | one setting in a file of a certain kind, everything else in it left alone |
//! | `look` | the files' texts, by the handle of the root folder |
//! | `write` | each file whole or not at all, with the text from before beside it |
//!
//! LVM's settings go to lvmlocal.conf, which counts before lvm.conf and is made for what differs between
//! nodes: lvm.conf stays as Debian updates it.

mod look;
mod plan;
mod text;
mod wanted;
mod write;

pub use look::{LookError, Seen, look};
pub use plan::{Change, Plan, plan};
pub use text::NotUnderstood;
pub use wanted::{Contradiction, Wanted};
pub use write::{WriteError, Written, write};

/// Paths, from the root folder.
pub(crate) mod paths {
    pub(crate) const SANLOCK: &str = "etc/sanlock/sanlock.conf";
    pub(crate) const SANLOCK_DEFAULTS: &str = "etc/default/sanlock";
    pub(crate) const WDMD_DEFAULTS: &str = "etc/default/wdmd";
    pub(crate) const LVM: &str = "etc/lvm/lvm.conf";
    pub(crate) const LVM_LOCAL: &str = "etc/lvm/lvmlocal.conf";
    pub(crate) const LVMLOCKD_DROPINS: &str = "etc/systemd/system/lvmlockd.service.d";
    pub(crate) const LVMLOCKD_DROPIN: &str = "etc/systemd/system/lvmlockd.service.d/volward.conf";
    pub(crate) const SANLOCK_DROPINS: &str = "etc/systemd/system/sanlock.service.d";
    pub(crate) const SANLOCK_DROPIN: &str = "etc/systemd/system/sanlock.service.d/volward.conf";
    pub(crate) const LVMLOCKS_DROPINS: &str = "etc/systemd/system/lvmlocks.service.d";
    pub(crate) const LVMLOCKS_DROPIN: &str = "etc/systemd/system/lvmlocks.service.d/volward.conf";
    pub(crate) const MODULES: &str = "etc/modules-load.d";
    pub(crate) const WATCHDOG_MODULE: &str = "etc/modules-load.d/volward-watchdog.conf";
    pub(crate) const CLONE_MODULE: &str = "etc/modules-load.d/volward.conf";
    pub(crate) const VOLWARD: &str = "etc/volward/volward.toml";
    pub(crate) const POLICIES: &str = "etc/volward/policies.d";
}
