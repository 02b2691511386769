use std::fs;

use volward_folder::Folder;
use volward_model::{End, RequestId, VolumeId, VolumeRef, VolumeTask};

use super::*;
use crate::journal::OpenError;

fn open(dir: &tempfile::TempDir) -> SqliteJournal {
    SqliteJournal::open(&Folder::open(dir.path()).unwrap()).unwrap()
}

/// One of every word that a record can have.
fn every_word() -> Vec<VolumeOperation> {
    let (pool, name) = ("vg0".parse().unwrap(), "data".parse().unwrap());
    let volume = VolumeRef {
        id: VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: "a".repeat(32).parse().unwrap(),
        },
        pool,
        name,
    };
    let (pool, name, size) = (volume.pool.clone(), volume.name.clone(), Bytes::mib(10));
    let tasks = [
        VolumeTask::Create {
            pool: pool.clone(),
            name: name.clone(),
            size,
        },
        VolumeTask::Delete {
            pool: pool.clone(),
            name: name.clone(),
        },
        VolumeTask::Extend {
            pool: pool.clone(),
            name: name.clone(),
            size,
        },
        VolumeTask::Copy {
            from_pool: "vg1".parse().unwrap(),
            from: "origin".parse().unwrap(),
            pool: pool.clone(),
            name: name.clone(),
            size: Some(size),
        },
        VolumeTask::Snapshot {
            pool: pool.clone(),
            from: "origin".parse().unwrap(),
            name: name.clone(),
        },
        VolumeTask::Move {
            from_pool: "vg1".parse().unwrap(),
            from: "origin".parse().unwrap(),
            pool: pool.clone(),
            name: name.clone(),
        },
        VolumeTask::Rename {
            pool: pool.clone(),
            name: name.clone(),
            to: "other".parse().unwrap(),
        },
        VolumeTask::Relocate {
            pool,
            name,
            disk: "d".repeat(32).parse().unwrap(),
        },
    ];
    let failed = End::Failed {
        code: "no-space".to_owned(),
        message: "there is none".to_owned(),
    };
    let courses = [
        Course::Forward,
        Course::Back(End::Cancelled),
        Course::Back(failed.clone()),
        Course::Ended(End::Done),
        Course::Ended(End::Cancelled),
        Course::Ended(failed),
    ];
    let more = std::iter::repeat(Course::Ended(End::Done));
    let both = tasks.iter().zip(courses.into_iter().chain(more));
    let numbered = (1..).zip(both);
    numbered
        .map(|(n, (task, course))| VolumeOperation {
            volume: (n % 2 == 0).then(|| volume.clone()),
            source: task.source().map(|(pool, name)| VolumeRef {
                pool: pool.clone(),
                name: name.clone(),
                ..volume.clone()
            }),
            group: matches!(task, VolumeTask::Snapshot { .. }).then(|| "all".parse().unwrap()),
            course,
            zeroed: Bytes::mib(n),
            changed_ms: 100 + n,
            ..VolumeOperation::new(
                format!("cinder:{n}").parse().unwrap(),
                task.clone(),
                (RequestId(uuid::Uuid::from_u128(7)), 42),
                n,
            )
        })
        .collect()
}

#[test]
fn what_is_put_is_read_and_an_id_has_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    let mut all = every_word();
    for operation in &all {
        state.put(operation).unwrap();
    }
    assert_eq!(state.operations().unwrap(), all);
    all[0].course = Course::Ended(End::Done);
    state.put(&all[0]).unwrap();
    state.note_zeroed(&all[1].id, Bytes::mib(9)).unwrap();
    all[1].zeroed = Bytes::mib(9);
    drop(state);
    let state = open(&dir);
    assert_eq!(state.operations().unwrap(), all);
    let nobody = "nobody".parse().unwrap();
    assert!(state.note_zeroed(&nobody, Bytes(1)).is_err());
}

#[test]
fn what_has_not_ended_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    let all = every_word();
    for operation in &all {
        state.put(operation).unwrap();
    }
    let ids: Vec<OperationId> = all.iter().map(|operation| operation.id.clone()).collect();
    state.forget(&ids).unwrap();
    assert_eq!(state.operations().unwrap(), all[..3]);
}

/// Word by word, as the first build that had it wrote it; see CONTRIBUTING.md, "Formats".
#[test]
fn records_are_written_as_the_fixture_has_them() {
    let now: Vec<serde_json::Value> = every_word()
        .iter()
        .map(|operation| serde_json::to_value(operation).unwrap())
        .collect();
    let now = format!("{:#}\n", serde_json::Value::from(now));
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/compat/state/operations-5.json"
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &now).unwrap();
    }
    let golden = fs::read_to_string(path).unwrap_or_default();
    assert!(now == golden, "{path} differs; UPDATE_GOLDEN=1 rewrites it");
    let read: Vec<VolumeOperation> = serde_json::from_str(&golden).unwrap();
    assert_eq!(read, every_word());
}

/// What an earlier version has left, also of operations that have not ended.
#[test]
fn records_of_earlier_formats_are_read() {
    for format in 1..FORMAT {
        is_read(format);
    }
}

fn is_read(format: i64) {
    let state = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/compat/state");
    let text = fs::read_to_string(format!("{state}/operations-{format}.json")).unwrap();
    let records: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    for record in &records {
        let operation: VolumeOperation = serde_json::from_value(record.clone()).unwrap();
        assert_eq!(serde_json::to_value(&operation).unwrap(), *record);
        state.put(&operation).unwrap();
        let sql = "UPDATE volume_operation SET record = ?1, format = ?3 WHERE id = ?2";
        let row = params![record.to_string(), operation.id.as_str(), format];
        state.group.connection().execute(sql, row).unwrap();
    }
    drop(state);
    let read = open(&dir).operations().unwrap();
    assert_eq!(read.len(), records.len());
    let copied = read.iter().any(|operation| operation.source.is_some());
    assert_eq!(copied, format > 1);
}

/// Of one that has not ended nothing may be left out; one that has ended is for people.
#[test]
fn an_open_operation_that_is_not_understood_keeps_the_state_closed() {
    for (change, says) in [
        ("format = 6", "the format 6"),
        (
            "record = replace(record, '\"create\"', '\"clone\"')",
            "clone",
        ),
        (
            "record = replace(record, '\"uid\"', '\"pace\":1,\"uid\"')",
            "pace",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let state = open(&dir);
        let all = every_word();
        for operation in [&all[0], &all[4]] {
            state.put(operation).unwrap();
        }
        let sql = format!("UPDATE volume_operation SET {change}");
        state.group.connection().execute(&sql, []).unwrap();
        drop(state);
        let error = SqliteJournal::open(&Folder::open(dir.path()).unwrap())
            .err()
            .unwrap();
        assert!(error.needs_another_version(), "{error}");
        assert!(
            matches!(&error, OpenError::NotUnderstood { what, .. } if what.contains(says)),
            "{error}"
        );
        let connection = Connection::open(dir.path().join("state.db")).unwrap();
        let ended = "DELETE FROM volume_operation WHERE course <> 'ended'";
        connection.execute(ended, []).unwrap();
        drop(connection);
        let read = open(&dir).operations().unwrap();
        let known = usize::from(!change.contains("format") && !change.contains("pace"));
        assert_eq!(read.len(), known, "{change}");
    }
}
