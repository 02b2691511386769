//! This node's libvirt, by its own command line. It is asked about two things only: whether an instance
//! migrates away, and which disks it has. What it prints for programs (`domjobinfo --rawstats`, `domstats`) are names and
//! numbers of libvirt's interface; words for people are not read (I29).

#[cfg(any(test, feature = "fake"))]
mod fake;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use volward_model::InstanceId;
use volward_plan::migrate::Job;
use volward_ports::{GuestDisks, Guests, PortError};

use crate::exec::{Exec, Invocation};

/// All of them wait in one lane: libvirt is one.
const LANE: &str = "libvirt";
/// libvirt answers in milliseconds, virsh starts in a few more; on a busy node it takes seconds.
const DEADLINE: Duration = Duration::from_secs(6);
/// A few hundred bytes are expected, and half a kilobyte for each disk.
const OUTPUT: usize = 1 << 20;
/// Of `virDomainState`: running, blocked, paused, and asleep by its own wish.
const STATES_WITH_DISKS: [&str; 4] = ["1", "2", "3", "7"];

/// `VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT` of libvirt-domain.h.
const MIGRATION_OUT: &str = "5";
/// `VIR_DOMAIN_JOB_BOUNDED` and `_UNBOUNDED`: a job that runs. 0 is none; 3 and above have ended.
const RUNNING: [&str; 2] = ["1", "2"];

/// `virsh`.
#[derive(Debug)]
pub struct Virsh {
    exec: Arc<Exec>,
    program: Option<PathBuf>,
}

impl Virsh {
    /// `program` is `None` where libvirt's client is not installed.
    #[must_use]
    pub fn new(exec: Arc<Exec>, program: Option<PathBuf>) -> Self {
        Self { exec, program }
    }
}

impl Virsh {
    /// What it prints of an instance; or why that cannot be had, in a sentence.
    fn says(&self, words: &[&str], instance: InstanceId) -> Result<String, String> {
        let Some(program) = &self.program else {
            let why = "virsh is not installed on that node (Debian: libvirt-clients)";
            return Err(why.to_owned());
        };
        let asked = Invocation::new(program)
            .args(["--connect", "qemu:///system"])
            .args(words)
            .args([instance.to_string()])
            .deadline(DEADLINE)
            .output_limit(OUTPUT);
        let output = self.exec.run(LANE, &asked);
        let output = output.map_err(|error| PortError::from(error).to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Guests for Virsh {
    fn job(&self, instance: InstanceId) -> Job {
        match self.says(&["domjobinfo", "--rawstats"], instance) {
            Ok(said) => job(&said),
            Err(why) => Job::Unknown(why),
        }
    }

    // Without --nowait: while a disk is being plugged in it would be missing.
    fn disks(&self, instance: InstanceId) -> GuestDisks {
        match self.says(&["domstats", "--state", "--block"], instance) {
            Ok(said) => disks(&said),
            Err(why) => GuestDisks::Unknown(why),
        }
    }
}

/// What the fields of `virConnectGetAllDomainStats` say: `state.state=1`, `block.count=2`, `block.0.path=/dev/...`; a
/// disk without a medium has no path.
fn disks(said: &str) -> GuestDisks {
    let fields = said.lines().filter_map(|line| line.trim().split_once('='));
    let fields: Vec<(&str, &str)> = fields.collect();
    let field = |name| fields.iter().find(|(of, _)| *of == name).map(|(_, v)| *v);
    let (Some(state), Some(_)) = (field("state.state"), field("block.count")) else {
        return GuestDisks::Unknown("virsh domstats did not say which disks there are".to_owned());
    };
    if !STATES_WITH_DISKS.contains(&state) {
        return GuestDisks::NotRunning;
    }
    let is_path = |name: &str| {
        let number = name.strip_prefix("block.")?.strip_suffix(".path")?;
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())
    };
    let paths = fields.iter().filter(|(name, _)| is_path(name).is_some());
    GuestDisks::Running(paths.map(|(_, path)| (*path).to_owned()).collect())
}

/// What the names and numbers say. The first line is `Job type:` and the number of a
/// `virDomainJobType`; the others are fields of `virDomainGetJobStats`.
fn job(said: &str) -> Job {
    let fields = said.lines().filter_map(|line| line.split_once(':'));
    let fields: Vec<(&str, &str)> = fields.map(|(k, v)| (k.trim(), v.trim())).collect();
    let field = |name| fields.iter().find(|(of, _)| *of == name).map(|(_, v)| *v);
    let Some(kind) = field("Job type") else {
        return Job::Unknown("virsh domjobinfo did not say the type of a job".to_owned());
    };
    if !kind.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = "virsh domjobinfo does not know --rawstats; libvirt 7.2 or later does";
        return Job::Unknown(why.to_owned());
    }
    match RUNNING.contains(&kind) && field("operation") == Some(MIGRATION_OUT) {
        true => Job::MigratingOut {
            since: field("time_elapsed")
                .and_then(|ms| ms.parse().ok())
                .map(Duration::from_millis),
        },
        false => Job::None,
    }
}

#[cfg(test)]
mod tests;
