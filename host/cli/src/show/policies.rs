//! The policies, and what is the matter with each.

use volward_api::{FaultView, Hook, Open, PolicyView};

use super::lists::or_none;
use crate::table::table;
use crate::time::utc;

/// `policy ls`, `policy load` and `policy rollback`.
pub(crate) fn policies(found: &[PolicyView]) -> String {
    if found.is_empty() {
        return "no policies, not even the baseline: see `volward doctor`".to_owned();
    }
    let rows = found.iter().map(|p| {
        [
            p.name.clone(),
            p.level.to_string(),
            p.state.to_string(),
            or_none(&hooks(&p.hooks)),
            version(&p.interface),
            or_none(&p.digest.chars().take(12).collect::<String>()),
            p.granted.to_string(),
            p.denied.to_string(),
            p.faulted.to_string(),
            micros(p.p50_micros),
            micros(p.p99_micros),
        ]
    });
    let header = [
        "POLICY",
        "LEVEL",
        "STATE",
        "HOOKS",
        "INTERFACE",
        "DIGEST",
        "GRANTED",
        "DENIED",
        "FAULTS",
        "P50",
        "P99",
    ];
    let right = ["GRANTED", "DENIED", "FAULTS", "P50", "P99"];
    let mut parts = vec![table(header, &right, rows)];
    for policy in found {
        let name = &policy.name;
        let state = &policy.state;
        let reason = policy.reason.iter();
        parts.extend(reason.map(|why| format!("{name}, {state}: {why}")));
        let meant = policy.folder_digest.as_ref();
        parts.extend(meant.map(|digest| meant_line(policy, digest)));
        parts.extend(policy.faults.iter().map(|fault| broke(name, fault)));
    }
    parts.join("\n")
}

/// What serves, and what the folder has instead.
fn meant_line(policy: &PolicyView, digest: &str) -> String {
    let short = |digest: &str| match digest.get(..12) {
        Some(short) => short.to_owned(),
        None => "unreadable".to_owned(),
    };
    let differs = if policy.folder_differs.is_empty() {
        String::new()
    } else {
        format!(", other settings: {}", policy.folder_differs.join(", "))
    };
    let (name, serves) = (&policy.name, short(&policy.digest));
    format!(
        "{name} serves {serves}; in the folder is {}{differs}",
        short(digest)
    )
}

fn hooks(found: &[Open<Hook>]) -> String {
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// The package is the same for all.
fn version(interface: &str) -> String {
    let version = interface.rsplit_once('@').map(|(_, version)| version);
    version.unwrap_or(interface).to_owned()
}

fn micros(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".to_owned(), |micros| format!("{micros} us"))
}

fn broke(name: &str, fault: &FaultView) -> String {
    let FaultView {
        hook,
        kind,
        message,
        request,
        ..
    } = fault;
    let when = utc(fault.at_ms);
    let mut lines = vec![format!(
        "{name} broke at {when}, {hook}: {message} ({kind}); request {request}"
    )];
    lines.extend(
        fault
            .backtrace
            .iter()
            .map(|frame| format!("    in {frame}")),
    );
    lines.join("\n")
}
