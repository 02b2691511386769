//! The hook on a guest that is none of Volward's business, against the shortest program there is.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::samples::{Pairs, time};

/// What libvirt hands the hook: a guest with one disk, a plain file.
const GUEST: &str = include_str!("guest.xml");

/// Measures whole runs, from fork to exit.
pub(crate) fn measure(program: &Path, rounds: usize) -> anyhow::Result<Pairs> {
    let hook = || run(program, &["web", "prepare", "begin", "-"]);
    let nothing = || run(Path::new("/bin/true"), &[]);
    Pairs::measure(rounds.div_ceil(10), || time(hook), || time(nothing))?;
    Pairs::measure(rounds, || time(hook), || time(nothing))
}

fn run(program: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // /bin/true reads nothing, and may be gone already.
        let _gone = stdin.write_all(GUEST.as_bytes());
    }
    let status = child.wait()?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        program.display()
    );
    Ok(())
}
