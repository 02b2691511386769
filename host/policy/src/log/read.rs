//! Reading logs: one file from its beginning, or a folder for what is wanted of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::fs::MetadataExt;

use volward_folder::Folder;

use super::LogEntry;
use super::ends::Ends;
use super::files::{file_name, naming};
use super::parts::{BadLine, Parts, Read};

/// A line longer than this is passed over. A request is 1 MiB at most, and the facts gathered
/// for it and the answers are of its order.
const LINE_BYTES: usize = 32 << 20;

/// The decisions of one log file, in the order in which they were made.
pub struct LogReader<R> {
    input: R,
    parts: Parts,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> LogReader<R> {
    /// Reads from the beginning of a file.
    pub fn new(input: R) -> Self {
        Self {
            input,
            parts: Parts::default(),
            line: Vec::new(),
            number: 0,
        }
    }

    /// The number of the line that was read last, from 1.
    pub fn line_number(&self) -> u64 {
        self.number
    }

    /// Puts the next line that is not empty into `self.line`; false at the end.
    fn next_line(&mut self) -> io::Result<Option<Result<(), BadLine>>> {
        loop {
            self.line.clear();
            let limit = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
            let mut limited = self.input.by_ref().take(limit);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.len() >= LINE_BYTES && !self.line.ends_with(b"\n") {
                skip_line(&mut self.input)?;
                return Ok(Some(Err(BadLine::Long { limit: LINE_BYTES })));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(Ok(())));
            }
        }
    }

    fn next_entry(&mut self) -> io::Result<Option<Result<LogEntry, BadLine>>> {
        loop {
            match self.next_line()? {
                None => return Ok(None),
                Some(Err(bad)) => return Ok(Some(Err(bad))),
                Some(Ok(())) => {}
            }
            let whole = match self.parts.read(&self.line) {
                // Where a decision's line is all that is read, how it ended is not waited for.
                Ok(Read::Part | Read::End(..)) => continue,
                Ok(Read::Whole(entry)) => Ok(*entry),
                Ok(Read::Decision(seq, decision, outcome)) => {
                    self.parts.whole(seq, decision, outcome)
                }
                Err(bad) => Err(bad),
            };
            return Ok(Some(whole));
        }
    }
}

/// Reads to the end of the line without keeping it.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(available.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// A line that is no decision is an item too: whoever reads says what it means to him.
impl<R: BufRead> Iterator for LogReader<R> {
    type Item = io::Result<Result<LogEntry, BadLine>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

/// Which decisions are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'a> {
    /// Only those with a greater number.
    pub after: u64,
    /// Only those in whose line or facts this text stands: others are not parsed, which would take
    /// seconds.
    pub needle: Option<&'a str>,
    /// At most so many, the latest; 0: all.
    pub limit: usize,
}

/// A folder of log files, for reading. It can be read while the log is written.
#[derive(Clone, Debug)]
pub struct LogFolder(Folder);

impl LogFolder {
    /// The log in this folder.
    #[must_use]
    pub fn new(folder: Folder) -> Self {
        Self(folder)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.0
    }

