//! The policy chain and its log behind `control`'s ports; the compiler as a child.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cap_std::fs::MetadataExt;
use tokio::sync::watch::Receiver;
use volward_control::ports::{Decisions, Policy, PortError, PortResult};
use volward_folder::NamedFolder;
use volward_model::{CopyFate, DecisionRecord, Facts, Outcome, RequestId, VolumeId};
use volward_policy::{
    Chain, CompileError, Compiler, DecisionLog, LogEntry, LogFolder, PluginStatus, RollbackError,
    Runtime, Sources, Which,
};
use volward_storage::exec::{Exec, ExecError, Invocation};

/// A few calls of `stat`. Two looks that see the same are a folder at rest.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// Compiled code is some five times its component; the largest admitted is 32 MiB.
const ARTEFACT_LIMIT: usize = 256 << 20;

/// The chain that serves, and what it was made of.
pub(crate) struct Policies {
    runtime: Runtime,
    baseline: Option<&'static [u8]>,
    folder: NamedFolder,
    serving: RwLock<Serving>,
    /// One reload at a time; whoever comes meanwhile waits for its result.
    reloading: Mutex<()>,
}

struct Serving {
    folder: Vec<FileMark>,
    chain: Arc<Chain>,
}

/// Tells one content of the folder from another: name, device, inode, size, last change.
type FileMark = (OsString, u64, u64, u64, i64, i64);

impl Policies {
    /// Loads the baseline and what is in the folder.
    pub(crate) fn load(
        runtime: Runtime,
        baseline: Option<&'static [u8]>,
        folder: NamedFolder,
    ) -> Self {
        let marks = marks(&folder);
        let chain = Arc::new(runtime.load(Sources {
            baseline,
            folder: &folder,
        }));
        let serving = RwLock::new(Serving {
            folder: marks,
            chain,
        });
        Self {
            runtime,
            baseline,
            folder,
            serving,
            reloading: Mutex::default(),
        }
    }

    /// What serves. A decision never waits for a policy to be compiled.
    fn chain(&self) -> Arc<Chain> {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&serving.chain)
    }

    /// Loads what is in the folder now, and only then lets it serve; what serves meanwhile, and
    /// goes on where something is refused, is what was loaded before. What was refused is tried
    /// again, though nothing has changed: the compiler may have been the one that failed.
    pub(crate) fn load_now(&self) {
        let Ok(()) = self.exchange(|serving| {
            tracing::info!(folder = %self.folder.path().display(), "loading the policies");
            Ok::<_, Infallible>(self.runtime.reload(self.sources(), serving))
        });
    }

    /// Goes back to the version of a policy before the one that serves, or forgets that somebody
    /// did; see [`Runtime::rollback`] and [`Runtime::undo`].
    ///
    /// # Errors
    /// As there; what serves goes on then.
    pub(crate) fn rollback(&self, name: &str, undo: bool) -> Result<(), RollbackError> {
        self.exchange(|serving| {
            if undo {
                self.runtime.undo(name, self.sources(), serving)
            } else {
                self.runtime.rollback(name, self.sources(), serving)
            }
        })
    }

    /// Lets a chain made after the one that serves serve, in one step.
    fn exchange<E>(&self, make: impl FnOnce(&Chain) -> Result<Chain, E>) -> Result<(), E> {
        let _turn = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Before the files are read: a change meanwhile is loaded the next time.
        let now = marks(&self.folder);
        let chain = Arc::new(make(&self.chain())?);
        let fresh = Serving { folder: now, chain };
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
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
        if self.serves(&now) {
            return None;
        }
        if before == Some(&now) {
            self.load_now();
            return None;
        }
        Some(now)
    }

    fn serves(&self, folder: &Vec<FileMark>) -> bool {
        let serving = self.serving.read().unwrap_or_else(PoisonError::into_inner);
        serving.folder == *folder
    }

    pub(crate) fn status(&self) -> Vec<PluginStatus> {
        self.chain().status()
    }
}

/// Looks at the folder again and again, until the daemon stops.
pub(crate) async fn watch(policies: Arc<Policies>, period: Duration, mut stopped: Receiver<bool>) {
    let mut seen = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            // An error means that the sender is gone, which is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let policies = Arc::clone(&policies);
        let look = move || policies.settle(seen.as_ref());
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
    names.into_iter().filter_map(mark).collect()
}

impl Policy for Policies {
    fn attach(&self, facts: &Facts) -> DecisionRecord {
        self.chain().attach(facts)
    }

    fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord {
        self.chain().detach(facts, granted)
    }
}

/// The decision log behind `control`'s port.
pub(crate) struct Log {
    writing: Mutex<DecisionLog>,
    /// Looking something up must not keep a decision waiting.
    reading: LogFolder,
}

impl Log {
    pub(crate) fn new(log: DecisionLog) -> Self {
        Self {
            reading: log.folder().clone(),
            writing: Mutex::new(log),
        }
    }

