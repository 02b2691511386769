//! Whether libvirt asks.

use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict, HOOK_MARK};

use volward_storage::probe::Probes;

use super::{bad, fine};

mod apparmor;

/// Where libvirt looks for our hook. The first is ours alone, the second may be anybody's.
const HOOKS: [&str; 2] = [
    "/etc/libvirt/hooks/qemu.d/volward",
    "/etc/libvirt/hooks/qemu",
];

/// The hook, where libvirt runs it.
pub(super) fn hook(probes: &dyn Probes) -> DoctorCheck {
    let [own, common] = HOOKS.map(Path::new);
    let installed = if probes.is_program(own) {
        Some(own)
    } else {
        Some(common).filter(|path| probes.is_program(path) && is_ours(probes, path))
    };
    match installed {
        Some(path) => apparmor::denied(probes, path)
            .unwrap_or_else(|| fine("libvirt hook", path.display().to_string())),
        None if probes.content(own).is_ok() => bad(
            "libvirt hook",
            DoctorVerdict::Warning,
            format!(
                "{} is no program that libvirt can run: it starts guests without asking",
                own.display()
            ),
            format!("chmod 0755 {}, and restart libvirtd", own.display()),
        ),
        None => bad(
            "libvirt hook",
            DoctorVerdict::Warning,
            "not installed: libvirt starts guests without asking",
            format!(
                "install the program volward-hook: install -D -m 0755 volward-hook {}, and restart \
                 libvirtd",
                own.display()
            ),
        ),
    }
}

/// libvirt before 6.5 knows this one path only: it is a link to the hook, a copy of it, or a script
/// that calls it among others.
fn is_ours(probes: &dyn Probes, path: &Path) -> bool {
    let Ok(program) = probes.content(path) else {
        return false;
    };
    let has = |words: &[u8]| program.windows(words.len()).any(|part| part == words);
    has(b"volward-hook") || has(HOOK_MARK.as_bytes())
}

#[cfg(test)]
mod tests {
    use volward_storage::probe::FakeSystem;

    use super::*;

    fn with_program(path: &str, text: &str) -> DoctorCheck {
        hook(&FakeSystem::default().with_program(path, text))
    }

    #[test]
    fn the_hook_is_found_as_a_copy_in_a_script_and_in_its_own_place() {
        let copy = format!("\x7fELF\0\0{HOOK_MARK}\0");
        let script = "#!/bin/sh\nexec /usr/sbin/volward-hook \"$@\"\n";
        let [own, common] = HOOKS;
        for (path, text) in [(own, ""), (common, &copy), (common, script)] {
            let found = with_program(path, text);
            assert_eq!(found.verdict, DoctorVerdict::Ok, "{text}");
            assert_eq!(found.found, path);
        }
    }

    #[test]
    fn a_link_that_libvirtds_profile_does_not_let_it_run_is_no_hook() {
        let own = HOOKS[0];
        let linked = |target: &str| {
            let system = FakeSystem::default();
            system.with_program(target, "").with_link(own, target)
        };
        let confined = |target| linked(target).confined("libvirtd", "libvirtd (enforce)");
        let away = "/opt/volward/volward-hook";
        let denied = hook(&confined(away));
        assert_eq!(denied.verdict, DoctorVerdict::Failed);
        assert!(denied.found.contains(away), "{denied:?}");
        assert!(denied.remedy.unwrap().contains("install -m 0755"));
        let profile = "/etc/apparmor.d/usr.sbin.libvirtd";
        let local = "/etc/apparmor.d/local/usr.sbin.libvirtd";
        for fine in [
            confined("/usr/sbin/volward-hook"),
            confined("/etc/libvirt/hooks/volward"),
            // Nobody confines it, or it is only watched.
            linked(away),
            linked(away).confined("libvirtd", "unconfined"),
            linked(away).confined("libvirtd", "libvirtd (complain)"),
            // The operator has allowed it.
            confined(away).with_file(local, "# for Volward\n  /opt/volward/* PUx,\n"),
            confined(away).with_file(
                profile,
                "profile libvirtd {\n  /opt/volward/volward-hook ix,\n}",
            ),
        ] {
            assert_eq!(hook(&fine).verdict, DoctorVerdict::Ok, "{fine:?}");
        }
        for text in [
            "/** rwmkl,\n/opt/other/* PUx,\n",
            "# /opt/volward/* PUx,\n",
            "deny /opt/volward/* x,\n",
            "/opt/volward/* r,\n",
        ] {
            let still = hook(&confined(away).with_file(local, text));
            assert_eq!(still.verdict, DoctorVerdict::Failed, "{text}");
        }
    }

    #[test]
    fn somebody_elses_hook_and_one_that_cannot_be_run_are_not_ours() {
        let [own, common] = HOOKS;
        let others = with_program(common, "#!/bin/sh\nexit 0\n");
        let nothing = hook(&FakeSystem::default());
        // One that is there, and not executable, is said to be that.
        let no_program = hook(&FakeSystem::default().with_file(own, HOOK_MARK));
        assert_eq!(no_program.verdict, DoctorVerdict::Warning);
        assert!(no_program.found.contains("can run"), "{no_program:?}");
        assert!(no_program.remedy.unwrap().contains("chmod 0755"));
        for found in [others, nothing] {
            assert_eq!(found.verdict, DoctorVerdict::Warning, "{found:?}");
            assert!(found.found.contains("not installed"), "{found:?}");
        }
    }
}
