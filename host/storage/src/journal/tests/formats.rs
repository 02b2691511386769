//! States that another version of Volward wrote: read whole, or left as they are.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A state database of 0.1.0, as its daemon left it: in WAL mode.
fn released(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    let fixtures = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/compat/state/0.1.0"
    );
    let sql = fs::read_to_string(format!("{fixtures}/{name}.sql")).unwrap();
    let path = dir.path().join("state.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    connection.execute_batch(&sql).unwrap();
    path
}

const RELEASED: [&str; 5] = [
    "attach-before-path",
    "attach-after-path",
    "detach",
    "write-back",
    "every-word",
];

/// The words of an entry's marks, as its rows have them.
fn marks_of(state: &SqliteJournal, entry: u64) -> Vec<String> {
    let connection = state.group.connection();
    let sql = "SELECT mark FROM step WHERE entry = ?1 ORDER BY n";
    let mut statement = connection.prepare(sql).unwrap();
    let marks = statement.query_map([number(entry)], |row| row.get(0));
    marks.unwrap().map(Result::unwrap).collect()
}

#[test]
fn states_of_0_1_0_are_brought_to_this_layout_and_read_whole() {
    for name in RELEASED {
        let dir = tempfile::tempdir().unwrap();
        released(&dir, name);
        let state = open(&dir);
        let found = state.open_entries().unwrap();
        assert_eq!((found.whole.len(), found.damaged.len()), (1, 0), "{name}");
        let all: i64 = state
            .group
            .connection()
            .query_row("SELECT count(*) FROM journal", [], |row| row.get(0))
            .unwrap();
        let sql = "SELECT id FROM journal ORDER BY id";
        let read = entries(&state.group.connection(), sql, params![]).unwrap();
        assert_eq!(i64::try_from(read.len()).unwrap(), all, "{name}");
        for entry in &read {
            let marks = |(_, mark): (&Step, StepMark)| record::words::Mark::from(mark).word();
            let read: Vec<_> = entry.operation.steps().into_iter().map(marks).collect();
            if matches!(entry.operation, Operation::WriteBack { .. }) {
                assert_eq!(read, [""; 0], "{name} {}", entry.id);
            } else {
                assert!(!read.is_empty(), "{name} {}", entry.id);
                assert_eq!(read, marks_of(&state, entry.id), "{name} {}", entry.id);
            }
        }
        drop(state);
        // As it was before, for whoever has to look.
        let before = Connection::open(dir.path().join("state.db.layout-1")).unwrap();
        let layout: i64 = before
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(layout, 1, "{name}");
        // The second start finds nothing to do, and the same.
        let again = open(&dir);
        assert_eq!(
            entries(&again.group.connection(), sql, params![]).unwrap(),
            read
        );
    }
}

#[test]
fn what_0_1_0_wrote_with_every_word_is_what_this_build_would_write() {
    let dir = tempfile::tempdir().unwrap();
    released(&dir, "every-word");
    let state = open(&dir);
    // One entry of every kind of operation; those that have steps have all of them.
    let sql = "SELECT id FROM journal ORDER BY id LIMIT 3";
    let old = entries(&state.group.connection(), sql, params![]).unwrap();
    let sizes = |e: &JournalEntry| (e.operation.steps().len(), e.operation.volumes().len());
    let sizes: Vec<_> = old.iter().map(sizes).collect();
    assert_eq!(sizes, [(23, 4), (23, 1), (0, 1)]);
    for old in &old {
        let id = state.begin(old).unwrap();
        let query = JournalQuery::Request(old.request);
        let new = state.find(&query, 1).unwrap().remove(0);
        assert_eq!(new, JournalEntry { id, ..old.clone() });
    }
    let attachments = state.attachments().unwrap();
    assert_eq!(attachments.len(), 4);
    state.change_attachments(&attachments, &[]).unwrap();
    assert_eq!(state.attachments().unwrap(), attachments);
    // In the format of this build now, word by word: see CONTRIBUTING.md, "Formats".
    let texts = |sql: &str| -> Vec<serde_json::Value> {
        let connection = state.group.connection();
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        rows.map(|text| serde_json::from_str(&text.unwrap()).unwrap())
            .collect()
    };
    let now = serde_json::json!({
        "entries": texts("SELECT record FROM journal WHERE format = 2 ORDER BY id"),
        "attachments": texts("SELECT record FROM attachment WHERE format = 2 ORDER BY since_ms"),
    });
    let now = format!("{now:#}\n");
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/compat/state/format-2.json"
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &now).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert!(now == golden, "{path} differs; UPDATE_GOLDEN=1 rewrites it");
}

