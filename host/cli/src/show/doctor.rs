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
    let is_refused = |pool: &&str| {
        let mut checks = in_the_way.iter();
        let of = |check: &DoctorCheck| check.pools.iter().any(|one| one == pool);
        checks.any(|check| check.pools.is_empty() || of(check))
    };
    let pools = reply.pools.iter().map(String::as_str);
    let (refused, others): (Vec<&str>, Vec<&str>) = pools.partition(is_refused);
    let is_unanswered = |pool: &&str| reply.unanswered.iter().any(|one| one == pool);
    let (unknown, served): (Vec<&str>, Vec<&str>) = others.into_iter().partition(is_unanswered);
    if in_the_way.is_empty() && unknown.is_empty() {
        return "read-write attaches are served on this node".to_owned();
    }
    let mut parts = Vec::new();
    if !served.is_empty() {
        parts.push(format!("served in {}", served.join(", ")));
    }
    if !in_the_way.is_empty() {
        let place = match served.is_empty() && unknown.is_empty() {
            true => "on this node".to_owned(),
            false => format!("in {}", refused.join(", ")),
        };
        parts.push(format!("REFUSED {place} until mended: {names}"));
    }
    let said = match (parts.is_empty(), unknown.is_empty()) {
        (_, true) => format!("read-write attaches are {}", parts.join(", and ")),
        (true, false) => format!("whether read-write attaches are {}", not_known(&unknown)),
        (false, false) => format!(
            "read-write attaches are {}; whether they are {}",
            parts.join(", and "),
            not_known(&unknown)
        ),
    };
    format!("{said}; {}", meanwhile(reply))
}

fn not_known(pools: &[&str]) -> String {
    let pools = pools.join(", ");
    format!("served in {pools} is NOT KNOWN: it has not answered, and an attach waits for it")
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
