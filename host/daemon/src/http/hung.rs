//! A pool whose disks neither answer nor fail: what somebody on call asks is answered all the same. What he
//! reads then is kept for the command line's tests (`host/cli/tests/faults`).

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use serde_json::json;
use volward_api::DoctorVerdict;
use volward_control::ports::Clock;
use volward_simulation::{Say, instance};

use super::explain::explain;
use super::pools::pools;
use super::views::cluster;
use crate::doctor::faults::{bad, daemon, keep, refused, stage};
use crate::doctor::reply;
use crate::looks::Looks;
use crate::system::SystemClock;

/// Instead of the ten seconds of a node.
const PATIENCE: Duration = Duration::from_secs(1);
/// What hangs is let go then: the test fails, and ends.
const TOO_LATE: Duration = Duration::from_secs(20);

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/faults/hung.json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_explain_answer_in_time_over_a_pool_that_hangs() {
    let stage = stage(Say::AsAsked);
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = daemon(&stage, folder.path());
    Arc::get_mut(&mut daemon).unwrap().looks = Looks::with_patience(PATIENCE);
    let (pool, kernel) = (stage.lab.pool.clone(), stage.n1.kernel.clone());
    kernel.set_hung(&pool, true);
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        // An error means that it is over, or late: either way nothing hangs any more.
        let _over = ended.recv_timeout(TOO_LATE);
        kernel.set_hung(&pool, false);
    });
    let clock = SystemClock::new();
    let (of, begin) = (Arc::clone(&daemon), clock.monotonic());
    let found = tokio::task::spawn_blocking(move || reply(&of))
        .await
        .unwrap();
    assert!(clock.monotonic() - begin < PATIENCE * 3, "doctor was late");

    // The pool is named, and nothing is said of its attaches that is not known; what is known of the others is there.
    assert_eq!(found.unanswered, ["san"]);
    assert_eq!(refused(&found), [].into());
    let said = |name: &str| found.checks.iter().find(|check| check.name == name);
    let hangs = said("pool san").unwrap();
    assert!(hangs.found.contains("has not answered"), "{hangs:?}");
    for other in ["pool other", "local pool nvme-n1"] {
        let other = said(other).unwrap_or_else(|| panic!("no {other}: {found:#?}"));
        assert_eq!(other.verdict, DoctorVerdict::Ok, "{other:?}");
    }

    let (uri, begin) = (format!("/?instance={}", instance(1)), clock.monotonic());
    let asked = Query::try_from_uri(&uri.parse().unwrap()).unwrap();
    let Ok(Json(story)) = explain(State(Arc::clone(&daemon)), asked).await else {
        panic!("explain fails")
    };
    assert!(clock.monotonic() - begin < PATIENCE * 3, "explain was late");
    assert!(
        story.trouble.iter().any(|one| one.contains("san")),
        "{story:?}"
    );

    // What is known of the other pools is there, and what is missing is named.
    let begin = clock.monotonic();
    let Ok(Json(listed)) = pools(State(Arc::clone(&daemon))).await else {
        panic!("pool ls fails")
    };
    let Ok(Json(all)) = cluster(State(Arc::clone(&daemon))).await else {
        panic!("ls --all fails")
    };
    assert!(
        clock.monotonic() - begin < PATIENCE * 6,
        "the lists were late"
    );
    let trouble = |name: &str| {
        let view = listed.iter().find(|view| view.name == name).unwrap();
        view.trouble.clone()
    };
    assert!(trouble("san").unwrap().contains("has not answered"));
    assert_eq!((trouble("other"), trouble("nvme-n1")), (None, None));
    let unread: Vec<_> = all
        .unreadable
        .iter()
        .filter(|one| one.contains("pool san"))
        .collect();
    assert_eq!(unread.len(), 1, "{all:?}");
    assert!(!all.attachments.is_empty(), "its own are remembered");
    drop(done);
    watch.join().unwrap();
    let kept = json!({
        "doctor": { "checks": bad(&found), "pools": found.pools, "unanswered": found.unanswered },
        "trouble": story.trouble,
    });
    keep(
        KEPT,
        &format!("{}\n", serde_json::to_string_pretty(&kept).unwrap()),
    );
}
