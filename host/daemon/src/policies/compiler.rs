//! The policy compiler, which is a program of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use volward_control::ports::PortError;
use volward_policy::{CompileError, Compiler, Limits};
use volward_storage::exec::{Exec, ExecError, Invocation};

/// Compiled code is some five times its component.
const ARTEFACT_FOR_A_BYTE: u64 = 8;

/// `volward-policy compile`, as a child under limits: no compiler lives in the daemon.
pub(crate) struct Workbench {
    pub(crate) exec: Arc<Exec>,
    pub(crate) program: PathBuf,
    /// It is stopped after so long.
    pub(crate) deadline: Duration,
    /// The largest component that is admitted, in bytes.
    pub(crate) component_bytes: u64,
}

impl Compiler for Workbench {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let artefact = self.component_bytes.saturating_mul(ARTEFACT_FOR_A_BYTE);
        let mut arguments = vec!["compile".to_owned()];
        if self.component_bytes != Limits::default().component_bytes {
            // Its own default else: one of the version before does not know the option.
            arguments.push(format!("--component-bytes={}", self.component_bytes));
        }
        let invocation = Invocation::new(&self.program)
            .args(arguments)
            .deadline(self.deadline)
            .output_limit(usize::try_from(artefact).unwrap_or(usize::MAX));
        let ran = self
            .exec
            .run_with_input("policy-compiler", invocation, component);
        ran.map_err(|error| match error {
            // 3: the component is at fault, the reason on stderr is meant for its author.
            ExecError::Failed { output, .. } if output.status.code() == Some(3) => {
                CompileError::Refused {
                    reason: output.stderr.trim().to_owned(),
                }
            }
            error @ ExecError::Deadline { .. } => CompileError::Failed {
                reason: format!(
                    "{error}: this node is slow for a policy of {} kB; raise `compile` under \
                     [timeouts]",
                    component.len() / 1000
                ),
            },
            other => CompileError::Failed {
                reason: PortError::from(other).to_string(),
            },
        })
    }
}
