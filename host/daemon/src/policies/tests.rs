//! Loading, and what waits for it.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use volward_policy::{CompileError, Compiler, Limits, PluginState};

use super::*;

/// A compiler that is never content, and how often it was asked.
struct FakeCompiler(Arc<AtomicU32>);

impl Compiler for FakeCompiler {
    fn compile(&self, _component: &[u8]) -> Result<Vec<u8>, CompileError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(CompileError::Failed {
            reason: "not today".to_owned(),
        })
    }
}

#[test]
fn a_folder_that_becomes_a_link_is_noticed_and_refused() {
    let root = tempfile::tempdir().unwrap();
    let (path, away) = (root.path().join("policies.d"), root.path().join("away"));
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let compiler = Box::new(FakeCompiler(Arc::default()));
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, compiler).unwrap();
    let policies = Policies::new(runtime, None, NamedFolder::at(&path).unwrap());
    policies.begin();
    std::fs::write(path.join("50-x.toml"), "level = \"off\"\n").unwrap();
    std::fs::write(path.join("50-x.wasm"), "one").unwrap();
    policies.load_now().unwrap();
    assert_eq!(policies.status()[0].state, PluginState::Off);

    std::fs::rename(&path, &away).unwrap();
    std::os::unix::fs::symlink(&away, &path).unwrap();
    let mut seen = None;
    for _ in 0..2 {
        seen = policies.settle(seen.as_ref());
    }
    let status = policies.status();
    assert!(
        matches!(&status[0].state, PluginState::Refused { reason } if reason.contains("is not a folder")),
        "{status:?}"
    );
}

#[test]
fn what_was_refused_is_tried_again_when_it_changes_or_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let compiler = Box::new(FakeCompiler(Arc::clone(&asked)));
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, compiler).unwrap();
    let policies = Policies::new(runtime, None, NamedFolder::at(&path).unwrap());
    policies.begin();
    let asked = || asked.load(Ordering::Relaxed);

    std::fs::write(path.join("50-x.wasm"), "one").unwrap();
    let mut seen = None;
    for _ in 0..10 {
        seen = policies.settle(seen.as_ref());
    }
    assert_eq!(asked(), 1, "ten looks at the same file");
    policies.load_now().unwrap();
    assert_eq!(asked(), 2);
    std::fs::write(path.join("50-x.wasm"), "other").unwrap();
    for _ in 0..10 {
        seen = policies.settle(seen.as_ref());
    }
    assert_eq!(asked(), 3);
}

/// Policies of a folder with one that the compiler does not like, and how often that was asked.
fn with_one_policy(root: &std::path::Path) -> (Policies, Arc<AtomicU32>) {
    let path = root.join("policies.d");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(path.join("50-x.wasm"), "one").unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let compiler = Box::new(FakeCompiler(Arc::clone(&asked)));
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, compiler).unwrap();
    let folder = NamedFolder::at(&path).unwrap();
    (Policies::new(runtime, None, folder), asked)
}

#[test]
fn a_compiler_that_failed_is_asked_again_after_growing_pauses() {
    let root = tempfile::tempdir().unwrap();
    let (policies, asked) = with_one_policy(root.path());
    policies.begin();
    let asked = || asked.load(Ordering::Relaxed);
    assert_eq!(asked(), 1);
    let begin = tokio::time::Instant::now().into_std();
    let at = |seconds| policies.try_again(begin + Duration::from_secs(seconds));
    let seen = [0, 4, 5, 14, 15, 34, 35, 100_000, 100_079, 100_080].map(|seconds| {
        at(seconds);
        asked()
    });
    assert_eq!(seen, [1, 1, 2, 2, 3, 3, 4, 5, 5, 6]);
}

/// As long as each load lets one more serve, nobody waits for those that fail.
#[test]
fn a_load_that_gets_further_is_followed_by_the_next_after_the_first_pause() {
    let root = tempfile::tempdir().unwrap();
    let (policies, asked) = with_one_policy(root.path());
    policies.begin();
    let asked = || asked.load(Ordering::Relaxed);
    let begin = tokio::time::Instant::now().into_std();
    let at = |seconds| policies.try_again(begin + Duration::from_secs(seconds));
    at(0);
    at(5);
    at(15);
    assert_eq!(asked(), 3);
    // What the next load will have found.
    lock(&policies.serving).further = true;
    let pause = policies.pause_after(Duration::from_secs(20));
    assert_eq!(pause, FIRST_PAUSE);
    lock(&policies.serving).further = false;
    assert_eq!(policies.pause_after(LONGEST_PAUSE), LONGEST_PAUSE);
}

#[test]
fn before_the_first_load_nothing_is_granted_and_nobody_waits_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let (policies, _) = with_one_policy(root.path());
    assert!(!policies.ready_within(Duration::from_millis(1)));
    policies.begin();
    assert!(policies.ready_within(Duration::ZERO));
}

#[test]
fn an_empty_folder_that_was_not_there_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let (policies, _) = with_one_policy(root.path());
    let path = root.path().join("policies.d");
    std::fs::remove_dir_all(&path).unwrap();
    policies.begin();
    let status = policies.status();
    assert!(
        matches!(&status[0].state, PluginState::Refused { reason } if reason.contains("there is no folder")),
        "{status:?}"
    );
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let seen = policies.settle(None);
    assert_eq!(policies.settle(seen.as_ref()), None);
    assert_eq!(policies.status(), []);
}

/// A compiler that takes until somebody lets it go on.
struct SlowCompiler(
    Mutex<std::sync::mpsc::Receiver<()>>,
    std::sync::mpsc::Sender<()>,
);

impl Compiler for SlowCompiler {
    fn compile(&self, _component: &[u8]) -> Result<Vec<u8>, CompileError> {
        self.1.send(()).unwrap();
        lock(&self.0).recv().unwrap();
        Err(CompileError::Failed {
            reason: "late".to_owned(),
        })
    }
}

#[test]
fn going_back_does_not_wait_for_a_load() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("policies.d");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(path.join("50-x.wasm"), "one").unwrap();
    let (go_on, waits) = std::sync::mpsc::channel();
    let (says, compiling) = std::sync::mpsc::channel();
    let compiler = Box::new(SlowCompiler(Mutex::new(waits), says));
    let owner = rustix::process::geteuid().as_raw();
    let runtime = Runtime::new(Limits::default(), None, owner, compiler).unwrap();
    let versions = Folder::open(root.path()).unwrap();
    let runtime = runtime.keeping_versions(versions);
    let policies = Policies::new(runtime, None, NamedFolder::at(&path).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| policies.begin());
        compiling.recv().unwrap();
        let refused = policies.rollback("x", false).unwrap_err();
        assert!(
            matches!(refused, RollbackError::NotServing { .. }),
            "{refused}"
        );
        go_on.send(()).unwrap();
    });
}
