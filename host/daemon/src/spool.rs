//! Releases the hook could not deliver: done at start, and looked for while the daemon lives.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch::Receiver;
use volward_api::DetachRequest;
use volward_control::ControlError;
use volward_model::{Origin, RequestId};

use crate::marks::not_after;
use crate::wiring::Daemon;

/// The hook also spools what a living daemon did not answer in time, or failed at. Nobody waits
/// for it, but the leases it holds may be wanted elsewhere.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);

/// The folder. The hook puts `<instance>.json` there, and a later one in the place of an earlier.
pub(crate) struct Spool {
    folder: PathBuf,
    /// Files that cannot be read: said once, and not each minute.
    said: BTreeSet<PathBuf>,
}

/// Looks again and again, until the daemon stops.
pub(crate) async fn watch(daemon: Arc<Daemon>, period: Duration, mut stopped: Receiver<bool>) {
    let mut spool = Spool::of(&daemon);
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            // An error means that the sender is gone, which is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        // Where blocking is allowed, and where the end of the daemon waits for what is under way.
        let (worker, stop) = (Arc::clone(&daemon), stopped.clone());
        let look = move || {
            let delivered = spool.deliver(&worker, || *stop.borrow());
            (spool, delivered)
        };
        spool = match tokio::task::spawn_blocking(look).await {
            Ok((spool, delivered)) => {
                if let Err(error) = delivered {
                    tracing::error!("late releases: {error:#}");
                }
                spool
            }
            Err(error) => {
                tracing::error!(%error, "a late release broke off");
                Spool::of(&daemon)
            }
        };
    }
}

impl Spool {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self {
            folder: daemon.config.paths.state.join("spool"),
            said: BTreeSet::new(),
        }
    }

    /// Detaches what the releases name, until `stopping`.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub(crate) fn deliver(
        &mut self,
        daemon: &Daemon,
        stopping: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        for (path, request) in self.take()? {
            if stopping() {
                break;
            }
            let ask = volward_control::DetachRequest {
                request: RequestId(uuid::Uuid::new_v4()),
                origin: Origin::Libvirt,
                caller_uid: 0,
                instance: request.instance,
                volumes: request.volumes,
                not_after: request.not_after.map(not_after),
                dry_run: false,
            };
            let detached = daemon.node.detach(&ask);
            daemon.marks.refresh(&daemon.node, ask.instance);
            match &detached {
                Ok(done) => tracing::info!(
                    instance = %ask.instance, count = done.detached.len(), "late release delivered"
                ),
                Err(error) => {
                    tracing::error!(instance = %ask.instance, %error, "late release");
                    if nothing_was_done(error) {
                        continue;
                    }
                }
            }
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes what the hook has put there, and what was taken before and is not done. A taken file
    /// has another name: a release that comes while one of the same instance is delivered is not
    /// removed with it.
    fn take(&mut self) -> anyhow::Result<Vec<(PathBuf, DetachRequest)>> {
        let folder = &self.folder;
        let what = || format!("the spool {}", folder.display());
        fs::create_dir_all(folder).with_context(what)?;
        let list = || -> io::Result<Vec<PathBuf>> {
            let entries = fs::read_dir(folder)?;
            entries.map(|entry| Ok(entry?.path())).collect()
        };
        let ends_with = |path: &Path, end| path.extension().is_some_and(|e| e == end);
        for path in list().with_context(what)? {
            if ends_with(&path, "json") {
                fs::rename(&path, path.with_extension("taken")).with_context(what)?;
            }
        }
        let mut taken = list().with_context(what)?;
        taken.retain(|path| ends_with(path, "taken"));
        taken.sort();

        let mut requests = Vec::new();
        for path in taken {
            match read(&path) {
                Ok(request) => requests.push((path, request)),
                Err(error) => {
                    if self.said.insert(path.clone()) {
                        let path = path.display();
                        tracing::error!(%path, "a spooled release cannot be read: {error:#}");
                    }
                }
            }
        }
        Ok(requests)
    }
}

fn read(path: &Path) -> anyhow::Result<DetachRequest> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Then it is tried again. What is quarantined is remembered with its causes, and detached by
/// whoever mends them.
fn nothing_was_done(error: &ControlError) -> bool {
    matches!(error, ControlError::Waiting { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::Served;

    const INSTANCE: &str = "11111111-2222-3333-4444-555555555555";

    fn release(sequence: u64) -> String {
        let mark = format!("{{\"boot_id\":\"b\",\"sequence\":{sequence}}}");
        format!("{{\"instance\":\"{INSTANCE}\",\"not_after\":{mark}}}")
    }

    fn sequence(request: &DetachRequest) -> u64 {
        request.not_after.as_ref().unwrap().sequence
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_release_that_is_spooled_while_the_daemon_lives_is_delivered() {
        let served = Served::new("", |_| {});
        let spool = served.daemon.config.paths.state.join("spool");
        fs::write(spool.join("broken.json"), "{").unwrap();
        fs::write(spool.join("renamed"), release(1)).unwrap();
        fs::rename(
            spool.join("renamed"),
            spool.join(format!("{INSTANCE}.json")),
        )
        .unwrap();
        for _ in 0..500 {
            if names(&spool) == ["broken.taken"] {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("still there: {:?}", names(&spool));
    }

    #[test]
    fn a_newer_release_is_not_removed_with_the_one_that_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool {
            folder: folder.path().to_owned(),
            said: BTreeSet::new(),
        };
        let file = folder.path().join(format!("{INSTANCE}.json"));
        fs::write(&file, release(1)).unwrap();
        fs::write(folder.path().join(".unfinished.7"), "{").unwrap();
        let taken = spool.take().unwrap();
        fs::write(&file, release(2)).unwrap();
        fs::remove_file(&taken[0].0).unwrap();
        let newer = spool.take().unwrap();
        assert_eq!((taken.len(), sequence(&taken[0].1)), (1, 1));
        assert_eq!((newer.len(), sequence(&newer[0].1)), (1, 2));
        // Taken and not done: the daemon died, or another request was on the volume.
        let again = spool.take().unwrap();
        assert_eq!((again.len(), sequence(&again[0].1)), (1, 2));
    }

    #[test]
    fn a_release_that_had_to_wait_in_vain_is_kept() {
        let waiting = ControlError::Waiting {
            volume: "vg0/web".into(),
            seconds: 600,
        };
        assert!(nothing_was_done(&waiting));
        let quarantined = ControlError::Quarantined {
            request: RequestId(uuid::Uuid::nil()),
            causes: vec!["in use".into()],
        };
        assert!(!nothing_was_done(&quarantined));
    }
}
