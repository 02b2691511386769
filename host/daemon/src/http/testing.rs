//! A daemon on a socket of its own, without pools and without root: everything but storage is
//! the real one.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use volward_api::Client;
use volward_plan::NodeRoles;
use volward_storage::exec::Tools;

use super::door::{Door, LIMITS};
use super::{app, listen, start};
use crate::config::{Config, Switch};
use crate::policies;
use crate::spool;
use crate::wiring::Daemon;

/// A test does not wait a minute.
const PERIOD: Duration = Duration::from_millis(20);

/// A daemon that serves on a socket in a folder of its own, until this is dropped.
pub(crate) struct Served {
    pub(crate) daemon: Arc<Daemon>,
    runtime: Option<tokio::runtime::Runtime>,
    /// Dropped, it ends the look at the spool.
    _stopping: tokio::sync::watch::Sender<bool>,
    folder: TempDir,
}

impl Served {
    /// With the default configuration and these sections; whoever runs the test may ask. The
    /// folder of policies is filled before it is read.
    pub(crate) fn new(more: &str, fill_policies: impl FnOnce(&Path)) -> Self {
        let own = rustix::process::geteuid().as_raw();
        Self::for_users(&[own], more, fill_policies)
    }

    /// The same, with these lines in the section of the policies.
    pub(crate) fn for_policy(policy: &str) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let api = format!("openstack-uids = [{own}]");
        Self::make("", &api, policy, "", |_| {})
    }

    /// The same, for root and these.
    pub(crate) fn for_users(uids: &[u32], more: &str, fill_policies: impl FnOnce(&Path)) -> Self {
        let api = format!("openstack-uids = {uids:?}");
        Self::make("", &api, "", more, fill_policies)
    }

    /// The same on a node of these roles, where `api` says who may ask.
    pub(crate) fn on_node(roles: NodeRoles, api: &str) -> Self {
        let named = [(roles.control, "control"), (roles.compute, "compute")];
        let named = named.into_iter().filter(|(has, _)| *has);
        let named: Vec<&str> = named.map(|(_, name)| name).collect();
        Self::make(&format!("roles = {named:?}\n"), api, "", "", |_| {})
    }

    fn make(
        top: &str,
        api: &str,
        policy: &str,
        more: &str,
        fill_policies: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another user is to reach the socket.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let policies = folder.path().join("policies.d");
        fs::DirBuilder::new().mode(0o755).create(&policies).unwrap();
        fill_policies(&policies);

        let config = Config::parse(
            &(top.to_owned() + &text(folder.path(), api, policy, more)),
            Path::new("volward.toml"),
        )
        .unwrap();
        let daemon = start(Daemon::with_tools(config, &no_tools()).unwrap()).unwrap();

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let app = app(&daemon);
        let socket = daemon.config.paths.socket.clone();
        runtime.block_on(async {
            let listener = listen(&socket).unwrap();
            tokio::spawn(async { axum::serve(Door::new(listener, |_| true, LIMITS), app).await });
        });
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        let (policies, follow) = (Arc::clone(&daemon.policies), daemon.config.policy.watch);
        policies.begin();
        let follow = follow == Switch::On;
        runtime.spawn(policies::watch(policies, follow, PERIOD, stopped.clone()));
        runtime.spawn(spool::watch(Arc::clone(&daemon), PERIOD, stopped));
        Self {
            daemon,
            runtime: Some(runtime),
            _stopping: stopping,
            folder,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.folder.path().join("policies.d")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket(), Duration::from_secs(60))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Not waited for: a test that failed is to end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A daemon that is not started: for what happens before it serves.
pub(crate) fn daemon_over(folder: &Path) -> anyhow::Result<Daemon> {
    daemon_with(folder, "")
}

/// The same, with these sections.
pub(crate) fn daemon_with(folder: &Path, more: &str) -> anyhow::Result<Daemon> {
    let config = Config::parse(&text(folder, "", "", more), Path::new("volward.toml"))?;
    Daemon::with_tools(config, &no_tools())
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

fn text(folder: &Path, api: &str, policy: &str, more: &str) -> String {
    let folder = folder.display();
    format!(
        "[node]\nname = \"n1\"\n\
         [policy]\nbaseline = \"off\"\nlimits.concurrency = 1\n{policy}\
         [paths]\nsocket = \"{folder}/sock\"\nstate = \"{folder}/state\"\n\
         policies = \"{folder}/policies.d\"\ndevices = \"{folder}/dev\"\n\
         marks = \"{folder}/marks\"\nworkbench = \"/nonexistent\"\n\
         [api]\n{api}\n{more}"
    )
}
