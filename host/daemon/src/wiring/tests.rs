use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use volward_folder::Folder;
use volward_storage::journal::{OpenError, SqliteJournal};

use crate::http::testing::daemon_over;

/// What is below a folder: name, mode, bytes.
fn everything(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, about) = (entry.path(), entry.metadata().unwrap());
        let bytes = if about.is_dir() {
            found.extend(everything(&path));
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        found.push((
            path.display().to_string(),
            about.permissions().mode(),
            bytes,
        ));
    }
    found.sort();
    found
}

#[test]
fn a_daemon_over_the_state_of_a_later_version_touches_nothing_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let database = state.join("state.db");
    drop(SqliteJournal::open(&Folder::open(&state).unwrap()).unwrap());
    // SQLite's user_version: the four bytes at 60 of the database's header.
    let mut bytes = fs::read(&database).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&database, bytes).unwrap();
    let before = everything(folder.path());
    let error = daemon_over(folder.path()).err().unwrap();
    assert_eq!(everything(folder.path()), before);
    let cause = error.downcast_ref::<OpenError>().unwrap();
    assert!(cause.needs_another_version());
    let says = format!("{error:#}");
    assert!(
        says.contains("state.db") && says.contains("layout 99") && says.contains("install"),
        "{says}"
    );
}
