//! `volward policy ...`: the workbench is a program of its own, because it holds a compiler.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::anyhow;

const PROGRAM: &str = "volward-policy";

/// Becomes the workbench; comes back only with the reason why not.
pub(crate) fn exec(arguments: &[OsString]) -> anyhow::Error {
    #[expect(
        clippy::disallowed_methods,
        reason = "this process is replaced, none is started: there is nothing to bound or to kill"
    )]
    let error = Command::new(program()).args(arguments).exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        anyhow!("{PROGRAM} is neither beside volward nor in PATH: install it, then try again")
    } else {
        anyhow!(error).context(format!("{PROGRAM} cannot be run"))
    }
}

/// Beside this program if it is there, so that a build folder's two belong together; else PATH's.
fn program() -> PathBuf {
    std::env::current_exe()
        .map(|own| own.with_file_name(PROGRAM))
        .ok()
        .filter(|beside| beside.is_file())
        .unwrap_or_else(|| PathBuf::from(PROGRAM))
}
