//! Puts the baseline policy, built by `cargo xtask guests`, where the daemon embeds it from.

use std::path::Path;

#[expect(
    clippy::disallowed_methods,
    reason = "a build script: with the builder's rights"
)]
fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let built = Path::new(&manifest).join("../../target/guests/baseline.wasm");
    println!("cargo::rerun-if-changed={}", built.display());
    let out = Path::new(&std::env::var("OUT_DIR").unwrap_or_default()).join("baseline.wasm");
    if let Err(error) = std::fs::copy(&built, &out) {
        println!(
            "cargo::error=the baseline policy is not built ({error}): run `cargo xtask guests` first"
        );
    }
}
