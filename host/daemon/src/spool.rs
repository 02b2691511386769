//! Releases the hook could not deliver: looked for while the daemon serves, its start included.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch::Receiver;
use volward_control::{ControlError, NotAfter};
use volward_model::{Origin, PoolName, RequestId};
use volward_storage::spool::{LateRelease, SpoolError, SpoolFolder};

use crate::wiring::Daemon;

/// The hook also spools what a living daemon did not answer in time, or failed at. Nobody waits
/// for it, but the leases it holds may be wanted elsewhere.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);

/// The spool of that daemon.
pub(crate) fn of(daemon: &Daemon) -> SpoolFolder {
    SpoolFolder::new(daemon.spool.clone())
}

/// The pools that a release is about, as far as this node knows.
type Group = BTreeSet<PoolName>;

/// Groups that are being delivered.
type Busy = Arc<Mutex<BTreeSet<Group>>>;

/// Looks again and again, until the daemon stops; the first time at once. Each group of pools has
/// its releases delivered by a thread of its own: a pool that hangs keeps back no other's.
pub(crate) async fn watch(daemon: Arc<Daemon>, period: Duration, mut stopped: Receiver<bool>) {
    let mut spool = of(&daemon);
    let busy = Busy::default();
    while !*stopped.borrow() {
        // Where blocking is allowed, and where the end of the daemon waits for what is under way.
        let look = move || {
            let taken = spool.take();
            (spool, taken)
        };
        spool = match tokio::task::spawn_blocking(look).await {
            Ok((spool, taken)) => {
                match taken {
                    Ok(releases) => begin(&daemon, &busy, releases, &stopped),
                    Err(error) => said(error),
                }
                spool
            }
            Err(error) => {
                tracing::error!(%error, "a look at late releases broke off");
                of(&daemon)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            // An error means that the sender is gone, which is a stop as well.
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// Has the releases of each group delivered that is not busy with those of an earlier look.
fn begin(daemon: &Arc<Daemon>, busy: &Busy, releases: Vec<LateRelease>, stopped: &Receiver<bool>) {
    let pools_of = |late: &LateRelease| match late.release.volumes.is_empty() {
        true => daemon.node.pools_of(late.release.instance),
        false => {
            let volumes = late.release.volumes.iter();
            volumes.map(|(pool, _)| pool.clone()).collect()
        }
    };
    for (group, releases) in in_groups(releases, pools_of) {
        let Some(place) = Delivering::begin(busy, group) else {
            continue;
        };
        let (daemon, stop) = (Arc::clone(daemon), stopped.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = deliver(&releases, &daemon, || *stop.borrow()) {
                said(error);
            }
            drop(place);
        });
    }
}

fn in_groups<T>(all: Vec<T>, group_of: impl Fn(&T) -> Group) -> BTreeMap<Group, Vec<T>> {
    let mut groups: BTreeMap<Group, Vec<T>> = BTreeMap::new();
    for one in all {
        groups.entry(group_of(&one)).or_default().push(one);
    }
    groups
}

/// A group is being delivered, as long as this lives.
struct Delivering {
    busy: Busy,
    group: Group,
}

impl Delivering {
    /// `None` if it is being delivered already.
    fn begin(busy: &Busy, group: Group) -> Option<Self> {
        let mut groups = busy.lock().unwrap_or_else(PoisonError::into_inner);
        groups.insert(group.clone()).then(|| Self {
            busy: Arc::clone(busy),
            group,
        })
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        let mut groups = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        groups.remove(&self.group);
    }
}

fn said(error: SpoolError) {
    let error = anyhow::Error::from(error);
    tracing::error!("late releases: {error:#}");
}

/// Detaches what the releases name, until `stopping`.
///
/// # Errors
/// If the folder cannot be used.
fn deliver(
    releases: &[LateRelease],
    daemon: &Daemon,
    stopping: impl Fn() -> bool,
) -> Result<(), SpoolError> {
    let spool = of(daemon);
    for late in releases {
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
            only_unused: false,
            dry_run: false,
        };
        let detached = daemon.node.detach(&ask);
        match &detached {
            Ok(done) => tracing::info!(
                instance = %ask.instance, count = done.detached.len(),
                trying_again = done.trying_again.len(), "late release delivered"
            ),
            Err(error) => {
                tracing::error!(instance = %ask.instance, %error, "late release");
                if nothing_was_done(error) {
                    continue;
                }
            }
        }
        spool.done(late)?;
    }
    Ok(())
}

/// Then it is delivered again. What is tried again or quarantined is remembered with its causes.
fn nothing_was_done(error: &ControlError) -> bool {
    matches!(
        error,
        ControlError::Waiting { .. } | ControlError::Unfinished { .. } | ControlError::State { .. }
    )
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
        // As the hook does, who may be first.
        fs::create_dir_all(&spool).unwrap();
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
    fn a_group_that_is_being_delivered_is_left_alone_and_keeps_back_no_other() {
        let group = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let releases = vec![(1, "a"), (2, "b"), (3, "a")];
        let groups = in_groups(releases, |(_, pool)| group(&[pool]));
        let sizes: Vec<usize> = groups.values().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1]);
        let busy = Busy::default();
        let hangs = Delivering::begin(&busy, group(&["a"])).unwrap();
        assert!(Delivering::begin(&busy, group(&["a"])).is_none());
        assert!(Delivering::begin(&busy, group(&["b"])).is_some());
        drop(hangs);
        assert!(Delivering::begin(&busy, group(&["a"])).is_some());
    }

    #[test]
    fn a_release_that_had_to_wait_in_vain_is_kept() {
        let waiting = ControlError::Waiting {
            volume: "vg0/web".into(),
            seconds: 40,
        };
        assert!(nothing_was_done(&waiting));
        let quarantined = ControlError::Quarantined {
            request: RequestId(uuid::Uuid::nil()),
            causes: vec!["in use".into()],
        };
        assert!(!nothing_was_done(&quarantined));
    }
}
