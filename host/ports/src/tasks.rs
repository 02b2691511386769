//! Work that goes on when the request is answered, and the seams where tests interrupt.

/// Starts work in the background.
pub trait Tasks: Send + Sync {
    /// Runs `work` on a thread of its own (or, in a test, when the test says so).
    fn spawn(&self, name: String, work: Box<dyn FnOnce() + Send>);

    /// Called by a thread that has to wait for another one of this daemon's. `true`: others have run meanwhile,
    /// and it should look again. Where nobody holds threads up it does nothing.
    fn give_way(&self) -> bool {
        false
    }
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
