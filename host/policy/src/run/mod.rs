//! Loaded policies and what a decision asks of them: the chain, the sandbox with its engine and
//! limits, the facts as a policy sees them, and the counts of what it answered.
//!
//! May import nothing of the other rooms: no file is read here, and nothing knows where a policy
//! came from or where its answer is kept.

pub(crate) mod bindings;
pub(crate) mod call;
pub(crate) mod chain;
pub(crate) mod convert;
mod deadline;
pub(crate) mod engine;
pub(crate) mod fault;
mod gate;
mod handles;
pub(crate) mod interface;
pub(crate) mod level;
pub(crate) mod limits;
pub(crate) mod plugin;
mod priority;
pub(crate) mod sandbox;
pub(crate) mod status;
pub(crate) mod stopwatch;
mod tally;
mod ticker;
mod view;

pub use chain::{Chain, Stray};
pub use engine::{code_config, metered_code_config};
pub use interface::INTERFACE;
pub use level::Level;
pub use limits::{Limits, MOST_STACK_BYTES};
pub use sandbox::Cost;
pub use status::{Meant, PluginState, PluginStatus};
pub use tally::{Counters, Latency, SeenFault};
