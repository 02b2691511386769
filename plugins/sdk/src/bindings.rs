//! Generated from `wit/policy.wit`: the canonical ABI. Authors need nothing from here; the
//! [`export!`](crate::export) macro does.
//!
//! One world per hook, so that a policy exports the hooks it has and no others; the imports are
//! generated once and shared by all of them.
#![allow(unsafe_code, missing_docs, unused_qualifications, clippy::all)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "imports",
    additional_derives: [PartialEq],
});

pub mod attach {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "attach-hook",
        with: {
            "volward:policy/facts@0.1.0": crate::bindings::volward::policy::facts,
            "volward:policy/answers@0.1.0": crate::bindings::volward::policy::answers,
            "volward:policy/log@0.1.0": crate::bindings::volward::policy::log,
            "volward:policy/config@0.1.0": crate::bindings::volward::policy::config,
            "volward:policy/clock@0.1.0": crate::bindings::volward::policy::clock,
        },
        pub_export_macro: true,
        export_macro_name: "export_attach",
        default_bindings_module: "volward_sdk::bindings::attach",
    });
}

pub mod detach {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "detach-hook",
        with: {
            "volward:policy/facts@0.1.0": crate::bindings::volward::policy::facts,
            "volward:policy/answers@0.1.0": crate::bindings::volward::policy::answers,
            "volward:policy/log@0.1.0": crate::bindings::volward::policy::log,
            "volward:policy/config@0.1.0": crate::bindings::volward::policy::config,
            "volward:policy/clock@0.1.0": crate::bindings::volward::policy::clock,
        },
        pub_export_macro: true,
        export_macro_name: "export_detach",
        default_bindings_module: "volward_sdk::bindings::detach",
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "lifecycle-hook",
        with: {
            "volward:policy/facts@0.1.0": crate::bindings::volward::policy::facts,
            "volward:policy/answers@0.1.0": crate::bindings::volward::policy::answers,
            "volward:policy/log@0.1.0": crate::bindings::volward::policy::log,
            "volward:policy/config@0.1.0": crate::bindings::volward::policy::config,
            "volward:policy/clock@0.1.0": crate::bindings::volward::policy::clock,
        },
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "volward_sdk::bindings::lifecycle",
        additional_derives: [PartialEq],
    });
}
