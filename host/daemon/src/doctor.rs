//! What is missing on this node, in the order of a bring-up, each with its remedy.

use std::fs;
use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_control::ports::{Leases, Machine};
use volward_model::PoolName;
use volward_policy::{Level, PluginState, PluginStatus};

use crate::config::{PoolKind, Switch};
use crate::wiring::Daemon;

mod copies;

/// Where libvirt looks for our hook.
const HOOKS: [&str; 2] = [
    "/etc/libvirt/hooks/qemu.d/volward",
    "/etc/libvirt/hooks/qemu",
];

/// Every check.
pub(crate) fn examine(daemon: &Daemon) -> Vec<DoctorCheck> {
    let mut checks = vec![
        sanlock(daemon),
        watchdog(daemon),
        lvmlockd(),
        clone_target(daemon),
    ];
    for pool in &daemon.config.pool {
        checks.push(devices_file(&pool.devices_file(), &pool.name));
        checks.push(match pool.kind {
            PoolKind::Shared => shared_pool(daemon, &pool.name),
            PoolKind::Local => local_pool(daemon, &pool.name),
        });
    }
    if daemon.config.pool.is_empty() {
        let remedy = "add a [[pool]] section to /etc/volward/volward.toml";
        checks.push(refusing(bad(
            "pools",
            DoctorVerdict::Failed,
            "none is configured",
            remedy,
        )));
    }
    checks.push(hook());
    checks.push(ordering());
    checks.extend(policies(daemon));
    checks.push(consistency(daemon));
    checks.extend(copies::examine(daemon));
    checks
}

fn fine(name: &str, found: impl Into<String>) -> DoctorCheck {
    DoctorCheck {
        name: name.to_owned(),
        verdict: DoctorVerdict::Ok,
        found: found.into(),
        remedy: None,
        refuses_read_write: false,
    }
}

