//! From files to policies that serve: the policies folder and the settings and scenarios beside
//! each policy, the checks of owner, mode and links, the compiled forms, the versions that were
//! good, and the reasons of a refusal.
//!
//! May import [`crate::run`], because loading tries each policy, and the digest. Not the log:
//! what is loaded does not depend on what was decided.

mod artefact;
mod clock;
mod compiler;
mod history;
mod refused;
mod runtime;
pub mod scenarios;
mod source;
mod trusted;
mod turn;

pub use artefact::ArtefactError;
pub use compiler::{CompileError, Compiler};
pub use history::{HistoryError, Keeping};
pub use refused::{LoadError, RollbackError, RuntimeError};
pub use runtime::{Runtime, Sources};
pub use source::{Settings, SettingsError};
pub use trusted::TrustError;
