use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;
use volward_model::{
    Access, AttachmentState, Bytes, Claim, CopyFate, CopyMode, CopyPlan, InstanceId, RequestId,
    Sharing, VolumeId, VolumeRef,
};
use volward_plan::{DiskForm, Planned, Step};
use volward_ports::JournalState;

use super::*;

#[test]
fn a_record_of_a_later_format_is_named_and_not_read() {
    let later = RecordError::Later { found: 3 };
    assert_eq!(decode_entry(3, "no JSON").unwrap_err(), later);
    assert_eq!(decode_attachment(3, "no JSON").unwrap_err(), later);
    assert_eq!(
        decode_attachment(0, "{}").unwrap_err(),
        RecordError::Later { found: 0 }
    );
}

#[test]
fn a_damaged_record_is_an_error() {
    for text in [
        "",
        "{",
        "[]",
        "{}",
        "7",
        r#"{"steps":[7]}"#,
        r#"{"steps":[{"step":{"step":7}}]}"#,
    ] {
        for format in [1, FORMAT] {
            let entry = decode_entry(format, text);
            assert!(
                matches!(entry, Err(RecordError::Unreadable(_))),
                "{text}: {entry:?}"
            );
            let attachment = decode_attachment(format, text);
            assert!(
                matches!(attachment, Err(RecordError::Unreadable(_))),
                "{text}"
            );
        }
    }
}

