//! The signals that end the daemon, and the one that does not: sanlock tells every process with leases in a lockspace
//! that fails, or that somebody has it leave, to end. volwardd serves other pools too, and what it holds in that one
//! is not given up by its end, only not looked after any more.

use std::os::raw::c_int;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use tokio::sync::oneshot;
use volward_storage::probe::Probes;

/// As the kernel names its processes: the second one sends the signals.
const SANLOCK: [&[u8]; 2] = [b"sanlock", b"sanlock-helper"];

/// Waits for SIGTERM or SIGINT of anybody but sanlock.
///
/// # Errors
/// If they cannot be listened for.
pub(crate) async fn of_the_end(probes: Arc<dyn Probes>) -> anyhow::Result<()> {
    let mut signals =
        SignalsInfo::<WithOrigin>::new([SIGTERM, SIGINT]).context("listening for signals")?;
    let (tell, told) = oneshot::channel();
    let listen = move || {
        let mut passed_over = 0_u32;
        for origin in &mut signals {
            let by = origin.process.map(|process| process.pid);
            if ends(&*probes, origin.signal, by) {
                break;
            }
            passed_over += 1;
            // It says so each second, a hundred times.
            if passed_over == 1 {
                tracing::warn!(
                    "sanlock tells volwardd to end, for a lockspace that fails or is to be left: it goes on for the \
                     other pools"
                );
            }
        }
        // The other end is there until this has said so.
        let _heard = tell.send(());
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)
        .context("starting a thread")?;
    // An error means that nothing listens any more.
    told.await.context("listening for signals")
}

/// `by`: the process that sent it, where the kernel says so.
fn ends(probes: &dyn Probes, signal: c_int, by: Option<i32>) -> bool {
    let is_sanlock = |pid: i32| {
        let name = probes.content(Path::new(&format!("/proc/{pid}/comm")));
        name.is_ok_and(|name| SANLOCK.contains(&name.trim_ascii()))
    };
    signal != SIGTERM || !by.is_some_and(is_sanlock)
}

#[cfg(test)]
mod tests {
    use volward_storage::probe::FakeSystem;

    use super::*;

    #[test]
    fn sanlock_does_not_end_the_daemon_and_everybody_else_does() {
        let node = FakeSystem::default()
            .with_file("/proc/1/comm", "systemd\n")
            .with_file("/proc/7/comm", "sanlock\n")
            .with_file("/proc/9/comm", "sanlock-helper\n");
        assert!(!ends(&node, SIGTERM, Some(7)));
        assert!(!ends(&node, SIGTERM, Some(9)));
        assert!(ends(&node, SIGTERM, Some(1)));
        // Ended since, or of the kernel.
        assert!(ends(&node, SIGTERM, Some(8)));
        assert!(ends(&node, SIGTERM, None));
        assert!(ends(&node, SIGINT, Some(7)));
    }
}
