//! The configuration. Unknown keys are refused: a typo must not silently mean the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
pub(crate) use volward_api::PoolKind;
use volward_model::{NodeName, PoolName};
use volward_plan::operate::Wipe;
use volward_plan::{NodeRole, NodeRoles};
use volward_policy::{Limits, LogLimits};

mod by_itself;
mod check;
mod remarks;

use by_itself::{CopiesSection, FenceSection};

/// /etc/volward/volward.toml. The operator guide shows one with every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The file it was read from.
    #[serde(skip)]
    pub(crate) file: PathBuf,
    /// What this node is for: `control`, `compute`, or both.
    #[serde(default)]
    pub(crate) roles: Roles,
    /// This node.
    #[serde(default)]
    pub(crate) node: NodeSection,
    /// The pools; at most one of them local.
    #[serde(default)]
    pub(crate) pool: Vec<PoolSection>,
    /// Policies.
    #[serde(default)]
    pub(crate) policy: PolicySection,
    /// How much of the decision log is kept.
    #[serde(default)]
    pub(crate) decisions: LogLimits,
    /// The socket.
    #[serde(default)]
    pub(crate) api: ApiSection,
    /// Patience.
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    /// What becomes of attachments whose leases were lost.
    #[serde(default)]
    pub(crate) fence: FenceSection,
    /// What becomes of local copies that no guest has.
    #[serde(default)]
    pub(crate) copies: CopiesSection,
    /// Where things are.
    #[serde(default)]
    pub(crate) paths: Paths,
    /// What only a lab may do.
    #[serde(default)]
    pub(crate) lab: LabSection,
}

/// `roles`: one or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<RoleWord>")]
pub(crate) struct Roles(pub(crate) NodeRoles);

/// A role of a node.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RoleWord {
    Control,
    Compute,
}

impl TryFrom<Vec<RoleWord>> for Roles {
    type Error = &'static str;

    fn try_from(words: Vec<RoleWord>) -> Result<Self, Self::Error> {
        let role = |word: &RoleWord| match word {
            RoleWord::Control => NodeRole::Control,
            RoleWord::Compute => NodeRole::Compute,
        };
        let roles: Vec<NodeRole> = words.iter().map(role).collect();
        let named = NodeRoles::of(&roles).map(Self);
        named.ok_or("roles names none; a node is \"control\", \"compute\" or both")
    }
}

/// `[node]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NodeSection {
    /// Stable over reboots, the same as sanlock's; absent: the machine's host name.
    pub(crate) name: Option<NodeName>,
    /// Free words for policies.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// `[[pool]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PoolSection {
    /// The volume group.
    pub(crate) name: PoolName,
    /// On a LUN all nodes see, or on this node's own disks.
    #[serde(default = "shared")]
    pub(crate) kind: PoolKind,
    /// LVM devices file of its own under /etc/lvm/devices; absent: `volward-<name>.devices`.
    pub(crate) devices_file: Option<String>,
    /// Who takes a shared pool's leases; absent: [`Provider::DEFAULT`].
    pub(crate) provider: Option<Provider>,
    /// When a shared pool's extents are zeroed; absent: before a guest can read them.
    pub(crate) wipe: Option<WipeWord>,
}

/// When a pool's extents are zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WipeWord {
    BeforeUse,
    AfterUse,
    Both,
    None,
}

/// Who takes a shared pool's leases and activates its volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    /// The daemon itself, through sanlock and device-mapper.
    Direct,
    /// lvmlockd, by LVM's commands.
    Lvmlockd,
}

impl Provider {
    /// Of a shared pool that names none.
    pub(crate) const DEFAULT: Self = Self::Direct;
}

fn shared() -> PoolKind {
    PoolKind::Shared
}

/// `[policy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PolicySection {
    /// The built-in policy; only `off` in so many words removes it.
    #[serde(default)]
    pub(crate) baseline: Switch,
    /// Whether a change in the folder is loaded by itself; else by `volward policy load` alone.
    #[serde(default)]
    pub(crate) watch: Switch,
    /// What a policy may use.
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Switch {
    #[default]
    On,
    Off,
}

