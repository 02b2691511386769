//! The policy chain and its log behind `control`'s ports; the compiler as a child.

mod compiler;
mod kept;
mod log;

use std::ffi::OsString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cap_std::fs::MetadataExt;
use tokio::sync::watch::Receiver;
use volward_control::ports::Policy;
use volward_folder::{Folder, NamedFolder};
use volward_model::{CopyFate, DecisionRecord, Facts, VolumeId};
use volward_policy::{Chain, PluginStatus, RollbackError, Runtime, Sources, Stray};

pub(crate) use compiler::Workbench;
use kept::Kept;
pub(crate) use log::{Log, LogProblem};

/// A few calls of `stat`. Two looks that see the same are a folder at rest.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// A load that failed with something that may pass is tried again after this, and after twice as long
/// each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// An attach that comes before the policies are loaded waits for them so long: half of what libvirt's
/// hook waits for the whole attach.
pub(crate) const FIRST_LOAD: Duration = Duration::from_secs(30);
/// Whoever asks for a load while one is under way waits so long for it: less than the CLI does.
pub(crate) const OTHER_LOAD: Duration = Duration::from_secs(30);

/// The chain that serves, and what it was made of.
pub(crate) struct Policies {
    runtime: Runtime,
    baseline: Option<&'static [u8]>,
    folder: NamedFolder,
    /// Where compiled policies and earlier versions are kept; `None`: nowhere.
    kept: Option<Kept>,
    serving: Mutex<Serving>,
    /// Wakes whoever waits for another chain, or for the end of a load.
    changed: Condvar,
    /// Held where a chain is made from the one that serves and takes its place. A load makes its own
    /// without, which may take minutes; it begins again if somebody else was quicker.
    exchange: Mutex<()>,
}

struct Serving {
    folder: Vec<FileMark>,
    chain: Arc<Chain>,
    /// Whether attaches are decided by it: before, it may be incomplete.
    complete: bool,
    /// How often another chain took its place.
    exchanges: u64,
    loading: bool,
    /// Whether the last load has let a policy serve that did not.
    further: bool,
    /// When what may pass is tried again, and the pause after that.
    again: Option<(Instant, Duration)>,
}

/// A load is under way, and takes longer than whoever asked for another one waits.
#[derive(Debug)]
pub(crate) struct LoadUnderWay;

impl LoadUnderWay {
    pub(crate) const MESSAGE: &str = "the policies are being loaded already, which takes a while: `volward policy ls` shows what \
         serves";
}

/// Tells one content of the folder from another: name, device, inode, size, last change. The folder
/// itself is one of them, without a name.
type FileMark = (OsString, u64, u64, u64, i64, i64);

impl Policies {
    /// Nothing is loaded yet: [`Policies::begin`] does that, which takes a while.
    pub(crate) fn new(
        runtime: Runtime,
        baseline: Option<&'static [u8]>,
        folder: NamedFolder,
    ) -> Self {
        let serving = Mutex::new(Serving {
            folder: Vec::new(),
            chain: Arc::new(runtime.nothing_yet()),
            complete: false,
            exchanges: 0,
            loading: false,
            further: false,
            again: None,
        });
        Self {
            runtime,
            baseline,
            folder,
            kept: None,
            serving,
            changed: Condvar::new(),
            exchange: Mutex::default(),
        }
    }

    /// Keeps compiled policies and earlier versions in the state. While that cannot be, nothing is
    /// loaded.
    pub(crate) fn keeping_in(self, state: Folder) -> Self {
        let this = Self {
            kept: Some(Kept::new(state)),
            ..self
        };
        if let Some(error) = this.closed() {
            tracing::error!(%error, "policies cannot be loaded: attaches are refused until they can be; \
                 detaches go on");
        }
        this
    }

    /// What keeps all policies from being loaded now, in one sentence.
    pub(crate) fn closed(&self) -> Option<String> {
        self.kept.as_ref()?.give_to(&self.runtime).err()
    }

