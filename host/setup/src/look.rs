//! What is on the node now, read by the handle of its root folder.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use thiserror::Error;
use volward_folder::Folder;

use crate::paths;

/// The texts of the files that a plan is made of, and what the kernel has.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By path from the root folder; what is not there is left out.
    pub(crate) files: BTreeMap<String, String>,
    /// The machine's, up to its first dot.
    pub(crate) host_name: Option<String>,
    /// There is a watchdog, and it is not the kernel's software one.
    pub(crate) hardware_watchdog: bool,
    /// The kernel has dm-clone, as a module or built in.
    pub(crate) dm_clone: bool,
    /// The policies folder is there.
    pub(crate) policies: bool,
}

impl Seen {
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Those in a folder, with their paths.
    pub(crate) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let folder = format!("{folder}/");
        let all = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        all.filter(move |(path, _)| path.starts_with(&folder))
    }
}

/// A file that is there and cannot be read.
#[derive(Debug, Error)]
#[error("cannot read /{path}")]
pub struct LookError {
    /// From the root folder.
    pub path: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Reads what there is.
///
/// # Errors
/// When a file is there that cannot be read as text.
pub fn look(root: &Folder) -> Result<Seen, LookError> {
    let mut seen = Seen::default();
    for path in [
        paths::SANLOCK,
        paths::SANLOCK_DEFAULTS,
        paths::WDMD_DEFAULTS,
        paths::LVM,
        paths::LVM_LOCAL,
        paths::VOLWARD,
    ] {
        if let Some(text) = text(root, path)? {
            seen.files.insert(path.to_owned(), text);
        }
    }
    for folder in [
        paths::LVMLOCKD_DROPINS,
        paths::SANLOCK_DROPINS,
        paths::LVMLOCKS_DROPINS,
        paths::MODULES,
    ] {
        for name in names(root, folder) {
            let path = format!("{folder}/{name}");
            if name.ends_with(".conf")
                && let Some(text) = text(root, &path)?
            {
                seen.files.insert(path, text);
            }
        }
    }
    seen.host_name = host_name(root)?;
    let software = root.dir().is_dir("sys/module/softdog");
    seen.hardware_watchdog = !names(root, "sys/class/watchdog").is_empty() && !software;
    seen.dm_clone = dm_clone(root)?;
    seen.policies = root.dir().is_dir(paths::POLICIES);
    Ok(seen)
}

/// `None` where it is not there.
pub(crate) fn text(root: &Folder, path: &str) -> Result<Option<String>, LookError> {
    match root.dir().read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LookError {
            path: path.to_owned(),
            source,
        }),
    }
}

/// What is in a folder, sorted; nothing where it is not there.
fn names(root: &Folder, folder: &str) -> Vec<String> {
    let entries = root.dir().read_dir(Path::new(folder)).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn host_name(root: &Folder) -> Result<Option<String>, LookError> {
    for path in ["proc/sys/kernel/hostname", "etc/hostname"] {
        let text = text(root, path)?.unwrap_or_default();
        let name = text.trim().split('.').next().unwrap_or_default();
        if !name.is_empty() && name != "localhost" && name != "(none)" {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// As the kernel's own lists of modules say.
fn dm_clone(root: &Folder) -> Result<bool, LookError> {
    let Some(release) = text(root, "proc/sys/kernel/osrelease")? else {
        return Ok(false);
    };
    for list in ["modules.dep", "modules.builtin"] {
        let path = format!("usr/lib/modules/{}/{list}", release.trim());
        if text(root, &path)?.is_some_and(|text| text.contains("/dm-clone.ko")) {
            return Ok(true);
        }
    }
    Ok(false)
}
