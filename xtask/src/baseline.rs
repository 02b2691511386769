//! Whether a built baseline is that of today's sources. Build scripts embed it and have this file too,
//! so it needs nothing but std.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the baseline is made of, below the repository's root. Not `host/record`, of which the SDK takes
/// the plain data: that is edited often, and what it means to policies is under tests of its own.
pub(crate) const SOURCES: [&str; 3] = ["plugins/baseline", "plugins/sdk", "wit/policy.wit"];
/// Where `cargo xtask guests` leaves the digest of what it built, below the root.
pub(crate) const STAMP: &str = "target/guests/baseline.sources";

/// A digest of the sources: it tells edits apart, and is no defence.
///
/// # Errors
/// If a source cannot be read.
pub(crate) fn digest(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut files)?;
    }
    files.sort();
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        let content = fs::read(&file)?;
        hash.add(name.to_string_lossy().as_bytes());
        hash.add(&content.len().to_le_bytes());
        hash.add(&content);
    }
    Ok(format!("{:016x}\n", hash.0))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
