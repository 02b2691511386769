//! What the program `volward-policy` is made of. The compiler of policies is here and nowhere
//! else: the daemon runs `volward-policy compile` as a child.

pub mod bench;
pub mod capture;
pub mod chain;
pub mod componentize;
pub mod explain;
pub mod inspect;
pub mod new;
pub mod replay;
pub mod rlimits;
pub mod stream;
pub mod test;

use volward_policy::{CompileError, Compiler};
use wasmtime::Engine;

/// Compiles in this process.
pub struct InProcess(Engine);

impl InProcess {
    /// A compiler with the settings the daemon loads with.
    ///
    /// # Errors
    /// If the compiler does not know this machine.
    pub fn new() -> Result<Self, CompileError> {
        Self::with(volward_policy::code_config())
    }

    /// A compiler of code that counts what it does, for [`volward_policy::Runtime::metered`].
    ///
    /// # Errors
    /// If the compiler does not know this machine.
    pub fn metered() -> Result<Self, CompileError> {
        Self::with(volward_policy::metered_code_config())
    }

    fn with(mut config: wasmtime::Config) -> Result<Self, CompileError> {
        // The bits of a NaN differ between processors; a decision must not.
        config.cranelift_nan_canonicalization(true);
        let engine = Engine::new(&config);
        engine.map(Self).map_err(|error| CompileError::Failed {
            reason: one_line(&format!("{error:#}")),
        })
    }

    /// The engine, to look at components with.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0
    }
}

impl Compiler for InProcess {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        is_component(component)?;
        self.0
            .precompile_component(component)
            .map_err(|error| CompileError::Refused {
                reason: one_line(&format!("{error:#}")),
            })
    }
}

/// What wasmtime would say in its own words, or take: text, and what is compiled already.
///
/// # Errors
/// If it is not a component: what it is.
pub(crate) fn is_component(bytes: &[u8]) -> Result<(), CompileError> {
    let reason = if bytes.is_empty() {
        "it is not WebAssembly: it is empty"
    } else if !bytes.starts_with(b"\0asm") {
        "it is not WebAssembly"
    } else if wasmparser::Parser::is_core_wasm(bytes) {
        "it is a core module, and a policy is a component: run `volward-policy componentize` on it"
    } else {
        return Ok(());
    };
    let reason = reason.to_owned();
    Err(CompileError::Refused { reason })
}

/// The first line: wasmtime explains itself in paragraphs.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
