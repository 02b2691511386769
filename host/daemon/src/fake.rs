//! The daemon over storage in memory: its socket, rights, policies, journal and recovery are the real
//! ones. For tests of clients that are not written in Rust.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use volward_control::ports::Policy;
use volward_model::decision::{Combined, DecisionRecord};
use volward_model::{CopyFate, CopyMode, CopyPlan, Facts, VolumeId};
use volward_storage::exec::Tools;
use volward_storage::fake::FakeNode;
use volward_storage::lvm::FakeDiagnosis;
use volward_storage::probe::FakeSystem;

use crate::config::Config;
use crate::wiring::{Daemon, Storage};
use crate::{http, runtime};

/// What a test adds to what the policies grant: a local copy of each disk, written back in the end. At first none.
#[derive(Clone, Debug, Default)]
pub struct Copies(Arc<Mutex<Option<CopyMode>>>);

impl Copies {
    /// What is attached from now on has one of that mode; with `None` it has none.
    pub fn grant(&self, mode: Option<CopyMode>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn mode(&self) -> Option<CopyMode> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The policies, and then the test.
struct WithCopies {
    policies: Arc<dyn Policy>,
    copies: Copies,
}

impl Policy for WithCopies {
    fn attach(&self, facts: &Facts) -> DecisionRecord {
        let mut said = self.policies.attach(facts);
        if let (Some(mode), Combined::Granted(answer)) = (self.copies.mode(), &mut said.combined) {
            for disk in &mut answer.disks {
                disk.copy = Some(CopyPlan {
                    mode,
                    in_flight: None,
                    batch: None,
                    fate: CopyFate::WriteBack,
                });
            }
        }
        said
    }

    fn migrate(&self, facts: &Facts) -> DecisionRecord {
        self.policies.migrate(facts)
    }

    fn operate(&self, facts: &Facts) -> DecisionRecord {
        self.policies.operate(facts)
    }

    fn detach(&self, facts: &Facts, granted: &[(VolumeId, CopyFate)]) -> DecisionRecord {
        self.policies.detach(facts, granted)
    }
}

/// Serves as `volwardd --config CONFIG` does, until SIGTERM or SIGINT, with that node's storage instead
/// of the machine's. The pools that the configuration names are the node's.
///
/// # Errors
/// As the daemon ends with: what is wrong with the configuration, or which folder cannot be used.
pub fn serve(config: &Path, node: &FakeNode, copies: Copies) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let node = node.clone();
    let make = move || Daemon::over(config, &no_tools(), |_| Ok(in_memory(&node, copies)));
    runtime()?.block_on(http::serve(make))
}

fn in_memory(node: &FakeNode, copies: Copies) -> Storage {
    let port = Arc::new(node.clone());
    Storage {
        volumes: port.clone(),
        leases: port.clone(),
        activation: port.clone(),
        devices: port.clone(),
        registry: port.clone(),
        machine: port.clone(),
        guests: port,
        lvm: Arc::new(FakeDiagnosis::default()),
        probes: Arc::new(FakeSystem::default()),
        advice: Some(Box::new(|policies| {
            Arc::new(WithCopies { policies, copies })
        })),
    }
}

fn no_tools() -> Tools {
    let nothing = PathBuf::from("/nonexistent");
    Tools {
        lvm: nothing.clone(),
        sanlock: nothing.clone(),
        lvmlockctl: nothing,
        virsh: None,
    }
}
