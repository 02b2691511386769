//! One loaded policy: which hooks it has, and how each is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use volward_model::{
    DiskFacts, Facts, Fault, FaultKind, NodeFacts, NodeName, Origin, ParseIdError, PluginVerdict,
    Purpose, RequestFacts, RequestId, Verdict, VolumeId,
};
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, ComponentType, Instance, InstancePre,
    Lift, Lower, Resource, TypedFunc,
};

use crate::run::bindings::answers;
use crate::run::call::Call;
use crate::run::convert;
use crate::run::engine::CODE_SETTINGS;
use crate::run::fault::{MESSAGE_BYTES, Misuse};
use crate::run::handles::{AnswerHandle, DiskHandle, OperationHandle, RequestHandle};
use crate::run::interface::{HOOKS, Hook, package_and_version};
use crate::run::level::Level;
use crate::run::sandbox::{Outcome, Sandbox};
use crate::run::stopwatch::Stopwatch;
use crate::run::tally::Tally;
use crate::run::view::THE_ONLY;

/// Who a policy is, in records and in status.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    /// Empty where the file could not be read.
    pub(crate) digest: String,
    /// What it was built against; this runtime's own where nobody could look.
    pub(crate) interface: String,
    pub(crate) level: Level,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    /// SHA-256 of the scenarios it was tried with; of nothing where none lay beside it.
    pub(crate) scenarios: String,
}

/// The hooks a component exports, in the order of [`HOOKS`]; `None`: it has no such hook.
#[derive(Default)]
pub(crate) struct Hooks([Option<ComponentExportIndex>; HOOKS.len()]);

/// A policy that passed everything loading asks.
pub(crate) struct Plugin {
    pub(crate) identity: Identity,
    hooks: Arc<Hooks>,
    pre: InstancePre<Call>,
    sandbox: Arc<Sandbox>,
    tally: Arc<Tally>,
}

/// What `lifecycle.problem` is in the interface.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Problem {
    key: String,
    message: String,
}

type AttachHook =
    TypedFunc<(Resource<RequestHandle>, Resource<AnswerHandle>), (Result<(), answers::Denial>,)>;
type DetachHook =
    TypedFunc<(Resource<RequestHandle>, Resource<DiskHandle>), (Option<answers::CopyFate>,)>;
type MigrateHook = TypedFunc<(Resource<RequestHandle>,), (Result<(), answers::Denial>,)>;
type OperateHook = TypedFunc<(Resource<OperationHandle>,), (Result<(), answers::Denial>,)>;
type CheckConfig = TypedFunc<(), (Vec<Problem>,)>;

impl Hooks {
    /// Probes a component's exports.
    pub(crate) fn of(component: &Component) -> Self {
        Self(HOOKS.map(|(_, interface, function)| {
            let (package, version) = package_and_version();
            let name = format!("{package}/{interface}@{version}");
            let interface = component.get_export_index(None, &name)?;
            component.get_export_index(Some(&interface), function)
        }))
    }

    /// Names of those found.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let all = HOOKS.iter().zip(&self.0);
        let found = all.filter(|(_, index)| index.is_some());
        found.map(|((_, name, _), _)| *name).collect()
    }

    fn index(&self, hook: Hook) -> Option<&ComponentExportIndex> {
        let mut all = HOOKS.iter().zip(&self.0);
        let ((..), index) = all.find(|((row, ..), _)| *row == hook)?;
        index.as_ref()
    }

    /// An exported function, if it is there; an error if its type is not the interface's.
    fn function<Parameters, Results>(
        &self,
        hook: Hook,
        store: &mut Store<Call>,
        instance: &Instance,
    ) -> wasmtime::Result<Option<TypedFunc<Parameters, Results>>>
    where
        Parameters: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let Some(index) = self.index(hook) else {
            return Ok(None);
        };
        let function = instance.get_typed_func(store, index);
        let function = function.map_err(|error| Misuse::HookType {
            hook: hook.word(),
            reason: error.root_cause().to_string(),
        })?;
        Ok(Some(function))
    }
}

impl Plugin {
    pub(crate) fn new(
        identity: Identity,
        hooks: Hooks,
        pre: InstancePre<Call>,
        sandbox: Arc<Sandbox>,
    ) -> Self {
        Self {
            identity,
            hooks: Arc::new(hooks),
            pre,
            sandbox,
            tally: Arc::default(),
        }
    }

