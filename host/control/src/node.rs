//! The front door: one node, composed of its use cases.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use volward_model::{InstanceId, PoolInfo, PoolName, RegistryLayout, RequestId, VolumeName};

use crate::attach::{Attach, AttachDone, AttachRequest};
use crate::copies::Copies;
use crate::detach::{Detach, DetachDone, DetachRequest};
use crate::engine::Engine;
use crate::error::ControlError;
use crate::fence::Fence;
use crate::last_use::LastUseBook;
use crate::migrate::Migrate;
use crate::observe::{Observer, PoolSnapshot};
use crate::operate::Operate;
use crate::pools::Pools;
use crate::ports::{Applied, JournalEntry, JournalQuery, PortResult, StoredAttachment};
use crate::recover::{Recovered, Recovery};
use crate::retry::Retries;
use crate::settings::{Ports, Settings};
use crate::start_marks::StartMarks;
use crate::state::State;
use crate::unplugged::Unplugged;
use crate::views::{Elsewhere, Unfinished, Views};

mod doctor;
mod leases;
mod operations;
mod recover;
mod seen;
mod shutdown;
mod unplugged;

/// One node. Shared by all requests.
pub struct Node {
    settings: Arc<Settings>,
    state: Arc<State>,
    observer: Arc<Observer>,
    pools: Arc<Pools>,
    attach: Attach,
    detach: Arc<Detach>,
    copies: Arc<Copies>,
    recovery: Arc<Recovery>,
    retries: Arc<Retries>,
    start_marks: Arc<StartMarks>,
    fence: Arc<Fence>,
    last_use: Arc<LastUseBook>,
    operate: Arc<Operate>,
    migrate: Arc<Migrate>,
    unplugged: Unplugged,
    views: Views,
}

impl Node {
    /// A node that has not looked at anything yet; [`Node::recover`] comes first.
    #[must_use]
    pub fn new(settings: Settings, ports: Ports) -> Arc<Self> {
        let (settings, ports) = (Arc::new(settings), &ports);
        let state = Arc::new(State::new(&settings, ports));
        let observer = Arc::new(Observer::new(&settings, &state, ports));
        let engine = Arc::new(Engine::new(&settings, &state, &observer, ports));
        let copies = Copies::new(&settings, &state, &observer, &engine, ports);
        let last_use = Arc::new(LastUseBook {
            ports: ports.into(),
            state: Arc::clone(&state),
        });
        let pools = Arc::new(Pools {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
            engine: Arc::clone(&engine),
            last_use: Arc::clone(&last_use),
            registries: settings
                .pools
                .iter()
                .map(|pool| (pool.clone(), Mutex::default()))
                .collect(),
        });
        let detach = Arc::new(Detach {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
            engine: Arc::clone(&engine),
            copies: Arc::clone(&copies),
            last_use: Arc::clone(&last_use),
        });
        let recovery = Arc::new(Recovery {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
            engine: Arc::clone(&engine),
            copies: Arc::clone(&copies),
            pools: Arc::clone(&pools),
            detach: Arc::clone(&detach),
        });
        let start_marks = Arc::new(StartMarks {
            ports: ports.into(),
            state: Arc::clone(&state),
            writer: Mutex::default(),
        });
        let retries = Retries::new(ports, (&state, &engine), (&copies, &recovery, &start_marks));
        let operate = Operate::new(ports, &settings, (&state, &observer, &engine), &copies);
        let migrate = Arc::new(Migrate {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
            engine: Arc::clone(&engine),
            operate: Arc::clone(&operate),
            seen: Mutex::default(),
        });
        let attach = Attach {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
            engine,
            copies: Arc::clone(&copies),
        };
        let fence = Arc::new(Fence {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
        });
        let unplugged = Unplugged {
            ports: ports.into(),
            state: Arc::clone(&state),
            opened: Mutex::default(),
        };
        let views = Views {
            ports: ports.into(),
            settings: Arc::clone(&settings),
            state: Arc::clone(&state),
            observer: Arc::clone(&observer),
        };
        Arc::new(Self {
            settings,
            state,
            observer,
            pools,
            attach,
            detach,
            copies,
            recovery,
            retries,
            start_marks,
            fence,
            last_use,
            operate,
            migrate,
            unplugged,
            views,
        })
    }

