//! The changes, written: each file whole or not at all, what it said before beside it.

use std::io;
use std::path::PathBuf;

use cap_std::fs::{MetadataExt, Permissions, PermissionsExt};
use thiserror::Error;
use volward_folder::{Folder, NamedFolder};

use crate::look::{LookError, text};
use crate::paths;
use crate::plan::{Change, Plan};

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// What it said before, if it was there.
    pub backup: Option<PathBuf>,
}

/// What was not written. What was written before it stays, and the same plan goes on there.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Somebody changed the file since it was shown.
    #[error("/{0} has changed since it was looked at; nothing was written to it: look again")]
    Changed(String),
    /// The kernel says no.
    #[error("cannot write /{path}")]
    Io {
        /// From the root folder.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be read any more.
    #[error(transparent)]
    Look(#[from] LookError),
}

/// A name in the folder of the file that no program reads as configuration.
const BESIDE: &str = ".volward-setup.new";

/// Readable by everybody, as Debian ships these files.
const MODE: u32 = 0o644;

/// So many texts from before are kept; then somebody has to look.
const MOST_BACKUPS: u32 = 100;

/// Writes all changes of the plan, in its order.
///
/// # Errors
/// At the first that cannot be written; none is written in part.
pub fn write(root: &Folder, plan: &Plan) -> Result<Vec<Written>, WriteError> {
    let mut written = Vec::new();
    for change in &plan.changes {
        written.push(one(root, change)?);
    }
    if plan.policies {
        folder(root, paths::POLICIES).map_err(|source| io_error(paths::POLICIES, source))?;
    }
    Ok(written)
}

fn one(root: &Folder, change: &Change) -> Result<Written, WriteError> {
    let path = change.path.as_str();
    if text(root, path)? != change.before {
        return Err(WriteError::Changed(path.to_owned()));
    }
    let failed = |source| io_error(path, source);
    let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
    let folder = folder(root, above).map_err(failed)?;
    let backup = match &change.before {
        Some(before) => Some(backup(&folder, name, before).map_err(failed)?),
        None => None,
    };
    replace(&folder, name, &change.after).map_err(failed)?;
    Ok(Written {
        path: folder.path_of(name),
        backup: backup.map(|name| folder.path_of(name)),
    })
}

/// As it is, or made.
fn folder(root: &Folder, path: &str) -> io::Result<Folder> {
    let mut folder = root.clone();
    for name in path.split('/').filter(|name| *name != ".") {
        folder = NamedFolder::within(folder, name)?.make(0o755)?;
    }
    Ok(folder)
}

/// The text from before, under the first name that is free: the first of all stays.
fn backup(folder: &Folder, name: &str, before: &str) -> io::Result<String> {
    let names = (0..MOST_BACKUPS).map(|n| match n {
        0 => format!("{name}.before-volward"),
        n => format!("{name}.before-volward.{n}"),
    });
    for backup in names {
        match folder.dir().read_to_string(&backup) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                replace_with(folder, &backup, before, mode(folder, name))?;
                return Ok(backup);
            }
            Ok(text) if text == before => return Ok(backup),
            _ => {}
        }
    }
    Err(io::Error::other("there are too many backups of it"))
}

fn replace(folder: &Folder, name: &str, text: &str) -> io::Result<()> {
    replace_with(folder, name, text, mode(folder, name))
}

fn replace_with(folder: &Folder, name: &str, text: &str, mode: u32) -> io::Result<()> {
    folder.replace(name, BESIDE, text.as_bytes(), mode)?;
    // Whatever the umask is.
    let permissions = Permissions::from_mode(mode);
    folder.dir().set_permissions(name, permissions)?;
    folder.sync()
}

/// Of the file that is there, without what else a mode has.
fn mode(folder: &Folder, name: &str) -> u32 {
    let there = folder.dir().metadata(name);
    there.map_or(MODE, |about| about.mode() & 0o777)
}

fn io_error(path: &str, source: io::Error) -> WriteError {
    WriteError::Io {
        path: path.to_owned(),
        source,
    }
}
