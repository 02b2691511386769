//! wasmtime alone: what a decision costs at the least. The same instance pool as the runtime's,
//! but no limits, no deadline, no gate, no log and no record.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use volward_model::{self as model, Facts};
use wasmtime::component::{Component, HasSelf, Linker, Resource};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
};

use bindings::volward::policy::{answers, clock, config, facts, log};
use bindings::{AttachHook, AttachHookPre};

use crate::samples::timed;

#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "attach-hook",
        imports: { default: trappable },
    });
}

/// As the runtime's.
const KEEP_RESIDENT: usize = 64 << 10;

type Pairs = Vec<(String, String)>;

/// A policy, ready to be asked.
pub(crate) struct Bare {
    engine: Engine,
    policy: AttachHookPre<Told>,
}

/// What the policy is told.
struct Told(Arc<Facts>);

/// How long each step of a decision took.
pub(crate) struct Steps {
    /// Store and instance made.
    pub(crate) instance: Duration,
    /// From calling the hook to its answer.
    pub(crate) call: Duration,
    /// Dropping both again, with the instance's memory.
    pub(crate) gone: Duration,
}

impl Bare {
    /// # Errors
    /// If the component is not a policy.
    pub(crate) fn new(component: &[u8]) -> anyhow::Result<Self> {
        let said = |error: wasmtime::Error| anyhow!("{error:#}");
        let mut pool = PoolingAllocationConfig::default();
        pool.linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_RESIDENT);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).map_err(said)?;
        let component = Component::new(&engine, component).map_err(said)?;
        let mut linker = Linker::new(&engine);
        AttachHook::add_to_linker::<_, HasSelf<_>>(&mut linker, |told| told).map_err(said)?;
        let policy = linker.instantiate_pre(&component);
        let policy = policy.and_then(AttachHookPre::new).map_err(said)?;
        Ok(Self { engine, policy })
    }

    /// Asks once, with a store and an instance of its own.
    ///
    /// # Errors
    /// If it breaks or denies.
    pub(crate) fn decide(&self, facts: &Arc<Facts>) -> anyhow::Result<()> {
        let (mut store, policy) = self.instance(facts)?;
        call(&mut store, &policy)
    }

    /// The same, with the time of each step.
    ///
    /// # Errors
    /// If it breaks or denies.
    pub(crate) fn decide_in_steps(&self, facts: &Arc<Facts>) -> anyhow::Result<Steps> {
        let (made, instance) = timed(|| self.instance(facts));
        let (mut store, policy) = made?;
        let (answer, called) = timed(|| call(&mut store, &policy));
        answer?;
        let ((), gone) = timed(|| drop((store, policy)));
        Ok(Steps {
            instance,
            call: called,
            gone,
        })
    }

    fn instance(&self, facts: &Arc<Facts>) -> anyhow::Result<(Store<Told>, AttachHook)> {
        let mut store = Store::new(&self.engine, Told(Arc::clone(facts)));
        let policy = self.policy.instantiate(&mut store);
        let policy = policy.map_err(|error| anyhow!("{error:#}"))?;
        Ok((store, policy))
    }
}

fn call(store: &mut Store<Told>, policy: &AttachHook) -> anyhow::Result<()> {
    let (request, answer) = (Resource::new_borrow(0), Resource::new_borrow(0));
    let hook = policy.volward_policy_attach();
    let answer = hook.call_review(store, request, answer);
    let answer = answer.map_err(|error| anyhow!("{error:#}"))?;
    answer.map_err(|denial| anyhow!("it denied: {}", denial.message))
}

impl Told {
    fn disk(&self, handle: &Resource<facts::Disk>) -> Result<&model::DiskFacts> {
        let disk = self.0.disks.get(usize::try_from(handle.rep())?);
        disk.ok_or_else(|| wasmtime::Error::msg("no such disk"))
    }
}

impl facts::Host for Told {}

impl facts::HostRequest for Told {
    fn id(&mut self, _: Resource<facts::Request>) -> Result<String> {
        Ok(self.0.request.id.to_string())
    }
    fn origin(&mut self, _: Resource<facts::Request>) -> Result<facts::Origin> {
        Ok(facts::Origin::Libvirt)
    }
    fn caller_uid(&mut self, _: Resource<facts::Request>) -> Result<u32> {
        Ok(self.0.request.caller_uid)
    }
    fn purpose(&mut self, _: Resource<facts::Request>) -> Result<facts::Purpose> {
        Ok(facts::Purpose::Boot)
    }
    fn instance(&mut self, _: Resource<facts::Request>) -> Result<String> {
        Ok(self.0.request.instance.to_string())
    }
    fn instance_name(&mut self, _: Resource<facts::Request>) -> Result<String> {
        Ok(self.0.request.instance_name.clone())
    }
    fn hints(&mut self, _: Resource<facts::Request>) -> Result<Pairs> {
        Ok(self.0.request.hints.clone())
    }
    fn disks(&mut self, _: Resource<facts::Request>) -> Result<Vec<Resource<facts::Disk>>> {
        let disks = 0..self.0.disks.len();
        disks
            .map(|n| Ok(Resource::new_own(u32::try_from(n)?)))
            .collect()
    }
    fn held(&mut self, _: Resource<facts::Request>) -> Result<Vec<Resource<facts::Disk>>> {
        Ok(Vec::new())
    }
    fn node(&mut self, _: Resource<facts::Request>) -> Result<Resource<facts::Node>> {
        Ok(Resource::new_own(0))
    }
    fn peer(&mut self, _: Resource<facts::Request>) -> Result<Option<Resource<facts::Node>>> {
        Ok(None)
    }
    fn drop(&mut self, _: Resource<facts::Request>) -> Result<()> {
        Ok(())
    }
}

