use std::sync::mpsc;
use std::thread;

use super::*;

fn sh(script: &str) -> Invocation {
    Invocation::new("/bin/sh").args(["-c", script])
}

fn exec() -> Exec {
    Exec::new(2)
}

#[test]
fn output_and_status_are_kept_apart() {
    let out = exec()
        .output("a", &sh("echo out; echo err >&2; exit 5"))
        .unwrap();
    assert_eq!(out.stdout, b"out\n");
    assert_eq!(out.stderr, "err\n");
    assert_eq!(out.status.code(), Some(5));
}

#[test]
fn a_failure_carries_the_whole_story() {
    let error = exec().run("a", &sh("echo no >&2; exit 5")).unwrap_err();
    let port = PortError::from(error);
    let PortError::Command {
        command, stderr, ..
    } = &port
    else {
        panic!("{port:?}");
    };
    assert!(command.contains("exit 5") && stderr == "no\n");
}

#[test]
fn input_goes_through_even_when_it_is_larger_than_a_pipe() {
    let input = vec![7; 1 << 20];
    let out = exec()
        .run_with_input("a", Invocation::new("/bin/cat"), &input)
        .unwrap();
    assert_eq!(out, input);
}

#[test]
fn a_program_that_reads_nothing_is_no_error() {
    let out = exec().run_with_input("a", sh("exec true"), &vec![7; 1 << 20]);
    assert_eq!(out.unwrap(), b"");
}

#[test]
fn nothing_of_ours_is_inherited() {
    // Each would be seen in the child if it were not close-on-exec.
    let file = tempfile::NamedTempFile::new().unwrap();
    let socket = std::os::unix::net::UnixListener::bind(file.path().with_extension("sock"));
    let out = exec().run("a", &sh("env; ls -l /proc/self/fd")).unwrap();
    std::fs::remove_file(file.path().with_extension("sock")).unwrap();
    drop(socket.unwrap());
    let text = String::from_utf8(out.stdout).unwrap();
    let name = file.path().to_str().unwrap();
    assert!(text.contains("0 -> /dev/null"), "{text}");
    assert!(!text.contains(name) && !text.contains("socket:"), "{text}");
    assert!(
        text.contains("LC_ALL=C") && !text.contains("CARGO"),
        "{text}"
    );
}

#[test]
fn i27_the_deadline_kills_the_whole_group() {
    let script = "sleep 300 & echo $!; wait";
    let (done, pid) = mpsc::channel();
    let run = thread::spawn(move || {
        let path = std::env::temp_dir().join(format!("volward-exec-{}", std::process::id()));
        let script = format!("exec >{}; {script}", path.display());
        let error = exec()
            .run("a", &sh(&script).deadline(Duration::from_millis(300)))
            .unwrap_err();
        done.send(std::fs::read_to_string(&path).unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
        error
    });
    let error = run.join().unwrap();
    assert!(matches!(error, ExecError::Deadline { .. }), "{error}");
    let pid = pid.recv().unwrap();
    // Killed: not there any more, or not collected by init yet.
    let gone = || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    };
    assert!((0..100).any(|_| {
        thread::sleep(Duration::from_millis(20));
        gone()
    }));
}

#[test]
fn too_much_output_is_stopped() {
    let error = exec()
        .run("a", &sh("yes").output_limit(100_000))
        .unwrap_err();
    assert!(matches!(error, ExecError::TooMuch { .. }), "{error}");
}

#[test]
fn what_a_program_leaves_behind_does_not_hold_us() {
    let out = exec().run("a", &sh("sleep 300 & echo x")).unwrap();
    assert_eq!(out.stdout, b"x\n");
}

#[test]
fn i27_a_full_lane_delays_only_itself() {
    let exec = Arc::new(Exec::new(1));
    let held = {
        let exec = Arc::clone(&exec);
        thread::spawn(move || exec.output("hung", &sh("sleep 1")))
    };
    thread::sleep(Duration::from_millis(200));
    let waiting = exec.run("hung", &sh("true").deadline(Duration::from_millis(100)));
    assert!(matches!(waiting, Err(ExecError::Deadline { .. })));
    exec.run("other", &sh("true").deadline(Duration::from_millis(400)))
        .unwrap();
    held.join().unwrap().unwrap();
    exec.run("hung", &sh("true")).unwrap();
}

#[test]
fn a_program_that_is_not_there_is_an_error_with_its_name() {
    let error = exec()
        .run("a", &Invocation::new("/nonexistent"))
        .unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

#[test]
fn missing_tools_are_named_with_their_packages() {
    let empty = tempfile::tempdir().unwrap();
    let error = Tools::find_in(&[empty.path()]).unwrap_err().to_string();
    assert!(
        error.contains("lvmlockctl") && error.contains("lvm2-lockd"),
        "{error}"
    );
}
