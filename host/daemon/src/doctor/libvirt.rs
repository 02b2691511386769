//! Whether libvirt asks.

use std::fs;
use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict, HOOK_MARK};

use super::{bad, fine, is_program};

/// Where libvirt looks for our hook. The first is ours alone, the second may be anybody's.
const HOOKS: [&str; 2] = ["etc/libvirt/hooks/qemu.d/volward", "etc/libvirt/hooks/qemu"];

/// The hook below a root folder, a test's or the node's.
pub(super) fn hook(root: &Path) -> DoctorCheck {
    let paths = HOOKS.map(|path| root.join(path));
    let [own, common] = &paths;
    let installed = if is_program(own) {
        Some(own)
    } else {
        Some(common).filter(|path| is_program(path) && is_ours(path))
    };
    match installed {
        Some(path) => fine("libvirt hook", path.display().to_string()),
        None => bad(
            "libvirt hook",
            DoctorVerdict::Warning,
            "not installed: libvirt starts guests without asking",
            format!(
                "install -D -m 0755 /usr/sbin/volward-hook {} and restart libvirtd",
                own.display()
            ),
        ),
    }
}

/// libvirt before 6.5 knows this one path only: it is a link to the hook, a copy of it, or a script
/// that calls it among others.
fn is_ours(path: &Path) -> bool {
    let Ok(program) = fs::read(path) else {
        return false;
    };
    let has = |words: &[u8]| program.windows(words.len()).any(|part| part == words);
    has(b"volward-hook") || has(HOOK_MARK.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with(path: &str, text: &str, mode: u32) -> DoctorCheck {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        hook(root.path())
    }

    #[test]
    fn the_hook_is_found_as_a_copy_in_a_script_and_in_its_own_place() {
        let copy = format!("\x7fELF\0\0{HOOK_MARK}\0");
        let script = "#!/bin/sh\nexec /usr/sbin/volward-hook \"$@\"\n";
        let [own, common] = HOOKS;
        for (path, text) in [(own, ""), (common, &copy), (common, script)] {
            assert_eq!(with(path, text, 0o755).verdict, DoctorVerdict::Ok, "{text}");
        }
    }

    #[test]
    fn somebody_elses_hook_and_one_that_cannot_be_run_are_not_ours() {
        let [own, common] = HOOKS;
        let others = with(common, "#!/bin/sh\nexit 0\n", 0o755);
        let no_program = with(own, HOOK_MARK, 0o644);
        for found in [others, no_program] {
            assert_eq!(found.verdict, DoctorVerdict::Warning, "{found:?}");
            assert!(found.found.contains("not installed"), "{found:?}");
        }
    }
}
