//! From wasmtime's errors to the kinds of faults.

use volward_model::{Fault, FaultKind};
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::run::convert;

/// What a policy did that the sandbox does not allow. It ends the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misuse {
    #[error("it needs more than {limit} bytes of memory")]
    Memory { limit: u64 },
    #[error("it needs a table of {desired} elements; {limit} are allowed")]
    Table { desired: usize, limit: u32 },
    #[error("it wrote more than {limit} lines or notes")]
    Lines { limit: u32 },
    #[error("it wrote more than {limit} bytes of lines or notes")]
    LogBytes { limit: u32 },
    #[error("it answered for a disk that was not asked for")]
    AnswerForHeldDisk,
    #[error("it asked about something that is not in the facts")]
    NoSuchThing,
    #[error("its {hook} hook is not what the interface says: {reason}")]
    HookType { hook: &'static str, reason: String },
}

impl Misuse {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Memory { .. } | Self::Table { .. } => FaultKind::Memory,
            Self::Lines { .. } | Self::LogBytes { .. } => FaultKind::LogFlood,
            Self::AnswerForHeldDisk | Self::NoSuchThing => FaultKind::Trap,
            Self::HookType { .. } => FaultKind::Link,
        }
    }
}

/// What was being done when it broke.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    /// The policy's own code may not have run yet.
    Instantiation,
    /// A hook's call.
    Call,
}

/// wasmtime's error for this has no public type; a test holds the sentence.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";
/// Likewise, when a policy holds too many resources.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";

/// The most of a fault's message that is kept: names in it are the component's, and it goes into the
/// record of each decision.
pub(crate) const MESSAGE_BYTES: usize = 2_048;

/// Longer than what compilers of generic code make of a name, as a rule.
const NAME_CHARS: usize = 200;

/// The fault behind an error.
pub(crate) fn fault(error: &wasmtime::Error, during: During) -> Fault {
    let (kind, message) = classify(error, during);
    Fault {
        kind,
        message: convert::bounded(message, MESSAGE_BYTES),
        backtrace: backtrace(error),
    }
}

/// Where the policy was, if it was running. wasmtime keeps at most 20 frames, so that an endless
/// recursion is no flood.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let frames: Vec<String> = trace.frames().iter().map(frame).collect();
    let runs = frames.chunk_by(|one, next| one == next);
    runs.map(|run| match run {
        [one] => one.clone(),
        [one, ..] => format!("{one} ({} times)", run.len()),
        [] => String::new(),
    })
    .collect()
}

/// `quiet_hours::review at 0x1a2b`: the offset is what a disassembler of the module shows.
fn frame(frame: &FrameInfo) -> String {
    let name = frame.func_name().map_or_else(
        || format!("function {}", frame.func_index()),
        // Without the hash; a name that is not Rust's stays as it is.
        |name| format!("{:#}", rustc_demangle::demangle(&bounded(name))),
    );
    match frame.module_offset() {
        Some(offset) => format!("{name} at {offset:#x}"),
        None => name,
    }
}

/// A component chooses its functions' names, and they go into the log.
fn bounded(name: &str) -> String {
    name.chars().take(NAME_CHARS).collect()
}

fn classify(error: &wasmtime::Error, during: During) -> (FaultKind, String) {
    if let Some(misuse) = error.downcast_ref::<Misuse>() {
        return (misuse.kind(), misuse.to_string());
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::Interrupt => (FaultKind::Deadline, "it did not answer in time".to_owned()),
            Trap::StackOverflow => (FaultKind::Stack, "it used up its stack".to_owned()),
            other => (FaultKind::Trap, other.to_string()),
        };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (FaultKind::Runtime, "there was no room to run it".to_owned());
    }
    let root = error.root_cause().to_string();
    if root.contains(HOSTCALL_FUEL) || root.contains(TOO_MANY_HANDLES) {
        return (FaultKind::Hostcall, root);
    }
    match during {
        During::Instantiation => (FaultKind::Link, format!("{error:#}")),
        // What it passed does not fit the interface: bad UTF-8, a number that names no case.
        During::Call => (FaultKind::Trap, root),
    }
}
