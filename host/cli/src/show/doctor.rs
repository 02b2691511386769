//! `volward doctor`.

use volward_api::{DoctorCheck, DoctorReply, DoctorVerdict, Open};

use crate::exit::Exit;

/// The daemon does the checks; these are what keeps it, or what it needs, from starting.
pub(crate) const WITHOUT_DAEMON: &str = "\
what can be looked at without it:
  volwardd --check                    the configuration
  journalctl -u volwardd -n 20        why it ended, or does not start
  systemctl status sanlock lvmlockd   what it takes leases through
  sanlock client status               the lockspaces that are joined";

/// The checks, each with its remedy, and in the end what is cut off or not finished, and whether read-write
/// attaches are served.
pub(crate) fn doctor(reply: &DoctorReply) -> String {
    let width = reply.checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    let mut lines: Vec<String> = Vec::new();
    for check in &reply.checks {
        lines.push(format!(
            "{:7}  {:width$}  {}",
            word(&check.verdict),
            check.name,
            check.found
        ));
        if let Some(remedy) = &check.remedy {
            lines.push(format!("{:9}{:width$}  -> {remedy}", "", ""));
        }
    }
    lines.push(String::new());
    let now = |word: &str, of: &[String]| {
        let of: Vec<String> = of.iter().map(|one| format!("{word}: {one}")).collect();
        of
    };
    lines.extend(now("cut off", &reply.cut_off));
    lines.extend(now("not finished, tried again", &reply.unfinished));
    lines.push(read_write(reply));
    lines.join("\n")
}

/// What becomes of guests and detaches meanwhile.
fn meanwhile(reply: &DoctorReply) -> String {
    let guests = match reply.cut_off.is_empty() {
        true => "guests that run go on",
        false => "guests that are cut off do not go on, others that run do",
    };
    let detaches = match reply.unfinished.is_empty() {
        true => "detaches are taken",
        false => "detaches are taken, and tried again where they fail for now",
    };
    format!("{guests}, and {detaches}")
}

/// A failure is to be seen among many lines.
fn word(verdict: &Open<DoctorVerdict>) -> String {
    if *verdict == DoctorVerdict::Failed {
        "FAILED".to_owned()
    } else {
        verdict.to_string()
    }
}

fn read_write(reply: &DoctorReply) -> String {
    let in_the_way: Vec<&DoctorCheck> = reply.checks.iter().filter(|c| refuses(c)).collect();
    let mut names: Vec<&str> = in_the_way.iter().map(|check| check.name.as_str()).collect();
    names.dedup();
    let names = names.join(", ");
    let is_refused = |pool: &&String| {
        let mut checks = in_the_way.iter();
        checks.any(|check| check.pools.is_empty() || check.pools.contains(pool))
    };
    let (refused, served): (Vec<&String>, Vec<&String>) = reply.pools.iter().partition(is_refused);
    let list = |pools: &[&String]| {
        let pools: Vec<&str> = pools.iter().map(|pool| pool.as_str()).collect();
        pools.join(", ")
    };
    if in_the_way.is_empty() {
        "read-write attaches are served on this node".to_owned()
    } else if served.is_empty() {
        let meanwhile = meanwhile(reply);
        format!("read-write attaches are REFUSED on this node until mended: {names}; {meanwhile}")
    } else {
        format!(
            "read-write attaches are served in {}, and REFUSED in {} until mended: {names}; {}",
            list(&served),
            list(&refused),
            meanwhile(reply)
        )
    }
}

fn refuses(check: &DoctorCheck) -> bool {
    check.refuses_read_write && check.verdict == DoctorVerdict::Failed
}

/// The program's end: a warning is no failure.
pub(crate) fn verdict(reply: &DoctorReply) -> Exit {
    let failed = |check: &DoctorCheck| check.verdict == DoctorVerdict::Failed;
    if reply.checks.iter().any(failed) {
        Exit::Unhealthy
    } else {
        Exit::Ok
    }
}
