//! Loads policies: hash, compile, link, try out, check the configuration. What fails anywhere is
//! refused with its reason, and stands in the chain as refused.

mod folder;
mod kept;
mod rollback;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use volward_folder::{Folder, NamedFolder};
use wasmtime::component::{Component, HasSelf, Linker};

use crate::digest::digest;
use crate::load::artefact::{ArtefactError, Cache};
use crate::load::compiler::Compiler;
use crate::load::history::{History, Keeping};
use crate::load::refused::{LoadError, RuntimeError};
use crate::load::scenarios::ScenarioTime;
use crate::load::source::Settings;
use crate::load::turn::{COMPILE_TIME, Compiling, Turns};
use crate::run::bindings::AllImports;
use crate::run::call::Call;
use crate::run::chain::{Chain, Member};
use crate::run::convert;
use crate::run::engine;
use crate::run::fault::MESSAGE_BYTES;
use crate::run::interface::{Built, INTERFACE, package_and_version};
use crate::run::level::Level;
use crate::run::limits::{Limits, MOST_STACK_BYTES};
use crate::run::plugin::{Hooks, Identity, Plugin};
use crate::run::sandbox::{Cost, Sandbox};
use crate::run::status::PluginStatus;

/// Where policies come from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The built-in policy's component; `None` only where the operator removed it.
    pub baseline: Option<&'a [u8]>,
    /// The policies folder, which an operator may replace whole: it is opened at each load.
    pub folder: &'a NamedFolder,
}

/// Loads policies, and owns what they run in.
pub struct Runtime {
    sandbox: Arc<Sandbox>,
    linker: Linker<Call>,
    cache: OnceLock<Cache>,
    history: OnceLock<History>,
    /// The built-in policy that scenarios expect to be asked first, whether it serves or not.
    scenarios_baseline: Option<&'static [u8]>,
    scenario_time: ScenarioTime,
    /// What compiling may take in one load.
    compile_time: Duration,
    turns: Mutex<Turns>,
    compiler: Box<dyn Compiler>,
    owner: u32,
}

impl Runtime {
    /// A runtime that trusts files of `owner` (root, but in tests) and keeps compiled policies
    /// in `cache`, a folder that only `owner` can write; without one everything is compiled whenever
    /// it is loaded.
    ///
    /// # Errors
    /// If wasmtime cannot work with these limits on this machine.
    pub fn new(
        limits: Limits,
        cache: Option<Folder>,
        owner: u32,
        compiler: Box<dyn Compiler>,
    ) -> Result<Self, RuntimeError> {
        let cache = cache.map(|folder| Cache::new(folder, owner));
        Self::with(limits, cache, owner, compiler, false)
    }

    /// A runtime that counts what calls cost ([`Runtime::take_costs`]); its compiler must compile
    /// with [`crate::run::engine::metered_code_config`].
    ///
    /// # Errors
    /// If wasmtime cannot work with these limits on this machine.
    pub fn metered(limits: Limits, compiler: Box<dyn Compiler>) -> Result<Self, RuntimeError> {
        // No files are read, so nobody owns them.
        Self::with(limits, None, 0, compiler, true)
    }