    /// The folders of the state that it holds.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Folder> {
        self.kept.iter().flat_map(Kept::held)
    }

    /// Loads the baseline and what is in the folder for the first time: first what is compiled
    /// already, with the last good version of what is not, and then the rest.
    pub(crate) fn begin(&self) {
        {
            let _turn = lock(&self.exchange);
            let now = marks(&self.folder);
            let chain = match self.closed() {
                None => self.runtime.begin(self.sources()),
                Some(reason) => self.runtime.nothing_for(reason),
            };
            let complete = !chain.is_incomplete();
            self.put(now, chain, complete);
        }
        // Not this one's to wait for: nobody else loads yet.
        let _late = self.load_now();
        for plugin in self.status() {
            tracing::info!(policy = %plugin.name, state = ?plugin.state, digest = %plugin.digest, "policy");
        }
    }

    /// What serves. A decision never waits for a policy to be compiled.
    fn chain(&self) -> Arc<Chain> {
        Arc::clone(&lock(&self.serving).chain)
    }

    /// Waits until attaches can be decided, which is as soon as a version of each policy serves;
    /// whether they can.
    pub(crate) fn ready_within(&self, patience: Duration) -> bool {
        let serving = lock(&self.serving);
        let waited = self
            .changed
            .wait_timeout_while(serving, patience, |serving| !serving.complete);
        waited.unwrap_or_else(PoisonError::into_inner).0.complete
    }

    /// Loads what is in the folder now, and only then lets it serve; what serves meanwhile, and
    /// goes on where something is refused, is what was loaded before. What was refused is tried
    /// again, though nothing has changed.
    ///
    /// # Errors
    /// If another load is under way and does not end soon.
    pub(crate) fn load_now(&self) -> Result<(), LoadUnderWay> {
        let serving = lock(&self.serving);
        let waited = self
            .changed
            .wait_timeout_while(serving, OTHER_LOAD, |serving| serving.loading);
        let (mut serving, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            return Err(LoadUnderWay);
        }
        serving.loading = true;
        serving.again = None;
        drop(serving);
        // Ended also where loading panics.
        let _ended = Loading(self);
        let further = self.load();
        lock(&self.serving).further = further;
        Ok(())
    }

    /// Whether a policy serves now that did not before.
    fn load(&self) -> bool {
        tracing::info!(folder = %self.folder.path().display(), "loading the policies");
        loop {
            let (from, exchanges, complete) = {
                let serving = lock(&self.serving);
                let chain = Arc::clone(&serving.chain);
                (chain, serving.exchanges, serving.complete)
            };
            // Before the files are read: a change meanwhile is loaded the next time.
            let now = marks(&self.folder);
            let chain = match self.closed() {
                None => self.runtime.reload(self.sources(), &from),
                Some(reason) => self.runtime.nothing_for(reason),
            };
            let further = chain.goes_further_than(&from);
            let _turn = lock(&self.exchange);
            if lock(&self.serving).exchanges == exchanges {
                // Who comes meanwhile waits for a policy that only has had no turn yet.
                let complete = complete || !chain.has_to_wait();
                self.put(now, chain, complete);
                return further;
            }
            // Somebody went back meanwhile, which this chain does not know of.
        }
    }

    /// Goes back to the version of a policy before the one that serves, or forgets that somebody
    /// did; see [`Runtime::rollback`] and [`Runtime::undo`]. It does not wait for a load.
    ///
    /// # Errors
    /// As there; what serves goes on then.
    pub(crate) fn rollback(&self, name: &str, undo: bool) -> Result<(), RollbackError> {
        let _turn = lock(&self.exchange);
        let (from, folder, complete) = {
            let serving = lock(&self.serving);
            let chain = Arc::clone(&serving.chain);
            (chain, serving.folder.clone(), serving.complete)
        };
        let chain = if undo {
            self.runtime.undo(name, self.sources(), &from)?
        } else {
            self.runtime.rollback(name, &from)?
        };
        self.put(folder, chain, complete);
        Ok(())
    }

    /// Lets a chain serve, in one step; `exchange` is held.
    fn put(&self, folder: Vec<FileMark>, chain: Chain, complete: bool) {
        let mut serving = lock(&self.serving);
        serving.folder = folder;
        serving.chain = Arc::new(chain);
        serving.complete = complete;
        serving.exchanges += 1;
        drop(serving);
        self.changed.notify_all();
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            baseline: self.baseline,
            folder: &self.folder,
        }
    }

    /// Reloads when the folder has changed and is at rest: whoever copies several files, or a large
    /// one, is not done yet. `before` is what this answered the last time.
    fn settle(&self, before: Option<&Vec<FileMark>>) -> Option<Vec<FileMark>> {
        let now = marks(&self.folder);
        if lock(&self.serving).folder == now {
            return None;
        }
        if before == Some(&now) && self.load_now().is_ok() {
            return None;
        }
        Some(now)
    }

    /// Loads again, with a growing pause, while what failed may pass.
    fn try_again(&self, now: Instant) {
        let mut serving = lock(&self.serving);
        if !serving.chain.may_pass() {
            serving.again = None;
            return;
        }
        let (due, pause) = *serving
            .again
            .get_or_insert((now + FIRST_PAUSE, FIRST_PAUSE));
        if now < due {
            return;
        }
        drop(serving);
        if self.load_now().is_ok() {
            let pause = self.pause_after(pause);
            lock(&self.serving).again = Some((now + pause, pause));
        }
    }

    /// Those that have had no turn yet are not to wait for those that fail each time.
    fn pause_after(&self, pause: Duration) -> Duration {
        if lock(&self.serving).further {
            FIRST_PAUSE
        } else {
            (pause * 2).min(LONGEST_PAUSE)
        }
    }

    pub(crate) fn status(&self) -> Vec<PluginStatus> {
        self.chain().status()
    }

    /// Files in the folder that look as if they were meant to count, and do not.
    pub(crate) fn strays(&self) -> Vec<Stray> {
        self.chain().strays().to_vec()
    }
}

