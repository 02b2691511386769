//! The policy chain and its log behind `control`'s ports; the compiler as a child.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch::Receiver;
use volward_control::ports::{Became, Decisions, Policy, PortError, PortResult};
use volward_model::{CopyFate, DecisionRecord, Facts, VolumeId};
use volward_policy::{
    Chain, CompileError, Compiler, DecisionLog, LogEntry, LogFolder, Outcome, PluginStatus,
    Runtime, Sources, Which,
};
use volward_storage::exec::{Exec, ExecError, Invocation};

/// A policy of a megabyte compiles in a second, Python's 18 MB in five; emulated nodes take ten
/// times as long.
const COMPILE_DEADLINE: Duration = Duration::from_secs(90);
/// A few calls of `stat`. Two looks that see the same are a folder at rest.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// Compiled code is some five times its component; the largest admitted is 32 MiB.
const ARTEFACT_LIMIT: usize = 256 << 20;

/// The chain that serves, and what it was made of.
pub(crate) struct Policies {
    runtime: Runtime,
    baseline: Option<&'static [u8]>,
    folder: PathBuf,
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
    pub(crate) fn load(runtime: Runtime, baseline: Option<&'static [u8]>, folder: PathBuf) -> Self {
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
    /// goes on where something is refused, is what was loaded before.
    pub(crate) fn reload(&self) {
        let turn = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = marks(&self.folder);
        if !self.serves(&now) {
            tracing::info!(folder = %self.folder.display(), "the policies changed; loading them");
            let sources = Sources {
                baseline: self.baseline,
                folder: &self.folder,
            };
            let chain = Arc::new(self.runtime.reload(sources, &self.chain()));
            let fresh = Serving { folder: now, chain };
            *self.serving.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        drop(turn);
    }

    /// Reloads when the folder has changed and is at rest: whoever copies several files, or a large
    /// one, is not done yet. `before` is what this answered the last time.
    fn settle(&self, before: Option<&Vec<FileMark>>) -> Option<Vec<FileMark>> {
        let now = marks(&self.folder);
        if self.serves(&now) {
            return None;
        }
        if before == Some(&now) {
            self.reload();
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

fn marks(folder: &Path) -> Vec<FileMark> {
    // A folder that is not there or cannot be read is told of by the loading itself.
    let entries = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut marks: Vec<FileMark> = entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            let changed = (meta.ctime(), meta.ctime_nsec());
            Some((
                entry.file_name(),
                meta.dev(),
                meta.ino(),
                meta.size(),
                changed.0,
                changed.1,
            ))
        })
        .collect();
    marks.sort();
    marks
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
    fn record(&self, decision: &DecisionRecord, became: &Became) -> PortResult<()> {
        let outcome = match became.clone() {
            Became::Done => Outcome::Done,
            Became::Refused { code, message } => Outcome::Refused { code, message },
            Became::Failed { message } => Outcome::Failed { message },
        };
        let mut log = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(decision, &outcome)
            .map_err(|error| PortError::Io {
                what: "writing the decision log".into(),
                reason: error.to_string(),
            })
    }
}

/// `volward-policy compile`, as a child under limits: no compiler lives in the daemon.
pub(crate) struct Workbench {
    pub(crate) exec: Arc<Exec>,
    pub(crate) program: PathBuf,
}

impl Compiler for Workbench {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let invocation = Invocation::new(&self.program)
            .args(["compile"])
            .deadline(COMPILE_DEADLINE)
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
            other => CompileError::Failed {
                reason: PortError::from(other).to_string(),
            },
        })
    }
}