fn bad(
    name: &str,
    verdict: DoctorVerdict,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> DoctorCheck {
    DoctorCheck {
        verdict,
        remedy: Some(remedy.into()),
        ..fine(name, found)
    }
}

/// sanlock's name of the node must be stable: with another one after an unclean death the
/// lockspace is joined a minute later.
fn sanlock(daemon: &Daemon) -> DoctorCheck {
    let Some(arguments) = arguments_of("sanlock") else {
        let remedy = "install the package sanlock and start it: systemctl enable --now sanlock";
        return refusing(bad("sanlock", DoctorVerdict::Failed, "not running", remedy));
    };
    let node = daemon.node.settings().node.as_str();
    let named = arguments
        .iter()
        .zip(arguments.iter().skip(1))
        .find(|(flag, _)| *flag == "-e")
        .map(|(_, name)| name.clone())
        .or_else(|| setting("/etc/sanlock/sanlock.conf", "our_host_name"));
    match named {
        Some(name) if name == node => fine("sanlock", format!("running as {name}")),
        Some(name) => bad(
            "sanlock",
            DoctorVerdict::Warning,
            format!("running as {name}, but the node is called {node}"),
            "give both the same name: our_host_name in /etc/sanlock/sanlock.conf, node.name in \
             /etc/volward/volward.toml",
        ),
        None => bad(
            "sanlock",
            DoctorVerdict::Warning,
            "running without a stable name: joining after an unclean death takes a minute longer",
            format!("set our_host_name = {node} in /etc/sanlock/sanlock.conf"),
        ),
    }
}

fn watchdog(daemon: &Daemon) -> DoctorCheck {
    match daemon.leases.watchdog_armed() {
        Ok(true) => fine("watchdog", "armed: losing leases resets this node"),
        Ok(false) if daemon.config.lab.read_write_without_watchdog => bad(
            "watchdog",
            DoctorVerdict::Warning,
            "missing; read-write is served all the same, because the configuration says that this \
             is a lab",
            "never run guests that matter so: remove lab.read-write-without-watchdog",
        ),
        Ok(false) => refusing(bad(
            "watchdog",
            DoctorVerdict::Failed,
            "sanlock runs without a watchdog (Debian's default)",
            "install wdmd (package sanlock), load a watchdog driver (softdog if there is no other), \
             set use_watchdog = 1 in /etc/sanlock/sanlock.conf and remove -w 0 from \
             /etc/default/sanlock, restart both",
        )),
        Err(error) => refusing(bad(
            "watchdog",
            DoctorVerdict::Failed,
            error.to_string(),
            "start sanlock: systemctl start sanlock",
        )),
    }
}

/// Without adoption a restarted lvmlockd leaves orphaned leases that block the lockspace (I5).
fn lvmlockd() -> DoctorCheck {
    let Some(arguments) = arguments_of("lvmlockd") else {
        let remedy = "install the package lvm2-lockd, set use_lvmlockd = 1 in /etc/lvm/lvm.conf, and \
                      start it: systemctl enable --now lvmlockd";
        return refusing(bad(
            "lvmlockd",
            DoctorVerdict::Failed,
            "not running",
            remedy,
        ));
    };
    let adopts = arguments
        .windows(2)
        .any(|w| matches!(w[0].as_str(), "--adopt" | "-A") && w[1] == "1")
        || arguments.iter().any(|a| a == "--adopt=1");
    if adopts {
        return fine("lvmlockd", "running, adopts its leases after a restart");
    }
    bad(
        "lvmlockd",
        DoctorVerdict::Warning,
        "running without adoption: its death would leave orphaned leases",
        "start it with --adopt 1 (systemctl edit lvmlockd)",
    )
}

fn clone_target(daemon: &Daemon) -> DoctorCheck {
    match daemon.machine.dm_clone_unfit() {
        None => fine("dm-clone", "fit: local copies can be made"),
        Some(reason) => bad(
            "dm-clone",
            DoctorVerdict::Warning,
            format!("{reason}; everything but local copies works"),
            "install a kernel with CONFIG_DM_CLONE and the fix 8b3fd1f53af3 (6.1 has it), or build \
             the module for this kernel",
        ),
    }
}

fn devices_file(name: &str, pool: &PoolName) -> DoctorCheck {
    let path = Path::new("/etc/lvm/devices").join(name);
    let check = format!("devices file of {pool}");
    if path.exists() {
        return fine(&check, path.display().to_string());
    }
    let remedy = format!("volward pool init {pool}");
    bad(
        &check,
        DoctorVerdict::Failed,
        format!("{} is missing", path.display()),
        remedy,
    )
}

fn shared_pool(daemon: &Daemon, pool: &PoolName) -> DoctorCheck {
    let check = format!("pool {pool}");
    let info = match daemon.node.pool_info(pool) {
        Ok(info) => info,
        Err(error) => {
            let remedy = "check the path to the LUN (lsblk, multipath -ll) and `vgs`";
            return refusing(bad(
                &check,
                DoctorVerdict::Failed,
                error.to_string(),
                remedy,
            ));
        }
    };
    if !info.is_shared() {
        let remedy = format!("make it with `vgcreate --shared {pool} DEVICE`");
        let found = format!("lock type {:?}, not sanlock", info.lock_type);
        return refusing(bad(&check, DoctorVerdict::Failed, found, remedy));
    }
    match daemon.node.look(pool) {
        Err(error) => {
            let remedy = format!(
                "vgchange --lock-start {pool}; then, once per pool, volward pool init {pool}"
            );
            refusing(bad(
                &check,
                DoctorVerdict::Failed,
                error.to_string(),
                remedy,
            ))
        }
        Ok(sight) => {
            let trouble = sight.slot_troubles().into_iter().next();
            let seen = SeenPool {
                host_id: sight.own.host_id,
                nodes: sight.members.len(),
                partial: info.partial,
                unreadable: sight.unreadable().into_iter().next(),
                slot: trouble.map(|s| format!("the slot of host-id {} {}", s.host_id, s.trouble)),
            };
            seen_pool(&check, seen)
        }
    }
}

/// A shared pool that is joined.
struct SeenPool {
    host_id: u64,
    nodes: usize,
    /// A physical volume is missing.
    partial: bool,
    /// A slot of a node that may be alive cannot be read, in a sentence.
    unreadable: Option<String>,
    /// The first trouble with a slot, in a sentence.
    slot: Option<String>,
}

fn seen_pool(check: &str, seen: SeenPool) -> DoctorCheck {
    if let Some(trouble) = seen.unreadable {
        let found = format!("{trouble}; attaches in this pool are refused until then");
        let remedy = "restart volwardd on that node; if it is gone, stop it for good, so that \
                      sanlock counts it dead";
        return refusing(bad(check, DoctorVerdict::Failed, found, remedy));
    }
    if let Some(trouble) = seen.slot {
        let remedy = "restart volwardd on that node";
        return bad(check, DoctorVerdict::Warning, trouble, remedy);
    }
    if seen.partial {
        let (found, remedy) = (
            "a physical volume is missing",
            "check the paths to the LUNs",
        );
        return bad(check, DoctorVerdict::Warning, found, remedy);
    }
    fine(
        check,
        format!("joined as host-id {}, {} node(s)", seen.host_id, seen.nodes),
    )
}

fn local_pool(daemon: &Daemon, pool: &PoolName) -> DoctorCheck {
    let check = format!("local pool {pool}");
    match daemon.node.pool_info(pool) {
        Ok(info) if info.is_shared() => bad(
            &check,
            DoctorVerdict::Failed,
            "it is a shared volume group",
            "take it out of the configuration, or say kind = \"shared\"",
        ),
        Ok(info) => fine(&check, format!("{} of {} free", info.free, info.size)),
        Err(error) => bad(
            &check,
            DoctorVerdict::Warning,
            format!("{error}; no local copies can be made"),
            format!("make it with `vgcreate {pool} DEVICE`, then volward pool init {pool}"),
        ),
    }
}

fn hook() -> DoctorCheck {
    use std::os::unix::fs::PermissionsExt;
    let installed = HOOKS.iter().find(|path| {
        let ours = fs::canonicalize(path).is_ok_and(|p| p.ends_with("volward-hook"))
            || path.ends_with("qemu.d/volward");
        ours && fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
    });
    match installed {
        Some(path) => fine("libvirt hook", *path),
        None => bad(
            "libvirt hook",
            DoctorVerdict::Warning,
            "not installed: libvirt starts guests without asking",
            format!(
                "ln -s /usr/sbin/volward-hook {} and restart libvirtd",
                HOOKS[0]
            ),
        ),
    }
}

/// At shutdown: guests, then us, then lvmlockd, then sanlock.
fn ordering() -> DoctorCheck {
    if !Path::new("/run/systemd/system").exists() {
        return fine("daemon ordering", "no systemd here; started by hand");
    }
    let dropin = [
        "/etc/systemd/system/volwardd.service",
        "/lib/systemd/system/volwardd.service",
    ];
    let unit = dropin.iter().find_map(|path| fs::read_to_string(path).ok());
    match unit {
        Some(text) if text.contains("lvmlockd.service") && text.contains("libvirtd.service") => {
            fine("daemon ordering", "after lvmlockd, before libvirtd")
        }
        Some(_) => bad(
            "daemon ordering",
            DoctorVerdict::Warning,
            "the unit does not order volwardd after lvmlockd and before libvirtd",
            "install the unit that comes with Volward (packaging/volwardd.service)",
        ),
        None => bad(
            "daemon ordering",
            DoctorVerdict::Warning,
            "no volwardd.service is installed",
            "install the unit that comes with Volward (packaging/volwardd.service)",
        ),
    }
}

fn policies(daemon: &Daemon) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    if daemon.config.policy.baseline == Switch::Off {
        checks.push(bad(
            "baseline policy",
            DoctorVerdict::Warning,
            "switched off: what the folder's policies allow is allowed",
            "remove baseline = \"off\" from [policy]",
        ));
    }
    checks.extend(daemon.policies.status().into_iter().map(policy));
    checks
}

