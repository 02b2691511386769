//! Why there is no runtime, and why a policy is refused.

use volward_model::{Fault, FaultKind};

use crate::load::artefact::ArtefactError;
use crate::load::compiler::CompileError;
use crate::load::history::HistoryError;
use crate::load::scenarios::ScenariosError;
use crate::load::source::SettingsError;
use crate::load::trusted::TrustError;
use crate::run::interface::INTERFACE;
use crate::run::limits::MOST_STACK_BYTES;

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// wasmtime refuses the limits or this machine.
    #[error("cannot set up the policy sandbox with these limits: {reason}")]
    Engine {
        /// wasmtime's reason.
        reason: String,
    },
    /// More stack than a thread has.
    #[error("stack-bytes is {asked}, and may be at most {MOST_STACK_BYTES}")]
    Stack {
        /// What the limits say.
        asked: u32,
    },
    /// No thread.
    #[error("cannot start the policy ticker")]
    Ticker(#[source] std::io::Error),
}

/// Why a policy is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its file's name says neither its place nor its name.
    #[error(
        "its file must be called NN-name.wasm: two digits, a dash, letters, digits, `-` or `_`, and not `baseline`"
    )]
    Name,
    /// Two files have one name.
    #[error("another policy is called {name} too: rename one")]
    Twice {
        /// The name.
        name: String,
    },
    /// There is no policies folder.
    #[error(
        "there is no folder {path}, so nobody knows what is to be enforced: make it, also where there are no policies (`mkdir -m 755 {path}`), or mend `policies` under [paths]"
    )]
    NoFolder {
        /// Where it should be.
        path: String,
    },
    /// The settings are for another component, or other scenarios, than lie beside them.
    #[error(
        "its settings are for {what} {wanted}, and {found} lies beside them: the files of one revision are not all there"
    )]
    Revision {
        /// `the component` or `the scenarios`.
        what: &'static str,
        /// The digest that the settings name.
        wanted: String,
        /// The digest of what is there.
        found: String,
    },
    /// The file or folder is not trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Its settings are not understood.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no compiled form of it.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// It was built against a version that is not served.
    #[error("{reason}")]
    Version {
        /// What it was built against, and what to do.
        reason: String,
    },
    /// It was built against a later version, and uses what came with that.
    #[error(
        "it was built against {built}, and uses what {INTERFACE} has not yet: {reason}; update Volward first"
    )]
    Newer {
        /// What it was built against.
        built: String,
        /// wasmtime's reason, which names the import.
        reason: String,
    },
    /// It imports something that does not exist here.
    #[error("it does not fit {INTERFACE}: {reason}")]
    Link {
        /// wasmtime's reason, which names the import.
        reason: String,
    },
    /// It has nothing to ask.
    #[error("it exports no hook of {INTERFACE}; it exports: {exports}{foreign}")]
    NoHook {
        /// The names of its exports.
        exports: String,
        /// What it imports that is not served, as the end of the sentence; empty where it does not.
        foreign: String,
    },
    /// It broke when it was tried.
    #[error("it broke when it was tried ({}): {}", .0.kind, .0.message)]
    Fault(Fault),
    /// An operator went back from it, and no earlier version can serve.
    #[error("it was rolled back, and no earlier version of it can be loaded any more")]
    RolledBack,
    /// The scenarios beside it are none, or it decides otherwise.
    #[error(transparent)]
    Scenarios(#[from] ScenariosError),
    /// It does not accept its configuration.
    #[error("its configuration is wrong: {}", .problems.join("; "))]
    Config {
        /// `key: what is wrong`.
        problems: Vec<String>,
    },
}

impl LoadError {
    /// Whether it may be over at the next try though no file has changed: the compiler or the disk
    /// failed, or the node was too busy.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Trust(error) => matches!(error, TrustError::Io { .. }),
            Self::Settings(SettingsError::Trust(error)) => matches!(error, TrustError::Io { .. }),
            Self::Artefact(error) => match error {
                ArtefactError::Compile(CompileError::Failed { .. }) => true,
                // A package that has replaced one of the two programs.
                ArtefactError::Unfit { .. } => true,
                ArtefactError::Next | ArtefactError::NoTurn { .. } => true,
                ArtefactError::Compile(CompileError::Refused { .. }) | ArtefactError::Cache(_) => {
                    false
                }
            },
            Self::Fault(fault) => matches!(fault.kind, FaultKind::Deadline | FaultKind::Runtime),
            Self::Scenarios(error) => matches!(
                error,
                ScenariosError::NoTurn { .. } | ScenariosError::Long { .. }
            ),
            _ => false,
        }
    }
}

impl LoadError {
    /// Whether nobody has tried to load it yet.
    pub(crate) fn is_for_want_of_a_turn(&self) -> bool {
        let Self::Artefact(error) = self else {
            return false;
        };
        matches!(error, ArtefactError::Next | ArtefactError::NoTurn { .. })
    }
}

/// Why nobody can go back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// No such policy.
    #[error("no policy in the folder is called {name}: `volward policy ls` shows them")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It is part of the daemon.
    #[error("the baseline is built in: it changes with the daemon")]
    Baseline,
    /// It is not asked.
    #[error("{name} is {state}: no version of it serves that could be gone back from")]
    NotServing {
        /// The name.
        name: String,
        /// `off`, `waiting` or `refused`.
        state: &'static str,
    },
    /// There was only this one.
    #[error(
        "there is no earlier version of {name} that can serve (one that stood for less than {} s before the next \
         was put in its place is not kept): remove its file, or set level = \"off\" beside it",
        crate::load::history::SETTLED.as_secs()
    )]
    NothingEarlier {
        /// The name.
        name: String,
    },
    /// Nobody went back.
    #[error("nobody went back from a version of {name}: there is nothing to undo")]
    NothingToUndo {
        /// The name.
        name: String,
    },
    /// This runtime keeps none.
    #[error("no versions are kept here")]
    NoHistory,
    /// The versions cannot be read, or that cannot be noted.
    #[error("the earlier versions cannot be used")]
    History(#[from] HistoryError),
}
