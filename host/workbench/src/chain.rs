//! The chain under examination: which policies, with which settings, in which order.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::Args;
use volward_model::scenario::{Hook, ScenarioPlugin};
use volward_model::{CopyFate, DecisionRecord, Facts, VolumeId};
use volward_policy::{
    BASELINE, Chain, CompileError, Compiler, Limits, PluginState, PluginStatus, Runtime, Settings,
};

use crate::InProcess;

/// The built-in policy, as the daemon has it.
pub const BASELINE_COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/baseline.wasm"));

/// Which policies, on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// A policy, or a folder of them as the daemon has one; in this order. Settings are taken from
    /// the file beside it that ends in .toml
    #[arg(short, long = "policy", value_name = "FILE|FOLDER")]
    pub policies: Vec<PathBuf>,
    /// Without the built-in policy, which else is asked first
    #[arg(long)]
    pub no_baseline: bool,
    /// Longest call of a hook [default: the daemon's]
    #[arg(long, value_name = "MILLISECONDS")]
    pub deadline_ms: Option<u32>,
}

/// A policy that could be in a chain.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name in records: the file name without number and ending.
    pub name: String,
    /// The component.
    pub component: Arc<[u8]>,
    /// What it is told, and whether it counts.
    pub settings: Settings,
}

impl Candidate {
    /// Reads a policy and the settings beside it.
    ///
    /// # Errors
    /// If one of them cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self> {
        let component =
            fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let settings = path.with_extension("toml");
        let settings = if settings.is_file() {
            read_settings(&settings)?
        } else {
            Settings::default()
        };
        Ok(Self {
            name: plain_name(path),
            component: component.into(),
            settings,
        })
    }
}

/// Reads a settings file.
///
/// # Errors
/// If it cannot be read, or is not one.
pub fn read_settings(path: &Path) -> Result<Settings> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Settings::parse(&text).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))
}

/// `name` of `NN-name.wasm`, and of `name.wasm` too: a policy that was just built has no number.
#[must_use]
pub fn plain_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.split_once('-') {
        Some((number, name)) if number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit()) => {
            name.to_owned()
        }
        _ => stem.into_owned(),
    }
}

/// What a scenario changes of a policy's settings.
type Changes = Vec<Option<(Option<BTreeMap<String, String>>, bool)>>;

/// Policies and what they run in. Components are compiled once, whatever their settings.
pub struct Candidates {
    /// In the order in which they are asked.
    pub list: Vec<Candidate>,
    runtime: Runtime,
    chains: RefCell<HashMap<Changes, Chain>>,
}

impl Candidates {
    /// Reads what was selected.
    ///
    /// # Errors
    /// If a file cannot be read, or two policies have one name.
    pub fn read(selection: &Selection) -> Result<Self> {
        Self::new(candidates(selection)?, selection.deadline_ms)
    }

    /// Of policies that are there already.
    ///
    /// # Errors
    /// If two have one name, or there is no sandbox on this machine.
    pub fn new(list: Vec<Candidate>, deadline_ms: Option<u32>) -> Result<Self> {
        for (n, one) in list.iter().enumerate() {
            if list[..n].iter().any(|earlier| earlier.name == one.name) {
                bail!("two policies are called {}: rename one", one.name);
            }
        }
        let mut limits = Limits::default();
        limits.deadline_ms = deadline_ms.unwrap_or(limits.deadline_ms);
        let owner = rustix::process::geteuid().as_raw();
        let compiler = Box::new(Kept::new(InProcess::new()?));
        Ok(Self {
            list,
            runtime: Runtime::new(limits, None, owner, compiler)?,
            chains: RefCell::default(),
        })
    }

    /// The chain with everybody's own settings.
    pub fn chain(&self) -> Chain {
        self.chain_for(&[])
    }

