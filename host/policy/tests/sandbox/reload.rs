//! A new chain after one that serves: what is refused does not take the place of what was good.

use std::fs;

use crate::common::{Lab, disk, facts, guest};
use volward_folder::NamedFolder;
use volward_model::Combined;
use volward_policy::{Chain, PluginState, PluginStatus, Runtime, Sources};

/// A lab with one policy that denies instances of some names, and the runtime that loaded it.
pub(crate) struct Story {
    pub(crate) lab: Lab,
    pub(crate) runtime: Runtime,
    pub(crate) chain: Chain,
}

impl Story {
    pub(crate) fn begin() -> Self {
        let mut lab = Lab::new();
        lab.baseline = false;
        lab.put("50-names.wasm", guest("deny-by-prefix"));
        lab.put("50-names.toml", "[config]\nprefix = \"a\"\n");
        let runtime = lab.runtime();
        let chain = runtime.load(sources(&lab.named()));
        Self {
            lab,
            runtime,
            chain,
        }
    }

    pub(crate) fn reload(&mut self) {
        let sources = self.lab.named();
        self.chain = self.runtime.reload(self::sources(&sources), &self.chain);
    }

    pub(crate) fn denies(&self, instance: &str) -> bool {
        let mut facts = facts(vec![disk("a")]);
        facts.request.instance_name = instance.to_owned();
        let record = self.chain.attach(&facts);
        match record.combined {
            Combined::Denied(_) => true,
            Combined::Granted(_) => false,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn only(&self) -> PluginStatus {
        let mut all = self.chain.status();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

pub(crate) fn sources(folder: &NamedFolder) -> Sources<'_> {
    Sources {
        baseline: None,
        folder,
    }
}

#[test]
fn what_did_not_change_is_the_same_with_its_counters() {
    let mut story = Story::begin();
    assert!(story.denies("a"));
    // Another file of the same content, and one more policy.
    story.lab.put("50-names.wasm", guest("deny-by-prefix"));
    story.lab.put("60-base.wasm", guest("baseline"));
    story.reload();
    let status = story.chain.status();
    assert_eq!(status.len(), 2);
    assert_eq!(
        (status[0].counters.denied, status[1].counters.denied),
        (1, 0)
    );

    // Removed is removed.
    fs::remove_file(story.lab.policies().join("60-base.wasm")).unwrap();
    story.reload();
    assert_eq!(story.only().counters.denied, 1);
}

#[test]
fn a_component_that_is_refused_leaves_the_last_good_one() {
    let mut story = Story::begin();
    let good = story.only().digest;
    for broken in [b"no wasm".to_vec(), guest("deny-by-prefix")[..999].to_vec()] {
        story.lab.put("50-names.wasm", broken);
        story.reload();
        let status = story.only();
        assert!(
            matches!(&status.state, PluginState::Kept { reason } if !reason.is_empty()),
            "{status:?}"
        );
        assert_eq!(status.digest, good);
        assert!(story.denies("a") && !story.denies("b"));
    }
    story.lab.put("50-names.wasm", guest("baseline"));
    fs::remove_file(story.lab.policies().join("50-names.toml")).unwrap();
    story.reload();
    let status = story.only();
    assert_eq!(status.state, PluginState::Serving);
    assert_ne!(status.digest, good);
    assert!(!story.denies("a"));
}

#[test]
fn settings_that_are_refused_leave_the_last_good_ones() {
    let mut story = Story::begin();
    for broken in [
        "[config",
        "level = \"perhaps\"",
        "[config]\nprefixs = \"x\"\n",
    ] {
        story.lab.put("50-names.toml", broken);
        story.reload();
        assert!(
            matches!(story.only().state, PluginState::Kept { .. }),
            "{broken}: {:?}",
            story.only()
        );
        assert!(story.denies("a"), "{broken}");
    }
    story.lab.put("50-names.toml", "[config]\nprefix = \"b\"\n");
    story.reload();
    assert_eq!(story.only().state, PluginState::Serving);
    assert!(story.denies("b") && !story.denies("a"));
    // What the operator says of its level counts, whatever is wrong with the component.
    story.lab.put("50-names.wasm", "no wasm");
    story.lab.put("50-names.toml", "level = \"off\"\n");
    story.reload();
    assert_eq!(story.only().state, PluginState::Off);
}

#[test]
fn what_never_was_good_is_refused() {
    let mut story = Story::begin();
    story.lab.put("60-new.wasm", "no wasm");
    story.reload();
    let status = story.chain.status();
    assert!(matches!(status[1].state, PluginState::Refused { .. }));
    let record = story.chain.attach(&facts(vec![disk("b")]));
    assert!(matches!(record.combined, Combined::Faulted(_)));
}

#[test]
fn before_anything_is_loaded_nothing_is_granted() {
    let story = Story::begin();
    let record = story.runtime.nothing_yet().attach(&facts(vec![disk("b")]));
    assert!(matches!(record.combined, Combined::Faulted(_)));
}

#[test]
fn a_start_compiles_nothing_and_has_the_last_good_version() {
    let mut story = Story::begin();
    let folder = story.lab.named();
    // All is compiled already.
    let chain = story.lab.runtime().begin(sources(&folder));
    assert_eq!(chain.status()[0].state, PluginState::Serving);
    assert!(!chain.is_incomplete());

    // Another component, which nobody compiled, and a policy that never was good.
    story.lab.put("50-names.wasm", guest("baseline"));
    story.lab.put("50-names.toml", "[config]\nprefix = \"a\"\n");
    story.lab.put("60-new.wasm", guest("quota"));
    let runtime = story.lab.runtime();
    story.chain = runtime.begin(sources(&folder));
    let status = story.chain.status();
    assert!(
        matches!(&status[0].state, PluginState::Kept { reason } if reason.contains("compiled next")),
        "{status:?}"
    );
    assert!(story.chain.may_pass() && story.chain.is_incomplete());
    let compiled = || fs::read_dir(story.lab.cache()).unwrap().count();
    let before = compiled();
    let chain = runtime.reload(sources(&folder), &story.chain);
    assert!(!chain.is_incomplete(), "{:?}", chain.status());
    assert!(compiled() > before);
}

/// A policy's settings are its author's words, and stand in the record of each decision.
#[test]
fn what_a_refused_policy_says_is_bounded() {
    let mut story = Story::begin();
    let key = "k".repeat(100_000);
    story.lab.put("60-loud.wasm", guest("deny-by-prefix"));
    story
        .lab
        .put("60-loud.toml", format!("[config]\n{key} = 1\n"));
    story.reload();
    let status = story.chain.status();
    let PluginState::Refused { reason } = &status[1].state else {
        panic!("{status:?}")
    };
    assert!(reason.len() < 2_100, "{}", reason.len());
    let record = story.chain.attach(&facts(vec![disk("b")]));
    let said = match &record.plugins[1].verdict {
        volward_model::Verdict::Faulted(fault) => &fault.message,
        other => panic!("{other:?}"),
    };
    assert!(said.len() < 2_200, "{}", said.len());
}

#[test]
fn artefacts_of_components_that_nobody_names_are_removed() {
    let mut story = Story::begin();
    let artefacts = |story: &Story| fs::read_dir(story.lab.cache()).unwrap().count();
    let before = artefacts(&story);
    story.lab.put("60-more.wasm", guest("quota"));
    fs::write(story.lab.cache().join(".x.cwasm.new-1"), "half").unwrap();
    story.reload();
    // The artefact and its SHA-256.
    assert_eq!(artefacts(&story), before + 2);
    fs::remove_file(story.lab.policies().join("60-more.wasm")).unwrap();
    story.lab.keeping.absent = std::time::Duration::ZERO;
    story.runtime = story.lab.runtime();
    story.reload();
    assert_eq!(artefacts(&story), before);
}

/// A disk that takes nothing: what was compiled is used all the same.
#[test]
fn an_artefact_that_cannot_be_kept_is_used() {
    let lab = Lab::new();
    lab.put("50-x.wasm", guest("baseline"));
    fs::remove_dir(lab.cache()).unwrap();
    fs::create_dir(lab.cache()).unwrap();
    let cache = volward_folder::Folder::open(&lab.cache()).unwrap();
    // The folder is held, and has no place any more: nothing can be made in it.
    fs::remove_dir(lab.cache()).unwrap();
    let compiler = Box::new(crate::common::Once);
    let uid = crate::common::uid();
    let runtime = Runtime::new(lab.limits.clone(), Some(cache), uid, compiler).unwrap();
    let status = runtime.load(sources(&lab.named())).status();
    assert_eq!(status[0].state, PluginState::Serving);
}
