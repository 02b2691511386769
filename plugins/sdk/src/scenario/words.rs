//! The record's words in the SDK's, and back. The SDK's are those of the interface, so that a
//! component converts nothing.

use volward_record as record;

use crate::{answer, facts};

/// Words that both have, in both directions.
macro_rules! words {
    ($module:ident::$name:ident: $($case:ident),+) => {
        impl From<record::$name> for $module::$name {
            fn from(word: record::$name) -> Self {
                match word { $(record::$name::$case => Self::$case),+ }
            }
        }

        impl From<$module::$name> for record::$name {
            fn from(word: $module::$name) -> Self {
                match word { $($module::$name::$case => Self::$case),+ }
            }
        }
    };
}

words!(facts::Sharing: Exclusive, Shared);
words!(facts::Access: ReadOnly, ReadWrite);
words!(answer::CopyMode: None, WritesOnly, Background, BeforeStart);
words!(answer::CopyFate: WriteBack, Keep, Discard);

impl From<&record::Origin> for facts::Origin {
    fn from(origin: &record::Origin) -> Self {
        match origin {
            record::Origin::Libvirt => Self::Libvirt,
            record::Origin::Openstack => Self::Openstack,
            record::Origin::Operator => Self::Operator,
            record::Origin::Other(other) => Self::Other(other.clone()),
        }
    }
}

impl From<&record::OperationKind> for facts::OperationKind {
    fn from(kind: &record::OperationKind) -> Self {
        match kind {
            record::OperationKind::Create => Self::Create,
            record::OperationKind::Delete => Self::Delete,
            record::OperationKind::Extend => Self::Extend,
            record::OperationKind::Copy => Self::Copy,
            record::OperationKind::Snapshot => Self::Snapshot,
            record::OperationKind::Rename => Self::Rename,
            record::OperationKind::Other(other) => Self::Other(other.clone()),
        }
    }
}

impl From<&record::Purpose> for facts::Purpose {
    fn from(purpose: &record::Purpose) -> Self {
        match purpose {
            record::Purpose::Boot => Self::Boot,
            record::Purpose::HotPlug => Self::HotPlug,
            record::Purpose::MigrationIn => Self::MigrationIn,
            record::Purpose::Restore => Self::Restore,
            record::Purpose::Other(other) => Self::Other(other.clone()),
        }
    }
}

impl From<&record::Home> for facts::Home {
    fn from(home: &record::Home) -> Self {
        match &home.state {
            record::HomeState::Pool => Self::Pool,
            record::HomeState::Split { node, .. } => Self::Split(node.to_string()),
            record::HomeState::Node { node, .. } => Self::Node(node.to_string()),
            record::HomeState::Returning { node, .. } => Self::Returning(node.to_string()),
        }
    }
}

impl From<&record::Attachment> for facts::Attachment {
    fn from(attachment: &record::Attachment) -> Self {
        Self {
            node: attachment.node.to_string(),
            instance: attachment.instance.to_string(),
            sharing: attachment.sharing.into(),
            access: attachment.access.into(),
            since_ms: attachment.since_ms,
            state: match attachment.state {
                record::AttachmentState::Intent => facts::AttachmentState::Intent,
                record::AttachmentState::Attached => facts::AttachmentState::Attached,
                record::AttachmentState::Quarantined => facts::AttachmentState::Quarantined,
            },
        }
    }
}

impl From<&record::HydrationFacts> for facts::Hydration {
    fn from(hydration: &record::HydrationFacts) -> Self {
        Self {
            regions_total: hydration.regions_total,
            regions_hydrated: hydration.regions_hydrated,
            region_bytes: hydration.region_bytes,
            running: hydration.running,
            stalled_ms: hydration.stalled_ms,
        }
    }
}

impl From<&record::Space> for facts::Space {
    fn from(space: &record::Space) -> Self {
        Self {
            total: space.total.0,
            free: space.free.0,
            promised: space.promised.0,
        }
    }
}

impl From<answer::CopyPlan> for record::CopyPlan {
    fn from(plan: answer::CopyPlan) -> Self {
        Self {
            mode: plan.mode.into(),
            in_flight: plan.in_flight_bytes.map(record::Bytes),
            batch: plan.batch_bytes.map(record::Bytes),
            fate: plan.fate.into(),
        }
    }
}

impl From<answer::Denial> for record::Denial {
    fn from(denial: answer::Denial) -> Self {
        Self {
            code: denial.code,
            message: denial.message,
            retry_after_ms: denial.retry_after_ms,
        }
    }
}
