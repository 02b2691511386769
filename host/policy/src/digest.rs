//! What a component is known by.

use sha2::{Digest, Sha256};

/// SHA-256, lower-case hex.
#[must_use]
pub fn digest(component: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(component) {
        // Writing to a String does not fail.
        let _ok = write!(text, "{byte:02x}");
    }
    text
}
