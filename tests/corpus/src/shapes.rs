//! Those that are no policies at all, or not for this daemon.

use crate::End::{Refused, Serves};
use crate::Entry;
use crate::make::{CONSENT, REALLOC, component, flipped, many, module, nested};

/// `good` is a policy that works, to be spoilt.
pub(crate) fn shapes(good: &[u8]) -> Vec<Entry> {
    vec![
        (
            "a version to come",
            component("(component (import \"volward:policy/facts@9.0.0\" (instance)))"),
            Refused("9.0.0".into()),
        ),
        (
            "an unknown import",
            component(
                "(component (import \"volward:policy/teleport@0.1.0\"
                    (instance (export \"go\" (func)))))",
            ),
            Refused("".into()),
        ),
        (
            "WASI",
            component(
                "(component (import \"wasi:filesystem/preopens@0.2.0\"
                    (instance (export \"get-directories\" (func)))))",
            ),
            Refused("".into()),
        ),
        (
            "components in components",
            Ok(nested(300)),
            Refused("".into()),
        ),
        (
            "threads",
            component("(component (core module (memory 1 2 shared) (func (export \"f\"))))"),
            Refused("".into()),
        ),
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
            Refused("".into()),
        ),
        ("a core module", component("(module)"), Refused("".into())),
        ("nothing", Ok(Vec::new()), Refused("not WebAssembly".into())),
        (
            "text",
            Ok(b"#!/bin/sh".to_vec()),
            Refused("not WebAssembly".into()),
        ),
        (
            "the first half",
            Ok(good[..good.len() / 2].to_vec()),
            Refused("compiled".into()),
        ),
        ("flipped bits", Ok(flipped(good)), Refused("".into())),
    ]
}
