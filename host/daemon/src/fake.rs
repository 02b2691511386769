//! The daemon over storage in memory: its socket, rights, policies, journal and recovery are the real
//! ones. For tests of clients that are not written in Rust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use volward_storage::exec::Tools;
use volward_storage::fake::FakeNode;
use volward_storage::lvm::FakeDiagnosis;
use volward_storage::probe::FakeSystem;

use crate::config::Config;
use crate::wiring::{Daemon, Storage};
use crate::{http, runtime};

/// Serves as `volwardd --config CONFIG` does, until SIGTERM or SIGINT, with that node's storage instead
/// of the machine's. The pools that the configuration names are the node's.
///
/// # Errors
/// As the daemon ends with: what is wrong with the configuration, or which folder cannot be used.
pub fn serve(config: &Path, node: &FakeNode) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let node = node.clone();
    let make = move || Daemon::over(config, &no_tools(), |_| Ok(in_memory(&node)));
    runtime()?.block_on(http::serve(make))
}

fn in_memory(node: &FakeNode) -> Storage {
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
