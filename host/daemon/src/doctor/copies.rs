//! Local copies that somebody should look at. How far the others are says `hydration ls`.

use std::time::Duration;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::{Clock, JournalEntry, JournalQuery, JournalState, Operation};
use volward_control::{CopyView, VolumeTrouble};
use volward_model::{CopyState, PoolName, VolumeRef};

use super::bad;
use crate::system::SystemClock;
use crate::wiring::Daemon;

/// An attach before the write-back, and one that came between, may be newer.
const ENTRIES: usize = 10;

/// One check for each copy that does not go on.
pub(super) fn examine(daemon: &Daemon) -> Vec<DoctorCheck> {
    let now = SystemClock::new().now_ms();
    let checks = daemon.node.copies().into_iter().filter_map(|view| {
        let returning = returning_since(daemon, &view.volume);
        check(
            &view,
            returning.map(|ms| Duration::from_millis(now.saturating_sub(ms))),
        )
    });
    checks.collect()
}

/// One check for each volume of a pool that does not come home by itself.
pub(super) fn volumes(daemon: &Daemon, pool: &PoolName) -> Vec<DoctorCheck> {
    let found = daemon.node.to_look_at_in(pool);
    let comes_home = daemon.config.copies.after().is_some();
    found
        .iter()
        .map(|(v, trouble)| volume(v, trouble, comes_home))
        .collect()
}

fn volume(volume: &VolumeRef, trouble: &VolumeTrouble, comes_home: bool) -> DoctorCheck {
    let (verdict, found, remedy) = match trouble {
        VolumeTrouble::Contradiction(sentences) => (
            DoctorVerdict::Failed,
            format!(
                "what is known of its data contradicts itself: {}",
                sentences.join("; and ")
            ),
            format!("volward recover {volume} says what can be done; nothing is done to it meanwhile"),
        ),
        VolumeTrouble::Silent(why) => (
            DoctorVerdict::Failed,
            format!(
                "its data may be in a copy in this node's local pool, which cannot be read: {why}; it is \
                 refused until then"
            ),
            format!(
                "bring the local pool's disk back; volward recover {volume} says what each witness tells"
            ),
        ),
        VolumeTrouble::WaitsForItsGuest => (
            DoctorVerdict::Warning,
            match comes_home {
                false => "its data is partly in this node's copy, and no guest here has it; other nodes refuse it",
                true => {
                    "its data is partly in this node's copy, and no guest here has it; other nodes refuse it until it is \
                     written back, which begins by itself ([copies] left-alone)"
                }
            }
            .to_owned(),
            format!(
                "start its guest on this node; or have it written back now: `volward attach UUID {volume}` \
                 and `volward detach UUID` here, with any UUID"
            ),
        ),
    };
    bad(&format!("volume {volume}"), verdict, found, remedy)
}

/// When the write-back that is under way was begun: its journal entry outlives the daemon.
fn returning_since(daemon: &Daemon, volume: &VolumeRef) -> Option<u64> {
    let query = JournalQuery::Volume(volume.clone());
    let entries = daemon.node.history(&query, ENTRIES).ok()?;
    let under_way = |e: &&JournalEntry| {
        e.state == JournalState::Open && matches!(e.operation, Operation::WriteBack { .. })
    };
    let entry = entries.iter().find(under_way)?;
    Some(entry.started_ms)
}

fn check(view: &CopyView, returning: Option<Duration>) -> Option<DoctorCheck> {
    let what = match returning {
        Some(time) => format!("being written back for {}", span(time)),
        None => "hydrating".to_owned(),
    };
    let percent = (view.done.0 * 100).checked_div(view.total.0);
    let percent = percent.map_or_else(String::new, |p| format!(", {p} % done"));
    let trouble = view.trouble.as_ref();
    let trouble = trouble.map_or_else(String::new, |trouble| format!(": {trouble}"));
    let (verdict, found, remedy) = match view.state {
        CopyState::Failed => (
            DoctorVerdict::Failed,
            format!("{what}{percent}; its metadata failed, and nothing is copied{trouble}"),
            "look at the disk of the local pool (dmesg); the copy has data that is nowhere else: \
             leave it and the volume's tags as they are",
        ),
        CopyState::Stalled => {
            let idle = span(Duration::from_millis(view.stalled_ms));
            (
                DoctorVerdict::Failed,
                format!("{what}{percent}, without progress for {idle}{trouble}"),
                "look at the disks of both pools (dmesg, multipath -ll) and at how busy they are; \
                 it goes on by itself, and other nodes refuse the volume until it is done",
            )
        }
        // What was said last stays said also when the next try went well.
        _ if view.trouble.is_some() => (
            DoctorVerdict::Warning,
            format!("{what}{percent}; it had trouble{trouble}"),
            "volward hydration ls shows whether it goes on; it is tried again every few seconds, \
             and other nodes refuse the volume until it is done",
        ),
        _ => return None,
    };
    let name = format!("copy of {}", view.volume);
    Some(bad(&name, verdict, found, remedy))
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use volward_model::{Bytes, VolumeId};

    use super::*;

    fn view(state: CopyState, stalled_ms: u64, trouble: Option<&str>) -> CopyView {
        CopyView {
            volume: VolumeRef {
                id: VolumeId {
                    vg: "v".repeat(32).parse().unwrap(),
                    lv: "a".repeat(32).parse().unwrap(),
                },
                pool: "vg0".parse().unwrap(),
                name: "web".parse().unwrap(),
            },
            state,
            done: Bytes::mib(12),
            total: Bytes::mib(100),
            remaining_ms: None,
            stalled_ms,
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn a_copy_that_goes_on_is_no_finding() {
        for state in [
            CopyState::Hydrating,
            CopyState::Complete,
            CopyState::WritesOnly,
            CopyState::Returning,
        ] {
            assert_eq!(check(&view(state, 0, None), None), None, "{state}");
        }
    }

    #[test]
    fn a_stalled_hydration_is_said_with_volume_and_time() {
        let found = check(&view(CopyState::Stalled, 301_000, None), None).unwrap();
        assert_eq!(found.name, "copy of vg0/web");
        assert_eq!(found.verdict, DoctorVerdict::Failed);
        assert_eq!(
            found.found,
            "hydrating, 12 % done, without progress for 5 min"
        );
        assert!(found.remedy.is_some() && !found.refuses_read_write);
    }

    #[test]
    fn a_failing_write_back_is_said_with_its_trouble_and_since_when() {
        let view = view(CopyState::Returning, 0, Some("vgs: no answer"));
        let found = check(&view, Some(Duration::from_secs(3 * 3600))).unwrap();
        assert_eq!(found.verdict, DoctorVerdict::Warning);
        assert_eq!(
            found.found,
            "being written back for 3 h, 12 % done; it had trouble: vgs: no answer"
        );
    }

    #[test]
    fn broken_metadata_is_a_failure_whatever_else_is_said() {
        let found = check(&view(CopyState::Failed, 61_000, None), None).unwrap();
        assert_eq!(found.verdict, DoctorVerdict::Failed);
        assert!(found.found.contains("metadata failed"), "{found:?}");
    }
}
