//! Generated from `wit/policy.wit`: the canonical ABI. Authors need nothing from here; the
//! [`export!`](crate::export) macro does.
//!
//! One world per hook, so that a policy exports the hooks it has and no others; the imports are
//! generated once and shared by all of them. A hook that is added is a row of the table below, a
//! trait and a line of `export!` in `lib.rs`, and what asks it in `bridge.rs`.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "all-imports",
    additional_derives: [PartialEq],
});

macro_rules! hooks {
    // `with` takes what a world imports, and nothing that it does not.
    ($($hook:ident: $world:tt exported by $export:tt in $module:tt $(, also $name:tt as $also:ident)?;)+) => {$(
        pub mod $hook {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                with: {
                    "volward:policy/facts@0.1.1": crate::bindings::volward::policy::facts,
                    "volward:policy/answers@0.1.1": crate::bindings::volward::policy::answers,
                    "volward:policy/log@0.1.1": crate::bindings::volward::policy::log,
                    "volward:policy/config@0.1.1": crate::bindings::volward::policy::config,
                    "volward:policy/clock@0.1.1": crate::bindings::volward::policy::clock,
                    $($name: crate::bindings::volward::policy::$also,)?
                },
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $module,
                additional_derives: [PartialEq],
            });
        }
    )+};
}

hooks! {
    attach: "attach-hook" exported by "export_attach" in "volward_sdk::bindings::attach";
    detach: "detach-hook" exported by "export_detach" in "volward_sdk::bindings::detach";
    lifecycle: "lifecycle-hook" exported by "export_lifecycle" in "volward_sdk::bindings::lifecycle";
    migrate: "migrate-hook" exported by "export_migrate" in "volward_sdk::bindings::migrate";
    operate: "operate-hook" exported by "export_operate" in "volward_sdk::bindings::operate",
        also "volward:policy/operations@0.1.1" as operations;
}
