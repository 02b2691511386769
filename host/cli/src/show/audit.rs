//! `audit openstack`.

use crate::audit::{Audit, Ghost, Side};
use crate::show::lists::or_none;
use crate::table::table;

/// A line a ghost, and what was compared.
pub(crate) fn audit(audit: &Audit) -> String {
    let mut parts = Vec::new();
    if !audit.ghosts.is_empty() {
        let header = ["ONLY", "VOLUME", "CINDER'S", "INSTANCE", "NODE", "WHY"];
        parts.push(table(header, &[], audit.ghosts.iter().map(line)));
        parts.push(String::new());
    }
    let ghosts = match audit.ghosts.len() {
        0 => "no ghosts".to_owned(),
        1 => "1 ghost".to_owned(),
        n => format!("{n} ghosts"),
    };
    parts.push(format!(
        "{ghosts}; both have {} volume(s) and {} attachment(s); {} of Cinder's volumes are in none of these pools, \
         {} attachment(s) here are of volumes that Cinder's list does not have",
        audit.volumes, audit.attachments, audit.others_of_cinder, audit.others_here
    ));
    parts.join("\n")
}

fn line(ghost: &Ghost) -> [String; 6] {
    let optional = |text: &Option<String>| or_none(text.as_deref().unwrap_or_default());
    let side = match ghost.side {
        Side::Volward => "volward",
        Side::Cinder => "cinder",
    };
    [
        side.to_owned(),
        optional(&ghost.volume),
        ghost.cinder.clone(),
        optional(&ghost.instance),
        optional(&ghost.node),
        ghost.why.clone(),
    ]
}
