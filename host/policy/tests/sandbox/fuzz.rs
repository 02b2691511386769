//! Anything into the loader, and anything into the log's reader: no crash, no hang.
//! [`volward_samples::fuzz`] says for how long, and how to run longer.

use std::sync::Arc;

use arbitrary::Unstructured;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use volward_model::DecisionRecord;
use volward_policy::{Limits, LogReader, LogWriter, Outcome, Runtime, Settings};
use volward_samples::fuzz::fuzz;
use volward_samples::mutate;
use volward_workbench::InProcess;
use wasm_smith::{Component, Config, Module};

use crate::common::{guest, uid};

/// The component model's header; a module's differs in the layer.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn make<T>(runner: &mut TestRunner, strategy: impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

/// Loads it as the daemon does; what is loaded is asked.
fn load(runtime: &Runtime, component: &[u8], runner: &mut TestRunner) -> bool {
    let settings = Settings::default();
    if runtime.check("fuzzed", component, &settings).is_err() {
        return false;
    }
    let chain = runtime.assemble([("fuzzed", component, &settings)]);
    let facts = make(runner, volward_samples::facts());
    let record = chain.attach(&facts);
    assert_eq!(record.plugins.len(), 1);
    let copies = vec![(
        make(runner, volward_samples::volume()),
        make(runner, volward_samples::copy_fate()),
    )];
    let record = chain.detach(&facts, &copies);
    assert_eq!(record.copies, copies);
    true
}

fn runtime() -> Runtime {
    let limits = Limits {
        deadline_ms: 100,
        load_deadline_ms: 200,
        ..Limits::default()
    };
    Runtime::new(limits, None, uid(), Box::new(InProcess::new().unwrap())).unwrap()
}

#[test]
fn fuzz_mutated_components_are_loaded_or_refused() {
    let runtime = runtime();
    let guests: Vec<Vec<u8>> = ["one-writer", "baseline", "hostile"].map(guest).into();
    // As they are they load: the changes are what is refused.
    let mut runner = TestRunner::deterministic();
    assert!(load(&runtime, &guests[0], &mut runner));
    fuzz("mutated components", |runner| {
        let whole = make(runner, prop::sample::select(guests.clone()));
        let changed = make(runner, mutate::bytes(whole));
        load(&runtime, &changed, runner);
    });
}

#[test]
fn fuzz_random_bytes_are_no_components() {
    let runtime = runtime();
    fuzz("random bytes", |runner| {
        let tail = make(runner, vec(any::<u8>(), 0..256));
        let headed = [COMPONENT, tail.as_slice()].concat();
        for bytes in [&tail, &headed] {
            load(&runtime, bytes, runner);
        }
    });
}

#[test]
fn fuzz_random_components_are_loaded_or_refused() {
    let runtime = runtime();
    fuzz("random components", |runner| {
        let noise = make(runner, vec(any::<u8>(), 256..4_096));
        let mut noise = Unstructured::new(&noise);
        // A component of any shape, and a module, which is none.
        if let Ok(component) = Component::new(Config::default(), &mut noise) {
            load(&runtime, &component.to_bytes(), runner);
        }
        if let Ok(module) = Module::new(Config::default(), &mut noise) {
            assert!(!load(&runtime, &module.to_bytes(), runner));
        }
    });
}

/// A log of some records, as text.
fn log(records: &[DecisionRecord]) -> Vec<u8> {
    let mut log = LogWriter::new(Vec::new());
    for record in records {
        log.write(record, &Outcome::Done).unwrap();
    }
    log.into_inner()
}

#[test]
fn fuzz_random_logs_are_read_to_their_end() {
    fuzz("random logs", |runner| {
        let records = make(runner, vec(volward_samples::record(), 1..3));
        let whole = log(&records);
        let known: Vec<_> = records.iter().map(|r| &r.facts.disks).collect();
        let text = String::from_utf8(whole.clone()).unwrap();
        let changed = if make(runner, any::<bool>()) {
            make(runner, mutate::bytes(whole))
        } else {
            make(runner, mutate::json(text)).into_bytes()
        };
        let lines = changed.iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut items = 0;
        for item in LogReader::new(&*changed) {
            items += 1;
            // Facts are kept by their digest: a changed line yields none that were not written.
            if let Ok(entry) = item.unwrap() {
                assert!(known.contains(&&entry.record.facts.disks));
            }
        }
        assert!(items <= lines);
    });
}

/// Several threads load at once what nobody should: the runtime is one.
#[test]
fn fuzz_bad_components_beside_good_ones_change_nothing_for_those() {
    let runtime = Arc::new(runtime());
    let good = guest("one-writer");
    let settings = Settings::default();
    let chain = runtime.assemble([("good", good.as_slice(), &settings)]);
    let mut runner = TestRunner::deterministic();
    let facts = make(&mut runner, volward_samples::facts());
    let expected = chain.attach(&facts).combined;
    fuzz("bad beside good", |runner| {
        let changed = make(runner, mutate::bytes(good.clone()));
        std::thread::scope(|scope| {
            scope.spawn(|| load(&runtime, &changed, runner));
            assert_eq!(chain.attach(&facts).combined, expected);
        });
    });
}
