use std::os::unix::fs::symlink;

use super::*;

const UUID: &str = "11111111-2222-3333-4444-555555555555";

fn pools() -> Vec<PoolName> {
    ["vg0", "my-vg"].map(|p| p.parse().unwrap()).to_vec()
}

fn at_nowhere(path: &str) -> Result<Option<Device>, PathTrouble> {
    device(path, &pools(), &Place::at("/nonexistent".as_ref()))
}

fn lv_of(pool: &str, volume: &str) -> Device {
    Device::Lv {
        pool: pool.parse().unwrap(),
        volume: volume.parse().unwrap(),
    }
}

#[test]
fn both_forms_are_understood_with_harmless_letters_in_between() {
    let own = Device::Own {
        instance: UUID.parse().unwrap(),
        pool: "vg9".parse().unwrap(),
        volume: "root".parse().unwrap(),
    };
    for path in [
        format!("/dev/volward/{UUID}/vg9/root"),
        format!("//dev/./volward//{UUID}/vg9/root"),
    ] {
        assert_eq!(at_nowhere(&path), Ok(Some(own.clone())), "{path}");
    }
    for (path, pool, volume) in [
        ("/dev/vg0/root", "vg0", "root"),
        ("/dev//vg0/./root", "vg0", "root"),
        ("/dev/mapper/vg0-root", "vg0", "root"),
        ("/dev/mapper/my--vg-a--b", "my-vg", "a-b"),
    ] {
        assert_eq!(at_nowhere(path), Ok(Some(lv_of(pool, volume))), "{path}");
    }
}

#[test]
fn what_is_not_managed_is_left_alone() {
    for path in [
        "/dev/sda",
        "/dev/other/root",
        "/dev/vg01/root",
        "/dev/mapper/vg0a-root",
        "/dev/mapper/control",
        "/var/lib/libvirt/images/../images/a.qcow2",
        "/dev/../var/lib/a.img",
        "relative/dev/vg0/root",
        "/dev",
        "",
    ] {
        assert_eq!(at_nowhere(path), Ok(None), "{path}");
    }
}

#[test]
fn tricks_and_broken_forms_are_refused() {
    for path in [
        "/dev/volward",
        "/dev/volward/not-a-uuid/vg0/root",
        "/dev/volward/11111111222233334444555555555555/vg0/root",
        "/dev/volward/AAAAAAAA-2222-3333-4444-555555555555/vg0/root",
        "/dev/vg0",
        "/dev/vg0/a/b",
        "/dev/vg0/-a",
        "/dev/mapper/vg0-a-cow",
        "/dev/sda/../vg0/root",
        "/var/../dev/vg0/root",
        "/dev/mapper/../vg0/root",
        "/dev/vg0/../sda",
    ] {
        assert!(at_nowhere(path).is_err(), "{path}");
    }
}

#[test]
fn other_names_of_a_managed_device_are_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(dir.path());
    let uuid = "LVM-".to_owned() + &"a".repeat(64);
    for (minor, name, uuid) in [
        (1, "vg0-root", uuid.clone()),
        (2, "other-root", uuid.clone()),
        (3, "volward-1", format!("{uuid}-volward-1")),
        (4, "vg0-luks", "CRYPT-LUKS2-x".to_owned()),
    ] {
        let sys = place.path(&format!("/sys/class/block/dm-{minor}/dm"));
        fs::create_dir_all(&sys).unwrap();
        fs::write(sys.join("name"), format!("{name}\n")).unwrap();
        fs::write(sys.join("uuid"), format!("{uuid}\n")).unwrap();
        let node = place.path(&format!("/dev/dm-{minor}"));
        fs::create_dir_all(place.path("/dev/disk/by-id")).unwrap();
        fs::write(node, "").unwrap();
        let link = place.path(&format!("/dev/disk/by-id/{name}"));
        symlink(format!("../../dm-{minor}"), link).unwrap();
    }
    let found = |path: &str| device(path, &pools(), &place);
    for managed in [
        "/dev/dm-1",
        "/dev/disk/by-id/vg0-root",
        "/dev/disk/by-id/volward-1",
    ] {
        assert!(
            matches!(found(managed), Err(PathTrouble::Alias { .. })),
            "{managed}"
        );
    }
    for free in ["/dev/dm-2", "/dev/disk/by-id/vg0-luks", "/dev/dm-9"] {
        assert_eq!(found(free), Ok(None), "{free}");
    }
}
