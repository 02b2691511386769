//! What the tests of the program share.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A built component of `plugins/` or `examples/`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{name}.wasm"));
    assert!(
        path.is_file(),
        "no {}: run `cargo xtask guests`",
        path.display()
    );
    path
}

/// A folder with an author's files.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A policy with its settings.
    pub(crate) fn put_policy(&self, file: &str, guest_name: &str, settings: &str) {
        self.put(
            &format!("{file}.wasm"),
            fs::read(guest(guest_name)).unwrap(),
        );
        self.put(&format!("{file}.toml"), settings);
    }

    /// Runs the program here, arguments separated by spaces.
    pub(crate) fn run(&self, arguments: &str) -> Ended {
        self.run_with(arguments, b"")
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the program itself is what is tested"
    )]
    pub(crate) fn run_with(&self, arguments: &str, input: &[u8]) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_volward-policy"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading it.
        drop(child.stdin.take().unwrap().write_all(input));
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        Ended {
            code: status.code().unwrap(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Compares a run with tests/golden: the command, what it printed, its exit code; times left out.
/// `UPDATE_GOLDEN=1` writes the file instead, for review.
pub(crate) fn assert_golden(name: &str, arguments: &str, ended: &Ended) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let timeless: Vec<String> = ended.stdout.lines().map(without_times).collect();
    let text = format!(
        "$ volward-policy {arguments}\n{}\n{}[exit {}]\n",
        timeless.join("\n"),
        ended.stderr,
        ended.code
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

/// `7 decisions in 0.012 s, 583 a second`.
fn without_times(line: &str) -> String {
    match line.split_once(" decisions in ") {
        Some((count, _)) => format!("{count} decisions in TIME"),
        None => line.to_owned(),
    }
}
