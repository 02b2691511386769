//! Whatever a policy does, the daemon gets a fault with the right name in bounded time.

use std::time::{Duration, Instant};

use crate::common::{Lab, Once, disk, facts, fault, fault_kind, guest, verdict, volume};
use volward_model::{Combined, CopyFate, FaultKind, Verdict};
use volward_policy::{Chain, PluginState, Runtime, Sources};

#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is what is tested"
)]
fn now() -> Instant {
    Instant::now()
}

/// Loads and asks the misbehaving policy beside the baseline.
fn misbehave(what: &str) -> (FaultKind, String) {
    let mut lab = Lab::new();
    if what == "loop" {
        lab.limits.deadline_ms = 100;
    }
    lab.put_hostile(&format!("[config]\ndo = \"{what}\""));
    let chain = lab.load();
    let start = now();
    let record = chain.attach(&facts(vec![disk("a")]));
    // What ends by a deadline ends after 100 ms; the rest is for a busy machine.
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "took {:?}",
        start.elapsed()
    );
    assert!(
        matches!(record.combined, Combined::Faulted(_)),
        "{:?}",
        record.combined
    );
    assert!(matches!(verdict(&record, "baseline"), Verdict::Granted(_)));
    let fault = fault(&record, "hostile");
    // The next decision of the same chain is not worse for it.
    assert_eq!(
        fault_kind(&chain.attach(&facts(vec![disk("a")])), "hostile"),
        fault.kind
    );
    (fault.kind, fault.message.clone())
}

#[test]
fn an_endless_loop_meets_the_deadline() {
    assert_eq!(misbehave("loop").0, FaultKind::Deadline);
}

#[test]
fn deadlines_hold_after_a_long_rest() {
    let mut lab = Lab::new();
    (lab.limits.deadline_ms, lab.limits.tick_ms) = (20, 1);
    lab.put_hostile("[config]\ndo = \"loop\"");
    let chain = lab.load();
    // By now the ticker has gone to sleep: it does after 200 idle ticks.
    std::thread::sleep(Duration::from_millis(600));
    let record = chain.attach(&facts(vec![disk("a")]));
    assert_eq!(fault_kind(&record, "hostile"), FaultKind::Deadline);
}

#[test]
fn a_stack_that_no_thread_has_is_refused() {
    let mut lab = Lab::new();
    lab.limits.stack_bytes = 8 << 20;
    let refused = Runtime::new(lab.limits.clone(), None, 0, Box::new(Once)).err();
    assert!(refused.is_some_and(|error| error.to_string().contains("at most 1048576")));
}

#[test]
fn a_memory_hoard_meets_the_memory_limit() {
    let (kind, message) = misbehave("memory");
    assert_eq!(kind, FaultKind::Memory);
    assert!(message.contains("134217728 bytes"), "{message}");
}

#[test]
fn deep_recursion_meets_the_stack_limit() {
    assert_eq!(misbehave("recursion").0, FaultKind::Stack);
}

#[test]
fn floods_of_lines_bytes_and_notes_meet_the_log_limit() {
    for what in ["log-lines", "log-bytes", "note-flood"] {
        assert_eq!(misbehave(what).0, FaultKind::LogFlood, "{what}");
    }
}

#[test]
fn huge_strings_meet_the_hostcall_limit() {
    for what in ["log-string", "denial-string"] {
        let (kind, message) = misbehave(what);
        assert_eq!(kind, FaultKind::Hostcall, "{what}: {message}");
    }
}

#[test]
fn panics_are_traps_and_what_they_say_is_in_the_log() {
    for (what, said) in [
        ("panic", "on purpose"),
        ("index", "out of bounds"),
        ("foreign-disk", "not asked for"),
    ] {
        let lab = Lab::new();
        lab.put_hostile(&format!("[config]\ndo = \"{what}\""));
        let record = lab.load().attach(&facts(vec![disk("a")]));
        assert_eq!(fault_kind(&record, "hostile"), FaultKind::Trap, "{what}");
        let log = &record.plugins[1].log;
        assert!(log.iter().any(|line| line.contains(said)), "{log:?}");
    }
}

/// On two processors four policies that hang would keep every decision waiting.
#[test]
fn a_call_that_is_slow_gives_way_and_the_thread_is_as_before_after_it() {
    use rustix::process::{geteuid, getpriority_process};

    let mut lab = Lab::new();
    lab.limits.deadline_ms = 250;
    lab.baseline = false;
    lab.put_hostile("[config]\ndo = \"loop\"");
    let chain = lab.load();
    let before = getpriority_process(None).unwrap();
    let own = rustix::thread::gettid();
    let during = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            // Processor time decides, of which a busy machine gives little: it is waited for.
            let lower = if geteuid().is_root() { 10 } else { 0 };
            let mut seen = before;
            for _ in 0..400 {
                std::thread::sleep(Duration::from_millis(5));
                seen = getpriority_process(Some(own)).unwrap();
                if seen == (before + lower).min(19) {
                    break;
                }
            }
            seen
        });
        let record = chain.attach(&facts(vec![disk("a")]));
        assert_eq!(fault_kind(&record, "hostile"), FaultKind::Deadline);
        watch.join().unwrap()
    });
    // Whoever is not root could not have it back.
    let lower = if geteuid().is_root() { 10 } else { 0 };
    assert_eq!(
        (during, getpriority_process(None).unwrap()),
        // Whoever runs the tests with a low priority cannot have less.
        ((before + lower).min(19), before)
    );
}

