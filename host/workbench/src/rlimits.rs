//! The limits under which strangers' components are compiled. The program sets them on itself,
//! so that they hold whoever starts it: on a hypervisor beside guests, too.

use std::fs;
use std::num::NonZero;
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use volward_policy::Limits;

/// Processor seconds, all threads together. Python's component takes 9, and twenty times that
/// in an emulated machine.
const CPU_SECONDS: u64 = 300;
/// Memory of its own, for each byte that a component may have. Python's 18 MB take 350 MB; the default of
/// 32 MiB may take 1 GiB.
const DATA_FOR_A_BYTE: u64 = 32;
/// Address space, of which much is only reserved, for each byte of that.
const ADDRESSES_FOR_A_BYTE: u64 = 3;
/// What is written is the artefact.
const FILE_BYTES: u64 = 512 << 20;
/// The least weight there is: guests go first.
const NICE: i32 = 19;
/// The most there is: where memory is short, the kernel ends this and no guest.
const OOM_SCORE_ADJ: &str = "1000";
/// More threads share a component badly, and each has memory of its own.
const MOST_THREADS: usize = 8;

/// Sets them for components of at most so many bytes; a limit that is lower already stays.
///
/// # Errors
/// If the kernel refuses.
pub fn set(component_bytes: u64) -> rustix::io::Result<()> {
    // First of all: what follows may already be in somebody's way. The threads of later inherit it.
    setpriority_process(None, NICE)?;
    // Without /proc nobody can ask for it, and the other limits hold.
    let _without_proc = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    lower(Resource::Cpu, CPU_SECONDS)?;
    // Whoever allows smaller components only is no worse off: threads have memory of their own, too.
    let bytes = component_bytes.max(Limits::default().component_bytes);
    let data = bytes.saturating_mul(DATA_FOR_A_BYTE);
    lower(Resource::Data, data)?;
    lower(Resource::As, data.saturating_mul(ADDRESSES_FOR_A_BYTE))?;
    lower(Resource::Fsize, FILE_BYTES)?;
    lower(Resource::Core, 0)?;
    // An error means that the threads are there already: only for somebody else's, who set them.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads());
    let _there_already = pool.build_global();
    Ok(())
}

/// Half of the processors that there are.
fn threads() -> usize {
    let there = thread::available_parallelism().map_or(1, NonZero::get);
    (there / 2).clamp(1, MOST_THREADS)
}

fn lower(resource: Resource, wanted: u64) -> rustix::io::Result<()> {
    let now = getrlimit(resource);
    let least = |now: Option<u64>| Some(now.map_or(wanted, |now| now.min(wanted)));
    setrlimit(
        resource,
        Rlimit {
            current: least(now.current),
            maximum: least(now.maximum),
        },
    )
}
