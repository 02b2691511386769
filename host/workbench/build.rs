//! Puts the baseline policy, built by `cargo xtask guests`, where the program embeds it from: what
//! is tested here is the chain the daemon would ask, and that begins with it.

use std::path::Path;

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
