//! The engine's settings: those that shape compiled code, which the daemon and the compiling
//! child must have in common, and those of the daemon's runtime.

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::run::limits::Limits;

/// Names the settings of [`code_config`] in the names of cached artefacts: change it with them.
/// wasmtime refuses an artefact of other settings or another version in any case; then it is
/// compiled again.
pub(crate) const CODE_SETTINGS: &str = "wasmtime48-1";

/// The most core instances of one component. JavaScript and Python components have 38.
const CORE_INSTANCES: u32 = 64;
/// The most memories of one component. Python components have 3.
const MEMORIES: u32 = 4;
/// The most tables of one component: as many as core instances would be absurd.
const TABLES: u32 = 32;
/// Kept mapped between decisions and zeroed by hand, which is quicker than the kernel's way:
/// 21.5 us instead of 26.7 for a small decision.
const KEEP_RESIDENT: usize = 64 << 10;

/// The settings that shape compiled code.
#[must_use]
pub fn code_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        // Neither threads nor what differs from machine to machine: a decision can be replayed
        // anywhere.
        .wasm_relaxed_simd(false)
        // Reserved for every memory, so that no access needs a bounds check.
        .memory_reservation(4 << 30)
        .wasm_memory64(false);
    config
}

/// The settings of code that counts what it does, for measuring: slower, and never the daemon's.
#[must_use]
pub fn metered_code_config() -> Config {
    let mut config = code_config();
    config.consume_fuel(true);
    config
}

/// The engine that runs policies.
pub(crate) fn runtime_engine(limits: &Limits, mut config: Config) -> wasmtime::Result<Engine> {
    // Loading tries a policy beside the decisions that run.
    let slots = limits.concurrency.max(1) + 1;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES)
        .total_memories(slots * MEMORIES)
        .total_tables(slots * TABLES)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(limits.table_elements).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT);
    config
        .max_wasm_stack(usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}
