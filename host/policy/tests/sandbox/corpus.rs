//! Components written to do harm (`volward-corpus`): every one is contained, under its right name
//! and within its deadline, and the policies beside it go on.
//!
//! What misbehaves in Rust is in `hostile.rs`; files that are no files in `folder.rs`; random ones
//! in `fuzz.rs`.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Lab, chmod, disk, facts, guest, verdict};
use volward_corpus::End::{self, Fault, Refused, Serves};
use volward_model::{Combined, Verdict};
use volward_policy::{PluginState, PluginStatus, digest};

/// A call may take so long; what ends by it is told apart from what ends by itself.
const DEADLINE: Duration = Duration::from_millis(300);
/// For a busy machine, and for compiling in a debug build.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is what is tested"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn each_is_contained_under_its_name_and_within_its_deadline() {
    let corpus = volward_corpus::all(&guest("baseline")).unwrap();
    assert!(corpus.len() >= 25, "{} components", corpus.len());
    let wrong: Vec<String> = corpus
        .into_iter()
        .filter_map(|one| {
            let wrong = contained(one.component, &one.end).err()?;
            Some(format!("{}: {wrong}", one.what))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn contained(bytes: Vec<u8>, end: &End) -> Result<(), String> {
    let mut lab = Lab::new();
    (lab.limits.deadline_ms, lab.limits.load_deadline_ms) = (300, 300);
    lab.put("50-bad.wasm", bytes);
    // Whoever comes after it is asked all the same.
    lab.put("60-good.wasm", guest("baseline"));
    let begun = now();
    let chain = lab.load();
    let state = chain.status().swap_remove(1).state;
    let record = chain.attach(&facts(vec![disk("a")]));
    let took = begun.elapsed();
    if took > DEADLINE + PATIENCE {
        return Err(format!("it took {took:?}"));
    }
    for good in ["baseline", "good"] {
        let said = verdict(&record, good);
        if !matches!(said, Verdict::Granted(_)) {
            return Err(format!("{good}: {said:?}"));
        }
    }
    let granted = matches!(record.combined, Combined::Granted(_));
    let said = verdict(&record, "bad");
    let as_it_should = match (end, &state, said) {
        (Serves, PluginState::Serving, Verdict::Granted(_)) => granted,
        (Refused(words), PluginState::Refused { reason }, Verdict::Faulted(_)) => {
            !granted && !reason.is_empty() && reason.contains(&**words)
        }
        (Fault(kind, words), PluginState::Serving, Verdict::Faulted(fault)) => {
            !granted && fault.kind == *kind && fault.message.contains(&**words)
        }
        _ => false,
    };
    if as_it_should {
        return Ok(());
    }
    Err(format!("{state:?}, {said:?}"))
}

/// Whoever writes while it is read gets what was there at one moment, or a refusal; what was
/// hashed is what runs.
#[test]
fn a_file_that_changes_while_it_is_read_is_one_or_the_other() {
    let lab = Lab::new();
    let both = [guest("baseline"), guest("deny-by-prefix")];
    let digests = both.each_ref().map(|bytes| digest(bytes));
    let path = lab.put("50-moving.wasm", &both[0]);
    let done = AtomicBool::new(false);
    let (states, serving) = std::thread::scope(|scope| {
        scope.spawn(|| {
            for bytes in both.iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                // In place: the worst way.
                fs::write(&path, bytes).unwrap();
                chmod(&path, 0o644);
                // Else it would hardly ever be whole.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let states: Vec<_> = (0..40)
            .map(|_| lab.load().status().swap_remove(1))
            .collect();
        // Nothing fails before this: the writer would never end.
        done.store(true, Ordering::Relaxed);
        let serving = |status: &PluginStatus| status.state == PluginState::Serving;
        let count = states.iter().filter(|status| serving(status)).count();
        (states, count)
    });
    for status in states {
        match &status.state {
            PluginState::Serving => assert!(digests.contains(&status.digest), "{status:?}"),
            // Half of one: what was whole before serves, if anything was.
            PluginState::Kept { reason } => {
                assert!(
                    digests.contains(&status.digest) && !reason.is_empty(),
                    "{status:?}"
                );
            }
            PluginState::Refused { reason } => assert!(!reason.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    assert!(serving > 0, "it was never seen whole");
}