    fn with(
        limits: Limits,
        cache: Option<Cache>,
        owner: u32,
        compiler: Box<dyn Compiler>,
        metered: bool,
    ) -> Result<Self, RuntimeError> {
        if limits.stack_bytes > MOST_STACK_BYTES {
            let asked = limits.stack_bytes;
            return Err(RuntimeError::Stack { asked });
        }
        let failed = |error: wasmtime::Error| RuntimeError::Engine {
            reason: format!("{error:#}"),
        };
        let code = if metered {
            engine::metered_code_config()
        } else {
            engine::code_config()
        };
        let engine = engine::runtime_engine(&limits, code).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        AllImports::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call).map_err(failed)?;
        Ok(Self {
            sandbox: Arc::new(Sandbox::new(engine, limits, metered).map_err(RuntimeError::Ticker)?),
            linker,
            cache: cache.map(OnceLock::from).unwrap_or_default(),
            history: OnceLock::new(),
            scenarios_baseline: None,
            scenario_time: ScenarioTime::default(),
            compile_time: COMPILE_TIME,
            turns: Mutex::default(),
            compiler,
            owner,
        })
    }

    /// Keeps the versions that were loaded with success in `folder`, which only the owner can write: so the last good one serves after a restart too, and one can go back.
    #[must_use]
    pub fn keeping_versions(self, folder: Folder) -> Self {
        Self {
            history: History::new(folder, self.owner, Keeping::default()).into(),
            ..self
        }
    }

    /// Forgets versions after other times than [`Keeping::default`]; after
    /// [`Runtime::keeping_versions`].
    #[must_use]
    pub fn keeping(self, keeping: Keeping) -> Self {
        Self {
            history: match self.history.into_inner() {
                Some(history) => history.with(keeping).into(),
                None => OnceLock::new(),
            },
            ..self
        }
    }

    /// As [`Runtime::new`] with a cache and [`Runtime::keeping_versions`], for one that could not have
    /// the folders when it was made. It has them once.
    pub fn keep_in(&self, compiled: Folder, versions: Folder) {
        let cache = || Cache::new(compiled, self.owner);
        self.cache.get_or_init(cache);
        let history = || History::new(versions, self.owner, Keeping::default());
        self.history.get_or_init(history);
    }

    /// Asks this policy first when the scenarios beside a policy are tried, as their authors do.
    #[must_use]
    pub fn trying_with(self, baseline: &'static [u8]) -> Self {
        Self {
            scenarios_baseline: Some(baseline),
            ..self
        }
    }

    /// Lets scenarios take other times than [`ScenarioTime::default`].
    #[must_use]
    pub fn trying_for(self, scenario_time: ScenarioTime) -> Self {
        Self {
            scenario_time,
            ..self
        }
    }

    /// Lets the compiling of one load take another time than a minute. No compile begins after it; one
    /// may begin in any case.
    #[must_use]
    pub fn compiling_for(self, compile_time: Duration) -> Self {
        Self {
            compile_time,
            ..self
        }
    }

    /// Makes a chain of policies that are not in a folder, in this order: nobody's to trust, so for
    /// whoever asks about them, not for whom they decide. What is refused is part of it, and
    /// faults.
    #[must_use]
    pub fn assemble<'a>(
        &self,
        policies: impl IntoIterator<Item = (&'a str, &'a [u8], &'a Settings)>,
    ) -> Chain {
        self.assembled(policies, &Compiling::unbounded())
    }

    fn assembled<'a>(
        &self,
        policies: impl IntoIterator<Item = (&'a str, &'a [u8], &'a Settings)>,
        compiling: &Compiling,
    ) -> Chain {
        let members = policies.into_iter().map(|(name, component, settings)| {
            let identity = identity(name, settings, digest(component));
            if settings.level == Level::Off {
                return Member::Off(identity);
            }
            match self.plugin(identity.clone(), component, compiling) {
                Ok(plugin) => Member::Serving(Arc::new(plugin)),
                Err(error) => refused(identity, &error),
            }
        });
        Chain::new(members.collect())
    }

    /// What the calls since the last time cost, in their order, the trying of what was loaded
    /// included; nothing unless the runtime is [`Runtime::metered`].
    #[must_use]
    pub fn take_costs(&self) -> Vec<Cost> {
        self.sandbox.take_costs()
    }

    /// Goes through everything loading does, but for the file's owner, and says what it found.
    ///
    /// # Errors
    /// Why the policy would be refused.
    pub fn check(
        &self,
        name: &str,
        component: &[u8],
        settings: &Settings,
    ) -> Result<PluginStatus, LoadError> {
        let identity = identity(name, settings, digest(component));
        self.plugin(identity, component, &Compiling::unbounded())
            .map(|plugin| Member::Serving(Arc::new(plugin)).status())
    }

    fn plugin(
        &self,
        mut identity: Identity,
        bytes: &[u8],
        compiling: &Compiling,
    ) -> Result<Plugin, LoadError> {
        let component = self.compiled(bytes, &identity.digest, compiling)?;
        let built = Built::of(&component);
        identity.interface = built.interface();
        if let Some(misfit) = built.misfit() {
            let reason = misfit.to_string();
            return Err(LoadError::Version { reason });
        }
        let hooks = Hooks::of(&component);
        if hooks.names().is_empty() {
            let exports = export_names(&component);
            let foreign = foreign_imports(&component);
            return Err(LoadError::NoHook { exports, foreign });
        }
        let pre = self.linker.instantiate_pre(&component);
        let pre = pre.map_err(|error| does_not_link(&built, &error))?;
        let plugin = Plugin::new(identity, hooks, pre, Arc::clone(&self.sandbox));
        let problems = plugin.try_out().map_err(LoadError::Fault)?;
        if problems.is_empty() {
            say_what_it_has(&plugin, &built);
            Ok(plugin)
        } else {
            Err(LoadError::Config { problems })
        }
    }

    fn compiled(
        &self,
        bytes: &[u8],
        digest: &str,
        compiling: &Compiling,
    ) -> Result<Component, ArtefactError> {
        if let Some(component) = compiling.is_done(digest) {
            return Ok(component);
        }
        let engine = &self.sandbox.engine;
        let compiler = |bytes: &[u8]| compiling.compile(&*self.compiler, bytes);
        let component = match self.cache.get() {
            Some(cache) => cache.component(engine, &compiler, bytes, digest)?,
            None => Cache::without(engine, &compiler, bytes)?,
        };
        compiling.keep(digest, &component);
        Ok(component)
    }
}

