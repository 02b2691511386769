//! What `doctor` asks of LVM beyond a pool's report: which groups there are, and what the node's own
//! configuration keeps from activation. Nothing is decided by it.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use volward_model::{PoolKind as Locking, PoolName, VgUuid};
use volward_ports::PortResult;

use super::{Lvm, REPORT_DEADLINE, SeenDisks, report};
use crate::exec::Invocation;

/// A volume group that LVM finds, whatever the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGroup {
    /// Its name now.
    pub name: String,
    /// Its identity.
    pub vg: VgUuid,
    /// What keeps the nodes apart on it.
    pub kind: Locking,
}

/// The lists of lvm.conf's section `activation` that say what is activated; `None` where one is not
/// set, which means everything for the first and the last, and nothing for the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationLists {
    /// `volume_list`: only what it names is activated at all.
    pub volumes: Option<Vec<String>>,
    /// `read_only_volume_list`: what it names is activated read-only.
    pub read_only: Option<Vec<String>>,
    /// `auto_activation_volume_list`: only what it names is activated at boot.
    pub automatic: Option<Vec<String>>,
}

/// What a list says of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// All of it.
    Whole,
    /// Single volumes of it, or what tags say: each volume has to be looked at.
    Partly,
    /// Nothing of it.
    No,
}

/// What a list of that form (`vg`, `vg/lv`, `@tag`, `@*`) says of a pool.
#[must_use]
pub fn listed(list: &[String], pool: &PoolName) -> Listed {
    let of_pool = |entry: &&String| {
        let inside = entry.strip_prefix(pool.as_str());
        entry.starts_with('@') || inside.is_some_and(|rest| rest.starts_with('/'))
    };
    if list.iter().any(|entry| entry == pool.as_str()) {
        Listed::Whole
    } else if list.iter().any(|entry| of_pool(&entry)) {
        Listed::Partly
    } else {
        Listed::No
    }
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    vg: Vec<Vg>,
}

#[derive(Deserialize)]
struct Vg {
    vg_name: String,
    vg_uuid: String,
    vg_lock_type: String,
}

/// What `doctor` asks of LVM.
pub trait Diagnose: Send + Sync {
    /// A devices file: where it is, and its text.
    ///
    /// # Errors
    /// In the text's place: if it is not there or cannot be read.
    fn devices_file(&self, file: &str) -> (PathBuf, io::Result<String>);

    /// What becomes of a pool's disks on this node: why LVM misses one, and what is wrong with the others.
    ///
    /// # Errors
    /// If the pool is not configured, or LVM or a disk does not answer.
    fn disks(&self, pool: &PoolName) -> PortResult<SeenDisks>;

    /// The volume groups on the disks of a pool's devices file: with its name, or another one after
    /// `vgrename`. None where there is no such file.
    ///
    /// # Errors
    /// If the pool is not configured, or LVM does not answer.
    fn groups_on_disks_of(&self, pool: &PoolName) -> PortResult<Vec<FoundGroup>>;

    /// The volume groups that the node's own LVM finds, shared ones included.
    ///
    /// # Errors
    /// If LVM does not answer.
    fn groups_of_the_node(&self) -> PortResult<Vec<FoundGroup>>;

    /// What the node's lvm.conf and lvmlocal.conf say of activation.
    ///
    /// # Errors
    /// If LVM does not answer.
    fn activation_lists(&self) -> PortResult<ActivationLists>;

    /// The groups whose lockspace has LVM's global lock. None: commands that take it exclusively
    /// (`vgcreate`, `vgextend`, `pvcreate`) fail; those that read go on without it.
    ///
    /// # Errors
    /// If lvmlockd does not answer.
    fn global_lock_pools(&self) -> PortResult<Vec<String>>;
}

impl Diagnose for Lvm {
    fn devices_file(&self, file: &str) -> (PathBuf, io::Result<String>) {
        Self::devices_file(self, file)
    }

