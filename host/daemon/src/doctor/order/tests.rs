use volward_storage::probe::FakeSystem;

use super::*;

#[test]
fn the_packaged_units_are_ordered_and_others_or_none_are_not() {
    let packaged = include_str!("../../../../../packaging/volwardd.service");
    let release = include_str!("../../../../../packaging/volward-release.service");
    let bare = FakeSystem::default().with_file("/run/systemd/system/x", "");
    let found = |node: &FakeSystem| {
        let check = examine(node);
        (check.verdict.known().unwrap(), check.found)
    };
    let warned = |node: &FakeSystem, words: &str| {
        let (verdict, said) = found(node);
        assert_eq!(verdict, DoctorVerdict::Warning, "{said}");
        assert!(said.contains(words), "{said}");
    };
    let units = "/lib/systemd/system";
    let with = |node: &FakeSystem, name: &str, text: &str| {
        node.clone()
            .with_file(format!("{units}/{name}.service"), text)
    };
    warned(&bare, "no volwardd.service");
    let daemon = with(&bare, "volwardd", packaged);
    warned(&daemon, "no volward-release.service");
    let whole = with(&daemon, "volward-release", release);
    for unordered in ["volwardd", "volward-release"] {
        warned(
            &with(&whole, unordered, "[Unit]\n"),
            "do not order volwardd and volward-release after lvmlockd",
        );
    }
    assert_eq!(
        found(&whole).0,
        DoctorVerdict::Ok,
        "sanlock is not installed"
    );
    // Where nova is, both come before it; the units of an earlier version did not.
    let nova = with(&whole, "nova-compute", "[Unit]\nAfter=libvirtd.service\n");
    assert_eq!(found(&nova).0, DoctorVerdict::Ok);
    for (name, text) in [("volwardd", packaged), ("volward-release", release)] {
        let earlier = text.replace(" nova-compute.service", "");
        assert_ne!(earlier, text);
        warned(&with(&nova, name, &earlier), "before nova-compute");
        assert_eq!(
            found(&with(&whole, name, &earlier)).0,
            DoctorVerdict::Ok,
            "no nova here"
        );
        let dropin = format!("/etc/systemd/system/{name}.service.d/nova.conf");
        let mended =
            with(&nova, name, &earlier).with_file(dropin, "[Unit]\nBefore=nova-compute.service\n");
        assert_eq!(found(&mended).0, DoctorVerdict::Ok, "by a drop-in");
    }
    let sanlock = "[Unit]\nWants=wdmd.service\n";
    let debian = whole.with_file("/lib/systemd/system/sanlock.service", sanlock);
    warned(&debian, "wdmd waits for sanlock");
    let dropin = "/etc/systemd/system/sanlock.service.d/volward.conf";
    let set_up = debian.with_file(dropin, "[Unit]\nAfter=wdmd.service\n");
    assert_eq!(found(&set_up).0, DoctorVerdict::Ok);
    assert_eq!(
        found(&FakeSystem::default()).0,
        DoctorVerdict::Ok,
        "by hand"
    );
}

/// Whatever of libvirt's there is: it starts guests when all is there, and they have ended when it is let go.
#[test]
fn what_is_let_go_is_let_go_between_libvirt_and_the_daemon() {
    let unit = include_str!("../../../../../packaging/volward-release.service");
    let of = |key: &str| -> Vec<&str> {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(key));
        lines.flat_map(str::split_whitespace).collect()
    };
    assert_eq!(of("After="), ["volwardd.service"]);
    let daemon = include_str!("../../../../../packaging/volwardd.service");
    let before = daemon.lines().find_map(|line| line.strip_prefix("Before="));
    assert_eq!(of("Before=").join(" "), before.unwrap());
    let wants = daemon.lines().find_map(|line| line.strip_prefix("Wants="));
    assert!(wants.unwrap().contains("volward-release.service"));
    // It ends before systemd ends it.
    assert!(unit.contains("ExecStop=/usr/bin/volward release --within 100\nTimeoutStopSec=115\n"));
}

/// What is ordered after `blk-availability.service` stops before it: then guests, daemon and registry are
/// gone when it deactivates whatever is not in use.
#[test]
fn the_packaged_units_stop_before_blkdeactivate_runs() {
    for unit in [
        include_str!("../../../../../packaging/volwardd.service"),
        include_str!("../../../../../packaging/volward-registry.service"),
    ] {
        let mut after = unit.lines().filter_map(|line| line.strip_prefix("After="));
        assert!(after.any(|units| units.split(' ').any(|u| u == "blk-availability.service")));
    }
}
