//! Write a Volward policy: implement the hooks you want as plain functions on facts, and
//! export them with one macro.
//!
//! ```
//! use volward_sdk::{Answer, Attach, Denial, Request};
//!
//! struct NoTestMachines;
//!
//! impl Attach for NoTestMachines {
//!     fn attach(request: &Request, _answer: &mut Answer) -> Result<(), Denial> {
//!         if request.instance_name.starts_with("test-") {
//!             return Err(Denial::new("test-machine", "test machines do not run in this cluster"));
//!         }
//!         Ok(())
//!     }
//! }
//! volward_sdk::export!(NoTestMachines: attach);
//!
//! let request = Request { instance_name: "test-1".into(), ..Request::default() };
//! assert!(NoTestMachines::attach(&request, &mut Answer::default()).is_err());
//! ```
//!
//! A policy is a function of the request and its configuration: there is no file, no network, no
//! randomness, and the clock stands still during a call. It can refuse, narrow what was asked
//! for, and propose local copies; it cannot widen anything. Built as a `cdylib` for
//! `wasm32-unknown-unknown` and turned into a component, it is installed by dropping
//! `50-name.wasm` into the policies folder.

pub mod answer;
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bridge;
pub mod config;
mod fact;
pub mod facts;
#[cfg(target_family = "wasm")]
mod handles;
pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod scenario;

pub use answer::{Answer, CopyFate, CopyMode, CopyPlan, Denial, Narrowing};
pub use bindings::lifecycle::exports::volward::policy::lifecycle::Problem;
pub use facts::{
    Access, Attachment, AttachmentState, Disk, Fact, Home, Hydration, Node, Operation,
    OperationKind, Origin, Purpose, Request, Sharing, Space,
};

/// Reviews an attach: all disks of the request in one call.
pub trait Attach {
    /// Agrees, narrows (through `answer`), or refuses.
    ///
    /// # Errors
    /// The refusal; it holds for the whole request.
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial>;
}

/// Advises on what becomes of a local copy at detach. Detach itself cannot be refused.
pub trait Detach {
    /// The fate of `disk`'s copy; `None`: no opinion.
    fn detach(request: &Request, disk: &Disk) -> Option<CopyFate>;
}

/// Reviews a live migration at its destination, after all policies have agreed to the attach.
pub trait Migrate {
    /// Agrees or refuses; `request.peer` is the source.
    ///
    /// # Errors
    /// The refusal; the instance stays where it is.
    fn migrate(request: &Request) -> Result<(), Denial>;
}

/// Reviews an operation on a volume before its first step.
pub trait Operate {
    /// Agrees or refuses.
    ///
    /// # Errors
    /// The refusal; nothing is begun.
    fn operate(operation: &Operation) -> Result<(), Denial>;
}

/// What is asked when the policy is loaded.
pub trait Lifecycle {
    /// What is wrong with the configuration; anything refuses the policy.
    /// [`config::unknown_keys`] is a good beginning.
    fn check_config() -> Vec<Problem>;
}

impl Problem {
    /// What is wrong with a key of the configuration.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

/// Exports a policy's hooks: `export!(MyPolicy: attach, detach, migrate, operate, lifecycle)`, those it
/// implements.
///
/// Natively there is nobody to export to (and the names do not suit a native linker): there it
/// only checks that the hooks are implemented.
#[macro_export]
macro_rules! export {
    ($policy:ident: $($hook:ident),+ $(,)?) => {
        $($crate::export!(@hook $policy $hook);)+
    };
    (@hook $policy:ident attach) => {
        $crate::export!(@as $policy Attach attach export_attach);
    };
    (@hook $policy:ident detach) => {
        $crate::export!(@as $policy Detach detach export_detach);
    };
    (@hook $policy:ident lifecycle) => {
        $crate::export!(@as $policy Lifecycle lifecycle export_lifecycle);
    };
    (@hook $policy:ident migrate) => {
        $crate::export!(@as $policy Migrate migrate export_migrate);
    };
    (@hook $policy:ident operate) => {
        $crate::export!(@as $policy Operate operate export_operate);
    };
    (@as $policy:ident $hook:ident $module:ident $export:ident) => {
        const _: () = {
            const fn implements<P: $crate::$hook>() {}
            implements::<$policy>();
        };
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::bridge::Exported<$policy>;
            $crate::bindings::$module::$export!(Exported with_types_in $crate::bindings::$module);
        };
    };
}

/// Makes a test that runs the scenarios in the package's folder `scenarios/`:
/// `scenarios!(MyPolicy: attach, lifecycle)`, with the hooks it exports. In the scenarios the policy
/// has the package's name.
#[macro_export]
macro_rules! scenarios {
    ($policy:ident: $($hook:ident),+ $(,)?) => {
        #[cfg(test)]
        #[test]
        fn scenarios() {
            let hooks = $crate::scenario::Hooks::default()$(.$hook::<$policy>())+;
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
            if let Err(wrong) = hooks.run(env!("CARGO_PKG_NAME"), folder.as_ref()) {
                panic!("\n{wrong}");
            }
        }
    };
}
