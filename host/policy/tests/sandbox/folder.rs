//! What may lie in the policies folder and the cache, and what happens with the rest: refused,
//! with a reason, and no attach while it is.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Lab, chmod, disk, facts, guest, uid};
use volward_folder::Folder;
use volward_model::{Combined, CopyFate, FaultKind, Verdict};
use volward_policy::{CompileError, Compiler, PluginState, Runtime, Sources};
use volward_workbench::InProcess;

/// The reason why the second policy of the chain, or the one alone, is refused; that attaches
/// fault for it; and that detaches do not.
fn refusal(lab: &Lab) -> String {
    let chain = lab.load();
    let status = chain.status();
    let last = status.last().unwrap();
    let PluginState::Refused { reason } = &last.state else {
        panic!("{} was loaded", last.name)
    };
    let record = chain.attach(&facts(vec![disk("a")]));
    assert!(
        matches!(record.combined, Combined::Faulted(_)),
        "{:?}",
        record.combined
    );
    let said = &record.plugins.last().unwrap().verdict;
    let Verdict::Faulted(fault) = said else {
        panic!("{said:?}")
    };
    assert_eq!(fault.kind, FaultKind::Link);
    assert!(fault.message.contains(reason.as_str()));
    let fate = vec![(crate::common::volume("a"), CopyFate::Keep)];
    let detach = chain.detach(&facts(vec![disk("a")]), &fate);
    assert_eq!(detach.combined, Combined::Advised(fate));
    reason.clone()
}

#[track_caller]
fn assert_says(reason: &str, said: &str) {
    assert!(reason.contains(said), "{reason:?} does not say {said:?}");
}

#[test]
fn what_others_can_write_is_refused() {
    let lab = Lab::new();
    let wasm = lab.put("50-x.wasm", guest("baseline"));
    chmod(&wasm, 0o664);
    assert_says(&refusal(&lab), "can be written by others (mode 664)");
    chmod(&wasm, 0o644);

    let toml = lab.put("50-x.toml", "");
    chmod(&toml, 0o646);
    assert_says(&refusal(&lab), "50-x.toml can be written by others");
    chmod(&toml, 0o644);

    chmod(&lab.policies(), 0o777);
    assert_says(&refusal(&lab), "policies.d can be written by others");
}

#[test]
fn what_somebody_else_owns_is_refused() {
    let lab = Lab::new();
    lab.put("50-x.wasm", guest("baseline"));
    let compiler = Box::new(InProcess::new().unwrap());
    let runtime = Runtime::new(lab.limits.clone(), None, uid() + 1, compiler).unwrap();
    let status = runtime
        .load(Sources {
            baseline: None,
            folder: &lab.named(),
        })
        .status();
    let PluginState::Refused { reason } = &status[0].state else {
        panic!("loaded")
    };
    assert_says(
        reason,
        &format!("belongs to uid {}, not to uid {}", uid(), uid() + 1),
    );
}

#[test]
fn links_pipes_and_folders_are_neither_followed_nor_waited_for() {
    let lab = Lab::new();
    let real = lab.cache().join("real.wasm");
    fs::write(&real, guest("baseline")).unwrap();
    let path = lab.policies().join("50-x.wasm");
    std::os::unix::fs::symlink(&real, &path).unwrap();
    assert_says(&refusal(&lab), "is a symbolic link");
    fs::remove_file(&path).unwrap();

    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_says(&refusal(&lab), "is not a plain file");
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    assert_says(&refusal(&lab), "is not a plain file");
}

/// As a volume is mounted whose content is exchanged at once: the policy is a link by way of a folder
/// that is one too.
#[test]
fn a_policy_in_a_folder_that_is_exchanged_by_links_is_refused_as_a_link() {
    let lab = Lab::new();
    let there = lab.policies().join("..2026_11_27");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("50-x.wasm"), guest("baseline")).unwrap();
    std::os::unix::fs::symlink("..2026_11_27", lab.policies().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/50-x.wasm", lab.policies().join("50-x.wasm")).unwrap();
    assert_says(&refusal(&lab), "is a symbolic link");
}

#[test]
fn a_huge_file_is_not_read() {
    let lab = Lab::new();
    let path = lab.put("50-x.wasm", "");
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    assert_says(&refusal(&lab), "is bigger than 33554432 bytes");
}

