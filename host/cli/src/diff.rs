//! `volume diff`: which parts of a volume are not as they are in another one, such as what has changed between two snapshots. Both are
//! read whole on this node, attached read-only for that time: nothing keeps a list of what is written.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use volward_api::model::{Access, InstanceId, Purpose};
use volward_api::{AttachReply, AttachRequest, Client, DetachRequest, DiskPath, DiskRequest};

use crate::exit::Exit;
use crate::output::{answer, hint};
use crate::show;
use crate::volume_path::VolumePath;

/// What is compared as one: a range begins and ends at a multiple of it. Smaller than what backup programs keep as one piece, and large enough that a
/// volume whose every block has changed makes no endless list.
const BLOCK: u64 = 64 * 1024;
/// Read at a time.
const CHUNK: u64 = 4 * 1024 * 1024;
/// What the two are attached as; `volward ls` shows it.
const NAME: &str = "volward volume diff";

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The volume as it was
    #[arg(value_name = "POOL/OLD")]
    old: VolumePath,
    /// The volume as it is; nobody writes to either of them
    #[arg(value_name = "POOL/NEW")]
    new: VolumePath,
}

/// A run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    /// From the beginning of both.
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// What is different, as it is printed for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) old: String,
    pub(crate) new: String,
    /// Bytes of the new one.
    pub(crate) size: u64,
    /// Bytes that were compared as one.
    pub(crate) block: u64,
    /// In order, and apart. What the new one has behind the old one's end is different.
    pub(crate) changed: Vec<Range>,
}

pub(crate) fn diff(client: &Client, json: bool, args: DiffArgs) -> anyhow::Result<Exit> {
    let (old, new) = (args.old, args.new);
    ensure!(
        (&old.pool, &old.volume) != (&new.pool, &new.volume),
        "{}/{} is one volume; name two",
        old.pool,
        old.volume
    );
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))
            .context("signals cannot be caught")?;
    }
    let instance = InstanceId(uuid::Uuid::new_v4());
    let disk = |path: &VolumePath| DiskRequest {
        pool: path.pool.clone(),
        volume: path.volume.clone(),
        path: DiskPath::default(),
        access: Access::ReadOnly,
        sharing: None,
        accept_narrowing: false,
    };
    let attached = client.attach(&AttachRequest {
        only_while_waiting: false,
        instance,
        instance_name: NAME.to_owned(),
        purpose: Purpose::Other("compare".to_owned()),
        hints: Vec::new(),
        disks: vec![disk(&old), disk(&new)],
        dry_run: false,
    })?;
    let compared = compare_attached(&attached, &stopped, json);
    let detached = client.detach(&DetachRequest {
        instance,
        volumes: Vec::new(),
        not_after: None,
        only_unused: false,
        dry_run: false,
    });
    if detached.is_err() {
        hint(&format!(
            "`volward detach {instance}` lets go of what was compared"
        ));
    }
    let (size, changed) = compared?;
    let difference = Difference {
        old: format!("{}/{}", old.pool, old.volume),
        new: format!("{}/{}", new.pool, new.volume),
        size,
        block: BLOCK,
        changed,
    };
    answer(json, &difference, show::difference)?;
    // What was found is of use, and what stays attached is a failure all the same.
    detached?;
    Ok(Exit::Ok)
}

fn compare_attached(
    attached: &AttachReply,
    stopped: &AtomicBool,
    json: bool,
) -> anyhow::Result<(u64, Vec<Range>)> {
    let [old, new] = attached.attached.as_slice() else {
        bail!(
            "the daemon attached {} volumes of two",
            attached.attached.len()
        );
    };
    let open = |device: &str| {
        File::open(Path::new(device)).with_context(|| format!("{device} cannot be read"))
    };
    let bar = match json || !std::io::stderr().is_terminal() {
        true => ProgressBar::hidden(),
        false => ProgressBar::no_length(),
    };
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {percent} %  {bytes} of {total_bytes}  {eta}",
    )?);
    let found = compare((&open(&old.device)?, &open(&new.device)?), stopped, &bar);
    bar.finish_and_clear();
    found
}