    /// The chain with the settings a scenario gives; those it does not name keep their own.
    pub fn chain_for(&self, plugins: &[ScenarioPlugin]) -> Chain {
        let named = |name: &str| plugins.iter().find(|p| p.plugin == name);
        let changes: Changes = self
            .list
            .iter()
            .map(|one| named(&one.name).map(|p| (p.config.clone(), p.monitored)))
            .collect();
        if let Some(chain) = self.chains.borrow().get(&changes) {
            return chain.clone();
        }
        let members: Vec<_> = self.with_settings(plugins).collect();
        let chain = self.runtime.assemble(
            members
                .iter()
                .map(|(one, settings)| (one.name.as_str(), &*one.component, settings)),
        );
        // Each has instances of its own prepared; a log has few configurations, but a folder of
        // scenarios may have one each.
        if self.chains.borrow().len() > 64 {
            self.chains.borrow_mut().clear();
        }
        self.chains.borrow_mut().insert(changes, chain.clone());
        chain
    }

    /// Each with the settings it has in a scenario.
    pub fn with_settings<'a>(
        &'a self,
        plugins: &'a [ScenarioPlugin],
    ) -> impl Iterator<Item = (&'a Candidate, Settings)> {
        self.list.iter().map(|one| {
            let named = plugins.iter().find(|p| p.plugin == one.name);
            (one, one.settings.in_scenario(named))
        })
    }

    /// Those that could not be loaded with their own settings, with the reason.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, String)> {
        let refused = |status: PluginStatus| match status.state {
            PluginState::Refused { reason } => Some((status.name, reason)),
            // Nobody serves here, so there is nothing to go on as.
            PluginState::Serving
            | PluginState::Kept { .. }
            | PluginState::RolledBack { .. }
            | PluginState::Waiting { .. }
            | PluginState::Off => None,
        };
        let all = self.chain().status();
        all.into_iter().filter_map(refused).collect()
    }
}

/// Asks a chain the way the daemon does.
#[must_use]
pub fn ask(
    chain: &Chain,
    hook: Hook,
    facts: &Facts,
    copies: &[(VolumeId, CopyFate)],
) -> DecisionRecord {
    match hook {
        Hook::Attach => chain.attach(facts),
        Hook::Detach => chain.detach(facts, copies),
        Hook::Migrate => chain.migrate(facts),
        Hook::Operate => chain.operate(facts),
    }
}

fn candidates(selection: &Selection) -> Result<Vec<Candidate>> {
    let mut list = Vec::new();
    if !selection.no_baseline {
        list.push(Candidate {
            name: BASELINE.to_owned(),
            component: BASELINE_COMPONENT.into(),
            settings: Settings::default(),
        });
    }
    for path in &selection.policies {
        if path.is_dir() {
            for file in policies_of(path)? {
                list.push(Candidate::read(&file)?);
            }
        } else {
            list.push(Candidate::read(path)?);
        }
    }
    Ok(list)
}

/// The policies of a folder in file-name order.
fn policies_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|end| end == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A compiler that remembers what it compiled.
pub struct Kept {
    compiler: InProcess,
    compiled: Mutex<HashMap<String, Vec<u8>>>,
}

impl Kept {
    /// Remembers for this one.
    #[must_use]
    pub fn new(compiler: InProcess) -> Self {
        Self {
            compiler,
            compiled: Mutex::default(),
        }
    }
}

impl Compiler for Kept {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        // What is in it is whole, whoever panicked.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = volward_policy::digest(component);
        if let Some(artefact) = compiled.get(&digest) {
            return Ok(artefact.clone());
        }
        let artefact = self.compiler.compile(component)?;
        compiled.insert(digest, artefact.clone());
        Ok(artefact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policys_name_has_no_number() {
        for (file, name) in [
            ("a/50-my-policy.wasm", "my-policy"),
            ("my-policy.wasm", "my-policy"),
            ("5-x.wasm", "5-x"),
        ] {
            assert_eq!(plain_name(Path::new(file)), name);
        }
    }
}
