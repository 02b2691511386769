//! Those that lie about data, on its way out of the policy and into it.

use volward_model::FaultKind;

use crate::End::Fault;
use crate::Entry;
use crate::make::{CONSENT, GIVE_BACK, again, denial, hook, module};

pub(crate) fn out_of_the_policy() -> Vec<Entry> {
    vec![
        (
            "a message beyond its memory",
            denial(60_000, 60_000),
            Fault(FaultKind::Trap, "out of bounds".into()),
        ),
        (
            "a message at the end of the world",
            denial(u32::MAX, u32::MAX),
            Fault(FaultKind::Trap, "out of bounds".into()),
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
            Fault(FaultKind::Hostcall, "fuel".into()),
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
            Fault(FaultKind::Trap, "utf-8".into()),
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
            Fault(FaultKind::Hostcall, "fuel".into()),
        ),
        (
            "a list of a hundred million fields",
            hook(
                "(call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1024)
                    (i32.const 100000000))
                 (i32.const 1024)",
            ),
            Fault(FaultKind::Trap, "out of bounds".into()),
        ),
        (
            "a flood of lines",
            again(
                "(call $log (i32.const 1) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0))",
            ),
            Fault(FaultKind::LogFlood, "lines".into()),
        ),
        (
            "a flood of notes",
            again(
                "(call $note (local.get $a) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))",
            ),
            Fault(FaultKind::LogFlood, "lines".into()),
        ),
    ]
}

pub(crate) fn into_the_policy() -> Vec<Entry> {
    vec![
        (
            "realloc beyond its memory",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (i32.const -16))",
                "(call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Trap, "beyond end of memory".into()),
        ),
        (
            "realloc out of line",
            module(
                "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (i32.const 32769))",
                "(call $disks (local.get $r) (i32.const 2048)) (i32.const 1024)",
                "",
            ),
            Fault(FaultKind::Trap, "align".into()),
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
            Fault(FaultKind::Trap, "leave".into()),
        ),
        (
            "a result beyond its memory",
            hook(&format!("{GIVE_BACK} (i32.const -4)")),
            Fault(FaultKind::Trap, "out of bounds".into()),
        ),
        (
            "a result that is neither",
            hook(&format!(
                "(i32.store8 (i32.const 1024) (i32.const 7)) {CONSENT}"
            )),
            Fault(FaultKind::Trap, "discriminant".into()),
        ),
    ]
}
