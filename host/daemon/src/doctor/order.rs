//! In which order systemd starts and stops what a node is made of.

use std::path::Path;

use volward_api::{DoctorCheck, DoctorVerdict};
use volward_storage::probe::Probes;

use super::system::text;
use super::{bad, fine};

/// Where units are, those of the operator first.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/lib/systemd/system"];

/// Up: lvmlockd, volwardd, libvirt. Down: guests, what they left, volwardd, lvmlockd, sanlock, wdmd.
pub(super) fn examine(probes: &dyn Probes) -> DoctorCheck {
    let name = "daemon ordering";
    if !probes.is_there(Path::new("/run/systemd/system")) {
        return fine(name, "no systemd here; started by hand");
    }
    let (found, remedy) = match unit(probes, "volwardd.service") {
        None => (
            "no volwardd.service is installed",
            "install the unit that comes with Volward (packaging/volwardd.service)",
        ),
        Some(text) if !is_between(&text) => (
            "the unit does not order volwardd after lvmlockd and before libvirtd",
            "install the unit that comes with Volward (packaging/volwardd.service)",
        ),
        Some(_) if unit(probes, "volward-release.service").is_none() => (
            "no volward-release.service is installed: a shutdown takes minutes while something is attached that no \
             guest has",
            "install the unit that comes with Volward (packaging/volward-release.service), then systemctl enable \
             --now volward-release",
        ),
        Some(_) if !sanlock_ends_first(probes) => (
            "sanlock and wdmd are stopped at once, and wdmd waits for sanlock: each shutdown takes 90 s longer",
            "volward setup, then systemctl daemon-reload",
        ),
        Some(_) => return fine(name, "after lvmlockd, before libvirtd"),
    };
    bad(name, DoctorVerdict::Warning, found, remedy)
}

fn unit(probes: &dyn Probes, name: &str) -> Option<String> {
    let mut folders = UNITS.iter();
    folders.find_map(|folder| text(probes, &format!("{folder}/{name}")))
}

fn is_between(unit: &str) -> bool {
    unit.contains("lvmlockd.service") && unit.contains("libvirtd.service")
}

/// By its unit, or by a drop-in; so does one that is not installed.
fn sanlock_ends_first(probes: &dyn Probes) -> bool {
    let Some(unit) = unit(probes, "sanlock.service") else {
        return true;
    };
    let folders = UNITS.map(|folder| format!("{folder}/sanlock.service.d"));
    let dropins = folders
        .iter()
        .flat_map(|folder| probes.files_in(Path::new(folder)));
    let dropins = dropins.filter_map(|path| text(probes, path.to_str()?));
    let mut texts = std::iter::once(unit).chain(dropins);
    texts.any(|text| {
        let mut after = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("After="));
        after.any(|units| units.split_whitespace().any(|unit| unit == "wdmd.service"))
    })
}
