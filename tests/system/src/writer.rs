//! A program on a node that writes to its attachment all the time, and notes what came of each write: one that lands
//! after the fence is seen on the LUN.

use crate::volward::{POOL, Volward};
use crate::{LabError, Node, Result};

/// Writes a growing number to the first block of a device, directly and for ever, and notes on the
/// node what came of each: `TIME ok N` or `TIME failed N`.
const PROGRAM: &str = "\
import mmap, os, sys, time
block = mmap.mmap(-1, 4096)
device = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
number = 0
while True:
    number += 1
    block[:8] = b'%08d' % number
    try:
        os.pwrite(device, block, 0)
        came = 'ok'
    except OSError:
        came = 'failed'
    print('%.3f %s %d' % (time.time(), came, number), flush=True)
    time.sleep(0.1)
";

/// The program, with its attachment of one volume. It goes on until [`Writer::end`], or until its node is gone.
#[derive(Debug)]
pub struct Writer<'a> {
    node: &'a Node,
    /// Of which files of the node are named.
    volume: String,
}

/// A write, as the program noted it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Write {
    /// By the node's clock, in seconds: when it had come to its end.
    pub at: f64,
    /// What it wrote: the first write's is 1.
    pub number: u64,
}

/// What `ls` says of a fenced attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// Whether the error table is loaded.
    pub cut: bool,
    /// Why it is fenced.
    pub reason: String,
}

impl<'a> Writer<'a> {
    /// Attaches `volume` of the shared pool, which is there, to `instance` on `node`, and begins to write.
    ///
    /// # Errors
    /// When the attach is refused, or the node is down.
    pub fn begin(volward: &Volward<'a>, node: u8, instance: &str, volume: &str) -> Result<Self> {
        volward.cli_ok(node, &format!("attach {instance} {POOL}/{volume}"))?;
        let node = volward.node(node);
        node.put_file("/run/lab/writer.py", 0o644, PROGRAM)?;
        node.run_ok(&format!(
            "setsid python3 /run/lab/writer.py /dev/volward/{instance}/{POOL}/{volume} \
             > /run/lab/written-{volume} 2>&1 & echo $! > /run/lab/writer-{volume}.pid; sleep 1"
        ))?;
        Ok(Self {
            node,
            volume: volume.to_owned(),
        })
    }

    /// The last write that succeeded.
    ///
    /// # Errors
    /// When there is none, or the node is down.
    pub fn last_ok(&self) -> Result<Write> {
        self.last("ok")
    }

    /// The last write that failed.
    ///
    /// # Errors
    /// When there is none, or the node is down.
    pub fn last_failed(&self) -> Result<Write> {
        self.last("failed")
    }

    fn last(&self, came: &str) -> Result<Write> {
        let written = format!("/run/lab/written-{}", self.volume);
        let script = format!("grep ' {came} ' {written} | tail -n 1");
        let line = self.node.run_ok(&script)?;
        let mut words = line.split_whitespace();
        let at = words.next().and_then(|word| word.parse().ok());
        let number = words.last().and_then(|word| word.parse().ok());
        match (at, number) {
            (Some(at), Some(number)) => Ok(Write { at, number }),
            _ => Err(LabError::Machine(format!("no write {came}: {line:?}"))),
        }
    }

    /// Whether a write succeeds within two seconds.
    ///
    /// # Errors
    /// As [`Writer::last_ok`].
    pub fn goes_on(&self) -> Result<bool> {
        let before = self.last_ok()?.number;
        self.node.run_ok("sleep 2")?;
        Ok(self.last_ok()?.number > before)
    }

    /// Ends the program; the attachment stays.
    ///
    /// # Errors
    /// When the node is down.
    pub fn end(&self) -> Result<()> {
        let script = format!("kill $(cat /run/lab/writer-{}.pid); sleep 0.5", self.volume);
        self.node.run_ok(&script).map(drop)
    }
}

/// What `ls` says of the fence of the first attachment of that node.
///
/// # Errors
/// When the daemon does not answer.
pub fn fenced(volward: &Volward<'_>, node: u8) -> Result<Option<Fenced>> {
    let all = volward.json(node, "ls")?;
    let fenced = &all[0]["fenced"];
    let reason = fenced["reason"].as_str().map(str::to_owned);
    Ok(reason.map(|reason| Fenced {
        cut: fenced["cut"] == true,
        reason,
    }))
}
