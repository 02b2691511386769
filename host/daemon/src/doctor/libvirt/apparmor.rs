//! Whether libvirtd's AppArmor profile lets it run the hook. What counts there is the file behind the
//! links, not the path that libvirt calls.

use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_storage::probe::Probes;

use super::super::bad;

/// libvirt's daemon, whole or in parts; each has a profile of its name.
const DAEMONS: [&str; 2] = ["libvirtd", "virtqemud"];
/// What the profiles that libvirt comes with let it run (9.0, Debian 12): everything below here,
const BELOW: &str = "/etc/libvirt/hooks";
/// and what is directly in these.
const DIRECTLY_IN: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// Something to do about a hook that libvirtd may not run.
pub(super) fn denied(probes: &dyn Probes, hook: &Path) -> Option<DoctorCheck> {
    let real = probes.behind_links(hook)?;
    let allowed = real.starts_with(BELOW)
        || real
            .parent()
            .is_some_and(|folder| DIRECTLY_IN.iter().any(|one| folder == Path::new(one)));
    if allowed {
        return None;
    }
    let enforced = |daemon: &&str| {
        let by = probes.confinement_of(daemon);
        by.is_some_and(|by| by.ends_with("(enforce)"))
    };
    let daemon = DAEMONS.into_iter().find(enforced)?;
    let files = [
        format!("/etc/apparmor.d/usr.sbin.{daemon}"),
        format!("/etc/apparmor.d/local/usr.sbin.{daemon}"),
    ];
    let texts = files.iter().filter_map(|file| {
        let text = probes.content(Path::new(file)).ok()?;
        String::from_utf8(text).ok()
    });
    let shown = real.to_string_lossy();
    if texts.into_iter().any(|text| may_run(&text, &shown)) {
        return None;
    }
    Some(bad(
        "libvirt hook",
        DoctorVerdict::Failed,
        format!(
            "{} leads to {shown}, which AppArmor's profile of {daemon} does not let it run: no guest \
             starts, one without managed disks neither",
            hook.display()
        ),
        format!(
            "install the hook as a file of its own: install -m 0755 --remove-destination {shown} {}, and \
             restart {daemon}",
            hook.display()
        ),
    ))
}

/// Whether a rule that somebody added may let a file be run. Only what stands before a rule's first
/// wildcard is compared: a rule that could fit is taken to, so that nobody is told of a fault where there
/// is none. A rule for every path says nothing of this one.
fn may_run(profile: &str, path: &str) -> bool {
    profile.lines().any(|line| {
        let mut words = line.split_whitespace();
        let (Some(pattern), Some(permissions)) = (words.next(), words.next()) else {
            return false;
        };
        let literal = pattern
            .split(['*', '?', '[', '{', '@'])
            .next()
            .unwrap_or("");
        let runs = permissions.contains('x');
        let fits = match literal.len() == pattern.len() {
            true => literal == path,
            false => literal.len() > 1 && path.starts_with(literal),
        };
        pattern.starts_with('/') && runs && fits
    })
}
