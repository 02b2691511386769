//! The node's durable state: attachments, and the journal of what is being done.

use volward_model::{
    Access, Attachment, AttachmentKey, AttachmentState, CopyPlan, InstanceId, NodeName, RequestId,
    Sharing, VolumeRef,
};
use volward_plan::{DiskForm, LocalAttachment, Planned};

use super::PortResult;

/// Conversation with the state database.
pub trait Journal: Send + Sync {
    /// The next number of an attach request; never given twice, also after a crash.
    ///
    /// # Errors
    /// If it cannot be made durable.
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
    /// If it cannot be written.
    fn mark(&self, entry: u64, step: usize, mark: StepMark) -> PortResult<()>;

    /// Ends an entry, with what it changed, in one durable transaction. Entries that follow from
    /// it get their numbers.
    ///
    /// # Errors
    /// If it cannot be made durable.
    fn finish(&self, entry: u64, end: &Finish) -> PortResult<Vec<u64>>;

    /// Entries that were begun and not finished, oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    fn open_entries(&self) -> PortResult<Vec<JournalEntry>>;

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

/// Which entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalQuery {
    /// Of this request.
    Request(RequestId),
    /// Of this instance.
    Instance(InstanceId),
    /// That touched this volume.
    Volume(VolumeRef),
}

/// One thing that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number; 0 until it is written.
    pub id: u64,
    /// The request it serves.
    pub request: RequestId,
    /// What.
    pub kind: JournalKind,
    /// The kernel's boot id when it was begun.
    pub boot_id: String,
    /// Milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// For whom; a write-back is for nobody.
    pub instance: Option<InstanceId>,
    /// The volumes it touches.
    pub volumes: Vec<VolumeRef>,
    /// The steps; a write-back has none, it is planned anew each time.
    pub steps: Vec<Planned>,
    /// From this step on a crash is completed, not undone.
    pub commit_at: usize,
    /// Attachments there will be when it is done.
    pub puts: Vec<StoredAttachment>,
    /// Attachments there will not be any more when it is done.
    pub removes: Vec<AttachmentKey>,
    /// Volumes to be written back when it is done.
    pub write_back: Vec<VolumeRef>,
    /// How far it is.
    pub state: JournalState,
    /// How far each step is; as many as there are steps.
    pub marks: Vec<StepMark>,
    /// What went wrong, each a sentence.
    pub causes: Vec<String>,
}

impl JournalEntry {
    /// Somebody may have opened a device already.
    #[must_use]
    pub fn committed(&self) -> bool {
        let from = self.commit_at.min(self.marks.len());
        self.marks[from..]
            .iter()
            .any(|m| matches!(m, StepMark::Started | StepMark::Done))
            || (!self.marks.is_empty() && self.marks.iter().all(|m| *m == StepMark::Done))
    }

    /// The index of the first step that is not done; as many as there are steps if all are.
    #[must_use]
    pub fn first_not_done(&self) -> usize {
        self.marks
            .iter()
            .take_while(|m| **m == StepMark::Done)
            .count()
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalKind {
    /// Undone by recovery, unless a device may have been opened already.
    Attach,
    /// Completed by recovery.
    Detach,
    /// Planned anew from the home as it is found.
    WriteBack,
}

/// How far an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalState {
    /// Begun.
    Open,
    /// Done.
    Done,
    /// Taken back whole.
    Undone,
    /// Neither: somebody has to look.
    Quarantined,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepMark {
    /// Not begun.
    Waiting,
    /// Begun; perhaps done.
    Started,
    /// Done.
    Done,
    /// Taken back.
    Undone,
}

/// How an entry ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Its last state.
    pub state: JournalState,
    /// What went wrong, each a sentence.
    pub causes: Vec<String>,
    /// Attachments that are there now.
    pub put: Vec<StoredAttachment>,
    /// Attachments that are gone now.
    pub remove: Vec<AttachmentKey>,
    /// Entries that follow from it.
    pub follow: Vec<JournalEntry>,
}

/// An attachment as this node remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttachment {
    /// Which volume.
    pub volume: VolumeRef,
    /// For whom.
    pub instance: InstanceId,
    /// Its name, for people.
    pub instance_name: String,
    /// Which device the guest opens.
    pub form: DiskForm,
    /// Granted.
    pub sharing: Sharing,
    /// Granted.
    pub access: Access,
    /// The copy granted with it.
    pub copy: Option<CopyPlan>,
    /// Milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The attach request it came with.
    pub sequence: u64,
    /// The kernel's boot id then.
    pub boot_id: String,
    /// Attached or quarantined.
    pub state: AttachmentState,
    /// Why it is quarantined.
    pub causes: Vec<String>,
}

impl StoredAttachment {
    /// What names it.
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
            copied: self.copy.is_some(),
        }
    }
}
