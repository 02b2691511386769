//! Releases the hook could not deliver: done at start, and looked for while the daemon lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use volward_control::{ControlError, NotAfter};
use volward_model::{Origin, RequestId};
use volward_storage::spool::{SpoolError, SpoolFolder};

use crate::wiring::Daemon;

/// The hook also spools what a living daemon did not answer in time, or failed at. Nobody waits
/// for it, but the leases it holds may be wanted elsewhere.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);

/// The spool of that daemon.
pub(crate) fn of(daemon: &Daemon) -> SpoolFolder {
    SpoolFolder::new(daemon.spool.clone())
}

/// Looks again and again, until the daemon stops.
pub(crate) async fn watch(daemon: Arc<Daemon>, period: Duration, mut stopped: Receiver<bool>) {
    let mut spool = of(&daemon);
    loop {
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            // An error means that the sender is gone, which is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        // Where blocking is allowed, and where the end of the daemon waits for what is under way.
        let (worker, stop) = (Arc::clone(&daemon), stopped.clone());
        let look = move || {
            let delivered = deliver(&mut spool, &worker, || *stop.borrow());
            (spool, delivered)
        };
        spool = match tokio::task::spawn_blocking(look).await {
            Ok((spool, delivered)) => {
                if let Err(error) = delivered {
                    let error = anyhow::Error::from(error);
                    tracing::error!("late releases: {error:#}");
                }
                spool
            }
            Err(error) => {
                tracing::error!(%error, "a late release broke off");
                of(&daemon)
            }
        };
    }
}

/// Detaches what the releases name, until `stopping`.
///
/// # Errors
/// If the folder cannot be used.
pub(crate) fn deliver(
    spool: &mut SpoolFolder,
    daemon: &Daemon,
    stopping: impl Fn() -> bool,
) -> Result<(), SpoolError> {
    for late in spool.take()? {
        if stopping() {
            break;
        }
        let release = late.release.clone();
        let ask = volward_control::DetachRequest {
            request: RequestId(uuid::Uuid::new_v4()),
            origin: Origin::Libvirt,
            caller_uid: 0,
            instance: release.instance,
            volumes: release.volumes,
            not_after: release.not_after.map(|start| NotAfter {
                boot_id: start.boot_id,
                sequence: start.sequence,
            }),
            dry_run: false,
        };
        let detached = daemon.node.detach(&ask);
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
        spool.done(&late)?;
    }
    Ok(())
}

/// Then it is tried again. What is quarantined is remembered with its causes, and detached by
/// whoever mends them.
fn nothing_was_done(error: &ControlError) -> bool {
    matches!(error, ControlError::Waiting { .. })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::http::testing::Served;

    const INSTANCE: &str = "11111111-2222-3333-4444-555555555555";

    fn release(sequence: u64) -> String {
        let mark = format!("{{\"boot_id\":\"b\",\"sequence\":{sequence}}}");
        format!("{{\"instance\":\"{INSTANCE}\",\"not_after\":{mark}}}")
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
