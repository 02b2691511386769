//! From configuration to a running node: adapters into ports, the chain, the state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use volward_control::ports::{
    Activation, Devices, Guests, Leases, Machine, Policy, Registry, Volumes,
};
use volward_control::{Node, Ports, Settings};
use volward_folder::{Folder, NamedFolder};
use volward_policy::Runtime;
use volward_storage::direct::Direct;
use volward_storage::dm::{Bounded, Dm};
use volward_storage::events::EventLog;
use volward_storage::exec::{Exec, Tools};
use volward_storage::guests::Virsh;
use volward_storage::journal::{self, SqliteJournal};
use volward_storage::lease::{LeftByUs, Sanlock};
use volward_storage::lvm::{Diagnose, Lvm, PoolKind as LvmKind, PoolSettings};
use volward_storage::lvmlockd::Lvmlockd;
use volward_storage::machine::Kernel;
use volward_storage::marks::MarksFolder;
use volward_storage::probe::{Probes, System};
use volward_storage::registry::LunRegistry;

use crate::config::{Config, PoolKind, Provider, Switch, Timeouts};
use crate::folders::{self, Folders};
use crate::http::places::Places;
use crate::left;
use crate::looks::Looks;
use crate::only_one::StateLock;
use crate::policies::{Log, Policies, Workbench};
use crate::system::{SystemClock, TestSeams, Threads};

/// The built-in policy, as the build made it.
const BASELINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/baseline.wasm"));

/// Less than libvirt's hook waits. A detach that waited in vain is noted by the hook, and delivered
/// when the volume is free.
const DETACH_PATIENCE: std::time::Duration = std::time::Duration::from_secs(40);

/// LVM commands of one pool that run at once: they wait for each other on the VG's lock anyway;
/// two, so that a report does not wait for a slow activation.
const COMMANDS_PER_POOL: usize = 2;

/// What there is of storage: this machine's, or a test's.
pub(crate) struct Storage {
    pub(crate) volumes: Arc<dyn Volumes>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) activation: Arc<dyn Activation>,
    pub(crate) devices: Arc<dyn Devices>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) guests: Arc<dyn Guests>,
    /// What `doctor` asks of LVM.
    pub(crate) lvm: Arc<dyn Diagnose>,
    /// What else `doctor` looks at.
    pub(crate) probes: Arc<dyn Probes>,
    /// Stands before the policies, in tests of clients.
    pub(crate) advice: Option<Advice>,
}

/// Makes of the policies what is asked in their place.
pub(crate) type Advice = Box<dyn FnOnce(Arc<dyn Policy>) -> Arc<dyn Policy>>;

/// What a [`Storage`] may be made of.
pub(crate) struct Parts<'a> {
    config: &'a Config,
    tools: &'a Tools,
    exec: &'a Arc<Exec>,
    state: &'a SqliteJournal,
    devices: NamedFolder,
    etc: Folder,
}

/// Everything that serves requests.
pub(crate) struct Daemon {
    pub(crate) config: Config,
    pub(crate) node: Arc<Node>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) decisions: Arc<Log>,
    /// What `doctor` asks of LVM.
    pub(crate) lvm: Arc<dyn Diagnose>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) leases: Arc<dyn Leases>,
    pub(crate) tools: Tools,
    /// What `doctor` looks at.
    pub(crate) probes: Arc<dyn Probes>,
    /// The policy compiler.
    pub(crate) workbench: PathBuf,
    /// The folders that are held, for `doctor`.
    pub(crate) held: Vec<Folder>,
    /// What is looked at for people, and may hang.
    pub(crate) looks: Looks,
    /// How many requests run at once, and which.
    pub(crate) places: Places,
    /// Where the hook puts what it could not deliver.
    pub(crate) spool: NamedFolder,
    _only_one: StateLock,
}

