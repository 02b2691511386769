//! A volume's status: a word, with counts beside it, derived from the attachment table.
//!
//! The table is what this node has and is about to have or to give back, and what the other nodes' slots show. Each
//! thing that is known of the volume says a word, and the greatest of them is the status: so it is there for any table
//! whatever, and does not depend on an order. The status informs. Whether an attach is granted is decided anew, by what
//! [`attach`](crate::attach) finds and by the leases.

use volward_model::{AttachmentState, HomeState, VolumeStatus};

/// A request that works on an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnderWay {
    /// It is being made: nothing of it is on record as whole.
    Attaching,
    /// It is being taken back.
    Detaching,
}

/// A row of the attachment table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// As it is on record, or as its node's slot shows it.
    pub state: AttachmentState,
    /// What works on it. Of another node's only its state tells: an intent is one that is being made.
    pub under_way: Option<UnderWay>,
    /// Its I/O is cut off, or is to be. Known of this node's only.
    pub cut_off: bool,
}

/// What one attachment counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It is asked for, or being made.
    Attaching,
    /// It is whole.
    Attached,
    /// It is being taken back.
    Detaching,
    /// It is quarantined, or its I/O is cut off.
    Fault,
}

impl Row {
    /// Another node's, as its slot shows it.
    #[must_use]
    pub fn elsewhere(state: AttachmentState) -> Self {
        Self {
            state,
            under_way: None,
            cut_off: false,
        }
    }

    /// What it counts as: what is wrong before what goes on.
    #[must_use]
    pub fn stage(self) -> Stage {
        match (self.state, self.under_way) {
            _ if self.cut_off => Stage::Fault,
            (AttachmentState::Quarantined, _) => Stage::Fault,
            (_, Some(UnderWay::Detaching)) => Stage::Detaching,
            (AttachmentState::Intent, _) | (_, Some(UnderWay::Attaching)) => Stage::Attaching,
            (AttachmentState::Attached, None) => Stage::Attached,
        }
    }
}

impl Stage {
    /// What an attachment of that stage alone makes of its volume.
    #[must_use]
    pub fn status(self) -> VolumeStatus {
        match self {
            Self::Attaching => VolumeStatus::Attaching,
            Self::Attached => VolumeStatus::InUse,
            Self::Detaching => VolumeStatus::Detaching,
            Self::Fault => VolumeStatus::Fault,
        }
    }
}

/// What is known of one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeTable {
    /// Its attachments, wherever they are: of this node, and of nodes that may be alive.
    pub rows: Vec<Row>,
    /// Where its data is; `None` where its tag cannot be understood.
    pub home: Option<HomeState>,
    /// It has the mark of an operation, understood or not.
    pub marked: bool,
    /// This node holds its lease.
    pub leased: bool,
    /// What contradicts itself, and what cannot be read, a sentence each.
    pub troubles: Vec<String>,
}

/// How many attachments of a volume are at each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatusCounts {
    /// That are whole.
    pub attached: usize,
    /// That are asked for or being made.
    pub attaching: usize,
    /// That are being taken back.
    pub detaching: usize,
    /// That are quarantined or cut off.
    pub fault: usize,
}

impl StatusCounts {
    /// All of them.
    #[must_use]
    pub fn total(self) -> usize {
        self.attached + self.attaching + self.detaching + self.fault
    }

    fn count(mut self, stage: Stage) -> Self {
        match stage {
            Stage::Attaching => self.attaching += 1,
            Stage::Attached => self.attached += 1,
            Stage::Detaching => self.detaching += 1,
            Stage::Fault => self.fault += 1,
        }
        self
    }
}

/// A volume's status: the word, and the counts beside it.
#[must_use]
pub fn status(table: &VolumeTable) -> (VolumeStatus, StatusCounts) {
    let stages = || table.rows.iter().map(|row| row.stage());
    let home = match table.home {
        None => VolumeStatus::Fault,
        Some(HomeState::Pool) => VolumeStatus::Available,
        Some(HomeState::Split { .. } | HomeState::Node { .. } | HomeState::Returning { .. }) => {
            VolumeStatus::Held
        }
    };
    let held = match table.marked || table.leased {
        true => VolumeStatus::Held,
        false => VolumeStatus::Available,
    };
    let troubled = match table.troubles.is_empty() {
        true => VolumeStatus::Available,
        false => VolumeStatus::Fault,
    };
    let said = stages().map(Stage::status).chain([home, held, troubled]);
    let counts = stages().fold(StatusCounts::default(), StatusCounts::count);
    (said.max().unwrap_or(VolumeStatus::Available), counts)
}
