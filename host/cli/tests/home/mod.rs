//! `hydration home --wait`: a copy becomes whole, is asked home, and is there.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::json;
use volward_api::fake::Canned;
use volward_api::{Problem, ProblemCode};

use crate::at;
use crate::support::{Node, assert_golden};

const ASKED: &str = "hydration home vg0/root --wait";

/// Answers a call for what is under way, and one that asks for it home.
struct Daemon {
    copies: Mutex<VecDeque<Canned>>,
    asked: Mutex<VecDeque<Canned>>,
}

/// The last answer of each kind is given again.
fn node(copies: impl IntoIterator<Item = Canned>, asked: impl IntoIterator<Item = Canned>) -> Node {
    let daemon = Daemon {
        copies: Mutex::new(copies.into_iter().collect()),
        asked: Mutex::new(asked.into_iter().collect()),
    };
    let next = |answers: &Mutex<VecDeque<Canned>>| {
        let mut answers = answers.lock().unwrap();
        match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        }
    };
    Node::with(move |seen| match seen.line.as_str() {
        "GET /v1/hydrations" => next(&daemon.copies),
        "POST /v1/hydrations/home" => next(&daemon.asked),
        other => panic!("{other}"),
    })
}

fn none() -> Canned {
    Canned::json(&json!([]))
}

fn begun() -> Canned {
    Canned::json(&json!({"begun": true}))
}

fn not_whole(retry_after_ms: Option<u64>) -> Canned {
    Canned::problem(&Problem {
        kind: ProblemCode::Refused.into(),
        code: "not-hydrated".to_owned(),
        message: "the copy of vg0/root cannot come home yet".to_owned(),
        details: vec![],
        retry_after_ms,
        request: None,
    })
}

#[test]
fn a_copy_that_hydrates_is_waited_for_twice() {
    let node = node(
        [
            at(40, "hydrating"),
            at(70, "stalled"),
            at(100, "complete"),
            at(100, "complete"),
            at(30, "returning"),
            none(),
        ],
        [not_whole(Some(10_000)), begun()],
    );
    let ended = node.volward(ASKED);
    assert_golden("hydration-home-wait", ASKED, &ended);
    assert_eq!(ended.code, 0);
}

#[test]
fn what_is_at_home_is_not_waited_for() {
    let node = node([none()], [Canned::json(&json!({"begun": false}))]);
    let ended = node.volward(ASKED);
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (0, "the data of vg0/root is at home\n")
    );
    assert_eq!(node.volward(&format!("--json {ASKED}")).stdout, "");
}

/// It takes writes only, and would be waited for without an end.
#[test]
fn a_copy_that_never_becomes_whole_is_refused_at_once() {
    let node = node([at(10, "writes-only")], [not_whole(None)]);
    let ended = node.volward(ASKED);
    assert_eq!(ended.code, 4);
    assert!(ended.stderr.contains("not-hydrated"), "{ended:?}");
}

#[test]
fn a_copy_that_fails_ends_it() {
    let hydrates = node([at(40, "failed")], [not_whole(Some(10_000))]);
    assert_eq!(hydrates.volward(ASKED).code, 6);
    let returns = node([at(40, "failed")], [begun()]);
    assert_eq!(returns.volward(ASKED).code, 6);
}

#[test]
fn a_copy_that_is_there_again_is_not_called_home() {
    let node = node([at(90, "returning"), at(5, "hydrating")], [begun()]);
    let ended = node.volward(ASKED);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("a local copy again"), "{ended:?}");
}
