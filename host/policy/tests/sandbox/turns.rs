//! Many policies of one load: what compiling them may take together, and who waits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use volward_folder::Folder;
use volward_model::Combined;
use volward_policy::{Chain, CompileError, Compiler, PluginState, Runtime};

use crate::common::{Lab, Once, disk, facts, guest, uid};
use crate::reload::sources;

/// Says what it was asked for, in order, and fails for some of it.
#[derive(Clone, Default)]
struct Watched {
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
    fails: Arc<Mutex<BTreeSet<Vec<u8>>>>,
}

impl Watched {
    fn asked(&self) -> usize {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Compiler for Watched {
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        let of = |list: &Mutex<Vec<Vec<u8>>>| list.lock().unwrap().push(component.to_vec());
        of(&self.asked);
        if self.fails.lock().unwrap().contains(component) {
            return Err(CompileError::Failed {
                reason: "its deadline".to_owned(),
            });
        }
        Once.compile(component)
    }
}

/// A runtime in which compiling has no time: the first compile of each load begins, and no other.
fn in_no_time(lab: &Lab, compiler: &Watched) -> Runtime {
    let cache = Folder::open(&lab.cache()).unwrap();
    let compiler = Box::new(compiler.clone());
    Runtime::new(lab.limits.clone(), Some(cache), uid(), compiler)
        .unwrap()
        .keeping_versions(Folder::open(&lab.versions()).unwrap())
        .compiling_for(Duration::ZERO)
}

/// Three policies that nobody compiled before.
fn three() -> Lab {
    let lab = Lab::new();
    lab.put("50-base.wasm", guest("baseline"));
    lab.put("60-names.wasm", guest("deny-by-prefix"));
    lab.put("60-names.toml", "[config]\nprefix = \"a\"\n");
    lab.put("70-copies.wasm", guest("hydrate-local"));
    lab
}

fn states(chain: &Chain) -> Vec<&'static str> {
    let status = chain.status();
    let word = |state: &PluginState| match state {
        PluginState::Serving => "serving",
        PluginState::Kept { .. } => "last-good",
        PluginState::RolledBack { .. } => "rolled-back",
        PluginState::Refused { .. } => "refused",
        PluginState::Waiting { refuses: true, .. } => "waiting, refuses",
        PluginState::Waiting { refuses: false, .. } => "waiting",
        PluginState::Off => "off",
    };
    status.iter().map(|one| word(&one.state)).collect()
}

fn grants(chain: &Chain) -> bool {
    let record = chain.attach(&facts(vec![disk("b")]));
    matches!(record.combined, Combined::Granted(_))
}

#[test]
fn compiles_of_one_load_have_so_much_time_together_and_each_load_gets_further() {
    let lab = three();
    let folder = lab.named();
    let compiler = Watched::default();
    let runtime = in_no_time(&lab, &compiler);
    let mut chain = runtime.load(sources(&folder));
    assert_eq!(
        states(&chain),
        ["serving", "waiting, refuses", "waiting, refuses"]
    );
    let status = chain.status();
    let PluginState::Waiting { reason, .. } = &status[1].state else {
        panic!("{status:?}")
    };
    assert!(reason.contains("at the next load"), "{reason}");
    // Nothing served before, so nothing is granted without them.
    assert!(!grants(&chain) && chain.may_pass() && chain.has_to_wait());
    for asked in 2..=3 {
        let before = chain.clone();
        chain = runtime.reload(sources(&folder), &before);
        assert_eq!(compiler.asked(), asked);
        assert!(chain.goes_further_than(&before));
    }
    assert_eq!(states(&chain), ["serving"; 3]);
    assert!(grants(&chain) && !chain.may_pass());
    let again = runtime.reload(sources(&folder), &chain);
    assert!(!again.goes_further_than(&chain));
}

/// Nobody is refused for a policy that the node has not had the time to compile.
#[test]
fn what_serves_goes_on_while_new_policies_wait_for_their_turn() {
    let lab = three();
    let folder = lab.named();
    let compiler = Watched::default();
    let all = in_no_time(&lab, &compiler).compiling_for(Duration::from_secs(600));
    let chain = all.load(sources(&folder));
    assert_eq!(states(&chain), ["serving"; 3]);
    // One is exchanged, and two are new. Their names come after that one's.
    lab.put("60-names.wasm", guest("read-only-replicas"));
    std::fs::remove_file(lab.policies().join("60-names.toml")).unwrap();
    lab.put("55-first.wasm", guest("quota"));
    lab.put("55-first.toml", "[config]\ninstance-volumes = 3\n");
    lab.put("80-last.wasm", guest("maintenance"));
    let runtime = in_no_time(&lab, &compiler);
    let chain = runtime.reload(sources(&folder), &chain);
    let (before, after) = (compiler.asked(), states(&chain));
    assert_eq!(
        &after[2..],
        ["last-good", "serving", "waiting"],
        "{:?}",
        chain.status()
    );
    // It was there before, and the exchanged one still is.
    assert!(chain.may_pass() && !chain.has_to_wait());
    assert!(chain.status()[2].tried_again && chain.status()[4].tried_again);
    let chain = runtime.reload(sources(&folder), &chain);
    assert_eq!(compiler.asked(), before + 1);
    assert_eq!(states(&chain)[2], "serving", "{:?}", chain.status());
}

/// One that takes all the time there is, each time, does not keep the others from theirs.
#[test]
fn who_was_compiled_in_vain_comes_last_the_next_time() {
    let lab = three();
    let folder = lab.named();
    let compiler = Watched::default();
    compiler.fails.lock().unwrap().insert(guest("baseline"));
    let runtime = in_no_time(&lab, &compiler);
    let mut chain = runtime.load(sources(&folder));
    assert_eq!(
        states(&chain),
        ["refused", "waiting, refuses", "waiting, refuses"]
    );
    for _ in 0..2 {
        chain = runtime.reload(sources(&folder), &chain);
    }
    assert_eq!(states(&chain)[1..], ["serving"; 2], "{:?}", chain.status());
    // The order in which they are asked is that of their files all the same.
    let names: Vec<String> = chain.status().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["base", "names", "copies"]);
    compiler.fails.lock().unwrap().clear();
    chain = runtime.reload(sources(&folder), &chain);
    assert_eq!(states(&chain), ["serving"; 3]);
}

/// Where nothing can be kept, a policy is compiled once for itself and all its scenarios.
#[test]
fn a_policy_is_compiled_once_in_a_load_whatever_its_scenarios_set() {
    let lab = Lab::new();
    lab.put("50-names.wasm", guest("deny-by-prefix"));
    lab.put("50-names.toml", "[config]\nprefix = \"a\"\n");
    let scenario = |n: u32| {
        format!(
            r#"{{"facts": {{"disks": [{{}}]}}, "combined": {{"granted": {{}}}},
                "plugins": [{{"plugin": "names", "config": {{"prefix": "x{n}"}}}}]}}"#
        )
    };
    let scenarios: Vec<String> = (0..5).map(scenario).collect();
    lab.put("50-names.scenarios.jsonl", scenarios.join("\n"));
    let compiler = Watched::default();
    let boxed = Box::new(compiler.clone());
    let runtime = Runtime::new(lab.limits.clone(), None, uid(), boxed).unwrap();
    let chain = runtime.load(sources(&lab.named()));
    assert_eq!(states(&chain), ["serving"], "{:?}", chain.status());
    assert_eq!(compiler.asked(), 1);
}
