//! The messages of released versions, and of later ones.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests stop the test, and read fixtures by their path"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use volward_api::{
    AttachReply, AttachRequest, AttachmentView, ClusterReply, ConfirmReply, ConfirmRequest,
    DecisionReply, DecisionsReply, DetachReply, DetachRequest, DoctorReply, ExplainReply,
    HydrationView, PolicyView, PoolInitRequest, PoolView, Problem, RollbackRequest, StatusReply,
    VolumeSetRequest, VolumeStatusView, VolumeView,
};

/// What the types of today make of a message: read, and written again.
type Again = fn(Value) -> serde_json::Result<Value>;

fn again<T: DeserializeOwned + Serialize>(sent: Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(sent)?)
}

/// Whether 0.1.0 accepts fields that it does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Refused,
    Ignored,
}

const MESSAGES: &[(&str, More, Again)] = &[
    ("attach-request", More::Refused, again::<AttachRequest>),
    ("detach-request", More::Refused, again::<DetachRequest>),
    ("confirm-request", More::Refused, again::<ConfirmRequest>),
    ("pool-init-request", More::Refused, again::<PoolInitRequest>),
    (
        "volume-set-request",
        More::Refused,
        again::<VolumeSetRequest>,
    ),
    ("rollback-request", More::Refused, again::<RollbackRequest>),
    // Its copies.
    ("attach-reply", More::Refused, again::<AttachReply>),
    ("detach-reply", More::Ignored, again::<DetachReply>),
    ("confirm-reply", More::Ignored, again::<ConfirmReply>),
    ("pool-view", More::Ignored, again::<PoolView>),
    ("volume-view", More::Ignored, again::<VolumeView>),
    ("attachment-view", More::Ignored, again::<AttachmentView>),
    ("cluster-reply", More::Ignored, again::<ClusterReply>),
    ("hydration-view", More::Ignored, again::<HydrationView>),
    ("policy-view", More::Ignored, again::<PolicyView>),
    ("decisions-reply", More::Ignored, again::<DecisionsReply>),
    ("decision-reply", More::Ignored, again::<DecisionReply>),
    ("explain-reply", More::Ignored, again::<ExplainReply>),
    ("doctor-reply", More::Ignored, again::<DoctorReply>),
    ("status-reply", More::Ignored, again::<StatusReply>),
    ("problem", More::Ignored, again::<Problem>),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/compat/protocol/0.1.0")
}

/// `today` has all that `then` has, where `more` allows it with fields beside; else the path to
/// what differs.
fn kept(path: &str, then: &Value, today: &Value, more: More) -> Result<(), String> {
    match (then, today) {
        (Value::Object(then), Value::Object(today)) => {
            for (name, value) in then {
                let path = format!("{path}.{name}");
                let found = today.get(name).ok_or(format!("{path} is lost"))?;
                kept(&path, value, found, more)?;
            }
            let added = today.keys().find(|name| !then.contains_key(*name));
            match added {
                Some(name) if more == More::Refused => Err(format!("{path}.{name} is new")),
                _ => Ok(()),
            }
        }
        (Value::Array(then), Value::Array(today)) if then.len() == today.len() => {
            let mut pairs = then.iter().zip(today).enumerate();
            pairs
                .try_for_each(|(n, (then, today))| kept(&format!("{path}[{n}]"), then, today, more))
        }
        _ if then == today => Ok(()),
        _ => Err(format!("{path}: {then} has become {today}")),
    }
}

#[test]
fn every_message_of_0_1_0_is_read_and_written_as_it_was() {
    let mut files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".json")?.to_owned())
        })
        .collect();
    for (name, more, again) in MESSAGES {
        assert!(files.remove(*name), "{name}.json is not there");
        let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let samples: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(!samples.is_empty(), "{name}");
        for (n, then) in samples.iter().enumerate() {
            let today = again(then.clone()).unwrap_or_else(|e| panic!("{name}[{n}]: {e}"));
            kept(&format!("{name}[{n}]"), then, &today, *more).unwrap();
        }
    }
    assert!(files.is_empty(), "nobody reads {files:?}");
}

