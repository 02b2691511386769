//! Puts the baseline policy, built by `cargo xtask guests`, where the program embeds it from: what
//! is tested here is the chain the daemon would ask, and that begins with it.

#[path = "../../xtask/src/embed.rs"]
mod embed;

fn main() {
    embed::baseline();
}
