//! Generated from `wit/policy.wit`: what a policy imports. Exports are not generated: a policy
//! may leave any of them out, so they are probed one by one ([`crate::run::plugin`]).
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "all-imports",
    imports: { default: trappable },
    with: {
        "volward:policy/facts.node": crate::run::handles::NodeHandle,
        "volward:policy/facts.disk": crate::run::handles::DiskHandle,
        "volward:policy/facts.request": crate::run::handles::RequestHandle,
        "volward:policy/operations.operation": crate::run::handles::OperationHandle,
        "volward:policy/answers.answer": crate::run::handles::AnswerHandle,
    },
});

pub use volward::policy::{answers, clock, config, facts, log, operations};
