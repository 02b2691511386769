//! Generated from `wit/policy.wit`: what a policy imports. Exports are not generated: a policy
//! may leave any of them out, so they are probed one by one ([`crate::plugin`]).
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "imports",
    imports: { default: trappable },
    with: {
        "volward:policy/facts.node": crate::handles::NodeHandle,
        "volward:policy/facts.disk": crate::handles::DiskHandle,
        "volward:policy/facts.request": crate::handles::RequestHandle,
        "volward:policy/answers.answer": crate::handles::AnswerHandle,
    },
});

pub use volward::policy::{answers, clock, config, facts, log};