fn volume(n: u8, name: String) -> VolumeRef {
    let word = |c: u8| char::from(c).to_string().repeat(32);
    VolumeRef {
        id: VolumeId {
            vg: word(b'v').parse().unwrap(),
            lv: word(b'a' + n).parse().unwrap(),
        },
        pool: "vg0".parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

fn volumes() -> impl Strategy<Value = VolumeRef> {
    (0u8..6, "[a-z][a-z0-9]{0,8}").prop_map(|(n, name)| volume(n, name))
}

fn instances() -> impl Strategy<Value = InstanceId> {
    any::<u128>().prop_map(|n| InstanceId(Uuid::from_u128(n)))
}

/// Which steps there are, `record::step` says, and the fixture of every word tests; here it is
/// that the right ones come back, in their order.
fn steps() -> impl Strategy<Value = Step> {
    (volumes(), instances(), 0u64..1 << 40, any::<bool>()).prop_map(
        |(volume, instance, size, link)| match link {
            true => Step::Link { volume, instance },
            false => Step::MakeCopy {
                volume,
                local: "nvme".parse().unwrap(),
                size: Bytes(size),
                metadata: Bytes(size / 64),
            },
        },
    )
}

fn planned() -> impl Strategy<Value = Planned> {
    (steps(), vec(steps(), 0..3)).prop_map(|(step, undo)| Planned { step, undo })
}

fn migration(number: u64, leaves: bool) -> volward_ports::Migration {
    match leaves {
        true => volward_ports::Migration::Leaving {
            to: number % 512,
            generation: number,
            nonce: volward_model::MigrationNonce(Uuid::from_u128(u128::from(number) << 7)),
        },
        false => volward_ports::Migration::Arriving {
            from: format!("n{number}").parse().unwrap(),
        },
    }
}

fn stored() -> impl Strategy<Value = StoredAttachment> {
    let words = vec("\\PC{0,20}", 0..3);
    (volumes(), instances(), any::<(bool, u64, u64)>(), words).prop_map(
        |(volume, instance, (whole, since_ms, sequence), causes)| StoredAttachment {
            volume,
            instance,
            instance_name: causes.concat(),
            form: if whole { DiskForm::Own } else { DiskForm::Lv },
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            asked: if whole {
                Access::ReadWrite
            } else {
                Access::ReadOnly
            },
            claims: [Claim::Libvirt, Claim::Openstack]
                .into_iter()
                .take(usize::from(whole) + 1)
                .collect(),
            copy: whole.then_some(CopyPlan {
                mode: CopyMode::Background,
                in_flight: Some(Bytes(sequence)),
                batch: None,
                fate: CopyFate::WriteBack,
            }),
            since_ms,
            sequence,
            boot_id: "boot".into(),
            state: AttachmentState::Attached,
            causes,
            migration: [None, Some(migration(sequence, whole))][usize::from(since_ms % 2 == 0)]
                .clone(),
        },
    )
}

fn operations() -> impl Strategy<Value = volward_ports::Operation> {
    use volward_ports::{Afterwards, LeavingVolume, Marked, Operation as O};
    let puts = vec(stored(), 0..3);
    let attach = (instances(), vec(planned(), 0..5), 0usize..6, puts).prop_map(
        |(instance, steps, commit_at, puts)| O::Attach {
            instance,
            steps: Marked::waiting(steps),
            commit_at,
            puts,
        },
    );
    let then = prop_oneof![
        Just(Afterwards::Nothing),
        Just(Afterwards::WriteBack),
        "\\PC{0,20}".prop_map(|why| Afterwards::Keep { why }),
    ];
    let leaving = (volumes(), then).prop_map(|(volume, then)| LeavingVolume { volume, then });
    let detach = (instances(), vec(steps(), 0..5), vec(leaving, 0..3)).prop_map(
        |(instance, steps, leaving)| O::Detach {
            instance,
            steps: Marked::waiting(steps),
            leaving,
        },
    );
    let write_back = volumes().prop_map(|volume| O::WriteBack { volume });
    prop_oneof![attach, detach, write_back]
}

proptest! {
    #[test]
    fn an_entry_of_every_operation_is_read_as_it_was_written(
        (request, started_ms) in any::<(u128, u64)>(),
        boot_id in "\\PC{0,20}",
        operation in operations(),
    ) {
        let entry = JournalEntry {
            id: 0,
            request: RequestId(Uuid::from_u128(request)),
            boot_id,
            started_ms,
            operation,
            state: JournalState::Open,
            causes: Vec::new(),
        };
        let text = encode_entry(&entry).unwrap();
        prop_assert_eq!(decode_entry(FORMAT, &text).unwrap(), entry);
    }
}

/// An entry as 0.1.0 wrote it: the fields of every kind side by side.
fn old(change: &str) -> Value {
    let one = serde_json::json!({
        "id": 0, "request": Uuid::from_u128(1), "kind": "detach", "boot_id": "b", "started_ms": 1,
        "instance": Uuid::from_u128(2), "volumes": [parts(0), parts(1)], "steps": [],
        "commit_at": 0, "puts": [], "write_back": [parts(1)], "state": "open", "marks": [],
        "causes": [],
        "removes": [
            { "volume": parts(1)["id"], "instance": Uuid::from_u128(2) },
            { "volume": parts(0)["id"], "instance": Uuid::from_u128(2) },
        ],
    });
    let mut one = one.as_object().unwrap().clone();
    let change: Value = serde_json::from_str(change).unwrap();
    one.extend(change.as_object().unwrap().clone());
    one.into()
}

fn parts(n: u8) -> Value {
    serde_json::to_value(parts::Volume::from(&volume(n, "web".into()))).unwrap()
}

#[test]
fn a_detach_of_0_1_0_takes_what_it_removed_and_brings_home_what_it_said() {
    let entry = decode_entry(1, &old("{}").to_string()).unwrap();
    let changes = entry.operation.changes();
    let removed: Vec<_> = changes.remove.iter().map(|key| key.volume).collect();
    let [a, b] = [0, 1].map(|n| volume(n, "web".into()));
    assert_eq!(removed, [b.id, a.id]);
    assert_eq!(changes.write_back, [b]);
}

#[test]
fn an_entry_of_0_1_0_that_does_not_hold_together_is_not_read() {
    let stranger = r#"{"removes":[{"volume":"x","instance":"y"}]}"#;
    for change in [
        stranger,
        r#"{"kind":"write-back","volumes":[]}"#,
        r#"{"kind":"attach","instance":null}"#,
        r#"{"deadline":1}"#,
    ] {
        let entry = decode_entry(1, &old(change).to_string());
        let unreadable = matches!(entry, Err(RecordError::Unreadable(_)));
        assert!(unreadable, "{change}: {entry:?}");
    }
    let fence = decode_entry(1, &old(r#"{"kind":"fence"}"#).to_string());
    let unknown = RecordError::Unknown("the operation `fence`".into());
    assert_eq!(fence.unwrap_err(), unknown);
}
