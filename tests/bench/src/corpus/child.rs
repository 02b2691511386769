//! The compiler as a child, as the daemon has it; without the daemon's limits on time and output,
//! which nothing of the corpus reaches.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use volward_policy::{CompileError, Compiler};

/// What `volward-policy compile` ends with where the component is at fault.
const REFUSED: i32 = 3;

/// `volward-policy`.
pub(super) struct Workbench(pub(super) PathBuf);

impl Workbench {
    fn run(&self, component: &[u8]) -> std::io::Result<Output> {
        let mut child = Command::new(&self.0)
            .arg("compile")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            scope.spawn(move || {
                // Who refuses early does not read to the end, and says why.
                stdin.map(|mut stdin| stdin.write_all(component))
            });
            child.wait_with_output()
        })
    }
}

impl Compiler for Workbench {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let output = self.run(component).map_err(|error| CompileError::Failed {
            reason: format!("{}: {error}", self.0.display()),
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(match output.status.code() {
            Some(REFUSED) => CompileError::Refused { reason },
            _ => CompileError::Failed {
                reason: format!("{}: {reason}", output.status),
            },
        })
    }
}