    /// The names of its files in the folder, the newest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn files(&self) -> io::Result<Vec<String>> {
        Ok(self.numbers()?.into_iter().map(file_name).collect())
    }

    /// The numbers of all its files, the newest first; the current one's is 0.
    pub(super) fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = self.set_aside()?;
        numbers.sort_unstable();
        // A link that leads out of the folder is named too: whoever opens it is to hear of it.
        let meta = self.0.dir().symlink_metadata(file_name(0));
        let current = meta.is_ok_and(|meta| !meta.is_dir()).then_some(0);
        Ok(current.into_iter().chain(numbers).collect())
    }

    /// The numbers of the files that are not written any more.
    pub(super) fn set_aside(&self) -> io::Result<Vec<u32>> {
        let mut found = Vec::new();
        for name in self.0.names()? {
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix("decisions."))
                .and_then(|name| name.strip_suffix(".jsonl"))
                .and_then(|number| number.parse().ok());
            // `decisions.01.jsonl` is somebody else's.
            found.extend(number.filter(|n| *n > 0 && name == *file_name(*n)));
        }
        Ok(found)
    }

    /// Opens them all, the newest first: a file that is put aside meanwhile is met once.
    fn open(&self) -> io::Result<Vec<File>> {
        let mut seen = Vec::new();
        let mut opened = Vec::new();
        for n in self.numbers()? {
            let file = match self.0.dir().open(file_name(n)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(naming(n))?.into_std(),
            };
            let meta = file.metadata()?;
            if meta.is_dir() {
                // No file of the log, whatever it is called.
                continue;
            }
            let identity = (meta.dev(), meta.ino());
            if !seen.contains(&identity) {
                seen.push(identity);
                opened.push(file);
            }
        }
        Ok(opened)
    }

    /// The number of the latest decision, 0 if there is none.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn last_seq(&self) -> io::Result<u64> {
        for file in self.open()? {
            let mut reader = LogReader::new(BufReader::new(file));
            let mut last = 0;
            while let Some(line) = reader.next_line()? {
                if let (Ok(()), Ok(Read::Decision(seq, ..))) =
                    (line, reader.parts.read(&reader.line))
                {
                    last = last.max(seq);
                }
            }
            if last > 0 {
                return Ok(last);
            }
        }
        Ok(0)
    }

    /// The latest decision that `matches`; `needle` stands in its line or its facts.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn latest(
        &self,
        needle: &str,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> io::Result<Option<LogEntry>> {
        let which = Which {
            needle: Some(needle),
            limit: 1,
            ..Which::default()
        };
        self.select(which, matches).map(|mut found| found.pop())
    }

    /// The wanted decisions that `matches`, the oldest first. A line torn by a crash is none.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn select(
        &self,
        which: Which<'_>,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> io::Result<Vec<LogEntry>> {
        let limit = if which.limit == 0 {
            usize::MAX
        } else {
            which.limit
        };
        let (mut found, mut ends) = (VecDeque::new(), Ends::default());
        for file in self.open()? {
            let room = limit - found.len();
            let (mut older, end) = select_from(file, which, room, &mut ends, &matches)?;
            while let Some(entry) = older.pop_back() {
                found.push_front(entry);
            }
            if found.len() >= limit || end {
                break;
            }
        }
        Ok(found.into())
    }
}

/// Of one file; whether older files have nothing that is wanted.
fn select_from(
    file: File,
    which: Which<'_>,
    room: usize,
    ends: &mut Ends,
    matches: &impl Fn(&LogEntry) -> bool,
) -> io::Result<(VecDeque<LogEntry>, bool)> {
    let mut reader = LogReader::new(BufReader::new(file));
    let mut found = VecDeque::new();
    let mut end = false;
    while let Some(line) = reader.next_line()? {
        if line.is_err() {
            continue;
        }
        let entry = match reader.parts.read(&reader.line) {
            Ok(Read::Decision(seq, decision, outcome)) => {
                end |= seq <= which.after;
                let wanted = || {
                    which.needle.is_none_or(|needle| {
                        let facts = reader.parts.facts_of(decision);
                        contains(&reader.line, needle.as_bytes())
                            || facts.is_some_and(|facts| facts.contains(needle))
                    })
                };
                if seq <= which.after || !wanted() {
                    continue;
                }
                reader.parts.whole(seq, decision, outcome).ok()
            }
            Ok(Read::Whole(entry)) => (which.after == 0).then_some(*entry),
            Ok(Read::End(request, outcome)) => {
                ends.ended(&mut found, request, outcome);
                None
            }
            Ok(Read::Part) | Err(_) => None,
        };
        if let Some(entry) = entry.filter(|entry| matches(entry)) {
            ends.found(&entry);
            found.push_back(entry);
            if found.len() > room {
                found.pop_front();
            }
        }
    }
    ends.file_ends(&mut found);
    Ok((found, end))
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    line.windows(wanted.len().max(1))
        .any(|window| window == wanted)
}