/// Names, bytes and times of all files of a folder.
fn snapshot(dir: &tempfile::TempDir) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let changed = entry.metadata().unwrap().modified().unwrap();
            (entry.path(), fs::read(entry.path()).unwrap(), changed)
        })
        .collect();
    files.sort();
    files
}

/// Opens the state, which has to fail without touching a byte, with and without committed changes
/// in the WAL.
fn left_alone(change: &str) -> OpenError {
    let mut errors = Vec::new();
    for in_wal in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = released(&dir, "attach-after-path");
        drop(open(&dir));
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(change).unwrap();
        let held;
        if in_wal {
            // A daemon that was killed leaves the WAL behind.
            held = tempfile::tempdir().unwrap();
            for name in ["state.db", "state.db-wal"] {
                fs::copy(dir.path().join(name), held.path().join(name)).unwrap();
            }
        } else {
            drop(connection);
            held = dir;
        }
        let names = snapshot(&held).into_iter().map(|(path, ..)| path);
        assert_eq!(
            names.filter(|p| p.ends_with("state.db-wal")).count(),
            usize::from(in_wal)
        );
        let before = snapshot(&held);
        errors.push(
            SqliteJournal::open(&Folder::open(held.path()).unwrap())
                .err()
                .unwrap(),
        );
        assert!(snapshot(&held) == before, "changed: {change}");
    }
    assert!(
        errors.iter().all(OpenError::needs_another_version),
        "{errors:?}"
    );
    errors.remove(0)
}

#[test]
fn a_database_that_is_a_link_out_of_the_state_is_not_opened() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(open(&elsewhere));
    let before = snapshot(&elsewhere);
    let link = dir.path().join("state.db");
    std::os::unix::fs::symlink(elsewhere.path().join("state.db"), link).unwrap();
    let opened = SqliteJournal::open(&Folder::open(dir.path()).unwrap());
    assert!(matches!(opened, Err(OpenError::Copy { .. })));
    assert!(snapshot(&elsewhere) == before);
}

#[test]
fn a_state_of_a_later_layout_is_left_as_it_is() {
    let error = left_alone("PRAGMA user_version = 99").to_string();
    assert!(
        error.contains("layout 99") && error.contains("install"),
        "{error}"
    );
}

#[test]
fn so_is_an_open_entry_or_attachment_of_a_later_format() {
    let error = left_alone("UPDATE journal SET format = 3 WHERE state = 'open'").to_string();
    assert!(
        error.contains("entry 1 of the journal: its format is 3"),
        "{error}"
    );
    let insert = "INSERT INTO attachment VALUES \
                  ('lv', 'i1', 'vg0/web', 'web1', 'shared', 'read-write', 'attached', 1, '{}', 7)";
    let error = left_alone(insert).to_string();
    assert!(
        error.contains("the attachment of vg0/web for instance i1"),
        "{error}"
    );
}

#[test]
fn so_is_an_open_entry_with_a_step_word_or_field_of_a_later_version() {
    for (change, says) in [
        (
            "record = replace(record, 'look-again', 'fence')",
            "the step `fence`",
        ),
        (
            "record = replace(record, '\"commit_at\"', '\"deadline\":1,\"commit_at\"')",
            "deadline",
        ),
        (
            "record = replace(record, '\"kind\":\"attach\"', '\"kind\":\"fence\"')",
            "the operation `fence`",
        ),
        (
            "record = replace(record, '\"hydrating\":true', '\"hydrating\":2')",
            "the step `load-clone`",
        ),
        ("state = 'suspended'", "`suspended`"),
    ] {
        let error = left_alone(&format!("UPDATE journal SET {change}")).to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = left_alone("UPDATE step SET mark = 'paused' WHERE n = 0").to_string();
    assert!(error.contains("`paused`"), "{error}");
}

#[test]
fn an_ended_entry_that_is_not_understood_is_kept_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    let id = state.begin(&entry(1)).unwrap();
    state.finish(id, &done(vec![])).unwrap();
    let change =
        "UPDATE journal SET record = replace(record, '\"step\":\"link\"', '\"step\":\"fence\"')";
    assert_eq!(state.group.connection().execute(change, []).unwrap(), 1);
    drop(state);
    let state = open(&dir);
    let error = state.find(&JournalQuery::Volume(volume()), 1).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("entry 1 of the journal: it names the step `fence`"),
        "{error}"
    );
}
