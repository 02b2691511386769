//! (in the making)
mod guests;

fn main() -> anyhow::Result<()> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::args().nth(1).as_deref() {
        Some("guests") => guests::build(root.parent().unwrap_or(root)),
        _ => anyhow::bail!("commands: guests"),
    }
}
