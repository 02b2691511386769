//! Between the canonical ABI and the author's plain functions: facts are copied into owned types,
//! the author's function runs, its answer is said to the daemon.

use std::marker::PhantomData;

use crate::answer::{Answer, CopyFate, Denial, Narrowing};
use crate::bindings::volward::policy::{answers, clock, facts as raw};
use crate::bindings::{attach, detach, lifecycle};
use crate::facts::{Disk, Node, Request};
use crate::{Attach, Detach, Lifecycle, Problem};

/// A policy as the component exports it.
pub struct Exported<P>(PhantomData<P>);

impl<P: Attach> attach::exports::volward::policy::attach::Guest for Exported<P> {
    fn review(request: &raw::Request, answer: &answers::Answer) -> Result<(), Denial> {
        log_panics();
        let disks = request.disks();
        let owned = copy_request(request, &disks);
        let mut said = Answer::default();
        P::attach(&owned, &mut said)?;
        let mut handles = Handles::new(&owned.disks, &disks);
        for narrowing in said.narrowings() {
            say(narrowing, answer, &mut handles);
        }
        Ok(())
    }
}

impl<P: Detach> detach::exports::volward::policy::detach::Guest for Exported<P> {
    fn review(request: &raw::Request, disk: &raw::Disk) -> Option<CopyFate> {
        log_panics();
        P::detach(&copy_request(request, &request.disks()), &copy_disk(disk))
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

/// The daemon's handles, found by the ids the author has.
struct Handles<'a> {
    owned: &'a [Disk],
    handles: &'a [raw::Disk],
    last: usize,
}

impl<'a> Handles<'a> {
    fn new(owned: &'a [Disk], handles: &'a [raw::Disk]) -> Self {
        Self {
            owned,
            handles,
            last: 0,
        }
    }

    /// Looks from where the last one was: who goes through the disks in their order never waits,
    /// and there may be hundreds. A disk that was not asked for is a mistake of the policy that must
    /// not be passed over in silence, hence the panic: a fault, and faults refuse.
    fn find(&mut self, id: &str) -> &'a raw::Disk {
        let mut places = (self.last..self.owned.len()).chain(0..self.last);
        match places.find(|place| self.owned[*place].id == id) {
            Some(place) => {
                self.last = place;
                &self.handles[place]
            }
            None => panic!("the answer speaks of disk {id:?}, which was not asked for"),
        }
    }
}

/// Says one narrowing.
fn say(narrowing: &Narrowing, answer: &answers::Answer, handles: &mut Handles<'_>) {
    match narrowing {
        Narrowing::Exclusive(id) => answer.exclusive(handles.find(id)),
        Narrowing::ReadOnly(id) => answer.read_only(handles.find(id)),
        Narrowing::CopyAtMost(id, mode) => answer.copy_at_most(handles.find(id), *mode),
        Narrowing::Copy(id, plan) => answer.copy(handles.find(id), *plan),
        Narrowing::Note(key, value) => answer.note(key, value),
    }
}

fn copy_request(request: &raw::Request, disks: &[raw::Disk]) -> Request {
    Request {
        id: request.id(),
        origin: request.origin(),
        caller_uid: request.caller_uid(),
        purpose: request.purpose(),
        instance: request.instance(),
        instance_name: request.instance_name(),
        hints: request.hints(),
        disks: disks.iter().map(copy_disk).collect(),
        held: request.held().iter().map(copy_disk).collect(),
        node: copy_node(&request.node()),
        peer: request.peer().as_ref().map(copy_node),
        now_ms: clock::now_ms(),
        utc_offset_minutes: clock::utc_offset_minutes(),
    }
}

fn copy_disk(disk: &raw::Disk) -> Disk {
    Disk {
        id: disk.id(),
        pool: disk.pool(),
        name: disk.name(),
        size: disk.size(),
        shareable: disk.shareable(),
        tags: disk.tags(),
        home: disk.home(),
        attachments: disk.attachments(),
        hydration: disk.hydration(),
        asked_sharing: disk.asked_sharing(),
        asked_access: disk.asked_access(),
    }
}

fn copy_node(node: &raw::Node) -> Node {
    Node {
        name: node.name(),
        labels: node.labels(),
        local: node.local(),
        io_pressure: node.io_pressure(),
        attachments: node.attachments(),
    }
}
