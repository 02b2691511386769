//! What a decision costs in each language, for the table in docs/languages.md: `cargo test --release
//! -p volward-compat --features languages --test cost -- --nocapture`.
#![cfg(feature = "languages")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a table is what it makes"
)]

use std::fs;
use std::path::Path;

use serde_json::json;
use volward_compat::Desk;
use volward_model::Combined;
use volward_policy::Limits;
use volward_sdk::scenario;

/// After as many, caches and the pool of instances are warm.
const WARM_UP: usize = 20;
const ROUNDS: usize = 200;

#[test]
fn ten_disks_in_quiet_hours() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let disks: Vec<_> = (0..10).map(|_| json!({})).collect();
    let scenario = json!({ "facts": { "now_ms": 1_767_308_400_000_u64, "disks": disks } });
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), scenario.to_string()).unwrap();
    let scenario = scenario::read(file.path()).unwrap().remove(0);
    let facts = scenario.facts();
    let config = [("hours", "22-6"), ("max-size", "20GiB")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    // As on a node.
    let desk = Desk::with(Limits::default());
    println!("language      bytes       fastest   median us");
    for (language, file) in [
        ("rust", "guests/quiet-hours.wasm"),
        ("c", "languages/quiet-hours-c.wasm"),
        ("javascript", "languages/quiet-hours-javascript.wasm"),
        ("python", "languages/quiet-hours-python.wasm"),
    ] {
        let component = fs::read(target.join(file)).unwrap();
        let chain = desk
            .load("quiet-hours", &component, &config.clone().into())
            .unwrap();
        let mut micros: Vec<u64> = (0..WARM_UP + ROUNDS)
            .map(|_| {
                let record = chain.attach(&facts);
                assert!(
                    matches!(record.combined, Combined::Granted(_)),
                    "{record:?}"
                );
                record.micros
            })
            .skip(WARM_UP)
            .collect();
        micros.sort_unstable();
        let (fastest, median) = (micros[0], micros[ROUNDS / 2]);
        println!(
            "{language:<12} {:>9} {fastest:>10} {median:>8}",
            component.len()
        );
    }
}
