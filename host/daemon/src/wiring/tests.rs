use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use uuid::Uuid;
use volward_control::DetachRequest;
use volward_folder::Folder;
use volward_model::{InstanceId, Origin, RequestId};
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

/// Detach has to work: a log of decisions that cannot be written is no reason to stay away.
#[test]
fn a_daemon_starts_over_a_decision_log_that_it_cannot_open() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("decisions"), "no folder").unwrap();
    let daemon = daemon_over(folder.path()).unwrap();
    assert!(daemon.decisions.problem().is_some());
    daemon.node.recover().unwrap();
    let detach = DetachRequest {
        request: RequestId(Uuid::from_u128(1)),
        origin: Origin::Operator,
        caller_uid: 0,
        instance: InstanceId(Uuid::from_u128(2)),
        volumes: Vec::new(),
        not_after: None,
        dry_run: false,
    };
    daemon.node.detach(&detach).unwrap();
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
