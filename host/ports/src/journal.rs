//! The node's durable state: attachments, and the journal of what is being done.

use std::collections::BTreeSet;

use volward_model::{
    Access, AskedFor, Attachment, AttachmentKey, AttachmentState, Claim, CopyPlan, InstanceId,
    LeaseMode, MigrationNonce, NodeName, RequestId, Sharing, VolumeRef,
};
use volward_plan::{DiskForm, LocalAttachment};

use super::PortResult;
use super::operation::{Operation, StepMark};

/// Conversation with the state database.
pub trait Journal: Send + Sync {
    /// The next number of an attach request. It is durable with the next entry that is begun: a number that an
    /// entry has, or that anybody was told of, is never given twice, also after a crash.
    ///
    /// # Errors
    /// If it cannot be written.
    fn next_sequence(&self) -> PortResult<u64>;

    /// Writes an entry, durably (I30), and says its number.
    ///
    /// # Errors
    /// If it cannot be made durable: then nothing may be begun.
    fn begin(&self, entry: &JournalEntry) -> PortResult<u64>;

    /// Records how far a step is. Survives the daemon's death; need not survive the node's,
    /// whose devices and leases are gone then anyway.
    ///
    /// # Errors
    /// If it cannot be written, or the entry keeps no step with that index.
    fn mark(&self, entry: u64, step: usize, mark: StepMark) -> PortResult<()>;

    /// Ends an entry, with what it changed, in one durable transaction. Says which entries follow
    /// from it: those of `end`, with their numbers.
    ///
    /// # Errors
    /// If it cannot be made durable.
    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<JournalEntry>>;

    /// Entries that were begun and not finished.
    ///
    /// # Errors
    /// If they cannot be read.
    fn open_entries(&self) -> PortResult<OpenEntries>;

    /// The entries that match, newest first, at most `limit`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn find(&self, what: &JournalQuery, limit: usize) -> PortResult<Vec<JournalEntry>>;

    /// All attachments of this node.
    ///
    /// # Errors
    /// If they cannot be read.
    fn attachments(&self) -> PortResult<Vec<StoredAttachment>>;

    /// Puts and removes attachments outside an entry (recovery, quarantine).
    ///
    /// # Errors
    /// If it cannot be made durable.
    fn change_attachments(
        &self,
        put: &[StoredAttachment],
        remove: &[AttachmentKey],
    ) -> PortResult<()>;
}

/// Which entries [`Journal::find`] looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalQuery {
    /// Those that serve this request.
    Request(RequestId),
    /// Those that serve this instance.
    Instance(InstanceId),
    /// Those that touch this volume.
    Volume(VolumeRef),
}

/// One operation that was begun, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number; 0 until it is written.
    pub id: u64,
    /// The request it serves.
    pub request: RequestId,
    /// The kernel's boot id when it was begun.
    pub boot_id: String,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// What it is about, with the marks of its steps.
    pub operation: Operation,
    /// Open, or how it ended.
    pub state: JournalState,
    /// Why it did not end as done, each a sentence; none while it is open.
    pub causes: Vec<String>,
}

/// The entries that were begun and not finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenEntries {
    /// Those that are whole, oldest first.
    pub whole: Vec<JournalEntry>,
    /// Those of which nobody can say how far they are, oldest first.
    pub damaged: Vec<DamagedEntry>,
}

/// An open entry whose marks do not belong to its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedEntry {
    /// As it was begun: every step's mark is [`StepMark::Waiting`],
    /// whatever has happened since.
    pub entry: JournalEntry,
    /// What is wrong, a sentence.
    pub cause: String,
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalState {
    /// Begun, and not ended.
    Open,
    /// All of it was done.
    Done,
    /// All of it was undone.
    Undone,
    /// Neither: an operator has to act.
    Quarantined,
}

/// How an entry ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Its last state.
    pub state: JournalState,
    /// Why it did not end as done, each a sentence.
    pub causes: Vec<String>,
    /// Attachments that are there now.
    pub put: Vec<StoredAttachment>,
    /// Attachments that are gone now.
    pub remove: Vec<AttachmentKey>,
    /// Entries that follow from it, without numbers.
    pub follow: Vec<JournalEntry>,
}