    fn disks(&self, pool: &PoolName) -> PortResult<SeenDisks> {
        self.seen_disks(pool)
    }

    fn groups_on_disks_of(&self, pool: &PoolName) -> PortResult<Vec<FoundGroup>> {
        match &self.settings(pool)?.devices_file {
            Some(file) if self.devices_file(file).1.is_ok() => {
                self.groups(pool.as_str(), &["--devicesfile", file])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn groups_of_the_node(&self) -> PortResult<Vec<FoundGroup>> {
        self.groups("doctor", &[])
    }

    fn activation_lists(&self) -> PortResult<ActivationLists> {
        self.lists("doctor")
    }

    fn global_lock_pools(&self) -> PortResult<Vec<String>> {
        let invocation = Invocation::new(&self.lvmlockctl)
            .args(["--info", "--dump"])
            .deadline(REPORT_DEADLINE);
        let output = self.exec.run("doctor", &invocation)?;
        Ok(global_locks(&String::from_utf8_lossy(&output.stdout)))
    }
}

impl Lvm {
    /// What the node's configuration says of activation, asked in that lane.
    pub(super) fn lists(&self, lane: &str) -> PortResult<ActivationLists> {
        let line = vec!["lvmconfig".to_owned()];
        let output = self.lvm(lane, REPORT_DEADLINE, line)?;
        Ok(lists(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The place that this node is given in lockspaces: `local/host_id` of lvmlocal.conf. `None` where that is not said.
    ///
    /// # Errors
    /// If LVM does not answer.
    pub fn host_id(&self) -> PortResult<Option<u64>> {
        let line = ["lvmconfig", "local/host_id"].map(str::to_owned).to_vec();
        let output = self.lvm("doctor", REPORT_DEADLINE, line)?;
        Ok(host_id(&String::from_utf8_lossy(&output.stdout)))
    }

    fn groups(&self, lane: &str, devices: &[&str]) -> PortResult<Vec<FoundGroup>> {
        // Read without lvmlockd: it may be what is missing.
        let mut line = vec!["vgs", "--reportformat", "json", "--shared"];
        line.extend(["-o", "vg_name,vg_uuid,vg_lock_type"]);
        line.extend(["--config", super::config(super::PoolKind::Local)]);
        line.extend(devices);
        let line = line.into_iter().map(str::to_owned).collect();
        let output = self.lvm(lane, REPORT_DEADLINE, line)?;
        let reports: report::Reports<Report> = report::json(&output.stdout)?;
        let groups = reports.report.into_iter().flat_map(|report| report.vg);
        groups
            .map(|vg| {
                Ok(FoundGroup {
                    vg: report::id("vg_uuid", &vg.vg_uuid)?,
                    name: vg.vg_name,
                    kind: report::kind(vg.vg_lock_type),
                })
            })
            .collect()
    }
}

/// lvmconfig prints sections in braces, a setting a line: `volume_list=["a","b"]`.
fn lists(text: &str) -> ActivationLists {
    let mut found = ActivationLists::default();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_suffix('{') {
            section = name.trim();
        } else if line == "}" {
            section = "";
        }
        let Some((name, value)) = line.split_once('=').filter(|_| section == "activation") else {
            continue;
        };
        // Every other piece between quotes is a word.
        let words = value.split('"').skip(1).step_by(2).map(str::to_owned);
        let list = match name {
            "volume_list" => &mut found.volumes,
            "read_only_volume_list" => &mut found.read_only,
            "auto_activation_volume_list" => &mut found.automatic,
            _ => continue,
        };
        *list = Some(words.collect());
    }
    found
}

/// `host_id=2`.
fn host_id(text: &str) -> Option<u64> {
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let (_, number) = pairs.find(|(key, _)| key.trim() == "host_id")?;
    number.trim().parse().ok().filter(|id| *id > 0)
}

/// `lvmlockctl --info --dump` (`--dump` alone prints lvmlockd's log): a line a lockspace, `info=ls
/// ls_name=lvm_vg0 vg_name=vg0 ... sanlock_gl_enabled=1`.
fn global_locks(dump: &str) -> Vec<String> {
    let lockspaces = dump.lines().filter(|line| line.starts_with("info=ls "));
    let enabled = lockspaces.filter_map(|line| {
        let field = |name: &str| {
            let mut words = line.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        (field("sanlock_gl_enabled") == Some("1")).then(|| field("vg_name").map(str::to_owned))
    });
    enabled.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&word| word.to_owned()).collect()
    }

    /// As lvmconfig of 2.03.16 prints it.
    const CONFIG: &str = "config {\n\tchecks=1\n}\nactivation {\n\tvolume_list=[\"debian-vg\",\"@host\"]\n\
        \tread_only_volume_list=\"vg0\"\n\tmissing_stripe_filler=\"error\"\n}\nglobal {\n\tvolume_list=[\"x\"]\n}\n";

    #[test]
    fn the_lists_of_the_section_activation_are_read_and_no_others() {
        let found = lists(CONFIG);
        assert_eq!(found.volumes, Some(words(&["debian-vg", "@host"])));
        assert_eq!(found.read_only, Some(words(&["vg0"])));
        assert_eq!(found.automatic, None);
        assert_eq!(
            lists("activation {\n\tvolume_list=[]\n}").volumes,
            Some(vec![])
        );
        assert_eq!(lists("").volumes, None);
    }

    #[test]
    fn the_host_id_is_read_where_it_is_said() {
        assert_eq!(host_id("host_id=2\n"), Some(2));
        assert_eq!(
            host_id("host_id=0\n"),
            None,
            "LVM's default, which joins nothing"
        );
        assert_eq!(host_id(""), None);
    }

    #[test]
    fn a_list_names_a_pool_whole_in_part_or_not() {
        let pool: PoolName = "vg0".parse().unwrap();
        for (list, says) in [
            (&["debian-vg"][..], Listed::No),
            (&["vg01", "vg01/x"], Listed::No),
            (&["a", "vg0"], Listed::Whole),
            (&["vg0/web"], Listed::Partly),
            (&["@*"], Listed::Partly),
            (&[], Listed::No),
        ] {
            assert_eq!(listed(&words(list), &pool), says, "{list:?}");
        }
    }

    /// As lvmlockctl of 2.03.16 prints it, asked for `--info --dump`.
    const DUMP: &str = "info=structs unused_action_count=31 unused_client_count=31 unused_resource_count=29 \
        unused_lock_count=31\n\
        info=client pid=625 fd=8 pi=2 id=33 name=.\n\
        info=ls ls_name=lvm_vg0 vg_name=vg0 vg_uuid=d1SF48-HU3W-uM4t-7hQL-Lfwf-UG5v-PTbqVl vg_sysid=. \
        vg_args=1.0.0:lvmlock lm_type=sanlock host_id=1 create_fail=0 create_done=1 thread_work=0 thread_stop=0 \
        thread_done=0 kill_vg=0 drop_vg=0 sanlock_gl_enabled=1\n\
        info=r name=VGLK type=vg mode=un sh_count=0 version=5\n\
        info=r name=GLLK type=gl mode=un sh_count=0 version=2\n\
        info=r name=VwEZgK-pTdX-gyF2-GcRl-lb4x-Oycq-MvdvmV type=lv mode=sh sh_count=1 version=0\n\
        info=lk mode=sh version=0 flags=0x1 client_id=0\n\n";

    #[test]
    fn the_global_lock_is_in_the_lockspaces_that_say_so() {
        assert_eq!(global_locks(DUMP), ["vg0"]);
        let elsewhere = DUMP.replace("sanlock_gl_enabled=1", "sanlock_gl_enabled=0");
        assert_eq!(global_locks(&elsewhere), [""; 0]);
        assert_eq!(global_locks(""), [""; 0]);
    }
}