/// The size of the second in bytes, and where it is not as the first.
fn compare(
    (old, new): (&File, &File),
    stopped: &AtomicBool,
    bar: &ProgressBar,
) -> anyhow::Result<(u64, Vec<Range>)> {
    let (had, size) = (length(old)?, length(new)?);
    bar.set_length(size);
    let mut changed: Vec<Range> = Vec::new();
    let (mut before, mut now) = (buffer()?, buffer()?);
    let common = had.min(size);
    let mut at = 0;
    while at < common {
        if stopped.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let amount = usize::try_from((common - at).min(CHUNK))?;
        old.read_exact_at(&mut before[..amount], at)?;
        new.read_exact_at(&mut now[..amount], at)?;
        let block = usize::try_from(BLOCK)?;
        let blocks = before[..amount]
            .chunks(block)
            .zip(now[..amount].chunks(block));
        let mut start = at;
        for (before, now) in blocks {
            let length = u64::try_from(now.len())?;
            if before != now {
                add(&mut changed, Range { start, length });
            }
            start += length;
        }
        at = start;
        bar.set_position(at);
    }
    if size > common {
        let (start, length) = (common, size - common);
        add(&mut changed, Range { start, length });
    }
    Ok((size, changed))
}

fn buffer() -> anyhow::Result<Vec<u8>> {
    Ok(vec![0; usize::try_from(CHUNK)?])
}

/// Of a device, which says so by its end alone.
fn length(of: &File) -> anyhow::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut of = of;
    Ok(of.seek(SeekFrom::End(0))?)
}

/// Runs that touch are one.
fn add(changed: &mut Vec<Range>, range: Range) {
    match changed.last_mut() {
        Some(last) if last.start + last.length == range.start => last.length += range.length,
        _ => changed.push(range),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn compared(old: &[u8], new: &[u8]) -> (u64, Vec<(u64, u64)>) {
        let run = AtomicBool::new(false);
        let (size, changed) =
            compare((&file(old), &file(new)), &run, &ProgressBar::hidden()).unwrap();
        let changed = changed.iter().map(|range| (range.start, range.length));
        (size, changed.collect())
    }

    #[test]
    fn what_is_different_is_listed_in_whole_blocks_and_nothing_else() {
        let block = usize::try_from(BLOCK).unwrap();
        // More than is read at a time, and no whole block at its end.
        let size = usize::try_from(CHUNK).unwrap() + 3 * block + 512;
        let old = vec![7_u8; size];
        assert_eq!(compared(&old, &old), (size as u64, vec![]));
        let mut new = old.clone();
        new[0] = 1;
        new[5 * block - 1] = 1;
        new[5 * block] = 1;
        new[size - 1] = 1;
        let last = (CHUNK + 3 * BLOCK, 512);
        let expected = vec![(0, BLOCK), (4 * BLOCK, 2 * BLOCK), last];
        assert_eq!(compared(&old, &new), (size as u64, expected));
    }

    #[test]
    fn what_has_grown_is_different_behind_and_what_is_shorter_ends() {
        let (short, long) = (vec![7_u8; 70_000], vec![7_u8; 200_000]);
        assert_eq!(compared(&short, &long), (200_000, vec![(70_000, 130_000)]));
        assert_eq!(compared(&long, &short), (70_000, vec![]));
        assert_eq!(compared(b"", &short), (70_000, vec![(0, 70_000)]));
    }

    #[test]
    fn it_is_interrupted() {
        let stopped = AtomicBool::new(true);
        let files = (&file(b"a"), &file(b"b"));
        let error = compare(files, &stopped, &ProgressBar::hidden()).unwrap_err();
        assert!(error.to_string().contains("interrupted"), "{error}");
    }
}
