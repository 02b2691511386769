use std::io::Write;
use std::sync::{Arc, Mutex};

use volward_model::{RequestId, VolumeId};

use super::*;

/// What is logged, as text.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn line_of(event: &Event) -> String {
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || EventLog.tell(event));
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    assert_eq!(lines.next(), None, "{text}");
    line
}

fn volume(name: &str) -> VolumeRef {
    VolumeRef {
        id: VolumeId {
            vg: "v".repeat(32).parse().unwrap(),
            lv: "a".repeat(32).parse().unwrap(),
        },
        pool: "vg0".parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

fn subject() -> Subject {
    Subject {
        request: RequestId(uuid::Uuid::from_u128(7)),
        operation: "attach",
        instance: Some("11111111-2222-3333-4444-555555555555".parse().unwrap()),
        volumes: vec![volume("web"), volume("log")],
    }
}

#[test]
fn a_line_about_an_operation_names_request_instance_and_volumes() {
    let causes = vec!["it broke".to_owned(), "so did the undo".to_owned()];
    let line = line_of(&Event::Quarantined {
        of: subject(),
        causes,
    });
    for part in [
        "ERROR",
        "quarantined",
        "operation=\"attach\"",
        "request=00000000-0000-0000-0000-000000000007",
        "instance=11111111-2222-3333-4444-555555555555",
        "volumes=vg0/web, vg0/log",
        "it broke",
        "so did the undo",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_write_back_is_for_no_instance() {
    let of = Subject {
        instance: None,
        ..subject()
    };
    let restarted = true;
    let line = line_of(&Event::TakenUp { of, restarted });
    assert!(
        line.contains("WARN") && line.contains("restarted=true"),
        "{line}"
    );
    assert!(!line.contains("instance="), "{line}");
}

#[test]
fn a_decision_that_is_made_again_is_a_line_of_its_own() {
    let line = line_of(&Event::DecidedAgain {
        request: subject().request,
        reason: "its home has changed".to_owned(),
    });
    assert!(
        line.contains("INFO") && line.contains("deciding again"),
        "{line}"
    );
    assert!(line.contains("reason=its home has changed"), "{line}");
}

/// What nobody can do without is an error: it is what pages are made of.
#[test]
fn what_an_operator_has_to_act_on_is_an_error() {
    let (pool, reason) = ("vg0".parse().unwrap(), "no space".to_owned());
    let stalled = Event::CopyStalled {
        volume: volume("web"),
        hydrated: 3,
        total: 9,
        idle: std::time::Duration::from_secs(301),
    };
    let line = line_of(&stalled);
    assert!(
        line.contains("ERROR") && line.contains("hydrated=3 total=9 idle=301s"),
        "{line}"
    );
    let events = [
        Event::PoolUnusable {
            pool,
            reason: reason.clone(),
        },
        Event::Unrecorded {
            what: "an end".to_owned(),
            reason: reason.clone(),
        },
        Event::StrayStays {
            what: "a device".to_owned(),
            reason,
        },
    ];
    for event in events {
        let line = line_of(&event);
        assert!(
            line.contains("ERROR") && line.contains("reason=no space"),
            "{line}"
        );
    }
}
