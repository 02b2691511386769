//! The program as the daemon and authors run it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use volward_policy::{CompileError, Compiler, Limits, Runtime, Settings};

fn guest(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../target/guests/{name}.wasm"));
    assert!(
        path.is_file(),
        "no {}: run `cargo xtask guests`",
        path.display()
    );
    path
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program itself is what is tested"
)]
fn program(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_volward-policy"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs it with something on standard input, which it may refuse to read to the end.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = program(arguments);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What the daemon does, without its deadline.
struct AsChild;

impl Compiler for AsChild {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let output = run(&["compile"], component);
        match output.status.code() {
            Some(0) => Ok(output.stdout),
            Some(3) => Err(CompileError::Refused {
                reason: stderr(&output),
            }),
            _ => Err(CompileError::Failed {
                reason: stderr(&output),
            }),
        }
    }
}

#[test]
fn what_the_child_compiles_is_loaded() {
    let runtime = Runtime::new(Limits::default(), None, 0, Box::new(AsChild)).unwrap();
    let component = fs::read(guest("baseline")).unwrap();
    let status = runtime
        .check("baseline", &component, &Settings::default())
        .unwrap();
    assert_eq!(status.hooks, ["attach", "lifecycle"]);
}

#[test]
fn what_cannot_be_compiled_has_status_3_and_one_line() {
    let big = vec![0; usize::try_from(Limits::default().component_bytes).unwrap() + 1];
    for (input, said) in [
        (&b"hello"[..], "it is not WebAssembly"),
        (b"\0asm\x01\0\0\0", "component"),
        (&big, "it is bigger than"),
    ] {
        let output = run(&["compile"], input);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn it_limits_itself() {
    let mut child = program(&["compile"]);
    let limits = PathBuf::from(format!("/proc/{}/limits", child.id()));
    let limited = |text: &str| {
        let cpu = text.lines().find(|line| line.starts_with("Max cpu time"));
        cpu.is_some_and(|line| line.contains("300 "))
            && text
                .lines()
                .any(|l| l.starts_with("Max core file size") && l.contains(" 0 "))
    };
    // It waits for its input, so it is only a question of when it got so far.
    let seen = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        limited(&fs::read_to_string(&limits).unwrap())
    });
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(seen, "no limits were set");
}

#[test]
fn inspect_shows_interface_hooks_and_imports() {
    let path = guest("baseline");
    let output = run(&["inspect", path.to_str().unwrap()], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "interface  volward:policy@0.1.0",
        "export     volward:policy/attach@0.1.0",
        "import     volward:policy/facts@0.1.0",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
    }
    assert!(!text.contains("wasi"), "{text}");
}

#[test]
fn check_says_what_the_daemon_would_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("50-deny-by-prefix.wasm");
    fs::copy(guest("deny-by-prefix"), &path).unwrap();
    let path = path.to_str().unwrap();

    let output = run(&["check", path], b"");
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("prefix: give the beginning"),
        "{}",
        stderr(&output)
    );

    // The settings beside it are found.
    fs::write(
        folder.path().join("50-deny-by-prefix.toml"),
        "[config]\nprefix = \"x\"",
    )
    .unwrap();
    let output = run(&["check", path], b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