impl facts::HostDisk for Told {
    fn id(&mut self, disk: Resource<facts::Disk>) -> Result<String> {
        Ok(self.disk(&disk)?.id.to_string())
    }
    fn pool(&mut self, disk: Resource<facts::Disk>) -> Result<String> {
        Ok(self.disk(&disk)?.pool.to_string())
    }
    fn name(&mut self, disk: Resource<facts::Disk>) -> Result<String> {
        Ok(self.disk(&disk)?.name.to_string())
    }
    fn size(&mut self, disk: Resource<facts::Disk>) -> Result<u64> {
        Ok(self.disk(&disk)?.size.0)
    }
    fn shareable(&mut self, disk: Resource<facts::Disk>) -> Result<bool> {
        Ok(self.disk(&disk)?.shareable)
    }
    fn tags(&mut self, disk: Resource<facts::Disk>) -> Result<Vec<String>> {
        Ok(self.disk(&disk)?.tags.clone())
    }
    fn home(&mut self, _: Resource<facts::Disk>) -> Result<facts::Home> {
        Ok(facts::Home::Pool)
    }
    fn attachments(&mut self, disk: Resource<facts::Disk>) -> Result<Vec<facts::Attachment>> {
        let attachments = self.disk(&disk)?.attachments.iter();
        let told = attachments.map(|one| facts::Attachment {
            node: one.node.to_string(),
            instance: one.instance.to_string(),
            sharing: sharing(one.sharing),
            access: access(one.access),
            since_ms: one.since_ms,
            state: facts::AttachmentState::Attached,
        });
        Ok(told.collect())
    }
    fn hydration(&mut self, _: Resource<facts::Disk>) -> Result<Option<facts::Hydration>> {
        Ok(None)
    }
    fn asked_sharing(&mut self, disk: Resource<facts::Disk>) -> Result<facts::Sharing> {
        Ok(sharing(self.disk(&disk)?.asked_sharing))
    }
    fn asked_access(&mut self, disk: Resource<facts::Disk>) -> Result<facts::Access> {
        Ok(access(self.disk(&disk)?.asked_access))
    }
    fn drop(&mut self, _: Resource<facts::Disk>) -> Result<()> {
        Ok(())
    }
}

fn sharing(sharing: model::Sharing) -> facts::Sharing {
    match sharing {
        model::Sharing::Shared => facts::Sharing::Shared,
        model::Sharing::Exclusive => facts::Sharing::Exclusive,
    }
}

fn access(access: model::Access) -> facts::Access {
    match access {
        model::Access::ReadWrite => facts::Access::ReadWrite,
        model::Access::ReadOnly => facts::Access::ReadOnly,
    }
}

impl facts::HostNode for Told {
    fn name(&mut self, _: Resource<facts::Node>) -> Result<String> {
        Ok(self.0.node.name.to_string())
    }
    fn labels(&mut self, _: Resource<facts::Node>) -> Result<Pairs> {
        Ok(self.0.node.labels.clone())
    }
    fn local(&mut self, _: Resource<facts::Node>) -> Result<Option<facts::Space>> {
        Ok(self.0.node.local.map(|space| facts::Space {
            total: space.total.0,
            free: space.free.0,
            promised: space.promised.0,
        }))
    }
    fn io_pressure(&mut self, _: Resource<facts::Node>) -> Result<Option<u32>> {
        Ok(self.0.node.io_pressure)
    }

    fn attachments(&mut self, _: Resource<facts::Node>) -> Result<Option<u32>> {
        Ok(self.0.node.attachments)
    }
    fn drop(&mut self, _: Resource<facts::Node>) -> Result<()> {
        Ok(())
    }
}

impl answers::Host for Told {}

/// The baseline only agrees or denies: what narrows is never called, and says so if it is.
impl answers::HostAnswer for Told {
    fn exclusive(&mut self, _: Resource<answers::Answer>, _: Resource<facts::Disk>) -> Result<()> {
        Err(unexpected())
    }
    fn read_only(&mut self, _: Resource<answers::Answer>, _: Resource<facts::Disk>) -> Result<()> {
        Err(unexpected())
    }
    fn copy_at_most(
        &mut self,
        _: Resource<answers::Answer>,
        _: Resource<facts::Disk>,
        _: answers::CopyMode,
    ) -> Result<()> {
        Err(unexpected())
    }
    fn copy(
        &mut self,
        _: Resource<answers::Answer>,
        _: Resource<facts::Disk>,
        _: answers::CopyPlan,
    ) -> Result<()> {
        Err(unexpected())
    }
    fn note(&mut self, _: Resource<answers::Answer>, _: String, _: String) -> Result<()> {
        Err(unexpected())
    }
    fn drop(&mut self, _: Resource<answers::Answer>) -> Result<()> {
        Ok(())
    }
}

impl log::Host for Told {
    fn write(&mut self, _: log::Level, _: String, _: Pairs) -> Result<()> {
        Err(unexpected())
    }
}

impl config::Host for Told {
    fn get(&mut self, _: String) -> Result<Option<String>> {
        Ok(None)
    }
    fn all(&mut self) -> Result<Pairs> {
        Ok(Vec::new())
    }
}

impl clock::Host for Told {
    fn now_ms(&mut self) -> Result<u64> {
        Ok(self.0.now_ms)
    }
    fn utc_offset_minutes(&mut self) -> Result<i32> {
        Ok(self.0.utc_offset_minutes)
    }
}

fn unexpected() -> wasmtime::Error {
    wasmtime::Error::msg("the baseline is not expected to call this")
}