    /// What was configured.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Background work ends at its next stop; what it was doing goes on in the kernel, and is
    /// taken up again at the next start.
    pub fn stop(&self) {
        self.state.stop();
    }

    /// Looks at what was left, and makes it whole; then the start marks say what there is. Runs
    /// once, before the first request.
    ///
    /// # Errors
    /// If the state cannot be read at all, or a start mark not be written; trouble with one pool
    /// or request is logged and kept with it instead.
    pub fn recover(&self) -> PortResult<Recovered> {
        // First: a lease that an operation has is explained by it.
        self.operate.load()?;
        self.last_use.load()?;
        self.state.load_last_writes()?;
        let recovered = self.recovery.recover()?;
        self.operate.end_stray_mirrors();
        self.fence.take_up();
        self.last_use.take_up();
        self.start_marks.rebuild()?;
        self.retries.wake();
        self.operate.wake();
        Ok(recovered)
    }

    /// Attaches all disks of an instance, or none.
    ///
    /// # Errors
    /// With the reason; whatever was begun has been taken back, unless it says quarantined.
    pub fn attach(&self, request: &AttachRequest) -> Result<AttachDone, ControlError> {
        self.pools
            .keep_open(request.disks.iter().map(|disk| &disk.pool));
        let outcome = match self.known_name(request) {
            Some(instance_name) => self.attach.attach(&AttachRequest {
                instance_name,
                ..request.clone()
            }),
            None => self.attach.attach(request),
        };
        // Also after a failure: an attach announces itself in the mark before its first step.
        if !request.dry_run {
            self.start_marks.refresh(request.instance);
        }
        self.retries.wake();
        outcome
    }

    /// Detaches. What is not attached is no error. What fails for now counts as accepted: it is
    /// tried again until it is done.
    ///
    /// # Errors
    /// If a device stays in use or something else needs a person: then the attachments are
    /// quarantined, and detaching them again tries again.
    pub fn detach(&self, request: &DetachRequest) -> Result<DetachDone, ControlError> {
        let held = self.attachments();
        let held = held.iter().filter(|a| a.instance == request.instance);
        let pools: BTreeSet<&PoolName> = held.map(|a| &a.volume.pool).collect();
        self.pools.keep_open(pools);
        let outcome = self.detach.detach(request);
        if !request.dry_run {
            self.start_marks.refresh(request.instance);
        }
        self.retries.wake();
        outcome
    }

    /// Makes a configured volume group a pool: its devices are made known to this node's LVM, and a
    /// shared one gets its registry. Doing it twice is harmless; on a second node it only opens the
    /// registry.
    ///
    /// # Errors
    /// If it is not configured, a shared one is not shared or has no space, or LVM fails.
    pub fn init_pool(&self, request: RequestId, pool: &PoolName) -> Result<Applied, ControlError> {
        self.pools.init_pool(request, pool)
    }

    /// Activates the pool's registry on this node, and writes this node's slot.
    ///
    /// # Errors
    /// If the pool has no registry or it cannot be activated or written.
    pub fn open_registry(&self, pool: &PoolName) -> PortResult<()> {
        self.recovery.open_pool(pool)?;
        self.retries.wake();
        Ok(())
    }

    /// Has everything tried again that failed for now, and copies brought home whose time without a guest is over, in
    /// the background. To be called again and again: what fails beside a request is found here.
    pub fn try_again(&self) {
        self.retries.wake();
        self.recovery.bring_home_what_is_alone();
        self.operate.wake();
    }