fn policy(policy: PluginStatus) -> DoctorCheck {
    let check = format!("policy {}", policy.name);
    let remedy = "mend or remove the file: it counts from the next decision on";
    match policy.state {
        PluginState::Serving => fine(&check, format!("{}, serving", policy.level)),
        PluginState::Off => fine(&check, "off"),
        PluginState::Refused { reason } if policy.level == Level::Monitor => bad(
            &check,
            DoctorVerdict::Warning,
            format!("could not be loaded: {reason}; its level is monitor, so nothing is refused"),
            remedy,
        ),
        PluginState::Refused { reason } => refusing(bad(
            &check,
            DoctorVerdict::Failed,
            format!("could not be loaded: {reason}; every attach is refused while it is there"),
            remedy,
        )),
    }
}

fn consistency(daemon: &Daemon) -> DoctorCheck {
    let found = daemon.node.inconsistencies();
    if found.is_empty() {
        return fine(
            "attachments",
            format!("{} on this node", daemon.node.attachments().len()),
        );
    }
    let remedy = "volward ls shows them, volward explain --volume POOL/NAME tells more";
    bad(
        "attachments",
        DoctorVerdict::Failed,
        found.join("; "),
        remedy,
    )
}

fn refusing(check: DoctorCheck) -> DoctorCheck {
    DoctorCheck {
        refuses_read_write: true,
        ..check
    }
}

/// The arguments of a running program of that name.
fn arguments_of(program: &str) -> Option<Vec<String>> {
    let entries = fs::read_dir("/proc").ok()?;
    entries.filter_map(Result::ok).find_map(|entry| {
        let comm = fs::read_to_string(entry.path().join("comm")).ok()?;
        (comm.trim() == program).then_some(())?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let words = line.split(|b| *b == 0).filter(|w| !w.is_empty());
        Some(
            words
                .map(|w| String::from_utf8_lossy(w).into_owned())
                .collect(),
        )
    })
}

/// A `key = value` of a configuration file.
fn setting(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .map(str::trim)
        .filter(|l| !l.starts_with('#'))
        .find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
}

#[cfg(test)]
mod tests;
