//! Opening the state: looked at before it is touched, brought to this build's layout in one
//! transaction.
//!
//! The folder of the state is a handle. SQLite opens its files by path, and by the path that the
//! folder was opened by: root alone can exchange what is there, and the daemon's lock is on the handle.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use volward_folder::Folder;

use super::rows::{self, Trouble};

/// What makes each layout of the one before; the first makes layout 1 of nothing. A layout's number
/// is the database's `user_version`. One that was released is never changed.
const LAYOUTS: [&str; 6] = [
    include_str!("layouts/1.sql"),
    include_str!("layouts/2.sql"),
    include_str!("layouts/3.sql"),
    include_str!("layouts/4.sql"),
    include_str!("layouts/5.sql"),
    include_str!("layouts/6.sql"),
];

/// The layout this build reads and writes.
const LAYOUT: usize = LAYOUTS.len();

/// The database's name in the folder of the state, and of the copy of it that is looked at.
pub const DATABASE: &str = "state.db";
/// What was committed and not moved into the database yet.
const WAL: &str = "state.db-wal";

/// Why the state cannot be opened. Nothing of it was changed then, except where
/// [`OpenError::Sqlite`] says that a transaction of SQLite's failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite's words.
    #[error("the state cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
    /// The copy that is looked at cannot be made.
    #[error("the state cannot be copied to {} to look at it first", to.display())]
    Copy {
        /// The folder for the copy.
        to: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Its layout is newer than this build.
    #[error(
        "the state {} was written by a later version of Volward (layout {found}, this build knows up to \
         {LAYOUT}); it was left as it is: install that version again", path.display()
    )]
    Later {
        /// The database.
        path: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// Its layout is known, and something that must be acted upon is not.
    #[error(
        "the state {} holds what this build does not understand: {what}; it was left as it is: install \
         the version of Volward again that wrote it", path.display()
    )]
    NotUnderstood {
        /// The database.
        path: PathBuf,
        /// What, and why not.
        what: String,
    },
}

impl OpenError {
    /// Whether another version of Volward is needed: trying again does not help.
    #[must_use]
    pub fn needs_another_version(&self) -> bool {
        matches!(self, Self::Later { .. } | Self::NotUnderstood { .. })
    }
}

/// Whether this build can work with the state in this folder; one that is not there is fine. Looks at
/// a copy: to open a database in WAL mode changes it, whatever mode it is opened in.
///
/// # Errors
/// If it cannot be read, or a later version wrote it, or an open entry or an attachment says what
/// this build does not understand.
#[expect(
    clippy::disallowed_methods,
    reason = "SQLite opens by path; this is a copy, in a folder made for it"
)]
pub fn look(state: &Folder) -> Result<(), OpenError> {
    let path = &state.path_of(DATABASE);
    match state.dir().symlink_metadata(DATABASE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // One that is a link out of the folder is refused by the copying.
        _ => {}
    }
    let scratch = copied(state)?;
    let copy = scratch.path().join(DATABASE);
    let mut connection = Connection::open(&copy)?;
    migrate(&mut connection, path)?;
    let not_understood = |trouble| match trouble {
        Trouble::Record { which, why } => OpenError::NotUnderstood {
            path: path.to_owned(),
            what: format!("{which}: {why}"),
        },
        Trouble::Sqlite(error) => OpenError::Sqlite(error),
        other => OpenError::NotUnderstood {
            path: path.to_owned(),
            what: other.to_string(),
        },
    };
    rows::understood(&connection).map_err(not_understood)
}

/// A copy of the database in a folder that goes when it is dropped. Guests may be
/// running, so one full disk must not keep the daemon from starting: memory is tried after it.
fn copied(state: &Folder) -> Result<TempDir, OpenError> {
    let mut trouble = None;
    for to in [std::env::temp_dir(), "/run".into(), "/dev/shm".into()] {
        match copied_to(state, &to) {
            Ok(scratch) => return Ok(scratch),
            // The first one's trouble is the one to mend.
            Err(source) => {
                trouble.get_or_insert(OpenError::Copy { to, source });
            }
        }
    }
    Err(trouble.unwrap_or(OpenError::Copy {
        to: std::env::temp_dir(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

#[expect(clippy::disallowed_methods, reason = "a folder made for this copy")]
fn copied_to(state: &Folder, folder: &Path) -> io::Result<TempDir> {
    let scratch = tempfile::tempdir_in(folder)?;
    let copies = Folder::open(scratch.path())?;
    let copy = |name| state.dir().copy(name, copies.dir(), name);
    copy(DATABASE)?;
    match copy(WAL) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(scratch),
    }
}

/// Opens or makes the database, and brings it to this build's layout. What it was before is kept
/// beside it, as `<name>.layout-<N>`.
#[expect(
    clippy::disallowed_methods,
    reason = "SQLite opens by path; root alone can exchange what is in the state"
)]
pub(super) fn open(state: &Folder) -> Result<Connection, OpenError> {
    look(state)?;
    let path = &state.path_of(DATABASE);
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let found = layout_of(&connection, path)?;
    if (1..LAYOUT).contains(&found) {
        let kept = format!("{DATABASE}.layout-{found}");
        // Left by a start that did not get as far as the transaction.
        drop(state.dir().remove_file(&kept));
        let kept = state.path_of(kept);
        connection.execute("VACUUM INTO ?1", [kept.to_string_lossy()])?;
        let (path, kept) = (path.display(), kept.display());
        tracing::info!(%path, %kept, from = found, to = LAYOUT, "bringing the state to a new layout");
    }
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let found = layout_of(connection, path)?;
    if found == LAYOUT {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for layout in LAYOUTS.iter().skip(found) {
        transaction.execute_batch(layout)?;
    }
    transaction.pragma_update(
        None,
        "user_version",
        i64::try_from(LAYOUT).unwrap_or(i64::MAX),
    )?;
    transaction.commit()?;
    Ok(())
}

/// The layout that was found; 0 of an empty database.
fn layout_of(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match usize::try_from(found) {
        Ok(known) if known <= LAYOUT => Ok(known),
        _ => Err(OpenError::Later {
            path: path.to_owned(),
            found,
        }),
    }
}
