//! The hostile components as files: one process makes them, another is measured.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use volward_corpus::End;

const INDEX: &str = "index.json";

/// One of them.
pub(super) struct Component {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    pub(super) end: End,
}

/// The bytes are in the file of its place.
#[derive(Serialize, Deserialize)]
struct Entry {
    what: String,
    end: End,
}

/// Writes all of them; `good` is the component some are made of.
pub(crate) fn write(good: &Path, folder: &Path) -> anyhow::Result<()> {
    let good =
        fs::read(good).with_context(|| format!("{} (`cargo xtask guests`)", good.display()))?;
    let mut index = Vec::new();
    for (place, hostile) in volward_corpus::all(&good)?.into_iter().enumerate() {
        fs::write(folder.join(place.to_string()), hostile.component)?;
        index.push(Entry {
            what: hostile.what.to_owned(),
            end: hostile.end,
        });
    }
    fs::write(folder.join(INDEX), serde_json::to_string(&index)?)?;
    Ok(())
}

/// Has them written by a process of its own.
pub(super) fn make(good: &Path, folder: &Path) -> anyhow::Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .arg("components")
        .args([good, folder])
        .stdin(Stdio::null())
        .output()
        .context("cannot start itself again")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "making the components failed: {said}"
    );
    Ok(())
}

/// Reads what [`make`] had written, one after the other.
pub(super) fn read(
    folder: &Path,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Component>>> {
    let index = fs::read_to_string(folder.join(INDEX))?;
    let index: Vec<Entry> = serde_json::from_str(&index)?;
    let folder = folder.to_owned();
    Ok(index.into_iter().enumerate().map(move |(place, entry)| {
        Ok(Component {
            bytes: fs::read(folder.join(place.to_string()))?,
            what: entry.what,
            end: entry.end,
        })
    }))
}
