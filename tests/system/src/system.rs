//! The two kinds of nodes: quick ones, whose first process is a script of the lab's, and those that systemd
//! boots from a disk of their own.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::command::run;
use crate::error::IoContext;
use crate::kernel::BOOT_MODULES;

/// What runs a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum System {
    /// A script: what LVM, sanlock and libvirt need to find, and nothing else. The root file system is in
    /// memory, so a boot is the first one always.
    #[default]
    Quick,
    /// Debian's own systemd and units. What is written stays: the root file system's upper layer is on a disk,
    /// as are what is installed, set up and on record when the node boots again.
    Systemd,
}

/// The packages a node is made of, beside Debian's essential ones.
const PACKAGES: &[&str] = &[
    "apparmor",
    "busybox-static",
    "dmsetup",
    "fio",
    "iproute2",
    "kmod",
    "libsanlock-client1",
    "libsanlock1",
    "libvirt-clients",
    "libvirt-daemon-system",
    "lvm2",
    "lvm2-lockd",
    "procps",
    "python3-libvirt",
    "qemu-system-x86",
    "qemu-utils",
    "sanlock",
    "socat",
    "sqlite3",
    "strace",
    "thin-provisioning-tools",
    "udev",
];

/// What a node with systemd has beside them. apt installs Volward's package there.
const SYSTEMD_PACKAGES: &[&str] = &["apt", "dbus", "multipath-tools", "systemd-sysv"];

/// The lab's own files: where each goes, its text.
const QUICK_FILES: &[(&str, &str)] = &[
    ("usr/lib/lab/init", include_str!("guest/init")),
    ("usr/lib/lab/agent", include_str!("guest/agent")),
];

const SYSTEMD_FILES: &[(&str, &str)] = &[
    ("usr/lib/lab/up", include_str!("guest/systemd-up")),
    ("usr/lib/lab/agent", include_str!("guest/agent")),
    (
        "etc/systemd/system/lab.service",
        include_str!("guest/lab.service"),
    ),
    // As a link in sysinit.target.wants would, but a file.
    (
        "etc/systemd/system/sysinit.target.d/lab.conf",
        "[Unit]\nWants=lab.service\n",
    ),
    // What a boot said is read in the next one.
    (
        "etc/systemd/journald.conf.d/lab.conf",
        "[Journal]\nStorage=persistent\nSyncIntervalSec=1s\n",
    ),
];

/// The upper layer of the root file system, sparse.
const ROOT_GIB: u64 = 4;

impl System {
    /// Names of what the cache keeps of each kind.
    pub(crate) fn kind(self, what: &str) -> String {
        match self {
            Self::Quick => what.to_owned(),
            Self::Systemd => format!("{what}-systemd"),
        }
    }

    pub(crate) fn packages(self) -> Vec<&'static str> {
        match self {
            Self::Quick => PACKAGES.to_vec(),
            Self::Systemd => [PACKAGES, SYSTEMD_PACKAGES].concat(),
        }
    }

    pub(crate) fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Quick => QUICK_FILES,
            Self::Systemd => SYSTEMD_FILES,
        }
    }

    /// What the initrd loads.
    pub(crate) fn boot_modules(self) -> Vec<&'static str> {
        match self {
            Self::Quick => BOOT_MODULES.to_vec(),
            Self::Systemd => [BOOT_MODULES, &["ext4"]].concat(),
        }
    }

    /// The kernel's words for it.
    pub(crate) fn words(self, node: u8) -> String {
        match self {
            Self::Quick => String::new(),
            Self::Systemd => format!(
                " lab.root=/dev/vde systemd.hostname=node{node} systemd.machine_id={node:032x} \
                 systemd.show_status=1 apparmor=1"
            ),
        }
    }

    /// Makes the disk of one that has its own.
    pub(crate) fn make_root(self, path: &Path) -> Result<()> {
        if self == Self::Quick {
            return Ok(());
        }
        let file = File::create(path).at("create", path)?;
        file.set_len(ROOT_GIB << 30).at("size", path)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path)).map(drop)
    }
}
