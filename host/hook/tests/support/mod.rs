//! A node's files in a temporary folder, and the hook run as libvirt runs it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use volward_api::fake::{Canned, FakeDaemon, Seen};
use volward_api::{CONFIG, MARKS_DIR, REFUSED_DIR, SOCKET, SPOOL_DIR};

pub(crate) struct Node {
    root: TempDir,
}

/// How the hook ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Node {
    /// A node with the pool vg0 and no daemon.
    pub(crate) fn new() -> Self {
        let node = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for file in [SOCKET, CONFIG] {
            fs::create_dir_all(node.path(file).parent().unwrap()).unwrap();
        }
        node.configure("[[pool]]\nname = \"vg0\"\nkind = \"shared\"\n");
        node
    }

    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.path().join(absolute.trim_start_matches('/'))
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path(CONFIG), text).unwrap();
    }

    pub(crate) fn daemon(&self, answer: impl Fn(&Seen) -> Canned + Send + 'static) -> FakeDaemon {
        FakeDaemon::listen(&self.path(SOCKET), answer).unwrap()
    }

    /// What the daemon leaves for the instance once it has attachments.
    pub(crate) fn mark(&self, instance: &str, text: &str) {
        self.put(MARKS_DIR, instance, text);
    }

    /// What the hook leaves for itself when a start of the instance was refused.
    pub(crate) fn refused(&self, instance: &str, text: &str) {
        self.put(REFUSED_DIR, instance, text);
    }

    fn put(&self, folder: &str, instance: &str, text: &str) {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(instance), text).unwrap();
    }

    /// Names and contents of the spool.
    pub(crate) fn spooled(&self) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(self.path(SPOOL_DIR)) else {
            return Vec::new();
        };
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read_to_string(entry.path()).unwrap())
            })
            .collect()
    }

    /// Runs the hook: `arguments` separated by spaces, `xml` on stdin.
    pub(crate) fn hook(&self, arguments: &str, xml: &[u8]) -> Ended {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test runs the program under test"
        )]
        let mut child = Command::new(env!("CARGO_BIN_EXE_volward-hook"))
            .args(arguments.split(' '))
            .env_clear()
            .envs([
                ("LC_ALL", "C"),
                ("PATH", "/usr/sbin:/usr/bin"),
                ("HOME", "/"),
            ])
            .env("VOLWARD_ROOT", self.root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The hook does not read stdin for every operation.
        drop(child.stdin.take().unwrap().write_all(xml));
        let output = child.wait_with_output().unwrap();
        let root = self.root.path().to_str().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap().replace(root, ""),
        }
    }
}

/// A domain XML of tests/xml.
pub(crate) fn xml(name: &str) -> Vec<u8> {
    fs::read(format!(
        "{}/tests/xml/{name}.xml",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

/// Compares with tests/golden; `UPDATE_GOLDEN=1` writes the file instead, for review.
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{path} differs; UPDATE_GOLDEN=1 rewrites it"
    );
}
