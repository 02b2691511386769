use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;
use volward_control::DetachRequest;
use volward_folder::Folder;
use volward_model::{InstanceId, Origin, RequestId};
use volward_policy::PluginState;
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
    daemon.node.detach(&detach()).unwrap();
}

fn detach() -> DetachRequest {
    DetachRequest {
        request: RequestId(Uuid::from_u128(1)),
        origin: Origin::Operator,
        caller_uid: 0,
        instance: InstanceId(Uuid::from_u128(2)),
        volumes: Vec::new(),
        not_after: None,
        only_unused: false,
        dry_run: false,
    }
}

/// The same for the folders of the policies: what is attached is taken up and let go without any.
#[test]
fn a_daemon_starts_over_folders_of_policies_that_it_cannot_open() {
    for name in ["compiled", "policies"] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::create_dir(folder.path().join("policies.d")).unwrap();
        let private = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path().join("policies.d"), private).unwrap();
        let place = state.join(name);
        fs::write(&place, "no folder").unwrap();
        let daemon = daemon_over(folder.path()).unwrap();
        daemon.node.recover().unwrap();
        daemon.node.detach(&detach()).unwrap();

        // Nobody waits for what a person has to mend, and everybody is told.
        daemon.policies.begin();
        assert!(daemon.policies.ready_within(Duration::ZERO));
        let status = daemon.policies.status();
        assert!(
            matches!(&status[..], [one] if matches!(&one.state, PluginState::Refused { reason }
                if reason.contains(&place.display().to_string()))),
            "{status:?}"
        );
        assert!(daemon.policies.closed().is_some());

        fs::remove_file(&place).unwrap();
        daemon.policies.load_now().unwrap();
        assert_eq!(
            (daemon.policies.closed(), daemon.policies.status()),
            (None, vec![])
        );
        let mode = fs::metadata(&place).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
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
