//! Puts the baseline policy, built by `cargo xtask guests`, where the daemon embeds it from.

#[expect(
    clippy::disallowed_methods,
    reason = "a build script: with the builder's rights"
)]
#[path = "../../xtask/src/embed.rs"]
mod embed;

fn main() {
    embed::baseline();
}
