//! Operations on volumes.

use volward_api::model::Bytes;
use volward_api::{OperationView, VolumeReply};

use crate::show::attachments;
use crate::show::lists::{or_none, percent, yes};
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
    let header = ["ID", "OPERATION", "VOLUME", "STATE", "ZEROED", "CHANGED"];
    let mut parts = vec![table(header, &["ZEROED"], rows)];
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

/// `op show`, and at the end of whatever waits for one.
pub(crate) fn operation(of: &OperationView) -> String {
    let size = of.size.map(|size| format!(" to {}", Bytes(size)));
    let mut lines = vec![
        format!("id       {}", of.id),
        format!(
            "does     {} {}/{}{}",
            of.operation,
            of.pool,
            of.volume,
            size.unwrap_or_default()
        ),
        format!("state    {}", of.state),
    ];
    if of.total > 0 {
        let (done, total) = (Bytes(of.done), Bytes(of.total));
        lines.push(format!("zeroed   {done} of {total}"));
    }
    lines.push(format!("since    {}", utc(of.started_ms)));
    lines.push(format!("changed  {}", utc(of.changed_ms)));
    if let Some(message) = &of.message {
        let code = of.code.as_deref().unwrap_or("-");
        lines.push(format!("why      {message} ({code})"));
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
    let mut parts = vec![format!(
        "volume     {}/{}\nid         {}\nsize       {}\nshareable  {}\nhome       {}\nmark       {}",
        reply.pool,
        volume.name,
        volume.id,
        Bytes(volume.size),
        yes(volume.shareable),
        volume.home,
        or_none(&mark.unwrap_or_default()),
    )];
    parts.push(String::new());
    parts.push(attachments(&reply.attachments, "in the cluster"));
    parts.extend(reply.unreadable.iter().cloned());
    if !reply.operations.is_empty() {
        parts.push(String::new());
        parts.push(operations(&reply.operations));
    }
    parts.join("\n")
}
