//! Whoever writes to devices on a node all the time, and what is found there afterwards.

use std::time::Duration;

use crate::volward::Volward;
use crate::{LabError, Node, Result};

/// Patience with what reads tens of MiB in emulation, beside other clusters.
const PATIENCE: Duration = Duration::from_secs(600);

/// Writes the number of its round to the head of each MiB of its devices, the same MiB of each before the next one, one write after
/// the other, round after round, and says meanwhile which round it is and what the longest write took, in ms.
const WRITER: &str = "\
import mmap, os, signal, sys, time
block = mmap.mmap(-1, 4096)
devices = [os.open(path, os.O_RDWR | os.O_DIRECT) for path in sys.argv[3:]]
ended = False
def end(*_):
    global ended
    ended = True
signal.signal(signal.SIGTERM, end)
number, longest = 0, 0
while not ended:
    number += 1
    for mib in range(int(sys.argv[1])):
        block[:8] = number.to_bytes(8, 'little')
        for device in devices:
            begun = time.monotonic()
            os.pwrite(device, block, mib << 20)
            longest = max(longest, time.monotonic() - begun)
        if ended:
            break
    with open(sys.argv[2] + '.new', 'w') as out:
        print(number, int(longest * 1000), file=out)
    os.rename(sys.argv[2] + '.new', sys.argv[2])
";

/// Prints the numbers at the heads, and the digest of all the rest.
const READER: &str = "\
import hashlib, mmap, os, sys
block = mmap.mmap(-1, 1 << 20)
device = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
numbers, rest = [], hashlib.sha256()
for mib in range(int(sys.argv[2])):
    os.preadv(device, [block], mib << 20)
    numbers.append(int.from_bytes(block[:8], 'little'))
    rest.update(block[4096:])
print(rest.hexdigest(), *numbers)
";

/// Puts both programs where they are looked for: who writes on node 1, who reads on both.
///
/// # Errors
/// When a node is down.
pub fn put_programs(volward: &Volward<'_>) -> Result<()> {
    for (node, name, program) in [
        (1, "writer", WRITER),
        (1, "reader", READER),
        (2, "reader", READER),
    ] {
        let path = format!("/run/lab/{name}.py");
        volward.node(node).put_file(&path, 0o644, program)?;
    }
    Ok(())
}

/// Has somebody write to the first MiBs of devices (their paths, a space between) from here on, and waits for his first round.
///
/// # Errors
/// When he does not begin.
pub fn begin(node: &Node, devices: &str, mib: u64) -> Result<()> {
    let script = format!(
        "rm -f /run/lab/busy.txt
         setsid python3 /run/lab/writer.py {mib} /run/lab/busy.txt {devices} > /run/lab/busy.err 2>&1 &
         echo $! > /run/lab/busy.pid; while [ ! -e /run/lab/busy.txt ]; do sleep 0.2; done"
    );
    node.run_ok_within(PATIENCE, &script).map(drop)
}

/// The round that he is in, and his longest write so far, in ms.
///
/// # Errors
/// When he has not begun.
pub fn written(node: &Node) -> Result<(u64, u64)> {
    let text = node.run_ok("cat /run/lab/busy.txt")?;
    match numbers(text.split_whitespace())?.as_slice() {
        [round, longest] => Ok((*round, *longest)),
        _ => Err(LabError::Machine(format!("the writer says {text:?}"))),
    }
}

/// Has him end; what he met: nothing, or the last words of his program.
///
/// # Errors
/// When he does not end.
pub fn end(node: &Node) -> Result<String> {
    let script = "kill $(cat /run/lab/busy.pid); while [ -d /proc/$(cat /run/lab/busy.pid) ]; do sleep 0.2; done; \
                  cat /run/lab/busy.err";
    node.run_ok_within(PATIENCE, script)
}

/// What a device holds: the digest of all but the heads of its first MiBs, and the numbers at the heads.
///
/// # Errors
/// When it cannot be read.
pub fn holds(node: &Node, device: &str, mib: u64) -> Result<(String, Vec<u64>)> {
    let script = format!("python3 /run/lab/reader.py {device} {mib}");
    let text = node.run_ok_within(PATIENCE, &script)?;
    let mut words = text.split_whitespace();
    let rest = words.next().unwrap_or_default().to_owned();
    Ok((rest, numbers(words)?))
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<u64>> {
    let number = |word: &str| {
        let number = word.parse();
        number.map_err(|_| LabError::Machine(format!("{word:?} is no number")))
    };
    words.map(number).collect()
}
