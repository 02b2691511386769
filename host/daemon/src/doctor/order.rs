//! In which order systemd starts and stops what a node is made of.

use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_storage::probe::Probes;

use super::system::text;
use super::{bad, fine};

/// Where units are, those of the operator first.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/lib/systemd/system"];

/// Up: lvmlockd, volwardd, libvirt, nova. Down: nova, guests, what they left, volwardd, lvmlockd, sanlock, wdmd.
pub(super) fn examine(probes: &dyn Probes) -> DoctorCheck {
    let name = "daemon ordering";
    if !probes.is_there(Path::new("/run/systemd/system")) {
        return fine(name, "no systemd here; started by hand");
    }
    let is_there = |name| unit(probes, name).is_some();
    let comes = |unit, after, before| {
        is_ordered(probes, unit, "After=", after) && is_ordered(probes, unit, "Before=", before)
    };
    let comes_before = |before| {
        comes("volwardd.service", "lvmlockd.service", before)
            && comes("volward-release.service", "volwardd.service", before)
    };
    let (found, remedy) = if !is_there("volwardd.service") {
        (
            "no volwardd.service is installed",
            "install the unit that comes with Volward (packaging/volwardd.service)",
        )
    } else if !is_there("volward-release.service") {
        (
            "no volward-release.service is installed: a shutdown takes minutes while something is attached that no \
             guest has",
            "install the unit that comes with Volward (packaging/volward-release.service), then systemctl enable \
             --now volward-release",
        )
    } else if !comes_before("libvirtd.service") {
        (
            "the units do not order volwardd and volward-release after lvmlockd and before libvirtd",
            "install the units that come with Volward (packaging/volwardd.service, volward-release.service)",
        )
    } else if is_there("nova-compute.service") && !comes_before("nova-compute.service") {
        (
            "the units do not order volwardd and volward-release before nova-compute: it resumes guests before \
             volwardd serves, and asks for volumes when that has ended",
            "install the units that come with Volward (packaging/volwardd.service, volward-release.service)",
        )
    } else if !sanlock_ends_first(probes) {
        (
            "sanlock and wdmd are stopped at once, and wdmd waits for sanlock: each shutdown takes 90 s longer",
            "volward setup, then systemctl daemon-reload",
        )
    } else {
        return fine(name, "after lvmlockd, before libvirtd");
    };
    bad(name, DoctorVerdict::Warning, found, remedy)
}

fn unit(probes: &dyn Probes, name: &str) -> Option<String> {
    let mut folders = UNITS.iter();
    folders.find_map(|folder| text(probes, &format!("{folder}/{name}")))
}

/// By its unit, or by a drop-in; so does one that is not installed.
fn sanlock_ends_first(probes: &dyn Probes) -> bool {
    unit(probes, "sanlock.service").is_none()
        || is_ordered(probes, "sanlock.service", "After=", "wdmd.service")
}

/// Whether a unit, or a drop-in of it, names another one after `key`.
fn is_ordered(probes: &dyn Probes, name: &str, key: &str, other: &str) -> bool {
    let folders = UNITS.map(|folder| format!("{folder}/{name}.d"));
    let dropins = folders
        .iter()
        .flat_map(|folder| probes.files_in(Path::new(folder)));
    let dropins = dropins.filter_map(|path| text(probes, path.to_str()?));
    let mut texts = unit(probes, name).into_iter().chain(dropins);
    texts.any(|text| {
        let mut units = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .flat_map(str::split_whitespace);
        units.any(|unit| unit == other)
    })
}

#[cfg(test)]
mod tests;