fn does_not_link(built: &Built, error: &wasmtime::Error) -> LoadError {
    let reason = format!("{error:#}");
    if built.is_newer() {
        let built = built.interface();
        return LoadError::Newer { built, reason };
    }
    LoadError::Link { reason }
}

/// Hooks that nothing asks are no reason to refuse a policy, but its author should know.
fn say_what_it_has(plugin: &Plugin, built: &Built) {
    let policy = &plugin.identity.name;
    let hooks = plugin.hooks().names().join(", ");
    tracing::info!(%policy, interface = %plugin.identity.interface, %hooks, "policy loaded");
    if !built.unasked.is_empty() {
        let hooks = built.unasked.join(", ");
        tracing::warn!(%policy, %hooks, "it has hooks that this version does not ask");
    }
}

fn identity(name: &str, settings: &Settings, digest: String) -> Identity {
    let config: BTreeMap<String, String> = settings.config.clone();
    Identity {
        name: name.to_owned(),
        digest,
        interface: INTERFACE.to_owned(),
        level: settings.level,
        config: Arc::new(config),
        scenarios: String::new(),
    }
}

fn refused(identity: Identity, error: &LoadError) -> Member {
    let reason = with_causes(error);
    let policy = &identity.name;
    tracing::error!(policy, level = %identity.level, %reason, "policy refused");
    Member::Refused {
        identity,
        reason,
        passing: error.may_pass(),
    }
}

/// What a component wants that no policy gets: most often it was built for another host.
fn foreign_imports(component: &Component) -> String {
    let own = format!("{}/", package_and_version().0);
    let ty = component.component_type();
    let imports = ty.imports(component.engine());
    let foreign = imports.filter(|(name, _)| !name.starts_with(&own));
    let names: Vec<&str> = foreign.map(|(name, _)| name).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("; and it imports {}, which is not served", names.join(", "))
}

fn export_names(component: &Component) -> String {
    let ty = component.component_type();
    let names: Vec<String> = ty
        .exports(component.engine())
        .map(|(name, _)| name.to_owned())
        .collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// An error and what caused it, in one line. It goes into each decision while the policy is
/// refused, and some of it is the policy's own text: it is bounded.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    convert::bounded(text, MESSAGE_BYTES)
}
