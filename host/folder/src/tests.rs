use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn temporary() -> (tempfile::TempDir, Folder) {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(place.path()).unwrap();
    (place, folder)
}

#[test]
fn a_name_that_leads_out_is_none() {
    let (place, folder) = temporary();
    fs::create_dir(place.path().join("in")).unwrap();
    let inside = Folder::open(&place.path().join("in")).unwrap();
    fs::write(place.path().join("secret"), "x").unwrap();
    for name in [
        "../secret",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a/",
        "./a",
    ] {
        let kind = |error: io::Error| error.kind();
        let invalid = Some(io::ErrorKind::InvalidInput);
        let opened = inside.open_entry(name.as_ref(), OFlags::empty());
        assert_eq!(opened.err().map(kind), invalid, "{name}");
        let replaced = inside.replace(name, "new", b"y", 0o600);
        assert_eq!(replaced.err().map(kind), invalid, "{name}");
        let replaced = inside.replace("old", name, b"y", 0o600);
        assert_eq!(replaced.err().map(kind), invalid, "{name}");
        let within = NamedFolder::within(folder.clone(), name);
        assert_eq!(within.err().map(kind), invalid, "{name}");
    }
    // The handle itself keeps what several components say.
    assert!(inside.dir().read("../secret").is_err());
    assert!(inside.dir().write("../secret", "y").is_err());
    assert!(inside.dir().remove_file("../secret").is_err());
    assert_eq!(fs::read(place.path().join("secret")).unwrap(), b"x");
    assert!(inside.names().unwrap().is_empty());
}

#[test]
fn links_out_of_the_folder_are_not_followed() {
    let (place, folder) = temporary();
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "x").unwrap();
    symlink(&victim, place.path().join("file")).unwrap();
    symlink(elsewhere.path(), place.path().join("folder")).unwrap();
    assert!(folder.dir().read("file").is_err());
    assert!(folder.dir().write("file", "y").is_err());
    assert!(folder.open_entry("file".as_ref(), OFlags::empty()).is_err());
    assert!(folder.replace("a", "file", b"y", 0o600).is_err());
    assert!(folder.dir().read("folder/victim").is_err());
    assert!(folder.make_private_within("folder").is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"x");
    // A link is replaced, not what it leads to.
    folder.replace("file", "new", b"z", 0o600).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"x");
    assert_eq!(fs::read(place.path().join("file")).unwrap(), b"z");
}

#[test]
fn an_open_folder_stays_the_one_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (here, away) = (place.path().join("here"), place.path().join("away"));
    let folder = Folder::make(&here, 0o755).unwrap();
    assert!(folder.is_where_it_was());
    fs::rename(&here, &away).unwrap();
    assert!(!folder.is_where_it_was());
    fs::create_dir(&here).unwrap();
    assert!(!folder.is_where_it_was());
    folder.replace("a", "b", b"x", 0o600).unwrap();
    folder.sync().unwrap();
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0);
    assert_eq!(fs::read(away.join("a")).unwrap(), b"x");
    assert_eq!(folder.names().unwrap(), ["a"]);
}

#[test]
fn a_named_folder_may_be_replaced_by_a_folder_and_by_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("policies.d");
    let named = NamedFolder::at(&path).unwrap();
    assert_eq!(named.path(), path);
    let missing = named.open().unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    named.make(0o755).unwrap();
    fs::write(path.join("first"), "").unwrap();
    assert_eq!(named.open().unwrap().names().unwrap(), ["first"]);
    fs::rename(&path, place.path().join("old")).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("second"), "").unwrap();
    assert_eq!(named.make(0o755).unwrap().names().unwrap(), ["second"]);
    fs::remove_dir_all(&path).unwrap();
    symlink(place.path().join("old"), &path).unwrap();
    assert!(named.open().is_err() && named.make(0o755).is_err());
}

#[test]
fn a_private_folder_becomes_private() {
    let (place, folder) = temporary();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = place.path().join("state");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Folder::make_private(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    folder.make_private_within("state").unwrap();
    assert_eq!(mode(&path), 0o700);
}
