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
        let is = |what: &str, value: &str| {
            let mut lines = text.lines();
            let line = lines.find(|line| line.starts_with(what));
            line.is_some_and(|line| line.split_whitespace().any(|word| word == value))
        };
        is("Max cpu time", "300")
            && is("Max core file size", "0")
            && is("Max data size", &(1_u64 << 30).to_string())
            && is("Max address space", &(3_u64 << 30).to_string())
    };
    // It waits for its input, so it is only a question of when it got so far.
    let seen = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        limited(&fs::read_to_string(&limits).unwrap())
    });
    let about = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    // Guests go first, with the processor and where memory is short.
    let stat = about("stat");
    let after_name = stat.rsplit_once(')').unwrap().1;
    let nice = after_name.split_whitespace().nth(16).map(str::to_owned);
    let oom = about("oom_score_adj");
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(seen, "no limits were set");
    assert_eq!(nice.as_deref(), Some("19"));
    assert_eq!(oom.trim(), "1000");
}

#[test]
fn the_largest_component_is_the_configurations() {
    let component = fs::read(guest("baseline")).unwrap();
    let most = component.len() - 1;
    let output = run(
        &["compile", &format!("--component-bytes={most}")],
        &component,
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&format!("bigger than {most} bytes")),
        "{}",
        stderr(&output)
    );
    // Beyond the default: it is looked at, and found to be nothing.
    let default = Limits::default().component_bytes;
    let big = vec![0; usize::try_from(default).unwrap() + 1];
    let output = run(
        &["compile", &format!("--component-bytes={}", default + 1)],
        &big,
    );
    assert!(
        stderr(&output).contains("it is not WebAssembly"),
        "{}",
        stderr(&output)
    );
}

/// Components made for something else, as they come: each is refused in one sentence that says what it
/// is, and what can be read of it is shown.
#[test]
fn components_from_elsewhere_are_refused_with_what_they_are() {
    const WASI_UNUSED: &str = r#"(component
        (import "wasi:cli/environment@0.2.0" (instance
            (export "get-arguments" (func (result (list string))))))
        (import "wasi:cli/exit@0.2.0" (instance)))"#;
    const NEXT: &str = r#"(component (import "volward:policy/log@0.2.0" (instance)))"#;
    const CORE: &str = r#"(module (memory (export "memory") 1)
        (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;
    const PREVIEW1: &str = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
        (memory (export "memory") 1))"#;
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let core = "core module, and a policy is a component: run `volward-policy componentize`";
    for (name, bytes, said, shown) in [
        ("core", wat(CORE), core, None),
        ("preview1", wat(PREVIEW1), core, None),
        (
            "next",
            wat(NEXT),
            "built against volward:policy@0.2.0",
            Some("import     volward:policy/log@0.2.0"),
        ),
        (
            "none",
            wat("(component)"),
            "exports no hook of volward:policy@0.1.1",
            Some("interface  none"),
        ),
        (
            "wasi",
            wat(WASI_UNUSED),
            "wasi:cli/environment@0.2.0",
            Some("import     wasi:cli/environment@0.2.0"),
        ),
        (
            "text",
            b"this is text".to_vec(),
            "it is not WebAssembly",
            None,
        ),
        ("empty", Vec::new(), "it is empty", None),
    ] {
        let path = folder.path().join(format!("50-{name}.wasm"));
        fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        let checked = run(&["check", path], b"");
        let reason = stderr(&checked);
        assert_eq!(checked.status.code(), Some(3), "{name}: {reason}");
        assert_eq!(reason.lines().count(), 1, "{name}: {reason}");
        assert!(reason.contains(said), "{name}: {reason}");
        let inspected = run(&["inspect", path], b"");
        let text = String::from_utf8(inspected.stdout.clone()).unwrap();
        match shown {
            Some(line) => {
                assert_eq!(inspected.status.code(), Some(0), "{name}");
                assert!(text.lines().any(|l| l.starts_with(line)), "{name}: {text}");
                let why = text.lines().find(|l| l.starts_with("loads"));
                assert!(why.is_some_and(|l| l.contains(said)), "{name}: {text}");
            }
            None => {
                assert_eq!(inspected.status.code(), Some(3), "{name}");
                assert!(stderr(&inspected).contains(said), "{}", stderr(&inspected));
            }
        }
    }
    // A module that needs what no policy has does not become a component either.
    let (module, out) = (
        folder.path().join("50-preview1.wasm"),
        folder.path().join("x"),
    );
    let arguments = [
        "componentize",
        module.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
    ];
    let output = run(&arguments, b"");
    let reason = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{reason}");
    assert!(
        reason.lines().count() == 1 && reason.contains("wasi_snapshot_preview1"),
        "{reason}"
    );
    assert!(!out.exists());
}

/// A key that is misspelt counts as not configured, and nobody says so.
#[test]
fn check_names_a_policy_that_reads_settings_and_checks_none() {
    let module = r#"(module
        (import "volward:policy/config@0.1.1" "get" (func $get (param i32 i32 i32)))
        (import "volward:policy/facts@0.1.1" "[resource-drop]request" (func $drop (param i32)))
        (import "volward:policy/answers@0.1.1" "[resource-drop]answer" (func $drop_answer (param i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 2048)
        (func (export "volward:policy/attach@0.1.1#review") (param $r i32) (param $a i32) (result i32)
            (call $get (i32.const 0) (i32.const 0) (i32.const 512))
            (call $drop (local.get $r)) (call $drop_answer (local.get $a)) (i32.const 1024)))"#;
    let folder = tempfile::tempdir().unwrap();
    let (core, policy) = (folder.path().join("core"), folder.path().join("50-x.wasm"));
    fs::write(&core, wat::parse_str(module).unwrap()).unwrap();
    let paths = [&core, &policy].map(|path| path.to_str().unwrap());
    let made = run(
        &[
            "componentize",
            "--world",
            "attach-hook",
            paths[0],
            "--out",
            paths[1],
        ],
        b"",
    );
    assert!(made.status.success(), "{}", stderr(&made));
    let checked = run(&["check", paths[1]], b"");
    let text = String::from_utf8(checked.stdout.clone()).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    let said = "it reads its configuration and has no lifecycle hook";
    assert!(text.contains(said), "{text}");
    // Who checks it is not told so.
    let (path, settings) = (
        folder.path().join("50-y.wasm"),
        folder.path().join("50-y.toml"),
    );
    fs::copy(guest("deny-by-prefix"), &path).unwrap();
    fs::write(settings, "[config]\nprefix = \"x\"").unwrap();
    let checked = run(&["check", path.to_str().unwrap()], b"");
    let text = String::from_utf8(checked.stdout.clone()).unwrap();
    assert!(
        text.contains("would be loaded") && !text.contains(said),
        "{text}"
    );
}

#[test]
fn inspect_shows_interface_hooks_and_imports() {
    let path = guest("baseline");
    let output = run(&["inspect", path.to_str().unwrap()], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "interface  volward:policy@0.1.1",
        "export     volward:policy/attach@0.1.1",
        "import     volward:policy/facts@0.1.1",
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
