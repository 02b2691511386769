//! Those that misuse handles, and those that simply break.

use volward_model::FaultKind;

use crate::End::{Fault, Refused};
use crate::Entry;
use crate::make::{CONSENT, REALLOC, again, hook, module};

pub(crate) fn handles() -> Vec<Entry> {
    vec![
        (
            "a flood of handles",
            again("(call $disks (local.get $r) (i32.const 2048))"),
            Fault(FaultKind::Hostcall, "limit".into()),
        ),
        (
            "handles that are kept",
            hook("(i32.const 1024)"),
            Fault(FaultKind::Trap, "borrow handles still remain".into()),
        ),
        (
            "a handle of nobody",
            hook("(call $exclusive (local.get $a) (i32.const 999)) (i32.const 1024)"),
            Fault(FaultKind::Trap, "handle".into()),
        ),
        (
            "a request for a disk",
            hook("(call $exclusive (local.get $a) (local.get $r)) (i32.const 1024)"),
            Fault(FaultKind::Trap, "handle".into()),
        ),
        (
            "a handle that was given back",
            hook(
                "(call $drop (local.get $r))
                 (call $name (local.get $r) (i32.const 2048)) (i32.const 1024)",
            ),
            Fault(FaultKind::Trap, "handle".into()),
        ),
    ]
}

pub(crate) fn traps() -> Vec<Entry> {
    vec![
        (
            "unreachable",
            hook("(unreachable)"),
            Fault(FaultKind::Trap, "unreachable".into()),
        ),
        (
            "division by zero",
            hook("(i32.div_u (i32.const 1) (local.get $i))"),
            Fault(FaultKind::Trap, "zero".into()),
        ),
        (
            "a load beyond its memory",
            hook("(i32.load (i32.const -8))"),
            Fault(FaultKind::Trap, "out of bounds".into()),
        ),
        (
            "a call of nothing",
            hook("(call_indirect (type $nothing) (i32.const 0)) (i32.const 1024)"),
            Fault(FaultKind::Trap, "".into()),
        ),
        (
            "a trap in start",
            module(REALLOC, CONSENT, "(func $s (unreachable)) (start $s)"),
            Refused("unreachable".into()),
        ),
    ]
}
