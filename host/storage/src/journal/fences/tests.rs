use volward_folder::Folder;
use volward_model::VolumeId;

use super::super::fixture;
use super::*;

fn open(dir: &tempfile::TempDir) -> SqliteJournal {
    SqliteJournal::open(&Folder::open(dir.path()).unwrap()).unwrap()
}

fn record(n: u64, version: Option<u64>) -> FenceRecord {
    FenceRecord {
        attachment: AttachmentKey {
            volume: VolumeId {
                vg: "v".repeat(32).parse().unwrap(),
                lv: n.to_string().repeat(32).parse().unwrap(),
            },
            instance: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        },
        granted_ms: 1_795_900_000_000 + n,
        reason: "the lockspace of san was last renewed 60 s ago".to_owned(),
        since_ms: 1_795_900_060_000 + n,
        regainable: version.is_some(),
        version,
        asked: version.is_none(),
    }
}

#[test]
fn what_is_on_record_is_what_was_written_last() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    assert_eq!(state.fences().unwrap(), []);
    let all = [record(1, Some(7)), record(2, None)];
    state.replace_fences(&all).unwrap();
    assert_eq!(state.fences().unwrap(), all);
    state.replace_fences(&all[1..]).unwrap();
    drop(state);
    assert_eq!(open(&dir).fences().unwrap(), all[1..]);
}

/// What a later version writes is no ground to give I/O back.
#[test]
fn a_record_that_is_not_understood_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(&dir);
    state
        .replace_fences(&[record(1, Some(7)), record(2, Some(8))])
        .unwrap();
    let change = "UPDATE fence SET format = 2 WHERE lv LIKE '1%'";
    state.group.connection().execute(change, []).unwrap();
    assert_eq!(state.fences().unwrap(), [record(2, Some(8))]);
    let change = "UPDATE fence SET record = '{\"volume\": 1}' WHERE format = 1";
    state.group.connection().execute(change, []).unwrap();
    assert_eq!(state.fences().unwrap(), []);
}

#[test]
fn records_are_written_as_the_fixture_has_them() {
    let all = [record(1, Some(7)), record(2, None)];
    fixture::is_as_written::<Fence, _>("fences-1.json", &all);
}
