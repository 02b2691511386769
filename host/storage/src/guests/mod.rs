//! This node's libvirt, by its own command line. It is asked about one thing only: whether an instance
//! migrates away. What it prints for programs (`--rawstats`) are names and numbers of libvirt's
//! interface; words for people are not read (I29).

#[cfg(any(test, feature = "fake"))]
mod fake;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use volward_model::InstanceId;
use volward_plan::migrate::Job;
use volward_ports::{Guests, PortError};

use crate::exec::{Exec, Invocation};

/// All of them wait in one lane: libvirt is one.
const LANE: &str = "libvirt";
/// libvirt answers in milliseconds, virsh starts in a few more; on a busy node it takes seconds.
const DEADLINE: Duration = Duration::from_secs(6);
/// A few hundred bytes are expected.
const OUTPUT: usize = 64 << 10;

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

impl Guests for Virsh {
    fn job(&self, instance: InstanceId) -> Job {
        let Some(program) = &self.program else {
            let why = "virsh is not installed on that node (Debian: libvirt-clients)";
            return Job::Unknown(why.to_owned());
        };
        let uuid = instance.to_string();
        let asked = Invocation::new(program)
            .args(["--connect", "qemu:///system", "domjobinfo", "--rawstats"])
            .args([uuid])
            .deadline(DEADLINE)
            .output_limit(OUTPUT);
        match self.exec.run(LANE, &asked) {
            Ok(output) => job(&String::from_utf8_lossy(&output.stdout)),
            Err(error) => Job::Unknown(PortError::from(error).to_string()),
        }
    }
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
