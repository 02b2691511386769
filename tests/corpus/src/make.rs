//! How they are made: a few lines of WebAssembly text each.

use anyhow::{Context, Result};
use volward_workbench::componentize::componentize;

/// What a core module exports beside its hook: a memory, and a `realloc` that always answers the
/// same place, which is enough for whoever never reads what he is given.
pub(crate) const REALLOC: &str =
    "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
    (i32.const 32768))";
/// What was lent is given back before the hook ends.
pub(crate) const GIVE_BACK: &str = "(call $drop (local.get $r)) (call $drop_answer (local.get $a))";
/// The same, and a result that agrees.
pub(crate) const CONSENT: &str =
    "(call $drop (local.get $r)) (call $drop_answer (local.get $a)) (i32.const 1024)";

const IMPORTS: &str = r#"
    (import "volward:policy/facts@0.1.1" "[method]request.disks" (func $disks (param i32 i32)))
    (import "volward:policy/facts@0.1.1" "[method]request.instance-name"
        (func $name (param i32 i32)))
    (import "volward:policy/facts@0.1.1" "[resource-drop]request" (func $drop (param i32)))
    (import "volward:policy/answers@0.1.1" "[resource-drop]answer" (func $drop_answer (param i32)))
    (import "volward:policy/answers@0.1.1" "[method]answer.exclusive"
        (func $exclusive (param i32 i32)))
    (import "volward:policy/answers@0.1.1" "[method]answer.note"
        (func $note (param i32 i32 i32 i32 i32)))
    (import "volward:policy/log@0.1.1" "write" (func $log (param i32 i32 i32 i32 i32)))"#;

/// A policy whose attach hook is `body`: the request is `$r`, the answer `$a`, `$i` a number of
/// its own. It answers the place of its result; 1024 is all zeroes, which is consent.
pub(crate) fn hook(body: &str) -> Result<Vec<u8>> {
    module(REALLOC, body, "")
}

/// A policy whose attach hook does `body` for ever.
pub(crate) fn again(body: &str) -> Result<Vec<u8>> {
    hook(&format!("(loop $again {body} (br $again)) (unreachable)"))
}

/// A policy with another `realloc`, and `more` beside its hook.
pub(crate) fn module(realloc: &str, body: &str, more: &str) -> Result<Vec<u8>> {
    let text = format!(
        "(module {IMPORTS}
            (memory (export \"memory\") 1)
            (table $t 1 funcref)
            (type $nothing (func))
            {realloc}
            {more}
            (func $review (export \"volward:policy/attach@0.1.1#review\")
                (param $r i32) (param $a i32) (result i32) (local $i i32)
                {body}))"
    );
    componentize(&parsed(&text)?, Some("attach-hook"))
}

/// A policy with another memory declaration.
pub(crate) fn big_memory(memory: &str) -> Result<Vec<u8>> {
    let text = format!(
        "(module {memory} {REALLOC}
            (func (export \"volward:policy/attach@0.1.1#review\") (param i32 i32) (result i32)
                (i32.const 1024)))"
    );
    componentize(&parsed(&text)?, Some("attach-hook"))
}

/// What this text says, whatever it is.
pub(crate) fn component(text: &str) -> Result<Vec<u8>> {
    parsed(text)
}

fn parsed(text: &str) -> Result<Vec<u8>> {
    wat::parse_str(text).with_context(|| format!("it is no WebAssembly text: {text}"))
}

/// A denial whose message is at `place`, `length` bytes long.
pub(crate) fn denial(place: u32, length: u32) -> Result<Vec<u8>> {
    hook(&format!(
        // result 1; code: empty; message.
        "(i32.store8 (i32.const 1024) (i32.const 1))
         (i32.store (i32.const 1036) (i32.const {place}))
         (i32.store (i32.const 1040) (i32.const {length}))
         {CONSENT}"
    ))
}

/// Components in each other; the text form's reader stops earlier than the binary's.
pub(crate) fn nested(depth: usize) -> Vec<u8> {
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

/// A component with some of its bits turned.
pub(crate) fn flipped(good: &[u8]) -> Vec<u8> {
    let mut flipped = good.to_vec();
    for at in (100..flipped.len()).step_by(997) {
        flipped[at] ^= 0x10;
    }
    flipped
}

pub(crate) fn many(count: usize, one: &str) -> String {
    one.repeat(count)
}