    /// Pools of which an instance has something here, or something that is not finished.
    #[must_use]
    pub fn pools_of(&self, instance: InstanceId) -> BTreeSet<PoolName> {
        self.views.pools_of(instance)
    }

    /// Operations that failed for now and are tried again.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Unfinished> {
        self.views.unfinished()
    }

    /// Whether [`Node::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state.is_stopping()
    }

    /// Marks a volume as shareable, or takes the mark away (I18).
    ///
    /// # Errors
    /// If there is no such volume, or it is in use while the mark is taken away.
    pub fn set_shareable(
        &self,
        request: RequestId,
        pool: &PoolName,
        name: &VolumeName,
        shareable: bool,
    ) -> Result<Applied, ControlError> {
        self.pools.set_shareable(request, pool, name, shareable)
    }

    /// How a pool's registry is laid out, for those who look after it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn registry_layout(&self, pool: &PoolName) -> PortResult<RegistryLayout> {
        self.pools.registry_layout(pool)
    }

    /// A pool as LVM has it, for listing.
    ///
    /// # Errors
    /// If LVM does not answer.
    pub fn pool_info(&self, pool: &PoolName) -> PortResult<PoolInfo> {
        self.pools.pool_info(pool)
    }

    /// A shared pool as LVM, the lease provider and the registry have it now.
    ///
    /// # Errors
    /// If one of them does not answer.
    pub fn pool_snapshot(&self, pool: &PoolName) -> PortResult<Arc<PoolSnapshot>> {
        self.observer.shown(pool)
    }

    /// Who plugs a disk by hand gives the instance's UUID only, and the name is here already.
    fn known_name(&self, request: &AttachRequest) -> Option<String> {
        if !request.instance_name.is_empty() {
            return None;
        }
        let attachment_table = self.state.attachment_table();
        let mut has = attachment_table.of_instance(request.instance);
        has.find(|a| !a.instance_name.is_empty())
            .map(|a| a.instance_name.clone())
    }

    /// Everything attached or quarantined on this node.
    #[must_use]
    pub fn attachments(&self) -> Vec<StoredAttachment> {
        self.views.attachments()
    }

    /// Attachments of other nodes that may be alive, intents included, over all shared pools
    /// that can be read; the sentences tell of those that cannot.
    #[must_use]
    pub fn attachments_elsewhere(&self) -> Elsewhere {
        self.views.attachments_elsewhere()
    }

    /// The same in one pool: one that hangs keeps nothing of the others back.
    #[must_use]
    pub fn attachments_elsewhere_in(&self, pool: &PoolName) -> Elsewhere {
        self.views.attachments_elsewhere_in(pool)
    }

    /// What is to be said of these volumes, or of all that an instance has on other nodes, to whoever asks this node
    /// to detach what it does not have: a sentence each. Reads the pools.
    #[must_use]
    pub fn not_here(
        &self,
        instance: InstanceId,
        volumes: &[(PoolName, VolumeName)],
    ) -> Vec<String> {
        self.views.not_here(instance, volumes)
    }

    /// Of these disks, the ones an instance has not attached here.
    #[must_use]
    pub fn missing(
        &self,
        instance: InstanceId,
        disks: &[(PoolName, VolumeName)],
    ) -> Vec<(PoolName, VolumeName)> {
        self.views.missing(instance, disks)
    }

    /// Journal entries, newest first.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn history(&self, what: &JournalQuery, limit: usize) -> PortResult<Vec<JournalEntry>> {
        self.views.history(what, limit)
    }

    /// Whether an attach of this id is under way, whatever the journal has of it yet.
    #[must_use]
    pub fn is_attaching(&self, request: RequestId) -> bool {
        self.state.in_flight.has(request)
    }

    /// The newest entry of a request.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn entry_of(&self, request: RequestId) -> PortResult<Option<JournalEntry>> {
        self.views.entry_of(request)
    }
}