    /// The number of the latest decision.
    pub(crate) fn last(&self) -> u64 {
        self.writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
    }

    /// The latest decision that matches; see [`LogFolder::latest`].
    pub(crate) fn latest(
        &self,
        needle: &str,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> std::io::Result<Option<LogEntry>> {
        self.reading.latest(needle, matches)
    }

    /// The decisions that match; see [`LogFolder::select`].
    pub(crate) fn select(
        &self,
        which: Which<'_>,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> std::io::Result<Vec<LogEntry>> {
        self.reading.select(which, matches)
    }
}

impl Decisions for Log {
    fn record(&self, decision: &DecisionRecord, outcome: &Outcome) -> PortResult<()> {
        let mut log = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(decision, outcome)
            .map_err(|error| PortError::Io {
                what: "writing the decision log".into(),
                reason: error.to_string(),
            })
    }

    fn end(&self, request: RequestId, outcome: &Outcome) -> PortResult<()> {
        let mut log = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        log.end(request, outcome).map_err(|error| PortError::Io {
            what: "writing the decision log".into(),
            reason: error.to_string(),
        })
    }
}

/// `volward-policy compile`, as a child under limits: no compiler lives in the daemon.
pub(crate) struct Workbench {
    pub(crate) exec: Arc<Exec>,
    pub(crate) program: PathBuf,
    /// It is stopped after so long.
    pub(crate) deadline: Duration,
}

impl Compiler for Workbench {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let invocation = Invocation::new(&self.program)
            .args(["compile"])
            .deadline(self.deadline)
            .output_limit(ARTEFACT_LIMIT);
        let ran = self
            .exec
            .run_with_input("policy-compiler", invocation, component);
        ran.map_err(|error| match error {
            // 3: the component is at fault, the reason on stderr is meant for its author.
            ExecError::Failed { output, .. } if output.status.code() == Some(3) => {
                CompileError::Refused {
                    reason: output.stderr.trim().to_owned(),
                }
            }
            error @ ExecError::Deadline { .. } => CompileError::Failed {
                reason: format!(
                    "{error}: this node is slow for a policy of {} kB; raise `compile` under \
                     [timeouts]",
                    component.len() / 1000
                ),
            },
            other => CompileError::Failed {
                reason: PortError::from(other).to_string(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    use volward_policy::{Limits, PluginState};

    use super::*;

    /// A compiler that is never content, and how often it was asked.
    struct FakeCompiler(Arc<AtomicU32>);

    impl Compiler for FakeCompiler {
        fn compile(&self, _component: &[u8]) -> Result<Vec<u8>, CompileError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(CompileError::Failed {
                reason: "not today".to_owned(),
            })
        }
    }

    #[test]
    fn a_folder_that_becomes_a_link_is_noticed_and_refused() {
        let root = tempfile::tempdir().unwrap();
        let (path, away) = (root.path().join("policies.d"), root.path().join("away"));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let compiler = Box::new(FakeCompiler(Arc::default()));
        let owner = rustix::process::geteuid().as_raw();
        let runtime = Runtime::new(Limits::default(), None, owner, compiler).unwrap();
        let policies = Policies::load(runtime, None, NamedFolder::at(&path).unwrap());
        std::fs::write(path.join("50-x.toml"), "level = \"off\"\n").unwrap();
        std::fs::write(path.join("50-x.wasm"), "one").unwrap();
        policies.load_now();
        assert_eq!(policies.status()[0].state, PluginState::Off);

        std::fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(&away, &path).unwrap();
        let mut seen = None;
        for _ in 0..2 {
            seen = policies.settle(seen.as_ref());
        }
        let status = policies.status();
        assert!(
            matches!(&status[0].state, PluginState::Refused { reason } if reason.contains("is not a folder")),
            "{status:?}"
        );
    }

    #[test]
    fn what_was_refused_is_tried_again_when_it_changes_or_somebody_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let compiler = Box::new(FakeCompiler(Arc::clone(&asked)));
        let owner = rustix::process::geteuid().as_raw();
        let runtime = Runtime::new(Limits::default(), None, owner, compiler).unwrap();
        let policies = Policies::load(runtime, None, NamedFolder::at(&path).unwrap());
        let asked = || asked.load(Ordering::Relaxed);

        std::fs::write(path.join("50-x.wasm"), "one").unwrap();
        let mut seen = None;
        for _ in 0..10 {
            seen = policies.settle(seen.as_ref());
        }
        assert_eq!(asked(), 1, "ten looks at the same file");
        policies.load_now();
        assert_eq!(asked(), 2);
        std::fs::write(path.join("50-x.wasm"), "other").unwrap();
        for _ in 0..10 {
            seen = policies.settle(seen.as_ref());
        }
        assert_eq!(asked(), 3);
    }
}
