//! The decision log: append-only JSON lines, one a decision, whatever came of it. Together they
//! hold everything needed to make the decisions again.
//!
//! Files are `decisions.jsonl` and older ones `decisions.1.jsonl`, `decisions.2.jsonl` and so on.
//! Each can be read by itself. A line is one of these:
//!
//! | line | holds |
//! |---|---|
//! | `{"facts": {...}, "digest": "..."}` | facts, but for the request's id and the time |
//! | `{"config": {...}, "digest": "..."}` | a policy's configuration |
//! | `{"seq": 7, "decision": {...}, "outcome": {...}}` | a decision; it names the two by digest |
//! | `{"ends": {"format": 1, "request": "..."}, "outcome": {...}}` | how the request's latest decision ended, where its own line says `begun` |
//!
//! A decision whose steps are to follow is written before the first of them, as `begun`; so nobody
//! has a volume of which the log does not say why. Who reads it finds the two put together. A
//! decision that stayed begun was interrupted: recovery ends it when the daemon is back.
//!
//! The digest is SHA-256 of the text as it stands in the line. Facts and configurations are
//! written once, and again when a thousand others have been written since ([`WINDOW`]), in a new
//! file, and after a restart: so neither writer nor reader has to remember more than that.
//! Whole records (`{"record": {...}, "outcome": {...}}`), as earlier versions wrote them and
//! `volward decisions show --json` prints them, are read too.
//!
//! Every decision is on the disk (fdatasync) before `append` returns: a decision is rare beside
//! the I/O it allows, and the last line before a crash is the one that is wanted. The folder is
//! synced before the first line of a file. A file that cannot be put aside is written on.
//!
//! May import nothing of the other rooms, only the digest: a log is read where no policy runs.
//! It reaches its files by the handle of their folder that it is given, and knows no path.

mod ends;
mod files;
mod line;
mod parts;
mod read;
mod window;

use std::io::{self, Write};

use files::Current;
use serde::{Deserialize, Serialize};
use volward_folder::Folder;
use volward_model::{DecisionRecord, RequestId};

pub use parts::BadLine;
pub use read::{LogFolder, LogReader, Which};
pub use volward_model::Outcome;
pub use window::WINDOW;

/// How much is kept; `[decisions]` in the daemon's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LogLimits {
    /// A file that has reached this many bytes is put aside. A decision of one disk by the shipped
    /// policies takes 2 kB.
    pub file_bytes: u64,
    /// Files kept, the current one included.
    pub files: u32,
    /// A file that was last written so many days ago goes; 0: only the number of files counts.
    pub keep_days: u32,
}

impl LogLimits {
    /// A file smaller than this would be begun for every few decisions.
    pub const LEAST_FILE_BYTES: u64 = 64 << 10;

    /// What is wrong with these limits, if something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let least = Self::LEAST_FILE_BYTES;
        if self.files == 0 {
            Some("files must be at least 1".to_owned())
        } else if self.file_bytes < least {
            Some(format!("file-bytes must be at least {least}"))
        } else {
            None
        }
    }
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            files: 8,
            keep_days: 0,
        }
    }
}

/// A decision of the log, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Its number in this node's log; 0 where the line has none.
    #[serde(default)]
    pub seq: u64,
    /// The decision.
    pub record: DecisionRecord,
    /// What became of it.
    pub outcome: Outcome,
}

/// Writes decisions as lines of a log to anything, without waiting for a disk: for exports, and
/// for whoever makes logs up.
#[derive(Debug, Default)]
pub struct LogWriter<W> {
    output: W,
    last: u64,
    written: parts::Written,
}

impl<W: Write> LogWriter<W> {
    /// Writes a log from its beginning.
    pub fn new(output: W) -> Self {
        Self {
            output,
            last: 0,
            written: parts::Written::default(),
        }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.output
    }

    /// Adds a decision.
    ///
    /// # Errors
    /// The output's.
    pub fn write(&mut self, record: &DecisionRecord, outcome: &Outcome) -> io::Result<()> {
        self.last += 1;
        let lines = self.written.lines(self.last, record, outcome)?;
        self.output.write_all(&lines.text)?;
        self.written.remember(lines.new);
        Ok(())
    }
}

/// The log, open for writing.
#[derive(Debug)]
pub struct DecisionLog {
    folder: LogFolder,
    limits: LogLimits,
    current: Current,
    last: u64,
    written: parts::Written,
    problem: Option<String>,
}

impl DecisionLog {
    /// Opens the log in a folder, and lets go of what is too old. Nothing outside the folder is
    /// written, wherever links in it lead.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(folder: Folder, limits: LogLimits) -> io::Result<Self> {
        let current = Current::open(&folder)?;
        let folder = LogFolder::new(folder);
        let last = folder.last_seq()?;
        let mut log = Self {
            folder,
            limits,
            current,
            last,
            written: parts::Written::default(),
            problem: None,
        };
        log.problem = log.forget().err();
        Ok(log)
    }

    /// Where it can be read, also while it is written.
    #[must_use]
    pub fn folder(&self) -> &LogFolder {
        &self.folder
    }

    /// The number of the latest decision; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Why the current file could not be put aside, or old ones not be removed, the last time that was
    /// due. Decisions are recorded all the same, in a file that is longer than it should be.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Adds a decision and waits until it is on the disk.
    ///
    /// # Errors
    /// If it could not be written whole: then it is taken back as far as that is possible.
    pub fn append(&mut self, record: &DecisionRecord, outcome: &Outcome) -> io::Result<()> {
        self.make_room();
        let seq = self.last + 1;
        let lines = self.written.lines(seq, record, &ends::shortened(outcome))?;
        self.put(&lines.text)?;
        self.written.remember(lines.new);
        self.last = seq;
        Ok(())
    }

    /// Begins a new file where this one is full. One that cannot be put aside is written on: a
    /// decision that is not recorded refuses an attach, which a long file does not.
    fn make_room(&mut self) {
        if self.current.size < self.limits.file_bytes {
            return;
        }
        let rotated = self.current.rotate(&self.folder);
        self.problem = match rotated {
            Ok(()) => {
                self.written = parts::Written::default();
                self.forget().err()
            }
            Err(error) => Some(format!("beginning a new file failed: {error}")),
        };
    }

    /// Adds whole lines, and waits until they are on the disk.
    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        self.current.put(self.folder.folder(), text)
    }

    fn forget(&self) -> Result<(), String> {
        let forgotten = self.current.forget(&self.folder, self.limits);
        forgotten.map_err(|error| format!("removing what is too old failed: {error}"))
    }

    /// The decision of a request, the last one if it was decided several times.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn find(&self, request: RequestId) -> io::Result<Option<LogEntry>> {
        self.folder.latest(&request.to_string(), |entry| {
            entry.record.facts.request.id == request
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn a_full_disk_leaves_no_half_line_and_no_reference_to_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        let mut log = DecisionLog::open(opened, LogLimits::default()).unwrap();
        let mut runner = TestRunner::deterministic();
        let record = volward_samples::record().new_tree(&mut runner).unwrap();
        let record = record.current();
        // A file that takes nothing: what would be referred to later was not written.
        let full = File::options().append(true).open("/dev/full").unwrap();
        let whole = std::mem::replace(&mut log.current.file, full);
        assert!(log.append(&record, &Outcome::Done).is_err());
        assert_eq!(log.last(), 0);
        // There is room again: the record's parts are written with it.
        log.current.file = whole;
        log.append(&record, &Outcome::Done).unwrap();
        assert_eq!(
            log.find(record.facts.request.id).unwrap().unwrap().record,
            record
        );
    }
}
