//! Operations on volumes.

use volward_api::model::Bytes;
use volward_api::{OperationView, VolumeReply};

use crate::show::attachments;
use crate::show::lists::{or_none, percent, status, yes};
use crate::table::table;
use crate::time::utc;

/// `op ls`: a line an operation.
pub(crate) fn operations(found: &[OperationView]) -> String {
    if found.is_empty() {
        return "no operations on this node".to_owned();
    }
    let rows = found.iter().map(|one| {
        [
            one.id.clone(),
            one.operation.to_string(),
            format!("{}/{}", one.pool, one.volume),
            one.state.to_string(),
            percent(one.done, one.total),
            utc(one.changed_ms),
        ]
    });
    let header = ["ID", "OPERATION", "VOLUME", "STATE", "DONE", "CHANGED"];
    let mut parts = vec![table(header, &["DONE"], rows)];
    parts.extend(found.iter().filter_map(why));
    parts.join("\n")
}

fn why(of: &OperationView) -> Option<String> {
    let failed = of.message.as_ref().map(|message| {
        format!(
            "{}: {message} ({})",
            of.id,
            of.code.as_deref().unwrap_or("-")
        )
    });
    let trouble = || {
        Some(format!(
            "{}: {}; it is tried again",
            of.id,
            of.trouble.as_ref()?
        ))
    };
    failed.or_else(trouble)
}

/// As one says it: what is done with what, and what becomes of that.
fn does(of: &OperationView) -> String {
    let (word, volume) = (&of.operation, format!("{}/{}", of.pool, of.volume));
    let size = of.size.map(Bytes);
    if let Some(disk) = &of.disk {
        return format!("{word} {volume} to disk {disk}");
    }
    match (&of.source, &of.to, size) {
        (Some(source), _, Some(size)) => format!("{word} {source} to {volume}, {size}"),
        (Some(source), _, None) => format!("{word} {source} to {volume}"),
        (None, Some(to), _) => format!("{word} {volume} to {to}"),
        (None, None, Some(size)) => format!("{word} {volume} to {size}"),
        (None, None, None) => format!("{word} {volume}"),
    }
}

/// `op show`, and at the end of whatever waits for one.
pub(crate) fn operation(of: &OperationView) -> String {
    let mut lines = vec![
        format!("id       {}", of.id),
        format!("does     {}", does(of)),
        format!("state    {}", of.state),
    ];
    if of.total > 0 {
        let (done, total) = (Bytes(of.done), Bytes(of.total));
        let word = match (&of.source, &of.disk) {
            (_, Some(_)) => "moved",
            (Some(_), None) => "copied",
            (None, None) => "zeroed",
        };
        lines.push(format!("{word:<8} {done} of {total}"));
    }
    lines.push(format!("since    {}", utc(of.started_ms)));
    lines.push(format!("changed  {}", utc(of.changed_ms)));
    if let Some(message) = &of.message {
        let code = of.code.as_deref().unwrap_or("-");
        lines.push(format!("why      {message} ({code})"));
    }
    if let Some(note) = &of.note {
        lines.push(format!("note     {note}"));
    }
    if let Some(trouble) = &of.trouble {
        lines.push(format!("trouble  {trouble}; it is tried again"));
    }
    lines.join("\n")
}

/// `volume show`.
pub(crate) fn volume(reply: &VolumeReply) -> String {
    let volume = &reply.volume;
    let mark = volume.mark.as_ref().map(ToString::to_string);
    let is = volume.status.as_ref().map(status);
    let mut parts = vec![format!(
        "volume     {}/{}\nid         {}\nsize       {}\nshareable  {}\nhome       {}\nmark       {}\nstatus     {}",
        reply.pool,
        volume.name,
        volume.id,
        Bytes(volume.size),
        yes(volume.shareable),
        volume.home,
        or_none(&mark.unwrap_or_default()),
        or_none(&is.unwrap_or_default()),
    )];
    let why = volume.status.iter().flat_map(|status| &status.why);
    parts.extend(why.map(|sentence| format!("  {sentence}")));
    parts.push(String::new());
    parts.push(attachments(&reply.attachments, "in the cluster"));
    // What is said of the status is not said twice.
    let said = |sentence: &&String| {
        let mut statuses = volume.status.iter();
        statuses.any(|status| status.why.contains(sentence))
    };
    let unreadable = reply.unreadable.iter().filter(|sentence| !said(sentence));
    parts.extend(unreadable.cloned());
    if !reply.operations.is_empty() {
        parts.push(String::new());
        parts.push(operations(&reply.operations));
    }
    parts.join("\n")
}