impl Finish {
    /// An end that changes no attachment, and that nothing follows from.
    #[must_use]
    pub fn new(state: JournalState) -> Self {
        Self {
            state,
            causes: Vec::new(),
            put: Vec::new(),
            remove: Vec::new(),
            follow: Vec::new(),
        }
    }
}

/// An attachment as this node remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttachment {
    /// The attached volume, with the name it had then.
    pub volume: VolumeRef,
    /// The virtual machine that has it.
    pub instance: InstanceId,
    /// The instance's name, for people.
    pub instance_name: String,
    /// The device that the guest opens.
    pub form: DiskForm,
    /// Whether other attachments of the volume were granted beside it.
    pub sharing: Sharing,
    /// What the guest may do.
    pub access: Access,
    /// What was asked for that: a policy may have granted less.
    pub asked: Access,
    /// Who has asked for it.
    pub claims: BTreeSet<Claim>,
    /// The local copy granted with it; `None` if it is served from the pool.
    pub copy: Option<CopyPlan>,
    /// When it was granted, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The number of the attach request that named it last ([`Journal::next_sequence`]).
    pub sequence: u64,
    /// The kernel's boot id when it was attached.
    pub boot_id: String,
    /// Attached or quarantined.
    pub state: AttachmentState,
    /// Why it is quarantined, each a sentence; none if it is not.
    pub causes: Vec<String>,
    /// The live migration that it is part of: then its volume's lease is shared, with one other node.
    pub migration: Option<Migration>,
}

/// A live migration that has not ended, as one of its two attachments has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// The instance arrives here.
    Arriving {
        /// The node that it comes from.
        from: NodeName,
    },
    /// It leaves for another node: with that one alone the volume is shared.
    Leaving {
        /// sanlock's number of that node.
        to: u64,
        /// The lockspace generation under which it asked.
        generation: u64,
        /// What names its call.
        nonce: MigrationNonce,
    },
}

impl StoredAttachment {
    /// The lease that the attachment needs. The whole volume's is the strongest of all its
    /// attachments'.
    #[must_use]
    pub fn lease(&self) -> LeaseMode {
        match (self.sharing, &self.migration) {
            (Sharing::Exclusive, None) => LeaseMode::Exclusive,
            (Sharing::Shared, _) | (_, Some(_)) => LeaseMode::Shared,
        }
    }

    /// The node from which its instance is arriving.
    #[must_use]
    pub fn arriving(&self) -> Option<&NodeName> {
        match &self.migration {
            Some(Migration::Arriving { from }) => Some(from),
            Some(Migration::Leaving { .. }) | None => None,
        }
    }

    /// What names it on its node: volume and instance.
    #[must_use]
    pub fn key(&self) -> AttachmentKey {
        AttachmentKey {
            volume: self.volume.id,
            instance: self.instance,
        }
    }

    /// As the registry shows it.
    #[must_use]
    pub fn published(&self, node: &NodeName) -> Attachment {
        Attachment {
            volume: self.volume.id,
            instance: self.instance,
            node: node.clone(),
            sharing: self.sharing,
            access: self.access,
            since_ms: self.since_ms,
            state: self.state,
        }
    }

    /// Who has asked for it, and for what, as the registry shows it; `None` where there is nothing to say.
    #[must_use]
    pub fn asked_for(&self) -> Option<AskedFor> {
        let access = (self.asked != self.access).then_some(self.asked);
        (access.is_some() || !self.claims.is_empty()).then(|| AskedFor {
            of: self.key(),
            access,
            claims: self.claims.clone(),
        })
    }

    /// As a plan sees it.
    #[must_use]
    pub fn local(&self) -> LocalAttachment {
        LocalAttachment {
            instance: self.instance,
            instance_name: self.instance_name.clone(),
            form: self.form,
            sharing: self.sharing,
            access: self.access,
            state: self.state,
            copy: self.copy.map(|copy| copy.mode),
            arriving: self.arriving().cloned(),
            leaving: matches!(self.migration, Some(Migration::Leaving { .. })),
        }
    }
}
