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
//! synced when a file is begun.
//!
//! May import nothing of the other rooms, only the digest: a log is read where no policy runs.
//! It reaches its files by the handle of their folder that it is given, and knows no path.

mod ends;
mod line;
mod parts;
mod read;
mod window;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use cap_std::fs::{OpenOptions, OpenOptionsExt};
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
    file: File,
    size: u64,
    last: u64,
    written: parts::Written,
}

impl DecisionLog {
    /// Opens the log in a folder, and lets go of what is too old. Nothing outside the folder is
    /// written, wherever links in it lead.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(folder: Folder, limits: LogLimits) -> io::Result<Self> {
        let (file, size) = open_current(&folder)?;
        let folder = LogFolder::new(folder);
        let last = folder.last_seq()?;
        let log = Self {
            folder,
            limits,
            file,
            size,
            last,
            written: parts::Written::default(),
        };
        log.forget()?;
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

    /// Adds a decision and waits until it is on the disk.
    ///
    /// # Errors
    /// If it could not be written whole: then it is taken back as far as that is possible.
    pub fn append(&mut self, record: &DecisionRecord, outcome: &Outcome) -> io::Result<()> {
        self.make_room()?;
        let seq = self.last + 1;
        let lines = self.written.lines(seq, record, &ends::shortened(outcome))?;
        self.put(&lines.text)?;
        self.written.remember(lines.new);
        self.last = seq;
        Ok(())
    }

    /// Begins a new file where this one is full.
    fn make_room(&mut self) -> io::Result<()> {
        match self.size >= self.limits.file_bytes {
            true => self.rotate(),
            false => Ok(()),
        }
    }

    /// Adds whole lines, and waits until they are on the disk.
    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        let written = self
            .file
            .write_all(text)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A full disk: half a line must not spoil the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(())
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

    fn rotate(&mut self) -> io::Result<()> {
        let folder = self.folder.folder().clone();
        let dir = folder.dir();
        let last = self.limits.files.max(1) - 1;
        // Onto the oldest, which goes.
        for n in (0..last).rev() {
            ignore_missing(dir.rename(file_name(n), dir, file_name(n + 1)))?;
        }
        if last == 0 {
            dir.remove_file(file_name(0))?;
        }
        (self.file, self.size) = open_current(&folder)?;
        self.written = parts::Written::default();
        self.forget()
    }

    /// Removes files beyond the number kept (it may have been lowered) and those too old.
    fn forget(&self) -> io::Result<()> {
        // What the file system says of the file just opened is compared with what it says of the
        // others: the same clock.
        let now = self.file.metadata()?.accessed()?;
        let now = now.max(self.file.metadata()?.modified()?);
        let keep = Duration::from_secs(u64::from(self.limits.keep_days) * 86_400);
        let dir = self.folder.folder().dir();
        for n in self.folder.set_aside()? {
            let meta = dir.metadata(file_name(n)).map_err(naming(n))?;
            let modified = meta.modified()?.into_std();
            let age = now.duration_since(modified).unwrap_or_default();
            let old = self.limits.keep_days > 0 && age > keep;
            if old || n >= self.limits.files {
                ignore_missing(dir.remove_file(file_name(n)))?;
            }
        }
        Ok(())
    }
}

fn file_name(n: u32) -> String {
    match n {
        0 => "decisions.jsonl".to_owned(),
        n => format!("decisions.{n}.jsonl"),
    }
}

/// Says which file an error is about.
fn naming(n: u32) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", file_name(n)))
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Opens the current file. A crash can leave half a line: it is ended, so that the next one
/// begins its own.
fn open_current(folder: &Folder) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(0o600);
    let mut file = folder
        .dir()
        .open_with(file_name(0), &options)
        .map_err(naming(0))?
        .into_std();
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    } else {
        // Lines are durable only in a file whose name is.
        folder.sync()?;
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
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
        let whole = std::mem::replace(&mut log.file, full);
        assert!(log.append(&record, &Outcome::Done).is_err());
        assert_eq!(log.last(), 0);
        // There is room again: the record's parts are written with it.
        log.file = whole;
        log.append(&record, &Outcome::Done).unwrap();
        assert_eq!(
            log.find(record.facts.request.id).unwrap().unwrap().record,
            record
        );
    }
}
