//! Puts the baseline policy, built by `cargo xtask guests`, where a build script's program embeds it from. Build
//! scripts have this file; it needs nothing but std.

use std::path::Path;

#[path = "baseline.rs"]
mod baseline;

/// Copies it to `OUT_DIR`; one that is missing, or was built of other sources, ends the build.
pub(crate) fn baseline() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&manifest).join("../..");
    let (built, stamp) = (
        root.join("target/guests/baseline.wasm"),
        root.join(baseline::STAMP),
    );
    for path in baseline::SOURCES.map(|source| root.join(source)) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    for path in [&built, &stamp] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let out = Path::new(&std::env::var("OUT_DIR").unwrap_or_default()).join("baseline.wasm");
    if let Err(error) = std::fs::copy(&built, &out) {
        println!(
            "cargo::error=the baseline policy is not built ({error}): run `cargo xtask guests` first"
        );
    }
    // One that was built of other sources would be embedded in silence.
    let of = std::fs::read_to_string(&stamp).ok();
    if of.is_none() || of != baseline::digest(&root).ok() {
        println!(
            "cargo::error=the baseline policy was not built of today's sources: run `cargo xtask guests` first"
        );
    }
}