impl Daemon {
    /// Builds it. Nothing of storage is touched yet; [`Node::recover`] is the first that does.
    ///
    /// # Errors
    /// If a tool or library is missing, or the state or policies folder cannot be used. Folders in the state
    /// that cannot be opened (the decision log, the compiled policies and their versions) are for `doctor`.
    pub(crate) fn new(config: Config) -> anyhow::Result<Self> {
        let tools = Tools::find()?;
        Self::with_tools(config, &tools)
    }

    /// The same with programs that may be a test's.
    pub(crate) fn with_tools(config: Config, tools: &Tools) -> anyhow::Result<Self> {
        Self::over(config, tools, this_machine)
    }

    /// The same over storage that may be a test's.
    pub(crate) fn over(
        config: Config,
        tools: &Tools,
        storage: impl FnOnce(Parts<'_>) -> anyhow::Result<Storage>,
    ) -> anyhow::Result<Self> {
        let name = config.node_name()?;
        let exec = Arc::new(Exec::new(COMMANDS_PER_POOL));
        let (folders, only_one) = open_folders(&config)?;
        let database = folders.state.path_of(journal::DATABASE);
        let state = SqliteJournal::open(&folders.state)
            .with_context(|| format!("opening {}", database.display()))?;
        let state = Arc::new(state);
        let decisions = Arc::new(Log::new(folders.state.clone(), config.decisions));
        let mut held = folders.held();
        held.extend(decisions.held().cloned());
        let workbench = match &config.paths.workbench {
            Some(path) => path.clone(),
            None => beside_us("volward-policy")?,
        };
        let policies = Arc::new(policies(&config, &exec, &folders, &workbench)?);
        held.extend(policies.held().cloned());
        let storage = storage(Parts {
            config: &config,
            tools,
            exec: &exec,
            state: &state,
            devices: folders.devices,
            etc: folders.etc,
        })?;
        let asked: Arc<dyn Policy> = policies.clone();
        let asked = match storage.advice {
            Some(advice) => advice(asked),
            None => asked,
        };
        let marks = MarksFolder::new(folders.marks, storage.machine.boot_id());
        let ports = Ports {
            volumes: storage.volumes,
            leases: storage.leases.clone(),
            activation: storage.activation,
            devices: storage.devices,
            registry: storage.registry,
            operations: state.clone(),
            fence_records: state.clone(),
            last_uses: state.clone(),
            last_writes: state.clone(),
            journal: state,
            policy: asked,
            decisions: decisions.clone(),
            marks: Arc::new(marks),
            clock: Arc::new(SystemClock::new()),
            machine: storage.machine.clone(),
            guests: storage.guests,
            tasks: Arc::new(Threads),
            fault_points: Arc::new(TestSeams::from_environment()),
            events: Arc::new(EventLog),
        };
        let node = Node::new(settings(&config, name), ports);
        let places = Places::new(config.pool.iter().map(|pool| pool.name.clone()));
        Ok(Self {
            config,
            node,
            looks: Looks::new(),
            places,
            policies,
            decisions,
            lvm: storage.lvm,
            machine: storage.machine,
            leases: storage.leases,
            tools: tools.clone(),
            probes: storage.probes,
            workbench,
            held,
            spool: folders.spool,
            _only_one: only_one,
        })
    }
}

/// LVM, device-mapper, sanlock and the LUN of the machine this runs on.
fn this_machine(parts: Parts<'_>) -> anyhow::Result<Storage> {
    let exec = Arc::clone(parts.exec);
    let guests = Virsh::new(Arc::clone(&exec), parts.tools.virsh.clone());
    let pools = pool_settings(parts.config);
    let lvm = Arc::new(Lvm::new(exec, parts.tools, pools, parts.etc));
    let machine = Arc::new(Kernel::new());
    let devices = Arc::new(Bounded::new(Dm::new(parts.devices)));
    let left = left::by_us((parts.state, parts.state), &*devices, &machine.boot_id())?;
    let leases = Arc::new(provider(parts.config, &lvm, &left)?);
    Ok(Storage {
        volumes: lvm.clone(),
        leases: leases.clone(),
        activation: leases,
        devices,
        registry: Arc::new(LunRegistry::default()),
        machine,
        guests: Arc::new(guests),
        lvm,
        probes: Arc::new(System),
        advice: None,
    })
}

/// Leases and activation, for each pool as it is configured.
fn provider(config: &Config, lvm: &Arc<Lvm>, left: &LeftByUs) -> anyhow::Result<Direct> {
    let of = Arc::clone(lvm);
    let host_id = move || of.host_id().ok().flatten();
    let sanlock = Arc::new(Sanlock::new(host_id)?);
    let lvmlockd = Arc::new(Lvmlockd::new(lvm, Arc::clone(&sanlock), left));
    let direct = config.pool.iter();
    let direct = direct.filter(|pool| pool.provider() == Some(Provider::Direct));
    let direct: Vec<_> = direct.map(|pool| pool.name.clone()).collect();
    Ok(Direct::new(lvm, lvmlockd, sanlock, &direct, left))
}

/// The folders, and the lock on that of the state.
fn open_folders(config: &Config) -> anyhow::Result<(Folders, StateLock)> {
    // First of all: what a later version has left is not touched, its folder included.
    if let Some(left) = folders::left_state(&config.paths.state)? {
        journal::look(&left)?;
    }
    let state = folders::open_state(&config.paths.state)?;
    let only_one = StateLock::take(&state)?;
    Ok((Folders::open(state, &config.paths)?, only_one))
}

fn settings(config: &Config, node: volward_model::NodeName) -> Settings {
    let of_kind = |kind| config.pool.iter().filter(move |p| p.kind == kind);
    Settings {
        node,
        roles: config.roles.0,
        labels: config.node.labels.clone().into_iter().collect(),
        pools: of_kind(PoolKind::Shared).map(|p| p.name.clone()).collect(),
        local: of_kind(PoolKind::Local).map(|p| p.name.clone()).next(),
        lab_without_watchdog: config.lab.read_write_without_watchdog,
        lock_wait: Timeouts::seconds(config.timeouts.turn),
        detach_lock_wait: DETACH_PATIENCE,
        intent_wait: Timeouts::seconds(config.timeouts.intent),
        busy_for: Timeouts::seconds(config.timeouts.busy),
        stall_after: Timeouts::seconds(config.timeouts.stall),
        unfence_after: config.fence.after(),
        alone_home_after: config.copies.after(),
        wipe: of_kind(PoolKind::Shared)
            .map(|pool| (pool.name.clone(), pool.wipe()))
            .collect(),
    }
}

fn pool_settings(config: &Config) -> Vec<PoolSettings> {
    let settings = config.pool.iter().map(|pool| PoolSettings {
        name: pool.name.clone(),
        devices_file: Some(pool.devices_file()),
        kind: match pool.kind {
            PoolKind::Shared => LvmKind::Shared,
            PoolKind::Local => LvmKind::Local,
        },
    });
    settings.collect()
}

/// Nothing is loaded here: that takes a while, and recovery does not ask them.
fn policies(
    config: &Config,
    exec: &Arc<Exec>,
    folders: &Folders,
    workbench: &Path,
) -> anyhow::Result<Policies> {
    let compiler = Box::new(Workbench {
        exec: Arc::clone(exec),
        program: workbench.to_owned(),
        deadline: Timeouts::seconds(config.timeouts.compile),
        component_bytes: config.policy.limits.component_bytes,
    });
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(config.policy.limits.clone(), None, owner, compiler)
        .context("starting the policy runtime")?
        .trying_with(BASELINE);
    if config.policy.baseline == Switch::Off {
        tracing::warn!("the baseline policy is switched off: only what is in the folder decides");
    }
    let baseline = (config.policy.baseline == Switch::On).then_some(BASELINE);
    let policies = Policies::new(runtime, baseline, folders.policies.clone());
    Ok(policies.keeping_in(folders.state.clone()))
}

fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding the daemon's own path")?;
    Ok(own.parent().unwrap_or(Path::new("/usr/sbin")).join(name))
}

#[cfg(test)]
mod tests;