/// A deadline by the clock made faults, which refuse, of whatever had to wait for a processor.
#[test]
fn a_deadline_is_of_processor_time_on_a_busy_node_too() {
    use rustix::time::{ClockId, clock_gettime};
    use std::sync::atomic::{AtomicBool, Ordering};

    let had = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let mut lab = Lab::new();
    (lab.limits.deadline_ms, lab.limits.tick_ms) = (20, 1);
    lab.baseline = false;
    lab.put_hostile("[config]\ndo = \"loop\"");
    let chain = lab.load();
    let done = AtomicBool::new(false);
    let processors = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..processors * 2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let before = had();
        let record = chain.attach(&facts(vec![disk("a")]));
        let had = had() - before;
        done.store(true, Ordering::Relaxed);
        assert_eq!(fault_kind(&record, "hostile"), FaultKind::Deadline);
        assert!(had >= Duration::from_millis(20), "{had:?}");
    });
}

/// A fault is named; whoever wrote the policy wants to know where it was, too.
#[test]
fn a_fault_says_where_in_the_policy_it_was() {
    let mut lab = Lab::new();
    lab.limits.deadline_ms = 100;
    for what in ["panic", "loop", "memory", "recursion"] {
        lab.put_hostile(&format!("[config]\ndo = \"{what}\""));
        let record = lab.load().attach(&facts(vec![disk("a")]));
        let frames = &fault(&record, "hostile").backtrace;
        assert!(
            !frames.is_empty() && frames.len() <= 20,
            "{what}: {frames:?}"
        );
        assert!(
            frames
                .iter()
                .any(|frame| frame.contains("hostile") && frame.contains(" at 0x")),
            "{what}: {frames:?}"
        );
    }
}

#[test]
fn a_fault_at_detach_leaves_the_granted_fate() {
    let mut lab = Lab::new();
    lab.limits.deadline_ms = 100;
    lab.put_hostile("[config]\ndo-at-detach = \"loop\"");
    let record = lab
        .load()
        .detach(&facts(vec![disk("a")]), &[(volume("a"), CopyFate::Keep)]);
    assert_eq!(fault_kind(&record, "hostile"), FaultKind::Deadline);
    assert_eq!(
        record.combined,
        Combined::Advised(vec![(volume("a"), CopyFate::Keep)])
    );
}

#[test]
fn who_misbehaves_while_loaded_is_refused() {
    for (what, said) in [
        ("loop", "deadline"),
        ("memory", "memory"),
        ("panic", "trap"),
    ] {
        let lab = Lab::new();
        lab.put_hostile(&format!("[config]\ndo-at-load = \"{what}\""));
        let status = lab.load().status();
        let PluginState::Refused { reason } = &status[1].state else {
            panic!("{what} was loaded")
        };
        assert!(reason.contains(said), "{reason}");
    }
}

#[test]
fn a_monitored_policy_can_do_what_it_likes() {
    for what in ["loop", "panic", "refuse", "narrow"] {
        let mut lab = Lab::new();
        lab.limits.deadline_ms = 500;
        let quiet = lab.load().attach(&facts(vec![disk("a")]));
        lab.put_hostile(&format!("level = \"monitor\"\n[config]\ndo = \"{what}\""));
        let record = lab.load().attach(&facts(vec![disk("a")]));
        assert_eq!(record.combined, quiet.combined, "{what}");
        assert!(record.plugins[1].monitored);
    }
}

/// A chain of the baseline alone and one that loops for ever, in one runtime.
fn good_and_endless(lab: &Lab) -> (Chain, Chain) {
    let runtime = lab.runtime();
    let baseline = guest("baseline");
    let folder = lab.named();
    let sources = Sources {
        baseline: Some(&baseline),
        folder: &folder,
    };
    let good = runtime.load(sources);
    lab.put_hostile("[config]\ndo = \"loop\"");
    (good, runtime.load(sources))
}

#[test]
fn good_decisions_have_their_turn_between_endless_ones() {
    let mut lab = Lab::new();
    (lab.limits.concurrency, lab.limits.deadline_ms) = (2, 50);
    let (good, endless) = good_and_endless(&lab);
    let start = now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let record = endless.attach(&facts(vec![disk("a")]));
                assert_eq!(fault_kind(&record, "hostile"), FaultKind::Deadline);
            });
        }
        for _ in 0..20 {
            let record = good.attach(&facts(vec![disk("a")]));
            assert!(matches!(record.combined, Combined::Granted(_)));
        }
    });
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn who_has_no_turn_in_time_faults_and_does_not_wait_for_ever() {
    let mut lab = Lab::new();
    (
        lab.limits.concurrency,
        lab.limits.deadline_ms,
        lab.limits.patience_ms,
    ) = (1, 1_000, 20);
    let (good, endless) = good_and_endless(&lab);
    std::thread::scope(|scope| {
        scope.spawn(|| endless.attach(&facts(vec![disk("a")])));
        std::thread::sleep(Duration::from_millis(300));
        let record = good.attach(&facts(vec![disk("a")]));
        assert_eq!(fault_kind(&record, "baseline"), FaultKind::Runtime);
    });
    assert!(matches!(
        good.attach(&facts(vec![disk("a")])).combined,
        Combined::Granted(_)
    ));
}