#[test]
fn what_is_no_policy_of_this_interface_is_refused() {
    let whole = guest("baseline");
    let foreign = wat::parse_str(
        r#"(component (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func)))))"#,
    );
    let newer = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $hook (export "review" (func $f)))
            (export "volward:policy/attach@9.0.0" (instance $hook)))"#,
    );
    let wrong_type = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $hook (export "review" (func $f)))
            (export "volward:policy/attach@0.1.0" (instance $hook)))"#,
    );
    let unknown_import = wat::parse_str(
        r#"(component
            (import "volward:policy/teleport@0.1.0" (instance (export "go" (func))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $hook (export "review" (func $f)))
            (export "volward:policy/attach@0.1.0" (instance $hook)))"#,
    );
    for (bytes, said) in [
        (b"hello".to_vec(), "it is not WebAssembly"),
        (Vec::new(), "it is not WebAssembly"),
        (whole[..whole.len() / 2].to_vec(), "it cannot be compiled"),
        (wat::parse_str("(module)").unwrap(), "it is a core module"),
        (
            foreign.unwrap(),
            "nothing; and it imports wasi:cli/environment@0.2.0, which is not served",
        ),
        (
            newer.unwrap(),
            "it was built against volward:policy@9.0.0, and this version of Volward serves",
        ),
        (
            wrong_type.unwrap(),
            "its attach hook is not what the interface says",
        ),
        (unknown_import.unwrap(), "volward:policy/teleport"),
    ] {
        let lab = Lab::new();
        lab.put("50-x.wasm", bytes);
        assert_says(&refusal(&lab), said);
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_the_key() {
    for (settings, said) in [
        (
            "[config]\nprefx = \"web-\"\nprefix = \"x\"",
            "prefx: unknown key; did you mean \"prefix\"?",
        ),
        ("", "prefix: give the beginning"),
        ("levl = \"off\"", "unknown field `levl`"),
        ("level = 3", "50-deny-by-prefix.toml"),
    ] {
        let lab = Lab::new();
        lab.put("50-deny-by-prefix.wasm", guest("deny-by-prefix"));
        lab.put("50-deny-by-prefix.toml", settings);
        assert_says(&refusal(&lab), said);
    }
}

#[test]
fn names_are_of_the_form_and_unique() {
    let lab = Lab::new();
    lab.put("my-policy.wasm", guest("baseline"));
    assert_says(&refusal(&lab), "NN-name.wasm");

    let lab = Lab::new();
    lab.put("50-x.wasm", guest("baseline"));
    lab.put("60-x.wasm", guest("baseline"));
    assert_says(&refusal(&lab), "another policy is called x");
}

#[test]
fn leftovers_that_are_no_policies_do_not_matter() {
    let lab = Lab::new();
    for name in ["README", ".50-x.wasm", "50-x.wasm.bak", "50-x.wasm~"] {
        lab.put(name, "hello");
    }
    assert_eq!(lab.load().status().len(), 1);
}

#[test]
fn a_refused_policy_that_is_monitored_or_off_stops_nobody() {
    for level in ["monitor", "off"] {
        let lab = Lab::new();
        lab.put("50-x.wasm", "hello");
        lab.put("50-x.toml", format!("level = \"{level}\""));
        let record = lab.load().attach(&facts(vec![disk("a")]));
        assert!(matches!(record.combined, Combined::Granted(_)), "{level}");
    }
}

#[test]
fn without_the_folder_nothing_is_granted() {
    let lab = Lab::new();
    fs::remove_dir(lab.policies()).unwrap();
    assert_says(&refusal(&lab), "there is no folder");
}

#[test]
fn what_looks_like_a_policy_or_its_settings_is_named() {
    let lab = Lab::new();
    lab.put("50-x.WASM", "hello");
    lab.put("60-Names.toml", "level = \"off\"\n");
    lab.put("60-names.wasm", guest("baseline"));
    let chain = lab.load();
    let strays: Vec<&str> = chain.strays().iter().map(|one| one.file.as_str()).collect();
    assert_eq!(strays, ["50-x.WASM", "60-Names.toml"]);
}

/// Counts how often something is compiled.
struct Counting(InProcess, Arc<AtomicUsize>);

impl Compiler for Counting {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.compile(component)
    }
}