/// Every word in every reply: the message, the sample that has one, and where.
const WORDS: &[(&str, usize, &str)] = &[
    ("attach-reply", 0, "/attached/0/access"),
    ("attach-reply", 0, "/attached/0/sharing"),
    ("attach-reply", 0, "/attached/0/copy/mode"),
    ("attach-reply", 0, "/attached/0/copy/fate"),
    ("pool-view", 0, "/kind"),
    ("pool-view", 0, "/lock_type"),
    ("pool-view", 0, "/members/0/state"),
    ("attachment-view", 0, "/sharing"),
    ("attachment-view", 0, "/access"),
    ("attachment-view", 0, "/state"),
    ("hydration-view", 0, "/state"),
    ("policy-view", 0, "/level"),
    ("policy-view", 0, "/state"),
    ("policy-view", 0, "/hooks/0"),
    ("policy-view", 1, "/faults/0/hook"),
    ("policy-view", 1, "/faults/0/kind"),
    ("decisions-reply", 0, "/decisions/0/hook"),
    ("decisions-reply", 0, "/decisions/0/said"),
    ("decisions-reply", 0, "/decisions/0/became"),
    ("explain-reply", 0, "/steps/0/1"),
    ("doctor-reply", 0, "/checks/0/verdict"),
    ("problem", 0, "/kind"),
];

/// A client of this version goes on when a later daemon has a word more.
#[test]
fn a_word_of_a_later_version_is_kept_wherever_a_reply_has_words() {
    for (name, n, field) in WORDS {
        let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let mut samples: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut sample = samples.remove(*n);
        let word = sample.pointer_mut(field).unwrap();
        assert!(word.is_string(), "{name}{field}");
        *word = "of-a-later-version".into();
        let (.., again) = MESSAGES.iter().find(|(known, ..)| known == name).unwrap();
        let today = again(sample.clone()).unwrap_or_else(|e| panic!("{name}{field}: {e}"));
        assert_eq!(today.pointer(field), sample.pointer(field), "{name}{field}");
    }
}

/// A daemon of 0.1.0 says no status, and a later one may have a word more; a client of 0.1.0 passes the status by, for what
/// it read of a volume is there as it was.
#[test]
fn a_status_may_be_absent_and_its_words_may_grow() {
    let text = fs::read_to_string(folder().join("volume-view.json")).unwrap();
    let samples: Vec<Value> = serde_json::from_str(&text).unwrap();
    for (n, then) in samples.into_iter().enumerate() {
        let mut view: VolumeView = serde_json::from_value(then.clone()).unwrap();
        assert_eq!(view.status, None, "volume-view[{n}]");
        let of_later = r#"{"word": "of-a-later-version", "attached": 1, "attaching": 0, "detaching": 0, "fault": 2}"#;
        let status: VolumeStatusView = serde_json::from_str(of_later).unwrap();
        assert_eq!((status.attached, status.fault), (1, 2));
        view.status = Some(status);
        let today = serde_json::to_value(&view).unwrap();
        assert_eq!(today["status"]["word"], "of-a-later-version");
        kept(&format!("volume-view[{n}]"), &then, &today, More::Ignored).unwrap();
    }
}

/// What the tests above rest on.
#[test]
fn a_lost_field_a_changed_word_and_an_added_field_are_noticed() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let then = value(r#"{"state": "done", "steps": [1]}"#);
    for (today, said) in [
        (r#"{"steps": [1]}"#, "x.state is lost"),
        (
            r#"{"state": "Done", "steps": [1]}"#,
            r#"x.state: "done" has become "Done""#,
        ),
        (
            r#"{"state": "done", "steps": []}"#,
            "x.steps: [1] has become []",
        ),
        (
            r#"{"state": "done", "steps": [1], "more": 1}"#,
            "x.more is new",
        ),
    ] {
        let found = kept("x", &then, &value(today), More::Refused);
        assert_eq!(found, Err(said.to_owned()));
    }
    let more = value(r#"{"state": "done", "steps": [1], "more": 1}"#);
    assert_eq!(kept("x", &then, &more, More::Ignored), Ok(()));
}
