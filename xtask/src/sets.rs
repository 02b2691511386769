//! Which packages are built together. Cargo unifies features over what one command builds, so a
//! workbench built beside the daemon would put its compiler into the daemon.

/// Each inner list is one `cargo build`; `tests/rules.rs` holds the first one free of a compiler.
pub(crate) const SETS: [&[&str]; 2] = [
    &["volward-daemon", "volward-cli", "volward-hook"],
    &["volward-workbench"],
];
