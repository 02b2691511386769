//! Those that never end, and those that want it all.

use volward_model::FaultKind;

use crate::End::{Fault, Refused};
use crate::Entry;
use crate::make::{CONSENT, REALLOC, again, big_memory, hook, many, module};

pub(crate) fn time() -> Vec<Entry> {
    vec![
        (
            "loop in the hook",
            again(""),
            Fault(FaultKind::Deadline, "in time".into()),
        ),
        (
            "loop in start",
            module(REALLOC, CONSENT, "(func $s (loop (br 0))) (start $s)"),
            Refused("in time".into()),
        ),
        (
            "loop in realloc",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (loop (br 0)) (unreachable))",
                "(call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Deadline, "in time".into()),
        ),
        (
            "loop that calls the daemon",
            again("(call $name (local.get $r) (i32.const 2048))"),
            Fault(FaultKind::Deadline, "in time".into()),
        ),
    ]
}

pub(crate) fn space() -> Vec<Entry> {
    vec![
        (
            "memory, page by page",
            again("(drop (memory.grow (i32.const 16)))"),
            Fault(FaultKind::Memory, "memory".into()),
        ),
        (
            "memory, all at once",
            hook("(drop (memory.grow (i32.const 60000))) (i32.const 1024)"),
            Fault(FaultKind::Memory, "memory".into()),
        ),
        (
            "table",
            hook("(drop (table.grow $t (ref.null func) (i32.const 10000000))) (i32.const 1024)"),
            Fault(FaultKind::Memory, "table".into()),
        ),
        (
            "memory from the start",
            big_memory("(memory (export \"memory\") 40000)"),
            Refused("".into()),
        ),
        (
            "recursion",
            hook("(call $review (local.get $r) (local.get $a))"),
            Fault(FaultKind::Stack, "stack".into()),
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
            Fault(FaultKind::Stack, "stack".into()),
        ),
    ]
}
