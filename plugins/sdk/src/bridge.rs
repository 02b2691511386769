//! Between the canonical ABI and the author's plain functions: the author's function is given facts
//! that are read when it looks at them, runs, and its answer is said to the daemon.

use std::marker::PhantomData;

use crate::answer::{Answer, CopyFate, Denial, Narrowing};
use crate::bindings::volward::policy::{answers, facts as raw, operations};
use crate::bindings::{attach, detach, lifecycle, migrate, operate};
use crate::fact::Fact;
use crate::facts::{Disk, Operation, Request};
use crate::{Attach, Detach, Lifecycle, Migrate, Operate, Problem, handles};

/// A policy as the component exports it.
pub struct Exported<P>(PhantomData<P>);

impl<P: Attach> attach::exports::volward::policy::attach::Guest for Exported<P> {
    fn review(request: &raw::Request, answer: &answers::Answer) -> Result<(), Denial> {
        log_panics();
        let told = Request::behind(request.handle());
        let mut said = Answer::default();
        P::attach(&told, &mut said)?;
        for narrowing in said.narrowings() {
            say(narrowing, answer);
        }
        Ok(())
    }
}

impl<P: Detach> detach::exports::volward::policy::detach::Guest for Exported<P> {
    fn review(request: &raw::Request, disk: &raw::Disk) -> Option<CopyFate> {
        log_panics();
        let told = Request::behind(request.handle());
        let fate = P::detach(&told, &Disk::behind(disk.handle()));
        // The same instance is asked about the next copy.
        told.give_back();
        fate
    }
}

impl<P: Migrate> migrate::exports::volward::policy::migrate::Guest for Exported<P> {
    fn review(request: &raw::Request) -> Result<(), Denial> {
        log_panics();
        P::migrate(&Request::behind(request.handle()))
    }
}

impl<P: Operate> operate::exports::volward::policy::operate::Guest for Exported<P> {
    fn review(operation: &operations::Operation) -> Result<(), Denial> {
        log_panics();
        P::operate(&Operation::behind(operation.handle()))
    }
}

impl<P: Lifecycle> lifecycle::exports::volward::policy::lifecycle::Guest for Exported<P> {
    fn check_config() -> Vec<Problem> {
        log_panics();
        P::check_config()
    }
}

/// A trap has no message of its own: the panic's goes to the log.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| crate::log::error(&info.to_string())));
}

/// Says one narrowing.
fn say(narrowing: &Narrowing, answer: &answers::Answer) {
    match narrowing {
        Narrowing::Exclusive(id) => lent(id, |disk| answer.exclusive(disk)),
        Narrowing::ReadOnly(id) => lent(id, |disk| answer.read_only(disk)),
        Narrowing::CopyAtMost(id, mode) => lent(id, |disk| answer.copy_at_most(disk, *mode)),
        Narrowing::Copy(id, plan) => lent(id, |disk| answer.copy(disk, *plan)),
        Narrowing::Note(key, value) => answer.note(key, value),
    }
}

/// The disk of that id, which need not be looked at: it has the disk's handle. A disk that the
/// policy made itself has none. That is a mistake that must not be passed over in silence, hence the
/// panic: a fault, and faults refuse.
fn lent(id: &Fact<String>, f: impl FnOnce(&raw::Disk)) {
    match id.handle() {
        Some(handle) => handles::disk(handle, f),
        None => panic!("the answer speaks of disk {id:?}, which was not asked for"),
    }
}