/// A load that is under way; it is over when this is dropped.
struct Loading<'a>(&'a Policies);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        lock(&self.0.serving).loading = false;
        self.0.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads the policies, and then looks at the folder again and again, until the daemon stops. Without
/// `follow` what changes there waits for `volward policy load`; what failed for a moment is tried
/// again all the same.
pub(crate) async fn watch(
    policies: Arc<Policies>,
    follow: bool,
    period: Duration,
    mut stopped: Receiver<bool>,
) {
    let mut seen = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            // An error means that the sender is gone, which is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let policies = Arc::clone(&policies);
        let now = tokio::time::Instant::now().into_std();
        let look = move || {
            let seen = if follow {
                policies.settle(seen.as_ref())
            } else {
                None
            };
            policies.try_again(now);
            seen
        };
        seen = match tokio::task::spawn_blocking(look).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::error!(%error, "looking at the policies broke off");
                None
            }
        };
    }
}

fn marks(folder: &NamedFolder) -> Vec<FileMark> {
    // A folder that is not there or cannot be read is told of by the loading itself.
    let Ok(folder) = folder.open() else {
        return Vec::new();
    };
    let names = folder.names().unwrap_or_default();
    let mark = |name: OsString| {
        let meta = folder.dir().symlink_metadata(&name).ok()?;
        let (changed, nanoseconds) = (meta.ctime(), meta.ctime_nsec());
        let (device, inode, size) = (meta.dev(), meta.ino(), meta.size());
        Some((name, device, inode, size, changed, nanoseconds))
    };
    // Its last change is that of an entry, which has a mark of its own or does not matter.
    let itself = folder.dir().dir_metadata().ok().map(|meta| {
        let (device, inode) = (meta.dev(), meta.ino());
        let (mode, owner) = (u64::from(meta.mode()), i64::from(meta.uid()));
        (OsString::new(), device, inode, mode, owner, 0)
    });
    let files = names.into_iter().filter_map(mark);
    itself.into_iter().chain(files).collect()
}

impl Policy for Policies {
    fn attach(&self, facts: &Facts) -> DecisionRecord {
        self.chain().attach(facts)
    }

    fn migrate(&self, facts: &Facts) -> DecisionRecord {
        self.chain().migrate(facts)
    }

    fn operate(&self, facts: &Facts) -> DecisionRecord {
        self.chain().operate(facts)
    }

    fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord {
        self.chain().detach(facts, granted)
    }
}

#[cfg(test)]
mod tests;