/// `[api]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ApiSection {
    /// User ids of OpenStack's services: they attach and detach, and look.
    #[serde(default)]
    pub(crate) openstack_uids: Vec<u32>,
    /// User ids of nova's compute service: it attaches and detaches, and looks.
    #[serde(default)]
    pub(crate) nova_uids: Vec<u32>,
    /// User ids of Cinder's volume service: it makes, deletes and grows volumes, attaches them for
    /// itself, and looks.
    #[serde(default)]
    pub(crate) cinder_uids: Vec<u32>,
    /// User ids of monitoring: they look, and change nothing.
    #[serde(default)]
    pub(crate) monitoring_uids: Vec<u32>,
}

/// `[timeouts]`, in seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Timeouts {
    /// A request waits so long for another one on the same volume.
    pub(crate) turn: u64,
    /// A request waits so long for another node's intent to be settled.
    pub(crate) intent: u64,
    /// A device that is still open is tried to be removed for so long.
    pub(crate) busy: u64,
    /// After so long without progress a copy is called stalled.
    pub(crate) stall: u64,
    /// A policy that takes longer to be compiled is refused.
    pub(crate) compile: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        // A guest's stop must not wait longer than libvirt's own patience with QEMU (30 s);
        // an attach takes a second or two, so 20 s mean that a node hangs, not that it is slow.
        Self {
            turn: 30,
            intent: 20,
            busy: 10,
            stall: 60,
            // A policy of a megabyte takes a second, Python's 18 MB ten; a slow node ten times that.
            compile: 90,
        }
    }
}

/// `[paths]`: for tests, and for unusual installations.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Paths {
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) policies: PathBuf,
    pub(crate) devices: PathBuf,
    pub(crate) marks: PathBuf,
    /// The policy compiler; absent: `volward-policy` beside the daemon.
    pub(crate) workbench: Option<PathBuf>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            socket: volward_api::SOCKET.into(),
            state: "/var/lib/volward".into(),
            policies: "/etc/volward/policies.d".into(),
            devices: "/dev/volward".into(),
            marks: volward_api::MARKS_DIR.into(),
            workbench: None,
        }
    }
}

/// `[lab]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LabSection {
    /// "This is a lab: hand out volumes read-write although no watchdog would reset this node
    /// when its leases are lost. Data may be destroyed."
    #[serde(default)]
    pub(crate) read_write_without_watchdog: bool,
}

impl Config {
    /// Reads and checks it.
    ///
    /// # Errors
    /// With file, line and what was expected there.
    #[expect(
        clippy::disallowed_methods,
        reason = "the operator says where it is; it is read once, before there are folders"
    )]
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read {} (the operator guide shows one)",
                path.display()
            )
        })?;
        Self::parse(&text, path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let file = path.display();
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let line = check::line(text, error.span().map_or(0, |span| span.start));
            let reason = error.message().lines().collect::<Vec<_>>().join(" ");
            anyhow::anyhow!("{file} line {line}: {reason}")
        })?;
        check::check(&config, text)
            .map_err(|wrong| anyhow::anyhow!("{file} line {}: {}", wrong.line, wrong.reason))?;
        config.file = path.to_owned();
        Ok(config)
    }

    /// The node's name.
    ///
    /// # Errors
    /// If neither the configuration nor the machine has one that can stand in a tag.
    pub(crate) fn node_name(&self) -> anyhow::Result<NodeName> {
        if let Some(name) = &self.node.name {
            return Ok(name.clone());
        }
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        name.parse()
            .context("the machine's host name cannot be the node's name; set node.name")
    }
}

impl PoolSection {
    /// Who takes its leases; `None` of a local pool, which has none.
    pub(crate) fn provider(&self) -> Option<Provider> {
        match self.kind {
            PoolKind::Shared => Some(self.provider.unwrap_or(Provider::DEFAULT)),
            PoolKind::Local => None,
        }
    }

    /// When its extents are zeroed.
    pub(crate) fn wipe(&self) -> Wipe {
        match self.wipe {
            None => Wipe::default(),
            Some(WipeWord::BeforeUse) => Wipe::BeforeUse,
            Some(WipeWord::AfterUse) => Wipe::AfterUse,
            Some(WipeWord::Both) => Wipe::Both,
            Some(WipeWord::None) => Wipe::None,
        }
    }

    /// The devices file's name.
    pub(crate) fn devices_file(&self) -> String {
        let default = || format!("volward-{}.devices", self.name);
        self.devices_file.clone().unwrap_or_else(default)
    }
}

impl Timeouts {
    pub(crate) fn seconds(amount: u64) -> Duration {
        Duration::from_secs(amount)
    }
}

#[cfg(test)]
mod tests;
