use std::collections::BTreeSet;

use serde_json::{Value, from_value, json, to_value};
use volward_model::{
    Access, AttachmentState, CopyFate, CopyMode, CopyState, FaultKind, HomeState, LvmUuid,
    MemberState, Sharing, VolumeStatus,
};

use super::*;
use crate::{
    AttachRequest, AttachmentView, ConfirmRequest, DiskPath, DoctorVerdict, Problem, ProblemCode,
};

/// Every word is another one, is read back, and is what people are shown unless `shown` says
/// otherwise.
fn are_words<T: Words + fmt::Debug>(shown: impl Fn(T) -> Option<&'static str>) {
    let words: BTreeSet<String> = T::ALL.iter().map(|value| value.word()).collect();
    assert_eq!(words.len(), T::ALL.len(), "{words:?}");
    for value in T::ALL {
        let word = value.word();
        assert_eq!(T::of_word(&word), Some(*value));
        let open = Open::from(*value);
        assert_eq!(to_value(&open).unwrap(), json!(word));
        assert_eq!(from_value::<Open<T>>(json!(word)).unwrap(), open);
        assert_eq!(open.to_string(), shown(*value).unwrap_or(&word));
    }
}

fn as_sent<T: Words + fmt::Debug>() {
    are_words::<T>(|_| None);
    for value in T::ALL {
        assert_eq!(to_value(value).unwrap(), json!(value.word()));
    }
}

#[test]
fn each_list_has_one_set_of_words() {
    as_sent::<Access>();
    as_sent::<Sharing>();
    as_sent::<AttachmentStage>();
    as_sent::<VolumeStatus>();
    as_sent::<CopyMode>();
    as_sent::<CopyFate>();
    as_sent::<CopyState>();
    as_sent::<MemberState>();
    as_sent::<DiskPath>();
    as_sent::<DomainEvent>();
    as_sent::<PoolKind>();
    as_sent::<LockType>();
    as_sent::<VolumeHome>();
    as_sent::<PolicyLevel>();
    as_sent::<PolicyState>();
    as_sent::<Hook>();
    as_sent::<Said>();
    as_sent::<Became>();
    as_sent::<StepState>();
    as_sent::<OperationKind>();
    as_sent::<OperationState>();
    as_sent::<VolumeMark>();
    as_sent::<Witness>();
    as_sent::<Heard>();
    as_sent::<DoctorVerdict>();
    are_words::<FaultKind>(|_| None);
    are_words(|kind| match kind {
        ProblemCode::BadRequest => Some("bad request"),
        ProblemCode::NotFound => Some("not found"),
        ProblemCode::Faulted => Some("policy fault"),
        ProblemCode::Storage => Some("storage failure"),
        ProblemCode::Internal => Some("internal failure"),
        _ => None,
    });
}

#[test]
fn the_word_of_a_home_is_its_tags() {
    let node: volward_model::NodeName = "n1".parse().unwrap();
    let copy: LvmUuid = "c".repeat(32).parse().unwrap();
    for state in [
        HomeState::Pool,
        HomeState::Split {
            node: node.clone(),
            copy,
        },
        HomeState::Node {
            node: node.clone(),
            copy,
        },
        HomeState::Returning { node, copy },
    ] {
        assert_eq!(VolumeHome::from(&state).word(), state.word());
    }
}

/// An intent is an attachment that is being made, whichever node makes it; a client of 0.1.0 shows the word all the same.
#[test]
fn an_attachment_on_record_has_a_word() {
    for (state, word) in [
        (AttachmentState::Intent, "attaching"),
        (AttachmentState::Attached, "attached"),
        (AttachmentState::Quarantined, "quarantined"),
    ] {
        assert_eq!(AttachmentStage::from(state).word(), word);
    }
}

fn attachment(state: &str) -> Value {
    json!({
        "node": "n1", "instance": "x", "instance_name": null, "pool": "vg0", "volume": "web",
        "sharing": "exclusive", "access": "read-write", "state": state, "device": null,
        "since_ms": 1, "causes": [],
    })
}

#[test]
fn a_word_of_a_later_daemon_is_kept_and_shown() {
    let later = attachment("fenced");
    let view: AttachmentView = from_value(later.clone()).unwrap();
    assert_eq!(view.state, Open::Other("fenced".into()));
    assert_eq!(
        (view.state.known(), view.state.to_string()),
        (None, "fenced".into())
    );
    assert_ne!(view.state, AttachmentStage::Attached);
    assert_eq!(to_value(&view).unwrap(), later);
    // A word is a word: a number is no later version's.
    let mut bad = attachment("attached");
    bad["state"] = json!(3);
    from_value::<AttachmentView>(bad).unwrap_err();
}

#[test]
fn a_problem_of_a_later_daemon_is_one() {
    let later = json!({"kind": "fenced", "code": "lease-lost", "message": "the lease is lost"});
    let problem: Problem = from_value(later.clone()).unwrap();
    assert_eq!(problem.to_string(), "the lease is lost");
    assert_eq!(problem.http_status(), 500);
    assert_eq!(to_value(&problem).unwrap(), later);
}

fn attach_with(field: &str, value: &str) -> String {
    let mut disk = json!({"pool": "vg0", "volume": "web", "access": "read-write"});
    disk[field] = json!(value);
    let request = json!({
        "instance": "11111111-2222-3333-4444-555555555555", "instance_name": "", "purpose": "boot",
        "disks": [disk],
    });
    from_value::<AttachRequest>(request)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_request_with_a_word_that_is_not_in_the_list_is_refused_with_those_that_are() {
    for (field, sentence) in [
        ("access", r#""own" is none of read-write, read-only"#),
        ("sharing", r#""own" is none of exclusive, shared"#),
    ] {
        assert_eq!(attach_with(field, "own"), sentence);
    }
    assert_eq!(attach_with("path", "ro"), r#""ro" is none of own, lv"#);
    let confirm = json!({
        "instance": "11111111-2222-3333-4444-555555555555", "event": "paused", "volumes": [],
    });
    assert_eq!(
        from_value::<ConfirmRequest>(confirm)
            .unwrap_err()
            .to_string(),
        r#""paused" is none of start, started, stopped, reconnect, attach"#
    );
}