    /// The same policy with its counters, and whether its answers count as the folder says now.
    pub(crate) fn at_level(self: &Arc<Self>, level: Level) -> Arc<Self> {
        if self.identity.level == level {
            return Arc::clone(self);
        }
        Arc::new(Self {
            identity: Identity {
                level,
                ..self.identity.clone()
            },
            hooks: Arc::clone(&self.hooks),
            pre: self.pre.clone(),
            sandbox: Arc::clone(&self.sandbox),
            tally: Arc::clone(&self.tally),
        })
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Tries an instance, checks the types of the hooks, and asks what is wrong with the
    /// configuration.
    pub(crate) fn try_out(&self) -> Result<Vec<String>, Fault> {
        let node = "loading"
            .parse()
            .map_err(|error: ParseIdError| Fault::new(FaultKind::Runtime, error.to_string()))?;
        let facts = Arc::new(nobodys_facts(node));
        let deadline = self.sandbox.limits.load_deadline_ms;
        let outcome = self.run(facts, deadline, |store, instance| {
            let _: Option<AttachHook> = self.hooks.function(Hook::Attach, store, instance)?;
            let _: Option<DetachHook> = self.hooks.function(Hook::Detach, store, instance)?;
            let _: Option<MigrateHook> = self.hooks.function(Hook::Migrate, store, instance)?;
            let _: Option<OperateHook> = self.hooks.function(Hook::Operate, store, instance)?;
            let check: Option<CheckConfig> =
                self.hooks.function(Hook::Lifecycle, store, instance)?;
            match check {
                None => Ok(Vec::new()),
                Some(check) => Ok(check.call(&mut *store, ())?.0),
            }
        });
        let said = outcome.log.last();
        let problems = outcome.result.map_err(|mut fault| {
            // A panic's message, as a rule.
            if let Some(said) = said {
                let message = format!("{}; it logged: {said}", fault.message);
                fault.message = convert::bounded(message, MESSAGE_BYTES);
            }
            fault
        })?;
        let problems = problems.into_iter();
        Ok(problems
            .map(|p| format!("{}: {}", p.key, p.message))
            .collect())
    }

    /// Asks the attach hook.
    pub(crate) fn attach(&self, facts: &Arc<Facts>) -> PluginVerdict {
        self.review(Hook::Attach, facts, |store, instance| {
            let review: Option<AttachHook> = self.hooks.function(Hook::Attach, store, instance)?;
            let (request, answer) = (
                Resource::new_borrow(THE_ONLY),
                Resource::new_borrow(THE_ONLY),
            );
            asked(review, store, (request, answer))
        })
    }

    /// Asks the migrate hook.
    pub(crate) fn migrate(&self, facts: &Arc<Facts>) -> PluginVerdict {
        self.review(Hook::Migrate, facts, |store, instance| {
            let review: Option<MigrateHook> =
                self.hooks.function(Hook::Migrate, store, instance)?;
            asked(review, store, (Resource::new_borrow(THE_ONLY),))
        })
    }

    /// Asks the operate hook.
    pub(crate) fn operate(&self, facts: &Arc<Facts>) -> PluginVerdict {
        self.review(Hook::Operate, facts, |store, instance| {
            let review: Option<OperateHook> =
                self.hooks.function(Hook::Operate, store, instance)?;
            asked(review, store, (Resource::new_borrow(THE_ONLY),))
        })
    }

    /// Asks a hook that agrees or refuses. Of those that are lent no answer the answer is what was asked
    /// for.
    fn review(
        &self,
        hook: Hook,
        facts: &Arc<Facts>,
        ask: impl FnOnce(&mut Store<Call>, &Instance) -> wasmtime::Result<Said>,
    ) -> PluginVerdict {
        let watch = Stopwatch::start();
        if self.hooks.index(hook).is_none() {
            return self.verdict(hook.word(), facts, Verdict::Absent, Vec::new(), &watch);
        }
        let deadline = self.sandbox.limits.deadline_ms;
        let outcome = self.run(Arc::clone(facts), deadline, ask);
        let verdict = match outcome.result {
            Ok(Ok(())) => Verdict::Granted(outcome.answer),
            Ok(Err(denial)) => Verdict::Denied(convert::denial(denial)),
            Err(fault) => Verdict::Faulted(fault),
        };
        self.verdict(hook.word(), facts, verdict, outcome.log, &watch)
    }

    /// Asks the detach hook about each of the volumes, one after the other in one instance.
    pub(crate) fn detach(&self, facts: &Arc<Facts>, volumes: &[VolumeId]) -> PluginVerdict {
        let watch = Stopwatch::start();
        if self.hooks.index(Hook::Detach).is_none() {
            return self.verdict("detach", facts, Verdict::Absent, Vec::new(), &watch);
        }
        let deadline = self.sandbox.limits.deadline_ms;
        let outcome = self.run(Arc::clone(facts), deadline, |store, instance| {
            let review: Option<DetachHook> = self.hooks.function(Hook::Detach, store, instance)?;
            let Some(review) = review else {
                return Ok(Vec::new());
            };
            let advise = |volume: &VolumeId| {
                let Some(disk) = place(facts, volume)? else {
                    return Ok((*volume, None));
                };
                let arguments = (Resource::new_borrow(THE_ONLY), Resource::new_borrow(disk));
                let (fate,) = review.call(&mut *store, arguments)?;
                Ok((*volume, fate.map(convert::copy_fate)))
            };
            volumes.iter().map(advise).collect()
        });
        let verdict = outcome
            .result
            .map_or_else(Verdict::Faulted, Verdict::Advised);
        self.verdict("detach", facts, verdict, outcome.log, &watch)
    }

    fn run<T>(
        &self,
        facts: Arc<Facts>,
        deadline_ms: u32,
        body: impl FnOnce(&mut Store<Call>, &Instance) -> wasmtime::Result<T>,
    ) -> Outcome<T> {
        let config = Arc::clone(&self.identity.config);
        self.sandbox
            .run(&self.pre, facts, config, deadline_ms, body)
    }

    fn verdict(
        &self,
        hook: &str,
        facts: &Facts,
        verdict: Verdict,
        log: Vec<String>,
        watch: &Stopwatch,
    ) -> PluginVerdict {
        let micros = watch.micros();
        if let Verdict::Faulted(fault) = &verdict {
            let (policy, request) = (&self.identity.name, facts.request.id);
            let at = fault.backtrace.join(" < ");
            tracing::error!(%policy, %request, hook, %fault, at, "a policy broke");
        }
        self.tally.count(hook, facts, &verdict, micros);
        self.identity.verdict(verdict, log, micros)
    }
}

/// What a hook returns that agrees or refuses.
type Said = Result<(), answers::Denial>;

/// Calls such a hook; whoever has none agrees.
fn asked<Parameters>(
    review: Option<TypedFunc<Parameters, (Said,)>>,
    store: &mut Store<Call>,
    lent: Parameters,
) -> wasmtime::Result<Said>
where
    Parameters: ComponentNamedList + Lower,
{
    match review {
        Some(review) => Ok(review.call(store, lent)?.0),
        None => Ok(Ok(())),
    }
}

impl Identity {
    /// Whether it is the same version: component and configuration. What it was built against is in
    /// the component, and the level is the operator's word about all versions.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.digest, &self.config) == (&other.digest, &other.config)
    }

