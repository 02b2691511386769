//! Memory of processes, from /proc.

use std::fs;

use anyhow::Context;

/// Where this process says what it has.
const STATUS: &str = "/proc/self/status";

/// Resident bytes of this process.
///
/// # Errors
/// If the kernel does not say.
pub(crate) fn resident() -> anyhow::Result<u64> {
    own("VmRSS:")
}

/// The most resident bytes of this process since [`forget_peak`].
///
/// # Errors
/// If the kernel does not say.
pub(crate) fn peak() -> anyhow::Result<u64> {
    own("VmHWM:")
}

/// From now on the peak is measured anew (proc(5), `clear_refs`: 5).
///
/// # Errors
/// If the kernel does not let it.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    let path = "/proc/self/clear_refs";
    fs::write(path, "5").with_context(|| format!("cannot write {path}"))
}

fn own(name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(STATUS)?;
    field(&text, name).with_context(|| format!("{STATUS} says nothing of {name}"))
}

/// Bytes of the line that begins with `name`; /proc writes `Name:   123 kB`.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes = line.trim().strip_suffix(" kB")?.trim();
    Some(kibibytes.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_in_bytes() {
        let text = "VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n";
        assert_eq!(field(text, "VmRSS:"), Some(1 << 20));
        assert_eq!(field(text, "Threads:"), None);
        assert!(resident().unwrap() > 0);
    }
}
