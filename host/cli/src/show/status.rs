//! `volward status`.

use volward_api::StatusReply;

use super::lists::or_none;

/// A line for each thing there is to say. What is wrong has a line each, and only where there is something: a daemon
/// of an earlier version does not tell of it.
pub(crate) fn status(status: &StatusReply) -> String {
    let quarantined = match status.quarantined {
        0 => "none".to_owned(),
        n => format!("{n}: see `volward ls`"),
    };
    let mut lines = vec![
        line("node", &status.node),
        line("version", &status.version),
        line("pools", &or_none(&status.pools.join(", "))),
        line("quarantined", &quarantined),
    ];
    let wrong = [
        ("cut off", &status.cut_off),
        ("unfinished", &status.unfinished),
        ("leases", &status.leases),
    ];
    for (word, of) in wrong {
        lines.extend(of.iter().map(|one| line(word, one)));
    }
    lines.join("\n")
}

fn line(word: &str, says: &str) -> String {
    format!("{word:11}  {says}")
}
