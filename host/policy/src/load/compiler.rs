//! The compiler is another program: the daemon has none in it. See `volward-policy compile`.

/// Compiles components, in a child process under limits and with a deadline.
///
/// The child is `volward-policy compile`: the component on stdin, the artefact on stdout; exit
/// status 0 when it is whole, 3 when the component is not one that can be compiled (the reason in
/// one line on stderr), anything else when the compiler itself failed.
pub trait Compiler: Send + Sync {
    /// Compiles a component with the settings of [`crate::run::engine::code_config`].
    ///
    /// # Errors
    /// If the component is refused, or the compiler failed.
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError>;
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is not a component, or not one that can be compiled: its author's concern.
    #[error("it cannot be compiled: {reason}")]
    Refused {
        /// The compiler's reason, in one line.
        reason: String,
    },
    /// The compiler failed, or hit its limits: perhaps the operator's concern.
    #[error("the compiler failed: {reason}")]
    Failed {
        /// Status and what it said, in one line.
        reason: String,
    },
}
