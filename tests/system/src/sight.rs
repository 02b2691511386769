//! What a node itself shows of Volward's work, asked of sanlock, device-mapper and LVM.

use std::collections::BTreeSet;

use crate::volward::{LOCAL, POOL};
use crate::{LabError, Node, Result};

/// What is there. The registry and its lease are left out: they are there always.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Leases the node holds: `NAME exclusive` or `NAME shared`.
    pub leases: BTreeSet<String>,
    /// Active volumes of the shared pool, by name.
    pub active: BTreeSet<String>,
    /// The device-mapper devices of attachments, by name.
    pub devices: BTreeSet<String>,
    /// The device-mapper devices of copies: `NAME TARGET`.
    pub clones: BTreeSet<String>,
    /// The device-mapper devices on which clones keep their metadata, by name.
    pub parts: BTreeSet<String>,
    /// What is published under /dev/volward.
    pub paths: BTreeSet<String>,
    /// The LVs of copies, by name.
    pub copies: BTreeSet<String>,
}

const SCRIPT: &str = r"
set -e
sanlock client status > /run/lab/leases
lvs --noheadings --separator ' ' -o lv_uuid,lv_name,lv_active $POOL > /run/lab/volumes
while read uuid name active; do
    [ $name != volward-registry ] || continue
    [ -z $active ] || echo active $name
    line=$(grep ^r.lvm_$POOL:$uuid: /run/lab/leases) || continue
    case $line in *:SH\ *) echo lease $name shared ;; *) echo lease $name exclusive ;; esac
done < /run/lab/volumes
dmsetup table | while read name start size target rest; do
    case $name in
        volward-clone-* | volward-return-*) echo clone ${name%:} $target ;;
        volward-meta-* | volward-back-*) echo part ${name%:} ;;
        volward-*) echo device ${name%:} ;;
    esac
done
if [ -d /dev/volward ]; then find /dev/volward -type l | sed 's/^/path /'; fi
lvs --noheadings -o lv_name $LOCAL | while read name; do
    case $name in volward-*) echo copy $name ;; esac
done
";

impl Sight {
    /// Reads what is active, leased, mapped and published on `node`, by its own tools.
    ///
    /// # Errors
    /// When the node is down, or one of the tools fails.
    pub fn of(node: &Node) -> Result<Self> {
        let text = node.run_ok(&format!("POOL={POOL} LOCAL={LOCAL}\n{SCRIPT}"))?;
        let mut sight = Self::default();
        for line in text.lines() {
            let (kind, what) = line.split_once(' ').unwrap_or((line, ""));
            let set = match kind {
                "active" => &mut sight.active,
                "lease" => &mut sight.leases,
                "device" => &mut sight.devices,
                "clone" => &mut sight.clones,
                "part" => &mut sight.parts,
                "path" => &mut sight.paths,
                "copy" => &mut sight.copies,
                _ => return Err(LabError::Machine(format!("{line:?} of what is seen"))),
            };
            set.insert(what.to_owned());
        }
        Ok(sight)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A volume's home as its tag says: `pool`, `split:NODE`, `node:NODE` or `returning:NODE`.
///
/// # Errors
/// When LVM does not answer.
pub fn home(node: &Node, volume: &str) -> Result<String> {
    let tags = node.run_ok(&format!("lvs --noheadings -o lv_tags {POOL}/{volume}"))?;
    let tag = tags
        .trim()
        .split(',')
        .find_map(|tag| tag.strip_prefix("volward.home="));
    let mut words = tag.unwrap_or("pool").split(':');
    let (state, at) = (words.next(), words.next());
    Ok(match (state, at) {
        (Some(state), Some(at)) if !at.is_empty() => format!("{state}:{at}"),
        (state, _) => state.unwrap_or_default().to_owned(),
    })
}
