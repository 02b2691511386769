//! What a policy may use. Beyond a limit it faults; the daemon does not notice otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits, as the daemon's configuration has them under `[policy.limits]`. Each default says
/// where it comes from; a decision of the shipped policies takes some 30 us and 1.1 MiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Limits {
    /// Longest call of a hook, in milliseconds of its thread's processor time; by the clock it may take
    /// twenty times that, and 5 s at least, so that an overloaded node does not fault. Thousands of times
    /// what a decision takes, and short enough that a loop is over before virsh wonders.
    pub deadline_ms: u32,
    /// Longest call while a policy is loaded (start, check-config), in the same way: interpreters set
    /// themselves up there.
    pub load_deadline_ms: u32,
    /// How often deadlines are looked at, in milliseconds. They are late by up to this much.
    pub tick_ms: u32,
    /// Linear memory of all of a policy's memories together, in bytes. 128 MiB admits Python
    /// (18 MB of it is its standard library).
    pub memory_bytes: u64,
    /// Elements of a table. Python's largest has 8,000.
    pub table_elements: u32,
    /// Stack, in bytes, at most [`MOST_STACK_BYTES`]. This is wasmtime's default, and a quarter of
    /// what a thread of ours has.
    pub stack_bytes: u32,
    /// What a single call may pass from the policy to the daemon, in bytes. Lifting cannot be
    /// interrupted: wasmtime's default of 128 MiB costs 65 ms, this half of one.
    pub hostcall_bytes: u32,
    /// Lines and notes one decision may leave.
    pub log_lines: u32,
    /// Bytes of lines and notes one decision may leave.
    pub log_bytes: u32,
    /// Resources (disks, nodes) a policy may hold at once. A guest has tens of disks.
    pub handles: u32,
    /// Size of a component file, in bytes. Python's is 18 MB.
    pub component_bytes: u64,
    /// Policies that run at once. Twice a small node's cores: a decision is all computation, and
    /// a policy that hangs must not be the only one that has a turn.
    pub concurrency: u32,
    /// Longest wait for a turn, in milliseconds: sixty deadlines. When a node's guests start together each
    /// decision waits for those before it, and that one had no turn would refuse a guest.
    pub patience_ms: u32,
}

/// Policies run on the stack of the thread that asks: Rust's threads have 2 MiB, and to go beyond
/// that would end the daemon, not the policy.
pub const MOST_STACK_BYTES: u32 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 250,
            load_deadline_ms: 2_000,
            tick_ms: 5,
            memory_bytes: 128 << 20,
            table_elements: 20_000,
            stack_bytes: 512 << 10,
            hostcall_bytes: 1 << 20,
            log_lines: 256,
            log_bytes: 64 << 10,
            handles: 4_096,
            component_bytes: 32 << 20,
            concurrency: 8,
            patience_ms: 15_000,
        }
    }
}

impl Limits {
    /// How long a policy may wait for its turn.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.into())
    }

    /// How often deadlines are looked at.
    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms.max(1).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_limit_is_refused() {
        let error = toml::from_str::<Limits>("dead-line-ms = 1").unwrap_err();
        assert!(error.to_string().contains("deadline-ms"), "{error}");
        let limits: Limits = toml::from_str("deadline-ms = 1").unwrap();
        assert_eq!(
            limits,
            Limits {
                deadline_ms: 1,
                ..Limits::default()
            }
        );
    }
}
