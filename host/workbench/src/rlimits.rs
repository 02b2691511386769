//! The limits under which strangers' components are compiled. The program sets them on itself,
//! so that they hold whoever starts it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Processor seconds, all threads together. Python's component takes 9, and twenty times that
/// in an emulated machine.
const CPU_SECONDS: u64 = 300;
/// Address space. Python's component takes 350 MB, and the same again for threads and slack.
const ADDRESS_BYTES: u64 = 3 << 30;
/// What is written is the artefact.
const FILE_BYTES: u64 = 512 << 20;

/// Sets them; a limit that is lower already stays.
///
/// # Errors
/// If the kernel refuses.
pub fn set() -> rustix::io::Result<()> {
    lower(Resource::Cpu, CPU_SECONDS)?;
    lower(Resource::As, ADDRESS_BYTES)?;
    lower(Resource::Fsize, FILE_BYTES)?;
    lower(Resource::Core, 0)
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
