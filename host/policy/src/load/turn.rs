//! How long the compiling of one load may take together, and whose turn it is. Each compile has bounds of
//! its own; many of them one after the other had none.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use wasmtime::component::Component;

use crate::load::artefact::ArtefactError;
use crate::load::compiler::Compiler;
use crate::load::source::Found;
use crate::run::stopwatch::Stopwatch;

/// After so long of compiling no other compile begins in the same load: it ends at the latest when the
/// one that is under way does. As much as the scenarios of all policies have.
pub(crate) const COMPILE_TIME: Duration = Duration::from_secs(60);

/// What one load compiles.
pub(crate) struct Compiling {
    /// `None`: nothing is compiled, whatever it would take.
    time: Option<Duration>,
    spent: Cell<Duration>,
    begun: Cell<u32>,
    turned_away: Cell<u32>,
    /// What is there already: a policy and its scenarios are one component, which is compiled once
    /// though nothing can be kept on the disk.
    done: RefCell<BTreeMap<String, Component>>,
}

impl Compiling {
    pub(crate) fn within(time: Option<Duration>) -> Self {
        Self {
            time,
            spent: Cell::default(),
            begun: Cell::default(),
            turned_away: Cell::default(),
            done: RefCell::default(),
        }
    }

    /// As long as it takes, for whoever waits for one policy.
    pub(crate) fn unbounded() -> Self {
        Self::within(Some(Duration::MAX))
    }

    /// How many compiles have begun.
    pub(crate) fn begun(&self) -> u32 {
        self.begun.get()
    }

    /// How many have not, for want of time.
    pub(crate) fn turned_away(&self) -> u32 {
        self.turned_away.get()
    }

    pub(crate) fn is_done(&self, digest: &str) -> Option<Component> {
        self.done.borrow().get(digest).cloned()
    }

    pub(crate) fn keep(&self, digest: &str, component: &Component) {
        let mut done = self.done.borrow_mut();
        done.insert(digest.to_owned(), component.clone());
    }

    /// Compiles a component if it is its turn.
    pub(crate) fn compile(
        &self,
        compiler: &dyn Compiler,
        component: &[u8],
    ) -> Result<Vec<u8>, ArtefactError> {
        let late = match self.time {
            None => Some(ArtefactError::Next),
            // The first one may begin in any case, so that each load gets further than the last.
            Some(time) if self.begun.get() > 0 && self.spent.get() >= time => {
                let seconds = time.as_secs();
                Some(ArtefactError::NoTurn { seconds })
            }
            Some(_) => None,
        };
        if let Some(late) = late {
            self.turned_away.set(self.turned_away.get() + 1);
            return Err(late);
        }
        self.begun.set(self.begun.get() + 1);
        let watch = Stopwatch::start();
        let compiled = compiler.compile(component);
        self.spent.set(self.spent.get() + watch.passed());
        compiled.map_err(ArtefactError::Compile)
    }
}

/// Who comes last: those that a load compiled in vain. Otherwise one that takes all the time there is,
/// each time, would keep the others from theirs.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    loads: u64,
    /// The load, by policy file.
    in_vain: BTreeMap<String, u64>,
}

impl Turns {
    /// The places of `found` in the order in which they are loaded.
    pub(crate) fn order(&mut self, found: &[Found]) -> Vec<usize> {
        self.loads += 1;
        let there = |file: &String| found.iter().any(|one| one.file == *file);
        self.in_vain.retain(|file, _| there(file));
        let mut order: Vec<usize> = (0..found.len()).collect();
        // Stable: in file-name order else.
        order.sort_by_key(|at| self.in_vain.get(&found[*at].file));
        order
    }

    pub(crate) fn note(&mut self, found: &Found, in_vain: bool) {
        if in_vain {
            self.in_vain.insert(found.file.clone(), self.loads);
        } else {
            self.in_vain.remove(&found.file);
        }
    }
}
