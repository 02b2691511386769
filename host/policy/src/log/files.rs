//! The files of the log: the current one, open for writing, and those that are put aside.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use cap_std::fs::{OpenOptions, OpenOptionsExt};
use volward_folder::Folder;

use super::{LogFolder, LogLimits};

/// What the next file is called until it takes the current one's place; no reader looks at it.
const NEXT: &str = "decisions.next";

/// The file that is written.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) file: File,
    /// Of whole lines.
    pub(super) size: u64,
    /// Its last line was not ended: by a crash, or by a disk that took half of it.
    torn: bool,
    /// Its name is on the disk too. Lines are durable only in a file whose name is.
    named: bool,
}

impl Current {
    /// Opens it, and makes it if it is not there. Nothing is written: on a full disk too, what is in
    /// the log can be read, and is written on as soon as there is room.
    pub(super) fn open(folder: &Folder) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(0o600);
        let opened = folder.dir().open_with(file_name(0), &options);
        let mut file = opened.map_err(naming(0))?.into_std();
        let size = file.metadata().map_err(naming(0))?.len();
        let torn = size > 0 && ends_in_half_a_line(&mut file).map_err(naming(0))?;
        Ok(Self {
            file,
            size,
            torn,
            // One that has lines had its name before the first of them.
            named: size > 0,
        })
    }

    /// Adds whole lines, and waits until they are on the disk.
    ///
    /// # Errors
    /// If they could not be written whole: then they are taken back as far as that is possible.
    pub(super) fn put(&mut self, folder: &Folder, text: &[u8]) -> io::Result<()> {
        if !self.named {
            folder.sync()?;
            self.named = true;
        }
        let end = if self.torn { b"\n".as_slice() } else { b"" };
        let written = self.file.write_all(end);
        let written = written.and_then(|()| self.file.write_all(text));
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // Half a line must not spoil the next one. Where it stays, the next one begins its own.
            self.torn |= self.file.set_len(self.size).is_err();
            return Err(error);
        }
        let added = u64::try_from(end.len() + text.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(added);
        self.torn = false;
        Ok(())
    }

    /// Puts this file aside and begins the next. It can fail at any step, and then be done again: the
    /// next file is there before a name changes, no name is given to a file while another one has it,
    /// and nothing is removed.
    pub(super) fn rotate(&mut self, folder: &LogFolder) -> io::Result<()> {
        let dir = folder.folder().dir();
        // Of a rotation that did not come to its end; it is empty.
        ignore_missing(dir.remove_file(NEXT))?;
        let mut options = OpenOptions::new();
        options.create_new(true).append(true).read(true).mode(0o600);
        let next = dir.open_with(NEXT, &options)?.into_std();
        // Only what stands before the first gap is moved, which an earlier try may have left: who
        // moved all by one again would drop a file with each try.
        for n in (0..first_gap(folder)?).rev() {
            dir.rename(file_name(n), dir, file_name(n + 1))
                .map_err(naming(n))?;
        }
        dir.rename(NEXT, dir, file_name(0)).map_err(naming(0))?;
        *self = Self {
            file: next,
            size: 0,
            torn: false,
            named: false,
        };
        Ok(())
    }

    /// Removes files beyond the number kept (it may have been lowered) and those too old.
    pub(super) fn forget(&self, folder: &LogFolder, limits: LogLimits) -> io::Result<()> {
        // What the file system says of the file just opened is compared with what it says of the
        // others: the same clock.
        let now = self.file.metadata()?.accessed()?;
        let now = now.max(self.file.metadata()?.modified()?);
        let keep = Duration::from_secs(u64::from(limits.keep_days) * 86_400);
        let dir = folder.folder().dir();
        for n in folder.set_aside()? {
            let meta = dir.metadata(file_name(n)).map_err(naming(n))?;
            let modified = meta.modified()?.into_std();
            let age = now.duration_since(modified).unwrap_or_default();
            let old = limits.keep_days > 0 && age > keep;
            if old || n >= limits.files {
                ignore_missing(dir.remove_file(file_name(n))).map_err(naming(n))?;
            }
        }
        Ok(())
    }
}

/// The least number that no file has.
fn first_gap(folder: &LogFolder) -> io::Result<u32> {
    let taken = folder.numbers()?;
    Ok((0..).find(|n| !taken.contains(n)).unwrap_or(u32::MAX))
}

fn ends_in_half_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

pub(super) fn file_name(n: u32) -> String {
    match n {
        0 => "decisions.jsonl".to_owned(),
        n => format!("decisions.{n}.jsonl"),
    }
}

/// Says which file an error is about.
pub(super) fn naming(n: u32) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", file_name(n)))
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
