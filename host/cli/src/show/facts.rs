//! The facts of a decision, those that matter to a person.

use volward_api::model::{
    Attachment, CopyFate, CopyMode, CopyPlan, DiskFacts, Facts, Home, NodeFacts, Origin, Purpose,
    RequestFacts,
};

use crate::time::utc;

/// Who asked, the disks, the node.
pub(crate) fn facts(facts: &Facts) -> Vec<String> {
    let mut lines = vec![
        format!("asked: {}", request(&facts.request)),
        format!("when:  {}", utc(facts.now_ms)),
        format!("node:  {}", node(&facts.node)),
    ];
    lines.push("disks asked for:".to_owned());
    lines.extend(facts.disks.iter().flat_map(disk));
    if !facts.held.is_empty() {
        lines.push("attached to the instance before:".to_owned());
        lines.extend(facts.held.iter().flat_map(disk));
    }
    lines
}

fn request(request: &RequestFacts) -> String {
    let origin = match &request.origin {
        Origin::Libvirt => "libvirt's hook",
        Origin::Openstack => "OpenStack",
        Origin::Operator => "an operator",
        Origin::Other(other) => other,
    };
    let purpose = match &request.purpose {
        Purpose::Boot => "boot",
        Purpose::HotPlug => "hot-plug",
        Purpose::MigrationIn => "migration in",
        Purpose::Restore => "restore",
        Purpose::Other(other) => other,
    };
    let hints = request.hints.iter().map(|(k, v)| format!(", {k}={v}"));
    format!(
        "{origin} (uid {}) for {purpose} of instance {} {}{}",
        request.caller_uid,
        request.instance_name,
        request.instance,
        hints.collect::<String>()
    )
}

fn node(node: &NodeFacts) -> String {
    let mut text = node.name.to_string();
    for (key, value) in &node.labels {
        text.push_str(&format!(", {key}={value}"));
    }
    match node.local {
        Some(space) => text.push_str(&format!(
            ", local pool {} with {} free, {} of that promised",
            space.total, space.free, space.promised
        )),
        None => text.push_str(", no local pool"),
    }
    if let Some(pressure) = node.io_pressure {
        let (whole, rest) = (pressure / 100, pressure % 100);
        text.push_str(&format!(", I/O pressure {whole}.{rest:02} %"));
    }
    if let Some(attachments) = node.attachments {
        text.push_str(&format!(", {attachments} other attachments"));
    }
    text
}

fn disk(disk: &DiskFacts) -> Vec<String> {
    let shareable = if disk.shareable { ", shareable" } else { "" };
    let mut lines = vec![format!(
        "  {}/{}: {}, {}; {}{shareable}, home {}",
        disk.pool,
        disk.name,
        disk.asked_sharing,
        disk.asked_access,
        disk.size,
        home(&disk.home)
    )];
    if !disk.tags.is_empty() {
        lines.push(format!("    tags {}", disk.tags.join(", ")));
    }
    if let Some(h) = disk.hydration {
        let running = if h.running { "" } else { ", not running" };
        lines.push(format!(
            "    copy: {} of {} regions{running}",
            h.regions_hydrated, h.regions_total
        ));
    }
    lines.extend(disk.attachments.iter().map(attachment));
    lines
}

fn home(home: &Home) -> String {
    match home.copy() {
        Some((node, _)) => format!("{} on {node}", home.state.word()),
        None => home.state.word().to_owned(),
    }
}

fn attachment(a: &Attachment) -> String {
    format!(
        "    {} on {} by {}: {}, {}, since {}",
        a.state,
        a.node,
        a.instance,
        a.sharing,
        a.access,
        utc(a.since_ms)
    )
}

/// A copy that is proposed or granted.
pub(crate) fn copy(plan: &CopyPlan) -> String {
    let how = match plan.mode {
        CopyMode::None => return "no copy".to_owned(),
        CopyMode::WritesOnly => "copy of what is written",
        CopyMode::Background => "copy in the background",
        CopyMode::BeforeStart => "copy before the start",
    };
    format!("{how}, then {}", fate(plan.fate))
}

/// What becomes of a copy at detach.
pub(crate) fn fate(fate: CopyFate) -> &'static str {
    match fate {
        CopyFate::WriteBack => "written back",
        CopyFate::Keep => "kept",
        CopyFate::Discard => "thrown away",
    }
}
