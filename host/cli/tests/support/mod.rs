//! The program against a fake daemon, and its output against golden files.

pub(crate) mod replies;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use volward_api::fake::{Canned, FakeDaemon, Seen};

/// A folder with a socket, and perhaps a daemon on it.
pub(crate) struct Node {
    daemon: Option<FakeDaemon>,
    root: TempDir,
}

/// How the program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Node {
    pub(crate) fn without_daemon() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            daemon: None,
        }
    }

    pub(crate) fn with(answer: impl Fn(&Seen) -> Canned + Send + 'static) -> Self {
        let mut node = Self::without_daemon();
        node.daemon = Some(FakeDaemon::listen(&node.socket(), answer).unwrap());
        node
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("sock")
    }

    /// All that the program finds by name; nothing, if a test puts nothing there.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.daemon
            .as_ref()
            .map(FakeDaemon::seen)
            .unwrap_or_default()
    }

    /// Runs `volward` with these arguments, separated by spaces.
    pub(crate) fn volward(&self, arguments: &str) -> Ended {
        self.run(Path::new(env!("CARGO_BIN_EXE_volward")), arguments)
    }

    /// Runs another copy of it, with a PATH that holds nothing.
    pub(crate) fn run(&self, program: &Path, arguments: &str) -> Ended {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test runs the program under test"
        )]
        let output = Command::new(program)
            .args(arguments.split_whitespace())
            .arg(format!("--socket={}", self.socket().display()))
            .env_clear()
            .env("PATH", self.bin())
            .output()
            .unwrap();
        let place = self.root.path().to_str().unwrap();
        let text = |bytes| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(place, "/run/volward")
        };
        Ended {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Compares a run with tests/golden: the command, what it printed, its exit code.
/// `UPDATE_GOLDEN=1` writes the file instead, for review.
pub(crate) fn assert_golden(name: &str, arguments: &str, ended: &Ended) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = format!(
        "$ volward {arguments}\n{}{}[exit {}]\n",
        ended.stdout, ended.stderr, ended.code
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{path} differs; UPDATE_GOLDEN=1 rewrites it"
    );
}
