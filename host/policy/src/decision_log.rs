//! The decision log: append-only JSON lines, one a decision, grants too. A line holds everything
//! needed to make the decision again.
//!
//! Every line is on the disk (fdatasync) before `append` returns: a decision is rare beside the
//! I/O it allows, and the last line before a crash is the one that is wanted. Files are
//! `decisions.jsonl` and older ones `decisions.1.jsonl`, `decisions.2.jsonl` and so on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use volward_model::{DecisionRecord, RequestId};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LogLimits {
    /// A file that has reached this many bytes is put aside. A decision of one disk takes 2 kB.
    pub file_bytes: u64,
    /// Files kept, the current one included.
    pub files: u32,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            files: 8,
        }
    }
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "became", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was refused, by the policies or by the rules that hold whatever they say.
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// It was granted, and a step failed.
    Failed {
        /// For people.
        message: String,
    },
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The decision.
    pub record: DecisionRecord,
    /// What became of it.
    pub outcome: Outcome,
}

/// The log, open for writing.
#[derive(Debug)]
pub struct DecisionLog {
    folder: PathBuf,
    limits: LogLimits,
    file: File,
    size: u64,
}

impl DecisionLog {
    /// Opens the log in a folder that exists.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(folder: &Path, limits: LogLimits) -> io::Result<Self> {
        let (file, size) = open_current(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            limits,
            file,
            size,
        })
    }

    /// Adds a line and waits until it is on the disk.
    ///
    /// # Errors
    /// If it could not be written whole: then it is taken back as far as that is possible.
    pub fn append(&mut self, record: &DecisionRecord, outcome: &Outcome) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            record: &'a DecisionRecord,
            outcome: &'a Outcome,
        }
        if self.size >= self.limits.file_bytes {
            self.rotate()?;
        }
        let mut line = serde_json::to_vec(&Line { record, outcome })?;
        line.push(b'\n');
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A full disk: half a line must not spoil the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The decision of a request, the last one if it was decided several times.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn find(&self, request: RequestId) -> io::Result<Option<LogEntry>> {
        self.latest(&request.to_string(), |entry| {
            entry.record.facts.request.id == request
        })
    }

    /// The latest decision that `matches`; `needle` stands in its line as text (lines without it
    /// are not parsed: that would take seconds).
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn latest(
        &self,
        needle: &str,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> io::Result<Option<LogEntry>> {
        for n in 0..self.limits.files {
            let file = match File::open(self.path(n)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                other => other?,
            };
            let mut found = None;
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                if contains(&line, needle.as_bytes()) {
                    // A line torn by a crash is no decision.
                    let entry: Option<LogEntry> = serde_json::from_slice(&line).ok();
                    found = entry.filter(&matches).or(found);
                }
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn path(&self, n: u32) -> PathBuf {
        path(&self.folder, n)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let last = self.limits.files.max(1) - 1;
        // Onto the oldest, which goes.
        for n in (0..last).rev() {
            match fs::rename(self.path(n), self.path(n + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        if last == 0 {
            fs::remove_file(self.path(0))?;
        }
        (self.file, self.size) = open_current(&self.folder)?;
        Ok(())
    }
}

fn path(folder: &Path, n: u32) -> PathBuf {
    match n {
        0 => folder.join("decisions.jsonl"),
        n => folder.join(format!("decisions.{n}.jsonl")),
    }
}

/// Opens the current file. A crash can leave half a line: it is ended, so that the next one
/// begins its own.
fn open_current(folder: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path(folder, 0))?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    line.windows(wanted.len()).any(|window| window == wanted)
}
