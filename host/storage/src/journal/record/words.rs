//! The words of records: an enum of each, so that a renamed variant elsewhere changes no file.

use serde::{Deserialize, Serialize};

/// An enum of a record, and the way to and from the type that the product works with. The matches
/// are exhaustive: a new variant there does not compile until it has a word here, and with it a
/// thought for what an older build makes of it (docs/adr/0023).
macro_rules! words {
    ($(#[$doc:meta] $name:ident is $theirs:ty { $($variant:ident $word:literal),+ $(,)? })+) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum $name {
            $(#[serde(rename = $word)] $variant),+
        }

        #[allow(dead_code, reason = "not every kind of word stands in a column")]
        impl $name {
            /// The word, as it stands in a record or a column.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What a column's word means; `None` for a word this build does not know.
            pub(crate) fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl From<$theirs> for $name {
            fn from(theirs: $theirs) -> Self {
                match theirs { $(<$theirs>::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $theirs {
            fn from(ours: $name) -> Self {
                match ours { $($name::$variant => <$theirs>::$variant),+ }
            }
        }
    )+};
}

words! {
    /// How an attachment shares its volume.
    Sharing is volward_model::Sharing { Shared "shared", Exclusive "exclusive" }
    /// What a guest may do.
    Access is volward_model::Access { ReadWrite "read-write", ReadOnly "read-only" }
    /// Who has asked for an attachment.
    Claim is volward_model::Claim {
        Libvirt "libvirt", Openstack "openstack", Operator "operator", Other "other",
    }
    /// How far an attachment is.
    Settled is volward_model::AttachmentState {
        Intent "intent", Attached "attached", Quarantined "quarantined",
    }
    /// A lease's mode.
    Lease is volward_model::LeaseMode { Shared "shared", Exclusive "exclusive" }
    /// How a copy is made.
    CopyMode is volward_model::CopyMode {
        None "none", WritesOnly "writes-only", Background "background", BeforeStart "before-start",
    }
    /// What becomes of a copy.
    CopyFate is volward_model::CopyFate { WriteBack "write-back", Keep "keep", Discard "discard" }
    /// Which device a guest opens.
    Form is volward_plan::DiskForm { Own "own", Lv "lv" }
    /// How far an entry is.
    State is volward_ports::JournalState {
        Open "open", Done "done", Undone "undone", Quarantined "quarantined",
    }
    /// How far a step is.
    Mark is volward_ports::StepMark {
        Waiting "waiting", Started "started", Done "done", Undone "undone",
    }
}