    /// What it is tried with, in words: its scenarios, by which daemon, compiled how.
    pub(crate) fn tried_with(&self) -> String {
        let (scenarios, version) = (&self.scenarios, env!("CARGO_PKG_VERSION"));
        format!("{scenarios} {version} {CODE_SETTINGS}")
    }

    /// Keys of the configuration whose values are not the other's, in their order.
    pub(crate) fn differs_from(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.config.keys().chain(other.config.keys()).collect();
        let differs = keys
            .into_iter()
            .filter(|key| self.config.get(*key) != other.config.get(*key));
        differs.cloned().collect()
    }

    /// The entry of this policy in a decision's record.
    pub(crate) fn verdict(&self, verdict: Verdict, log: Vec<String>, micros: u64) -> PluginVerdict {
        PluginVerdict {
            plugin: self.name.clone(),
            digest: self.digest.clone(),
            interface: self.interface.clone(),
            monitored: self.level == Level::Monitor,
            config: BTreeMap::clone(&self.config),
            verdict,
            log,
            micros,
        }
    }
}

/// The place of a volume among a request's disks, asked for and held.
fn place(facts: &Facts, volume: &VolumeId) -> wasmtime::Result<Option<u32>> {
    let mut disks = facts.disks.iter().chain(&facts.held);
    let place = disks.position(|disk: &DiskFacts| disk.id == *volume);
    Ok(place.map(u32::try_from).transpose()?)
}

/// What a policy is told while it is loaded, when nobody asks for anything.
fn nobodys_facts(node: NodeName) -> Facts {
    let nobody = uuid::Uuid::nil();
    Facts {
        request: RequestFacts {
            id: RequestId(nobody),
            origin: Origin::Other("loading".to_owned()),
            caller_uid: 0,
            purpose: Purpose::Other("loading".to_owned()),
            instance: volward_model::InstanceId(nobody),
            instance_name: String::new(),
            hints: Vec::new(),
        },
        node: NodeFacts {
            name: node,
            labels: Vec::new(),
            local: None,
            io_pressure: None,
            attachments: None,
        },
        peer: None,
        operation: None,
        disks: Vec::new(),
        held: Vec::new(),
        now_ms: 0,
        utc_offset_minutes: 0,
    }
}
