//! Work that goes on when the request is answered, and the seams where tests interrupt.

/// Starts work in the background.
pub trait Tasks: Send + Sync {
    /// Runs `work` on a thread of its own (or, in a test, when the test says so).
    fn spawn(&self, name: String, work: Box<dyn FnOnce() + Send>);

    /// Asked by a thread that would wait for another one of this daemon's.
    fn waiting(&self) -> Waiting {
        Waiting::Block
    }
}

/// How a thread may wait for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// As threads do.
    Block,
    /// Others have run while it asked: it looks again. Where one thread runs at a time, chosen by a test.
    LookAgain,
    /// Not at all: the other one waits for it. A test's own thread, which drives the others.
    Never,
}

/// Called before and after every step. The product's does nothing unless a test asked for it.
pub trait FaultPoints: Send + Sync {
    /// `point` is `<kind>/<step name>/<before|after>`.
    fn at(&self, point: &str);
}

/// No interruptions.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaultPoints;

impl FaultPoints for NoFaultPoints {
    fn at(&self, _point: &str) {}
}