#[test]
fn what_was_compiled_is_kept_and_what_does_not_fit_is_compiled_again() {
    let lab = Lab::new();
    let count = Arc::new(AtomicUsize::new(0));
    let load = || {
        let compiler = Counting(InProcess::new().unwrap(), Arc::clone(&count));
        let cache = Folder::open(&lab.cache()).unwrap();
        let runtime =
            Runtime::new(lab.limits.clone(), Some(cache), uid(), Box::new(compiler)).unwrap();
        let baseline = guest("baseline");
        let folder = lab.named();
        let sources = Sources {
            baseline: Some(&baseline),
            folder: &folder,
        };
        (
            runtime.load(sources).status().remove(0).state,
            count.load(Ordering::Relaxed),
        )
    };
    assert_eq!(load(), (PluginState::Serving, 1));
    assert_eq!(load(), (PluginState::Serving, 1));

    let kept = |ending: &str| {
        let files = fs::read_dir(lab.cache()).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        let found = paths.find(|path| path.extension().is_some_and(|end| end == ending));
        found.unwrap()
    };
    let artefact = kept("cwasm");
    fs::write(&artefact, "not an artefact").unwrap();
    assert_eq!(load(), (PluginState::Serving, 2));
    assert_eq!(load(), (PluginState::Serving, 2));

    // One bit of it, far behind all that wasmtime looks at: it would run as root.
    let mut bytes = fs::read(&artefact).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&artefact, bytes).unwrap();
    assert_eq!(load(), (PluginState::Serving, 3));
    // An earlier version kept no sum.
    fs::remove_file(kept("sha256")).unwrap();
    assert_eq!(load(), (PluginState::Serving, 4));
    assert_eq!(load(), (PluginState::Serving, 4));

    // Native code that others could have written is not run, and not replaced in silence.
    chmod(&artefact, 0o666);
    let (PluginState::Refused { reason }, 4) = load() else {
        panic!("it was loaded")
    };
    assert_says(&reason, "can be written by others");

    chmod(&artefact, 0o600);
    chmod(&lab.cache(), 0o777);
    let (PluginState::Refused { reason }, 4) = load() else {
        panic!("it was loaded")
    };
    assert_says(&reason, "the cache of compiled policies cannot be used");
}

#[test]
fn a_policies_folder_swapped_for_a_link_is_refused_and_for_a_folder_is_read() {
    let lab = Lab::new();
    lab.put("50-x.wasm", guest("baseline"));
    let (runtime, folder) = (lab.runtime(), lab.named());
    let load = || {
        let sources = Sources {
            baseline: None,
            folder: &folder,
        };
        runtime.load(sources).status()
    };
    assert_eq!(load()[0].state, PluginState::Serving);

    // The same folder, by a link in its place.
    let (here, away) = (lab.policies(), lab.policies().with_file_name("away"));
    fs::rename(&here, &away).unwrap();
    std::os::unix::fs::symlink(&away, &here).unwrap();
    let PluginState::Refused { reason } = &load()[0].state else {
        panic!("it was loaded")
    };
    assert_says(reason, "policies.d is not a folder");

    // As a package or an operator exchanges it whole.
    fs::remove_file(&here).unwrap();
    fs::create_dir(&here).unwrap();
    chmod(&here, 0o755);
    lab.put("60-y.wasm", guest("baseline"));
    assert_eq!(load()[0].name, "y");

    chmod(&here, 0o775);
    let PluginState::Refused { reason } = &load()[0].state else {
        panic!("it was loaded")
    };
    assert_says(reason, "can be written by others");
}

#[test]
fn a_cache_swapped_while_the_daemon_runs_gives_and_gets_nothing() {
    let lab = Lab::new();
    let (runtime, folder, baseline) = (lab.runtime(), lab.named(), guest("baseline"));
    let (here, away) = (lab.cache(), lab.cache().with_file_name("away"));
    fs::rename(&here, &away).unwrap();
    fs::create_dir(&here).unwrap();
    let status = runtime
        .load(Sources {
            baseline: Some(&baseline),
            folder: &folder,
        })
        .status();
    assert_eq!(status[0].state, PluginState::Serving);
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0);
    // The artefact and its SHA-256.
    assert_eq!(fs::read_dir(&away).unwrap().count(), 2);
}
