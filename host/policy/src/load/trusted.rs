//! Files that root must own and nobody else may write: policies, their settings, their history, and
//! compiled artefacts, which are native code. Each is named in a folder that is open already, so the
//! folder that was checked is the one that is read and written.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use volward_folder::{Folder, NamedFolder};

/// Why a file or folder is not trusted or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The kernel refuses.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not there.
    #[error("there is no {0}")]
    Missing(PathBuf),
    /// A symbolic link where the thing itself must be.
    #[error("{0} is a symbolic link: put the file itself there")]
    Link(PathBuf),
    /// Not a plain file, or not a folder.
    #[error("{path} is not {expected}")]
    Kind {
        /// Which.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// Somebody else's.
    #[error("{path} belongs to uid {found}, not to uid {expected}: chown it")]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// Others can change it.
    #[error("{path} can be written by others (mode {mode:03o}): chmod go-w it")]
    Writable {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Too big.
    #[error("{path} is bigger than {limit} bytes")]
    Size {
        /// Which.
        path: PathBuf,
        /// What is allowed.
        limit: u64,
    },
}

/// What a folder should be.
const FOLDER: &str = "a folder";
/// What a file should be.
const FILE: &str = "a plain file";

/// Opens the folder that is there now, if only `owner` can write it.
///
/// # Errors
/// If it is not that, or cannot be opened.
pub(crate) fn folder(named: &NamedFolder, owner: u32) -> Result<Folder, TrustError> {
    let opened = named.open();
    let folder = opened.map_err(|error| not_opened(named.path(), FOLDER, error))?;
    owned(&folder, owner)?;
    Ok(folder)
}

/// Checks that only `owner` can write a folder that is open: its owner and mode may have changed
/// since.
///
/// # Errors
/// If it is not so.
pub(crate) fn owned(folder: &Folder, owner: u32) -> Result<(), TrustError> {
    let path = folder.path();
    let stat = rustix::fs::fstat(folder.dir()).map_err(|errno| io(path, errno.into()))?;
    check(path, &stat, owner, FileType::Directory, FOLDER)
}

/// Reads a plain file of at most `limit` bytes that only `owner` can write. It is opened once:
/// what was checked is what is read. Neither links nor pipes are followed or waited for.
///
/// # Errors
/// If it is not that, or cannot be read.
pub(crate) fn file(
    folder: &Folder,
    name: &str,
    owner: u32,
    limit: u64,
) -> Result<Vec<u8>, TrustError> {
    let path = folder.path_of(name);
    let fd = match folder.open_entry(name.as_ref(), OFlags::NONBLOCK) {
        Ok(fd) => fd,
        Err(error) => return Err(not_opened(path, FILE, error)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(|errno| io(&path, errno.into()))?;
    check(&path, &stat, owner, FileType::RegularFile, FILE)?;
    let too_big = || TrustError::Size {
        path: path.clone(),
        limit,
    };
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > limit {
        return Err(too_big());
    }
    // It may grow while it is read: never more than the limit, and one byte to notice.
    let mut bytes = Vec::new();
    let read = File::from(fd)
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes);
    let read = read.map_err(|source| io(&path, source))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit {
        return Err(too_big());
    }
    Ok(bytes)
}

/// Writes a file whole or not at all, readable by its owner only.
///
/// # Errors
/// The kernel's.
pub(crate) fn replace(folder: &Folder, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = format!(".{name}.new-{}", std::process::id());
    folder.replace(name, &beside, bytes, 0o600)
}

/// Whether a file is what a writer left that was killed before it was done. What this process is
/// writing is not: another thread may be about to give it its name.
pub(crate) fn is_left(file: &str) -> bool {
    let writer = file
        .strip_prefix('.')
        .and_then(|file| file.rsplit_once(".new-"))
        .and_then(|(_, writer)| writer.parse::<u32>().ok());
    writer.is_some_and(|writer| writer != std::process::id())
}

fn io(path: &Path, source: io::Error) -> TrustError {
    TrustError::Io {
        path: path.to_owned(),
        source,
    }
}

fn not_opened(path: PathBuf, expected: &'static str, error: io::Error) -> TrustError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => TrustError::Missing(path),
        Some(Errno::LOOP) => TrustError::Link(path),
        // What a folder's flag makes of a link or a file.
        Some(Errno::NOTDIR) => TrustError::Kind { path, expected },
        _ => io(&path, error),
    }
}

fn check(
    path: &Path,
    stat: &Stat,
    owner: u32,
    kind: FileType,
    expected: &'static str,
) -> Result<(), TrustError> {
    let path = path.to_owned();
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(TrustError::Kind { path, expected });
    }
    if stat.st_uid != owner {
        let found = stat.st_uid;
        return Err(TrustError::Owner {
            path,
            found,
            expected: owner,
        });
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        let mode = mode.bits();
        return Err(TrustError::Writable { path, mode });
    }
    Ok(())
}
