//! What Volward stands on: programs, sanlock, lvmlockd, the kernel, systemd.

use std::path::Path;
use std::time::Duration;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_folder::Folder;
use volward_storage::exec::Tools;
use volward_storage::probe::Probes;

use super::leases::WAITS_DIRECT;
use super::{bad, fine, refusing};
use crate::config::{PoolSection, Provider};
use crate::wiring::Daemon;

/// They were there when the daemon started; without them it does not start again.
pub(super) fn tools(probes: &dyn Probes, tools: &Tools, compiler: &Path) -> DoctorCheck {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for (path, name, package) in [
        (&tools.lvm, "lvm", "lvm2"),
        (&tools.sanlock, "sanlock", "sanlock"),
        (&tools.lvmlockctl, "lvmlockctl", "lvm2-lockd"),
    ] {
        if probes.is_program(path) {
            there.push(name);
        } else {
            missing.push((name, package));
        }
    }
    if !missing.is_empty() {
        let (names, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        return refusing(bad(
            "tools",
            DoctorVerdict::Failed,
            format!("not installed: {}", names.join(", ")),
            format!("apt-get install {}", packages.join(" ")),
        ));
    }
    if !probes.is_program(compiler) {
        return bad(
            "tools",
            DoctorVerdict::Failed,
            format!(
                "{} is missing: a policy that is new or changed cannot be compiled, and then every \
                 attach is refused",
                compiler.display()
            ),
            "install volward-policy there, of the daemon's version",
        );
    }
    there.push("volward-policy");
    fine("tools", there.join(", "))
}

/// sanlock's name of the node must be stable: with another one after an unclean death the
/// lockspace is joined a minute later.
pub(super) fn sanlock(probes: &dyn Probes, node: &str) -> DoctorCheck {
    let Some(arguments) = probes.arguments_of("sanlock") else {
        let remedy = "install the package sanlock and start it: systemctl enable --now sanlock";
        return refusing(bad("sanlock", DoctorVerdict::Failed, "not running", remedy));
    };
    let named = arguments
        .iter()
        .zip(arguments.iter().skip(1))
        .find(|(flag, _)| *flag == "-e")
        .map(|(_, name)| name.clone())
        .or_else(|| setting(probes, "/etc/sanlock/sanlock.conf", "our_host_name"));
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

pub(super) fn watchdog(daemon: &Daemon) -> DoctorCheck {
    match daemon.leases.watchdog_armed() {
        Ok(true) => fine("watchdog", "armed: losing leases resets this node"),
        Ok(false) if daemon.config.lab.read_write_without_watchdog => bad(
            "watchdog",
            DoctorVerdict::Warning,
            "missing; read-write is served because lab.read-write-without-watchdog is set",
            "in production arm a watchdog and remove lab.read-write-without-watchdog",
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

/// Debian's units start lvmlockd before sanlock at each boot, and it is none the worse for that, also where no lockspace was joined
/// since because the LUN is not there.
const ONE_BOOT: Duration = Duration::from_secs(60);

/// Without adoption a restarted lvmlockd leaves orphaned leases that block the lockspace (I5). `joined`: sanlock is in some
/// lockspace, which lvmlockd has had it join.
pub(super) fn lvmlockd(probes: &dyn Probes, pools: &[PoolSection], joined: bool) -> DoctorCheck {
    let Some(arguments) = probes.arguments_of("lvmlockd") else {
        let remedy = "start it: systemctl start lvmlockd (with --adopt 1 it takes its leases back); where it was never \
                      set up, install the package lvm2-lockd, set use_lvmlockd = 1 in /etc/lvm/lvm.conf, and \
                      systemctl enable --now lvmlockd";
        let of = |who| {
            pools
                .iter()
                .filter(move |pool| pool.provider() == Some(who))
        };
        let served: Vec<String> = of(Provider::Lvmlockd)
            .map(|pool| pool.name.to_string())
            .collect();
        let mut found = "not running".to_owned();
        if of(Provider::Direct).next().is_some() {
            found = format!("{found}: with provider = \"direct\" {WAITS_DIRECT}");
        }
        return DoctorCheck {
            refuses_read_write: !served.is_empty(),
            pools: served,
            ..bad("lvmlockd", DoctorVerdict::Failed, found, remedy)
        };
    };
    let lvmlockd_first = match (probes.started("lvmlockd"), probes.started("sanlock")) {
        (Some(lvmlockd), Some(sanlock)) => lvmlockd + ONE_BOOT < sanlock,
        _ => false,
    };
    if lvmlockd_first && !joined {
        let found = "older than sanlock, and no lockspace is joined: where sanlock was started again since, it knows of none, \
                     and joins none (`vgchange --lock-start` says nothing of it)";
        let remedy = "systemctl restart lvmlockd; then, for each shared pool, vgchange --lock-start POOL. A guest whose I/O \
                      was cut off is stopped, or gets it back by `volward unfence`";
        return refusing(bad("lvmlockd", DoctorVerdict::Failed, found, remedy));
    }
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

/// Volward's own commands ask for leases whatever is in lvm.conf; those typed by hand, the guide's
/// among them, do not.
pub(super) fn lvm_locking(probes: &dyn Probes) -> DoctorCheck {
    const FILES: [&str; 2] = ["/etc/lvm/lvmlocal.conf", "/etc/lvm/lvm.conf"];
    let said = FILES
        .iter()
        .find_map(|path| setting(probes, path, "use_lvmlockd"));
    match said.as_deref() {
        Some("1") => fine("lvm.conf", "use_lvmlockd = 1"),
        other => bad(
            "lvm.conf",
            DoctorVerdict::Warning,
            format!(
                "use_lvmlockd is {}: Volward works, but `lvcreate` and the like by hand fail in a \
                 shared volume group",
                other.unwrap_or("not set")
            ),
            "set use_lvmlockd = 1 in the section global of /etc/lvm/lvm.conf",
        ),
    }
}

/// The file is packaging/volward-modules.conf.
pub(super) const CLONE_REMEDY: &str = "modprobe dm-clone, and for every boot \
    /etc/modules-load.d/volward.conf with the line dm-clone (it comes with Volward); if there is no \
    such module: a kernel with CONFIG_DM_CLONE and the fix 8b3fd1f53af3 (6.1 has it), or the module \
    built for this kernel";

pub(super) fn clone_target(daemon: &Daemon) -> DoctorCheck {
    match daemon.machine.dm_clone_unfit() {
        None => fine("dm-clone", "fit: local copies can be made"),
        Some(reason) => bad(
            "dm-clone",
            DoctorVerdict::Warning,
            format!("{reason}; everything but local copies works"),
            CLONE_REMEDY,
        ),
    }
}

/// A daemon of root does what its configuration says.
pub(super) fn configuration(daemon: &Daemon) -> DoctorCheck {
    let shown = daemon.config.file.display().to_string();
    match daemon.config.who_may_write() {
        None => fine("configuration", shown),
        Some(found) => bad(
            "configuration",
            DoctorVerdict::Warning,
            found,
            "give it to root alone, and look at what stands in it before the next restart",
        ),
    }
}

/// What the daemon reads and writes is the folder it opened, whatever is at its path now: policies
/// that lie in the new one do not count.
pub(super) fn exchanged(held: &[Folder]) -> Option<DoctorCheck> {
    let mut gone = held.iter().filter(|folder| !folder.is_where_it_was());
    let path = gone.next()?.path().display();
    Some(bad(
        "folders",
        DoctorVerdict::Warning,
        format!(
            "{path} was moved, removed or replaced; the daemon goes on with the folder it opened"
        ),
        "systemctl restart volwardd: it opens what is there now (attachments stay as they are)",
    ))
}

/// A file's text, if it is there and is text.
pub(super) fn text(probes: &dyn Probes, path: &str) -> Option<String> {
    String::from_utf8(probes.content(Path::new(path)).ok()?).ok()
}

/// A `key = value` of a configuration file.
fn setting(probes: &dyn Probes, path: &str, key: &str) -> Option<String> {
    text(probes, path)?
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with('#'))
        .find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
}
