//! The package's script before a removal, with programs that stand for the node's: it finds no others.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start programs, and end at the first surprise"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with the only programs that the script finds; gone with it.
struct Node {
    programs: PathBuf,
}

impl Node {
    /// A node whose `volward` and `dmsetup` are these scripts; what it is told to stop it notes.
    fn with(name: &str, volward: &str, dmsetup: &str) -> Self {
        let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prerm-{name}"));
        if programs.exists() {
            fs::remove_dir_all(&programs).unwrap();
        }
        fs::create_dir_all(&programs).unwrap();
        for tool in ["sed", "tr", "ls"] {
            let there = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            let there = there.iter().find(|path| path.exists()).unwrap();
            symlink(there, programs.join(tool)).unwrap();
        }
        for (tool, script) in [
            ("volward", volward),
            ("dmsetup", dmsetup),
            ("deb-systemd-invoke", "exit 0"),
        ] {
            let path = programs.join(tool);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { programs }
    }

    fn prerm(&self, word: &str) -> Output {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/debian/volward.prerm");
        Command::new("/bin/sh")
            .arg(script)
            .arg(word)
            .env_clear()
            .env("PATH", &self.programs)
            .output()
            .unwrap()
    }

    fn refuses(&self, words: &[&str]) {
        let ended = self.prerm("remove");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
        // Nothing stands in the way of a new version.
        assert!(self.prerm("upgrade").status.success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Left behind it harms nobody: the next run empties it.
        drop(fs::remove_dir_all(&self.programs));
    }
}

/// `volward` as a daemon answers: what `ls` and `hydration ls` say, as JSON and to people.
fn daemon(attached: &str, copies: &str) -> String {
    format!(
        "case \"$*\" in\n*--json*hydration*) echo '{copies}' ;;\n*--json*) echo '{attached}' ;;\n\
         *hydration*) echo 'table of copies' ;;\n*) echo 'table of attachments' ;;\nesac"
    )
}

const DOWN: &str = "exit 8";
const NO_DEVICES: &str = "echo 'No devices found'";

#[test]
fn a_package_is_not_removed_beneath_what_the_daemon_has() {
    let attached = daemon("[\n  {\"pool\": \"vg0\"}\n]", "[]");
    Node::with("attached", &attached, NO_DEVICES).refuses(&[
        "volumes are attached",
        "  table of attachments",
        "volward detach INSTANCE",
    ]);
    let copies = daemon("[]", "[ {\"pool\": \"vg0\"} ]");
    Node::with("copies", &copies, NO_DEVICES).refuses(&[
        "local copies",
        "  table of copies",
        "volward hydration watch",
    ]);
}

#[test]
fn without_a_daemon_the_kernels_devices_count_and_other_peoples_do_not() {
    let ours = "echo 'LVM-aaaa-bbbb vg0-root'\necho 'LVM-aaaabbbb-volward-11111111 volward-x'";
    Node::with("down", DOWN, ours).refuses(&["  volward-x\n", "systemctl start volwardd"]);
    // The daemon does not know of it: the state was lost.
    Node::with("lost", &daemon("[]", "[]"), ours).refuses(&["  volward-x\n"]);
    let others = "echo 'LVM-aaaa-bbbb vg0-root'\necho 'CRYPT-LUKS2-volward other'";
    for (name, volward) in [("idle", daemon("[]", "[]")), ("idle-down", DOWN.to_owned())] {
        let ended = Node::with(name, &volward, others).prerm("remove");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.is_empty(), "{name}: {said}");
    }
}
