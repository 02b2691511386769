//! The decision log behind `control`'s port. A log that cannot be opened refuses attaches, whose
//! decisions could not be recorded, and nothing else: the daemon starts, and detaches go on. It is
//! opened with the first decision for which it can be.

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use volward_control::ports::{Decisions, PortError, PortResult};
use volward_folder::Folder;
use volward_model::{DecisionRecord, Outcome, RequestId};
use volward_policy::{DecisionLog, LogEntry, LogFolder, LogLimits, Which};

/// Its folder in that of the state.
pub(crate) const FOLDER: &str = "decisions";

/// The decision log, open or not.
pub(crate) struct Log {
    state: Folder,
    limits: LogLimits,
    writing: Mutex<Option<DecisionLog>>,
    /// Looking something up must not keep a decision waiting.
    reading: OnceLock<LogFolder>,
}

/// What is wrong with the log, for doctor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogProblem {
    /// No decision can be recorded: every attach is refused.
    Closed(String),
    /// Decisions are recorded; files are not put aside, or not removed.
    Kept(String),
}

impl Log {
    /// The log in the folder of the state, opened if it can be.
    pub(crate) fn new(state: Folder, limits: LogLimits) -> Self {
        let log = Self {
            state,
            limits,
            writing: Mutex::default(),
            reading: OnceLock::new(),
        };
        if let Err(error) = log.with(|_| Ok(())) {
            tracing::error!(%error, folder = %log.path(), "the decision log cannot be opened: attaches are \
                 refused until it can be; detaches go on");
        }
        log
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> String {
        self.state.path_of(FOLDER).display().to_string()
    }

    /// Opens it if it is not open, and does something with it.
    fn with<T>(&self, act: impl FnOnce(&mut DecisionLog) -> io::Result<T>) -> io::Result<T> {
        let mut writing = lock(&self.writing);
        if let Some(log) = writing.as_mut() {
            return act(log);
        }
        let opened = DecisionLog::open(self.reading()?.folder().clone(), self.limits)?;
        act(writing.insert(opened))
    }

    /// Its folder, which is made if it is not there. What is in it can be read also while nothing can be
    /// written.
    fn reading(&self) -> io::Result<&LogFolder> {
        if let Some(folder) = self.reading.get() {
            return Ok(folder);
        }
        let folder = self.state.make_private_within(FOLDER)?;
        Ok(self.reading.get_or_init(|| LogFolder::new(folder)))
    }

    /// Its folder, if it could be opened so far.
    pub(crate) fn held(&self) -> Option<&Folder> {
        self.reading.get().map(LogFolder::folder)
    }

    /// What is wrong with it now.
    pub(crate) fn problem(&self) -> Option<LogProblem> {
        match self.with(|log| Ok(log.problem().map(str::to_owned))) {
            Ok(kept) => kept.map(LogProblem::Kept),
            Err(error) => Some(LogProblem::Closed(error.to_string())),
        }
    }

    /// The number of the latest decision.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn last(&self) -> io::Result<u64> {
        self.with(|log| Ok(log.last()))
    }

    /// The latest decision that matches; see [`LogFolder::latest`].
    pub(crate) fn latest(
        &self,
        needle: &str,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> io::Result<Option<LogEntry>> {
        self.reading()?.latest(needle, matches)
    }

    /// The decisions that match; see [`LogFolder::select`].
    pub(crate) fn select(
        &self,
        which: Which<'_>,
        matches: impl Fn(&LogEntry) -> bool,
    ) -> io::Result<Vec<LogEntry>> {
        self.reading()?.select(which, matches)
    }

    fn write(&self, what: impl FnOnce(&mut DecisionLog) -> io::Result<()>) -> PortResult<()> {
        self.with(what).map_err(|error| PortError::Io {
            what: "writing the decision log".into(),
            reason: error.to_string(),
        })
    }
}

impl Decisions for Log {
    fn record(&self, decision: &DecisionRecord, outcome: &Outcome) -> PortResult<()> {
        self.write(|log| log.append(decision, outcome))
    }

    fn end(&self, request: RequestId, outcome: &Outcome) -> PortResult<()> {
        self.write(|log| log.end(request, outcome))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use volward_model::{Answer, Combined, Scenario};

    use super::*;

    fn record() -> DecisionRecord {
        DecisionRecord {
            hook: "attach".into(),
            facts: Scenario::default().facts(),
            copies: Vec::new(),
            plugins: Vec::new(),
            combined: Combined::Granted(Answer::default()),
            micros: 3,
        }
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_opened_as_soon_as_it_can_be() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join(FOLDER);
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), &place).unwrap();
        let log = Log::new(Folder::open(root.path()).unwrap(), LogLimits::default());
        assert!(log.record(&record(), &Outcome::Begun).is_err());
        assert!(log.last().is_err() && log.select(Which::default(), |_| true).is_err());
        assert!(matches!(log.problem(), Some(LogProblem::Closed(_))));
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        // A folder, but its file cannot be made.
        fs::remove_file(&place).unwrap();
        fs::create_dir_all(place.join("decisions.jsonl")).unwrap();
        let problem = log.problem();
        let named = |text: &String| text.contains("decisions.jsonl");
        assert!(
            matches!(&problem, Some(LogProblem::Closed(text)) if named(text)),
            "{problem:?}"
        );
        fs::remove_dir(place.join("decisions.jsonl")).unwrap();
        log.record(&record(), &Outcome::Begun).unwrap();
        assert_eq!((log.last().unwrap(), log.problem()), (1, None));
    }
}
