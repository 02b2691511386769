//! Components written to do harm, each in a few lines of WebAssembly text: every one is contained,
//! under its right name and within its deadline, and the policies beside it go on.
//!
//! What misbehaves in Rust is in `hostile.rs`; files that are no files in `folder.rs`; random ones
//! in `fuzz.rs`.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Lab, chmod, disk, facts, guest, verdict};
use volward_model::{Combined, FaultKind, Verdict};
use volward_policy::{PluginState, PluginStatus, digest};
use volward_workbench::componentize::componentize;

/// A call may take so long; what ends by it is told apart from what ends by itself.
const DEADLINE: Duration = Duration::from_millis(300);
/// For a busy machine, and for compiling in a debug build.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to become of it.
enum End {
    /// It is loaded, and breaks when it is asked.
    Fault(FaultKind, &'static str),
    /// It is not loaded.
    Refused(&'static str),
    /// It is loaded and answers: odd, and harmless.
    Serves,
}
use End::{Fault, Refused, Serves};

/// What a core module exports beside its hook: a memory, and a `realloc` that always answers the
/// same place, which is enough for whoever never reads what he is given.
const REALLOC: &str = "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
    (i32.const 32768))";

const IMPORTS: &str = r#"
    (import "volward:policy/facts@0.1.0" "[method]request.disks" (func $disks (param i32 i32)))
    (import "volward:policy/facts@0.1.0" "[method]request.instance-name"
        (func $name (param i32 i32)))
    (import "volward:policy/facts@0.1.0" "[resource-drop]request" (func $drop (param i32)))
    (import "volward:policy/answers@0.1.0" "[resource-drop]answer" (func $drop_answer (param i32)))
    (import "volward:policy/answers@0.1.0" "[method]answer.exclusive"
        (func $exclusive (param i32 i32)))
    (import "volward:policy/answers@0.1.0" "[method]answer.note"
        (func $note (param i32 i32 i32 i32 i32)))
    (import "volward:policy/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#;

/// A policy whose attach hook is `body`: the request is `$r`, the answer `$a`, `$i` a number of
/// its own. It answers the place of its result; 1024 is all zeroes, which is consent.
fn hook(body: &str) -> Vec<u8> {
    module(REALLOC, body, "")
}

fn module(realloc: &str, body: &str, more: &str) -> Vec<u8> {
    let text = format!(
        "(module {IMPORTS}
            (memory (export \"memory\") 1)
            (table $t 1 funcref)
            (type $nothing (func))
            {realloc}
            {more}
            (func $review (export \"volward:policy/attach@0.1.0#review\")
                (param $r i32) (param $a i32) (result i32) (local $i i32)
                {body}))"
    );
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    componentize(&module, Some("attach-hook")).unwrap()
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A denial whose message is at `place`, `length` bytes long.
fn denial(place: u32, length: u32) -> Vec<u8> {
    hook(&format!(
        // result 1; code: empty; message.
        "(i32.store8 (i32.const 1024) (i32.const 1))
         (i32.store (i32.const 1036) (i32.const {place}))
         (i32.store (i32.const 1040) (i32.const {length}))
         {CONSENT}"
    ))
}

/// Components in each other; the text form's reader stops earlier than the binary's.
fn nested(depth: usize) -> Vec<u8> {
    let empty = b"\0asm\x0d\0\x01\0";
    let mut whole = empty.to_vec();
    for _ in 0..depth {
        // A section of kind 4, with its size in LEB128.
        let mut outer = [&empty[..], &[4]].concat();
        let mut size = whole.len();
        while size >= 0x80 {
            outer.push(size as u8 | 0x80);
            size >>= 7;
        }
        outer.push(size as u8);
        outer.extend(&whole);
        whole = outer;
    }
    whole
}

fn many(count: usize, one: &str) -> String {
    one.repeat(count)
}

/// What was lent is given back before the hook ends.
const GIVE_BACK: &str = "(call $drop (local.get $r)) (call $drop_answer (local.get $a))";
const CONSENT: &str =
    "(call $drop (local.get $r)) (call $drop_answer (local.get $a)) (i32.const 1024)";

fn corpus() -> Vec<(&'static str, Vec<u8>, End)> {
    let again = |body: &str| hook(&format!("(loop $again {body} (br $again)) (unreachable)"));
    let shared_memory =
        component("(component (core module (memory 1 2 shared) (func (export \"f\"))))");
    let mut flipped = guest("baseline");
    for at in (100..flipped.len()).step_by(997) {
        flipped[at] ^= 0x10;
    }
    vec![
        // Time.
        (
            "loop in the hook",
            again(""),
            Fault(FaultKind::Deadline, "in time"),
        ),
        (
            "loop in start",
            module(REALLOC, CONSENT, "(func $s (loop (br 0))) (start $s)"),
            Refused("in time"),
        ),
        (
            "loop in realloc",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (loop (br 0)) (unreachable))",
                "(call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Deadline, "in time"),
        ),
        (
            "loop that calls the daemon",
            again("(call $name (local.get $r) (i32.const 2048))"),
            Fault(FaultKind::Deadline, "in time"),
        ),
        // Space.
        (
            "memory, page by page",
            again("(drop (memory.grow (i32.const 16)))"),
            Fault(FaultKind::Memory, "memory"),
        ),
        (
            "memory, all at once",
            hook("(drop (memory.grow (i32.const 60000))) (i32.const 1024)"),
            Fault(FaultKind::Memory, "memory"),
        ),
        (
            "table",
            hook("(drop (table.grow $t (ref.null func) (i32.const 10000000))) (i32.const 1024)"),
            Fault(FaultKind::Memory, "table"),
        ),
        (
            "memory from the start",
            big_memory("(memory (export \"memory\") 40000)"),
            Refused(""),
        ),
        (
            "recursion",
            hook("(call $review (local.get $r) (local.get $a))"),
            Fault(FaultKind::Stack, "stack"),
        ),
        (
            "recursion with large frames",
            module(
                REALLOC,
                "(call $deep (i64.const 1)) (i32.const 1024)",
                &format!(
                    "(func $deep (param i64) (local {}) (call $deep (local.get 0)))",
                    many(200, "i64 ")
                ),
            ),
            Fault(FaultKind::Stack, "stack"),
        ),
        // Data, out of the policy.
        (
            "a message beyond its memory",
            denial(60_000, 60_000),
            Fault(FaultKind::Trap, "out of bounds"),
        ),
        (
            "a message at the end of the world",
            denial(u32::MAX, u32::MAX),
            Fault(FaultKind::Trap, "out of bounds"),
        ),
        (
            "a message of 64 MiB",
            hook(&format!(
                "(drop (memory.grow (i32.const 1100)))
                 (i32.store8 (i32.const 1024) (i32.const 1))
                 (i32.store (i32.const 1036) (i32.const 65536))
                 (i32.store (i32.const 1040) (i32.const 67108864))
                 {CONSENT}",
            )),
            Fault(FaultKind::Hostcall, "fuel"),
        ),
        (
            "a message that is no text",
            hook(&format!(
                "(i32.store8 (i32.const 1024) (i32.const 1))
                 (i32.store8 (i32.const 3000) (i32.const 255))
                 (i32.store (i32.const 1036) (i32.const 3000))
                 (i32.store (i32.const 1040) (i32.const 1))
                 {CONSENT}",
            )),
            Fault(FaultKind::Trap, "utf-8"),
        ),
        (
            "a list of 4,000 fields that are all the same 16 KiB",
            hook(
                "(loop $next
                    (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 16)))
                        (i32.const 0))
                    (i32.store offset=4
                        (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 16)))
                        (i32.const 16384))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $i) (i32.const 4000))))
                 (call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024)
                    (i32.const 4000))
                 (i32.const 1024)",
            ),
            Fault(FaultKind::Hostcall, "fuel"),
        ),
        (
            "a list of a hundred million fields",
            hook(
                "(call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024)
                    (i32.const 100000000))
                 (i32.const 1024)",
            ),
            Fault(FaultKind::Trap, "out of bounds"),
        ),
        (
            "a flood of lines",
            again(
                "(call $log (i32.const 1) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0))",
            ),
            Fault(FaultKind::LogFlood, "lines"),
        ),
        (
            "a flood of notes",
            again(
                "(call $note (local.get $a) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))",
            ),
            Fault(FaultKind::LogFlood, "lines"),
        ),
        // Data, into the policy.
        (
            "realloc beyond its memory",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (i32.const -16))",
                "(call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Trap, "beyond end of memory"),
        ),
        (
            "realloc out of line",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (i32.const 32769))",
                "(call $disks (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Trap, "align"),
        ),
        (
            "realloc that calls back",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (call $note (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)
                        (i32.const 1))
                    (i32.const 32768))",
                "(call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Trap, "leave"),
        ),
        (
            "a result beyond its memory",
            hook(&format!("{GIVE_BACK} (i32.const -4)")),
            Fault(FaultKind::Trap, "out of bounds"),
        ),
        (
            "a result that is neither",
            hook(&format!(
                "(i32.store8 (i32.const 1024) (i32.const 7)) {CONSENT}"
            )),
            Fault(FaultKind::Trap, "discriminant"),
        ),
        // Handles.
        (
            "a flood of handles",
            again("(call $disks (local.get $r) (i32.const 2048))"),
            Fault(FaultKind::Hostcall, "limit"),
        ),
        (
            "handles that are kept",
            hook("(i32.const 1024)"),
            Fault(FaultKind::Trap, "borrow handles still remain"),
        ),
        (
            "a handle of nobody",
            hook("(call $exclusive (local.get $a) (i32.const 999)) (i32.const 1024)"),
            Fault(FaultKind::Trap, "handle"),
        ),
        (
            "a request for a disk",
            hook("(call $exclusive (local.get $a) (local.get $r)) (i32.const 1024)"),
            Fault(FaultKind::Trap, "handle"),
        ),
        (
            "a handle that was given back",
            hook(
                "(call $drop (local.get $r))
                 (call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
            ),
            Fault(FaultKind::Trap, "handle"),
        ),
        // Plain traps.
        (
            "unreachable",
            hook("(unreachable)"),
            Fault(FaultKind::Trap, "unreachable"),
        ),
        (
            "division by zero",
            hook("(i32.div_u (i32.const 1) (local.get $i))"),
            Fault(FaultKind::Trap, "zero"),
        ),
        (
            "a load beyond its memory",
            hook("(i32.load (i32.const -8))"),
            Fault(FaultKind::Trap, "out of bounds"),
        ),
        (
            "a call of nothing",
            hook("(call_indirect (type $nothing) (i32.const 0)) (i32.const 1024)"),
            Fault(FaultKind::Trap, ""),
        ),
        (
            "a trap in start",
            module(REALLOC, CONSENT, "(func $s (unreachable)) (start $s)"),
            Refused("unreachable"),
        ),
        // Shapes.
        (
            "a version to come",
            component("(component (import \"volward:policy/facts@9.0.0\" (instance)))"),
            Refused("9.0.0"),
        ),
        (
            "an unknown import",
            component(
                "(component (import \"volward:policy/teleport@0.1.0\"
                    (instance (export \"go\" (func)))))",
            ),
            Refused(""),
        ),
        (
            "WASI",
            component(
                "(component (import \"wasi:filesystem/preopens@0.2.0\"
                    (instance (export \"get-directories\" (func)))))",
            ),
            Refused(""),
        ),
        ("components in components", nested(300), Refused("")),
        ("threads", shared_memory, Refused("")),
        (
            "thousands of functions",
            module(REALLOC, CONSENT, &many(5_000, "(func (nop))")),
            Serves,
        ),
        (
            "a thousand instances",
            component(&format!(
                "(component (core module $m) {})",
                many(1_000, "(core instance (instantiate $m))")
            )),
            Refused(""),
        ),
        ("a core module", component("(module)"), Refused("")),
        ("nothing", Vec::new(), Refused("not WebAssembly")),
        ("text", b"#!/bin/sh".to_vec(), Refused("not WebAssembly")),
        (
            "the first half",
            guest("baseline")[..guest("baseline").len() / 2].to_vec(),
            Refused("compiled"),
        ),
        ("flipped bits", flipped, Refused("")),
    ]
}

/// A policy with another memory declaration.
fn big_memory(memory: &str) -> Vec<u8> {
    let text = format!(
        "(module {memory} {REALLOC}
            (func (export \"volward:policy/attach@0.1.0#review\") (param i32 i32) (result i32)
                (i32.const 1024)))"
    );
    componentize(&wat::parse_str(&text).unwrap(), Some("attach-hook")).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is what is tested"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn each_is_contained_under_its_name_and_within_its_deadline() {
    let corpus = corpus();
    assert!(corpus.len() >= 25, "{} components", corpus.len());
    let wrong: Vec<String> = corpus
        .into_iter()
        .filter_map(|(what, bytes, end)| {
            let wrong = contained(bytes, &end).err()?;
            Some(format!("{what}: {wrong}"))
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
            !granted && !reason.is_empty() && reason.contains(words)
        }
        (Fault(kind, words), PluginState::Serving, Verdict::Faulted(fault)) => {
            !granted && fault.kind == *kind && fault.message.contains(words)
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
