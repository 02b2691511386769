//! Files that root must own and nobody else may write: policies, their settings, their history, and
//! compiled artefacts, which are native code.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};

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

/// Opens a folder that only `owner` can write.
///
/// # Errors
/// If it is not that, or cannot be opened.
pub(crate) fn folder(path: &Path, owner: u32) -> Result<OwnedFd, TrustError> {
    open(
        path,
        owner,
        OFlags::DIRECTORY,
        FileType::Directory,
        "a folder",
    )
    .map(|(fd, _)| fd)
}

/// Reads a plain file of at most `limit` bytes that only `owner` can write. It is opened once:
/// what was checked is what is read. Neither links nor pipes are followed or waited for.
///
/// # Errors
/// If it is not that, or cannot be read.
pub(crate) fn file(path: &Path, owner: u32, limit: u64) -> Result<Vec<u8>, TrustError> {
    let (fd, stat) = open(
        path,
        owner,
        OFlags::empty(),
        FileType::RegularFile,
        "a plain file",
    )?;
    let too_big = || TrustError::Size {
        path: path.to_owned(),
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
    let read = read.map_err(|source| TrustError::Io {
        path: path.to_owned(),
        source,
    })?;
    if u64::try_from(read).unwrap_or(u64::MAX) > limit {
        return Err(too_big());
    }
    Ok(bytes)
}

/// Writes a file whole or not at all, readable by its owner only.
///
/// # Errors
/// The kernel's.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nofollow());
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// As the `custom_flags` of the standard library wants it.
fn nofollow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

fn open(
    path: &Path,
    owner: u32,
    flags: OFlags,
    kind: FileType,
    expected: &'static str,
) -> Result<(OwnedFd, Stat), TrustError> {
    let io = |e: rustix::io::Errno| TrustError::Io {
        path: path.to_owned(),
        source: e.into(),
    };
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::LOOP => TrustError::Link(path.to_owned()),
        // What a folder's flag makes of a link or a file.
        rustix::io::Errno::NOTDIR => TrustError::Kind {
            path: path.to_owned(),
            expected,
        },
        other => io(other),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(io)?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(TrustError::Kind {
            path: path.to_owned(),
            expected,
        });
    }
    if stat.st_uid != owner {
        let (path, found) = (path.to_owned(), stat.st_uid);
        return Err(TrustError::Owner {
            path,
            found,
            expected: owner,
        });
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return Err(TrustError::Writable {
            path: path.to_owned(),
            mode: mode.bits(),
        });
    }
    Ok((fd, stat))
}
