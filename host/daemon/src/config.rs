//! The configuration. Unknown keys are refused: a typo must not silently mean the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
pub(crate) use volward_api::PoolKind;
use volward_model::{NodeName, PoolName};
use volward_policy::{Limits, LogLimits};

mod check;

/// /etc/volward/volward.toml. The operator guide shows one with every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
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
    /// Where things are.
    #[serde(default)]
    pub(crate) paths: Paths,
    /// What only a lab may do.
    #[serde(default)]
    pub(crate) lab: LabSection,
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
    /// Who takes a shared pool's leases; absent: [`Provider::Lvmlockd`].
    pub(crate) provider: Option<Provider>,
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
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = check::line(text, error.span().map_or(0, |span| span.start));
            let reason = error.message().lines().collect::<Vec<_>>().join(" ");
            anyhow::anyhow!("{file} line {line}: {reason}")
        })?;
        check::check(&config, text)
            .map_err(|wrong| anyhow::anyhow!("{file} line {}: {}", wrong.line, wrong.reason))?;
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
            PoolKind::Shared => Some(self.provider.unwrap_or(Provider::Lvmlockd)),
            PoolKind::Local => None,
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
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Config> {
        Config::parse(text, Path::new("volward.toml"))
    }

    #[test]
    fn a_typo_is_refused_with_file_line_and_what_was_expected() {
        let error = parse("[node]\nname = \"n1\"\n\n[[pool]]\nname = \"vg0\"\nkund = \"shared\"\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("volward.toml line 6"), "{error}");
        assert!(
            error.contains("kund") && error.contains("expected"),
            "{error}"
        );
        assert!(!error.contains('\n'), "one line: {error}");
    }

    /// Also with every key that is commented out: what stands there is the default.
    #[test]
    fn the_packaged_example_is_accepted_and_shows_the_defaults() {
        let example = include_str!("../../../packaging/volward.toml");
        let key = |line: &str| {
            let (key, _) = line.strip_prefix("# ")?.split_once(" = ")?;
            let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            plain.then(|| line["# ".len()..].to_owned())
        };
        let whole: Vec<String> = example
            .lines()
            .map(|line| key(line).unwrap_or_else(|| line.to_owned()))
            .collect();
        assert_ne!(whole.join("\n").trim(), example.trim());
        let shown = parse(example).unwrap();
        let mut whole = parse(&whole.join("\n")).unwrap();
        assert_eq!(whole.pool[0].devices_file(), shown.pool[0].devices_file());
        whole.pool = shown.pool.clone();
        whole.paths.workbench = None;
        assert_eq!(format!("{whole:?}"), format!("{shown:?}"));
    }

    #[test]
    fn an_empty_file_is_a_configuration_without_pools() {
        let config = parse("").unwrap();
        assert!(config.pool.is_empty() && config.policy.baseline == Switch::On);
        assert!(!config.lab.read_write_without_watchdog, "I26");
    }

    fn refused(text: &str) -> String {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains('\n'), "one line: {error}");
        error
    }

    #[test]
    fn the_same_pool_twice_and_two_local_pools_are_refused_with_their_line() {
        let pool =
            |name, kind| format!("[[pool]]\nname = \"{name}\"\n# a remark\nkind = \"{kind}\"\n");
        let twice = refused(&format!("{}{}", pool("a", "shared"), pool("a", "shared")));
        assert!(twice.starts_with("volward.toml line 6: pool a "), "{twice}");
        let local = refused(&format!("{}{}", pool("a", "local"), pool("b", "local")));
        assert!(
            local.starts_with("volward.toml line 8: ") && local.contains("pool a"),
            "{local}"
        );
    }

    #[test]
    fn limits_of_the_decision_log_are_checked() {
        let config = parse("[decisions]\nkeep-days = 30\n").unwrap();
        assert_eq!(
            (config.decisions.keep_days, config.decisions.files),
            (30, 8)
        );
        for bad in [
            "files = 0",
            "file-bytes = 100",
            "file-byte = 100000",
            "keep-days = -1",
        ] {
            let error = parse(&format!("[decisions]\n{bad}\n"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("volward.toml line 2: "), "{error}");
        }
    }

    #[test]
    fn limits_within_which_every_policy_fails_are_refused_with_their_line() {
        let zeros = [
            "deadline-ms",
            "load-deadline-ms",
            "memory-bytes",
            "table-elements",
            "hostcall-bytes",
            "handles",
            "component-bytes",
            "concurrency",
        ];
        for key in zeros {
            let error = refused(&format!("[policy.limits]\n{key} = 0\n"));
            assert!(error.contains("line 2") && error.contains(key), "{error}");
        }
        let error = refused("[policy.limits]\nmemory-bytes = 1\n");
        assert!(error.contains("at least 2097152"), "{error}");
    }

    #[test]
    fn i16_the_systems_devices_file_cannot_be_configured() {
        for file in ["system.devices", "../x.devices"] {
            let error = refused(&format!("[[pool]]\nname=\"a\"\ndevices-file=\"{file}\"\n"));
            assert!(
                error.starts_with("volward.toml line 3: devices-file"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_pools_provider_is_lvmlockd_unless_it_says_otherwise() {
        let provider = |more: &str| {
            let config = parse(&format!("[[pool]]\nname = \"a\"\n{more}")).unwrap();
            config.pool[0].provider()
        };
        assert_eq!(provider(""), Some(Provider::Lvmlockd));
        assert_eq!(
            provider("provider = \"lvmlockd\""),
            Some(Provider::Lvmlockd)
        );
        assert_eq!(provider("provider = \"direct\""), Some(Provider::Direct));
        assert_eq!(provider("kind = \"local\""), None);
        let local = refused("[[pool]]\nname = \"a\"\nkind = \"local\"\nprovider = \"direct\"\n");
        assert!(local.starts_with("volward.toml line 4: pool a"), "{local}");
    }

    /// What only the policy runtime would refuse is refused before it starts, where `--check` sees
    /// it.
    #[test]
    fn limits_the_policy_runtime_refuses_are_refused_with_their_line() {
        for (limit, word) in [
            ("stack-bytes = 1048577", "1048576"),
            ("stack-bytes = 0", "zero"),
            ("memory-bytes = 99999999999999", "memory"),
            ("concurrency = 4294967295", "concurrency"),
            ("concurrency = 1025", "1024"),
        ] {
            let text = format!("[policy.limits]\ndeadline-ms = 100\n{limit}\nhandles = 7\n");
            let error = refused(&text);
            let key = limit.split(' ').next().unwrap();
            assert!(
                error.starts_with(&format!("volward.toml line 3: {key}")) && error.contains(word),
                "{error}"
            );
        }
        assert!(parse("policy.limits.memory-bytes = 67108864").is_ok());
    }
}
