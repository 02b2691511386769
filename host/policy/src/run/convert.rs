//! Between the model's words and the interface's: one function a type, no decisions.

use volward_model as model;

use crate::run::bindings::{answers, facts, log, operations};

pub(crate) fn sharing(sharing: model::Sharing) -> facts::Sharing {
    match sharing {
        model::Sharing::Exclusive => facts::Sharing::Exclusive,
        model::Sharing::Shared => facts::Sharing::Shared,
    }
}

pub(crate) fn access(access: model::Access) -> facts::Access {
    match access {
        model::Access::ReadOnly => facts::Access::ReadOnly,
        model::Access::ReadWrite => facts::Access::ReadWrite,
    }
}

pub(crate) fn origin(origin: &model::Origin) -> facts::Origin {
    match origin {
        model::Origin::Libvirt => facts::Origin::Libvirt,
        model::Origin::Openstack => facts::Origin::Openstack,
        model::Origin::Operator => facts::Origin::Operator,
        model::Origin::Other(other) => facts::Origin::Other(other.clone()),
    }
}

pub(crate) fn operation_kind(kind: &model::OperationKind) -> operations::OperationKind {
    match kind {
        model::OperationKind::Create => operations::OperationKind::Create,
        model::OperationKind::Delete => operations::OperationKind::Delete,
        model::OperationKind::Extend => operations::OperationKind::Extend,
        model::OperationKind::Copy => operations::OperationKind::Copy,
        model::OperationKind::Snapshot => operations::OperationKind::Snapshot,
        model::OperationKind::Rename => operations::OperationKind::Rename,
        model::OperationKind::Other(other) => operations::OperationKind::Other(other.clone()),
    }
}

pub(crate) fn purpose(purpose: &model::Purpose) -> facts::Purpose {
    match purpose {
        model::Purpose::Boot => facts::Purpose::Boot,
        model::Purpose::HotPlug => facts::Purpose::HotPlug,
        model::Purpose::MigrationIn => facts::Purpose::MigrationIn,
        model::Purpose::Restore => facts::Purpose::Restore,
        model::Purpose::Other(other) => facts::Purpose::Other(other.clone()),
    }
}

/// The node alone: which copy and generation it is concerns nobody who decides.
pub(crate) fn home(home: &model::Home) -> facts::Home {
    match &home.state {
        model::HomeState::Pool => facts::Home::Pool,
        model::HomeState::Split { node, .. } => facts::Home::Split(node.to_string()),
        model::HomeState::Node { node, .. } => facts::Home::Node(node.to_string()),
        model::HomeState::Returning { node, .. } => facts::Home::Returning(node.to_string()),
    }
}

pub(crate) fn attachment(attachment: &model::Attachment) -> facts::Attachment {
    facts::Attachment {
        node: attachment.node.to_string(),
        instance: attachment.instance.to_string(),
        sharing: sharing(attachment.sharing),
        access: access(attachment.access),
        since_ms: attachment.since_ms,
        state: match attachment.state {
            model::AttachmentState::Intent => facts::AttachmentState::Intent,
            model::AttachmentState::Attached => facts::AttachmentState::Attached,
            model::AttachmentState::Quarantined => facts::AttachmentState::Quarantined,
        },
    }
}

pub(crate) fn hydration(hydration: &model::HydrationFacts) -> facts::Hydration {
    facts::Hydration {
        regions_total: hydration.regions_total,
        regions_hydrated: hydration.regions_hydrated,
        region_bytes: hydration.region_bytes,
        running: hydration.running,
        stalled_ms: hydration.stalled_ms,
    }
}

pub(crate) fn space(space: &model::Space) -> facts::Space {
    facts::Space {
        total: space.total.0,
        free: space.free.0,
        promised: space.promised.0,
    }
}

pub(crate) fn copy_mode(mode: answers::CopyMode) -> model::CopyMode {
    match mode {
        answers::CopyMode::None => model::CopyMode::None,
        answers::CopyMode::WritesOnly => model::CopyMode::WritesOnly,
        answers::CopyMode::Background => model::CopyMode::Background,
        answers::CopyMode::BeforeStart => model::CopyMode::BeforeStart,
    }
}

pub(crate) fn copy_fate(fate: answers::CopyFate) -> model::CopyFate {
    match fate {
        answers::CopyFate::WriteBack => model::CopyFate::WriteBack,
        answers::CopyFate::Keep => model::CopyFate::Keep,
        answers::CopyFate::Discard => model::CopyFate::Discard,
    }
}

pub(crate) fn copy_plan(plan: &answers::CopyPlan) -> model::CopyPlan {
    model::CopyPlan {
        mode: copy_mode(plan.mode),
        in_flight: plan.in_flight_bytes.map(model::Bytes),
        batch: plan.batch_bytes.map(model::Bytes),
        fate: copy_fate(plan.fate),
    }
}

/// The most of a denial's message that is kept: it is shown at virsh, in one sentence.
const MESSAGE_BYTES: usize = 4_096;
/// The most of a denial's code that is kept.
const CODE_BYTES: usize = 64;

pub(crate) fn denial(denial: answers::Denial) -> model::Denial {
    model::Denial {
        code: bounded(denial.code, CODE_BYTES),
        message: bounded(denial.message, MESSAGE_BYTES),
        retry_after_ms: denial.retry_after_ms,
    }
}

/// Text of a policy or about one, of so many bytes at most, and cut between letters.
pub(crate) fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|n| text.is_char_boundary(*n));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// `level: message key=value`.
pub(crate) fn log_line(level: log::Level, message: &str, fields: &[(String, String)]) -> String {
    let level = match level {
        log::Level::Debug => "debug",
        log::Level::Info => "info",
        log::Level::Warn => "warn",
        log::Level::Error => "error",
    };
    let mut line = format!("{level}: {message}");
    for (key, value) in fields {
        line.push(' ');
        line.push_str(key);
        line.push('=');
        line.push_str(value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_denials_are_cut_between_letters() {
        assert_eq!(bounded("äää".into(), 3), "ä…");
        assert_eq!(bounded("abc".into(), 3), "abc");
    }
}
