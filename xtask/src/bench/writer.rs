//! Somebody who writes to a device of the node while something else goes on there.

use std::time::Duration;

use anyhow::{Context, Result};
use volward_system::volward::Volward;

use super::on_node::{DEADLINE, NODE};

/// Where the program is on the node; its words are a device, then a command. It writes 4 KiB after 4 KiB at random places,
/// past every cache, until the command has ended, and answers how many writes there were, and their median, 99th percentile and
/// longest in ns.
pub(super) const PATH: &str = "/run/lab/writer.py";
const PROGRAM: &str = "\
import mmap, os, random, subprocess, sys, time
block = mmap.mmap(-1, 4096)
block[:] = os.urandom(4096)
device = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
blocks = os.lseek(device, 0, os.SEEK_END) // 4096
random.seed(1)
took = []
command = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
while command.poll() is None:
    for _ in range(10):
        place = random.randrange(blocks) * 4096
        begun = time.monotonic_ns()
        os.pwrite(device, block, place)
        took.append(time.monotonic_ns() - begun)
took.sort()
print(len(took), took[len(took) // 2], took[len(took) * 99 // 100], took[-1])
sys.exit(command.returncode)
";

/// What the writes of a phase took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writes {
    pub(super) median: Duration,
    pub(super) p99: Duration,
    pub(super) longest: Duration,
}

pub(super) fn install(volward: &Volward<'_>) -> Result<()> {
    Ok(volward.node(NODE).put_file(PATH, 0o644, PROGRAM)?)
}

/// Writes to the device until the command has ended, which it must well.
pub(super) fn during(volward: &Volward<'_>, device: &str, command: &str) -> Result<Writes> {
    let script = format!("python3 {PATH} {device} {command}");
    let text = volward.node(NODE).run_ok_within(DEADLINE, &script)?;
    let all = read(&text)?;
    all.first().copied().context("the writer wrote nothing")
}

/// Of lines or words that the program has answered, one phase after the other.
pub(super) fn read(text: &str) -> Result<Vec<Writes>> {
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("the node answered {text:?}"))?;
    let phases = numbers.chunks(4).map(|phase| match *phase {
        [_, median, p99, longest] => Ok(Writes {
            median: Duration::from_nanos(median),
            p99: Duration::from_nanos(p99),
            longest: Duration::from_nanos(longest),
        }),
        _ => anyhow::bail!("the node answered {text:?}"),
    });
    phases.collect()
}
