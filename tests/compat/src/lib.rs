//! Asks a compiled policy as the daemon does: dropped into a policies folder, loaded by the real
//! runtime, asked with facts. Tests are under `tests/`, and all there is to say about them in
//! docs/wit-evolution.md.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests: they end at the first surprise"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use volward_folder::{Folder, NamedFolder};
use volward_policy::{Chain, Limits, PluginState, Runtime, Sources};
use volward_workbench::InProcess;

/// A runtime with a cache, and a policies folder, gone when it is dropped.
pub struct Desk {
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Desk {
    /// An empty one, with limits that a busy machine does not reach.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes folders")]
    pub fn new() -> Self {
        let limits = Limits {
            deadline_ms: 5_000,
            load_deadline_ms: 20_000,
            ..Limits::default()
        };
        Self::with(limits)
    }

    /// An empty one.
    ///
    /// # Panics
    /// If there can be no runtime here.
    #[must_use]
    pub fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policies.d", "cache"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            only_ours(&folder.path().join(name), 0o755);
        }
        let owner = rustix::process::geteuid().as_raw();
        let cache = Folder::open(&folder.path().join("cache")).unwrap();
        let compiler = Box::new(InProcess::new().unwrap());
        let runtime = Runtime::new(limits, Some(cache), owner, compiler).unwrap();
        Self { folder, runtime }
    }

    /// A chain of this policy alone; an error says why it would be refused.
    ///
    /// # Errors
    /// If it is refused.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn load(
        &self,
        name: &str,
        component: &[u8],
        config: &BTreeMap<String, String>,
    ) -> Result<Chain, String> {
        let policies = self.folder.path().join("policies.d");
        for entry in fs::read_dir(&policies).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let mut settings = "[config]\n".to_owned();
        for (key, value) in config {
            // TOML's basic strings are JSON's.
            let value = serde_json::to_string(value).unwrap();
            writeln!(settings, "{key} = {value}").unwrap();
        }
        for (ending, content) in [("wasm", component), ("toml", settings.as_bytes())] {
            let path = policies.join(format!("50-{name}.{ending}"));
            fs::write(&path, content).unwrap();
            only_ours(&path, 0o644);
        }
        let chain = self.runtime.load(Sources {
            baseline: None,
            folder: &NamedFolder::at(&policies).unwrap(),
        });
        match &chain.status()[..] {
            [one] => match &one.state {
                PluginState::Refused { reason }
                | PluginState::Kept { reason }
                | PluginState::Waiting { reason, .. } => Err(reason.clone()),
                PluginState::Serving | PluginState::RolledBack { .. } | PluginState::Off => {
                    Ok(chain)
                }
            },
            other => Err(format!(
                "one policy is in the folder, and there are {other:?}"
            )),
        }
    }
}

fn only_ours(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
