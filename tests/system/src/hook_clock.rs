//! How long libvirt waits for Volward's hook: in the hook's place is a script that has it do its work, and notes what each
//! call took.

use crate::{LabError, Node, Result};

/// Where libvirt finds the hook.
pub const HOOK: &str = "/etc/libvirt/hooks/qemu.d/volward";
/// Where the hook itself is meanwhile.
const BEHIND: &str = "/run/lab/clocked-hook";
/// What the script notes: `GUEST OPERATION NANOSECONDS`, a line for each call.
const NOTED: &str = "/run/lab/hook-calls";

/// One call of the hook.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// libvirt's name of the guest.
    pub guest: String,
    /// `prepare`, `release` and the like.
    pub operation: String,
    /// From its start to its end, in seconds.
    pub seconds: f64,
}

/// Puts the clock in the hook's place. libvirt needs no restart: by its name the hook is where it was.
///
/// # Errors
/// When the hook is not there.
pub fn begin(node: &Node) -> Result<()> {
    let script = format!(
        "#!/bin/sh\nbegun=$(date +%s%N)\n{BEHIND} \"$@\"\nended=$?\n\
         echo \"$1 $2 $(($(date +%s%N) - begun))\" >> {NOTED}\nexit $ended\n"
    );
    node.put_file("/run/lab/hook-clock", 0o755, script)?;
    let place = format!("cp {HOOK} {BEHIND} && : > {NOTED} && mv /run/lab/hook-clock {HOOK}");
    node.run_ok(&place).map(drop)
}

/// Puts the hook itself in its place again.
///
/// # Errors
/// When there is no clock.
pub fn end(node: &Node) -> Result<()> {
    node.run_ok(&format!("cp {BEHIND} {HOOK}.new && mv {HOOK}.new {HOOK}"))
        .map(drop)
}

/// The calls since this was asked the last time, in their order.
///
/// # Errors
/// When there is no clock, or what it noted cannot be read.
pub fn calls(node: &Node) -> Result<Vec<Call>> {
    let noted = node.run_ok(&format!("cat {NOTED}; : > {NOTED}"))?;
    noted.lines().map(call).collect()
}

fn call(line: &str) -> Result<Call> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let read = match words.as_slice() {
        [guest, operation, took] => took.parse::<f64>().ok().map(|took| Call {
            guest: (*guest).to_owned(),
            operation: (*operation).to_owned(),
            seconds: took / 1e9,
        }),
        _ => None,
    };
    read.ok_or_else(|| LabError::Machine(format!("{line:?} of what the hook's clock noted")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clock_notes_is_a_call() {
        let read = call("web1 prepare 1500000000").unwrap();
        let (guest, operation) = ("web1".to_owned(), "prepare".to_owned());
        assert_eq!(
            read,
            Call {
                guest,
                operation,
                seconds: 1.5
            }
        );
        for line in ["", "web1 prepare", "web1 prepare soon"] {
            assert!(call(line).is_err(), "{line}");
        }
    }
}
