//! Components written to do harm, and what is to become of each. The sandbox's tests ask each
//! once; `cargo xtask bench` has them all going while it measures a good one.

mod data;
mod make;
mod misuse;
mod shapes;
mod time_and_space;

use std::borrow::Cow;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use volward_model::FaultKind;

/// A component, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What it does, in a few words; no two have the same.
    pub what: &'static str,
    /// Its bytes; some are no component.
    pub component: Vec<u8>,
    /// What is to become of it.
    pub end: End,
}

/// What is to become of a component. The words are part of the reason that is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It is loaded, and breaks when it is asked.
    Fault(FaultKind, Cow<'static, str>),
    /// It is not loaded.
    Refused(Cow<'static, str>),
    /// It is loaded and answers: odd, and harmless.
    Serves,
}

type Entry = (&'static str, Result<Vec<u8>>, End);

/// All of them. `good` is a component that is a policy and works: some are made of it.
///
/// # Errors
/// If one of them cannot be made: which one.
pub fn all(good: &[u8]) -> Result<Vec<Hostile>> {
    let lists = [
        time_and_space::time(),
        time_and_space::space(),
        data::out_of_the_policy(),
        data::into_the_policy(),
        misuse::handles(),
        misuse::traps(),
        shapes::shapes(good),
    ];
    let made = lists.into_iter().flatten().map(|(what, made, end)| {
        let component = made.with_context(|| format!("the component {what:?} was not made"))?;
        Ok(Hostile {
            what,
            component,
            end,
        })
    });
    made.collect()
}

/// A policy that agrees at once and asks for nothing: the least a call can be.
///
/// # Errors
/// If it cannot be made.
pub fn consent() -> Result<Vec<u8>> {
    make::hook(make::CONSENT)
}
