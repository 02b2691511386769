//! What was good before: over a restart, and for whoever goes back.

use std::fs;

use crate::common::guest;
use crate::reload::{Story, sources};
use volward_folder::NamedFolder;
use volward_policy::{Chain, PluginState, RollbackError};

impl Story {
    /// A new daemon on the same folders.
    fn restart(&mut self) {
        self.runtime = self.lab.runtime();
        self.chain = self.runtime.load(sources(&self.lab.named()));
    }

    /// The settings of the policy that refuses instances by the beginning of their name.
    fn prefix(&mut self, prefix: &str) {
        let settings = format!("[config]\nprefix = \"{prefix}\"\n");
        self.lab.put("50-names.toml", settings);
        self.reload();
    }

    fn rollback(&mut self) -> Result<(), RollbackError> {
        self.exchange(|story, folder| {
            let from = &story.chain;
            story.runtime.rollback("names", sources(folder), from)
        })
    }

    fn undo(&mut self) -> Result<(), RollbackError> {
        self.exchange(|story, folder| story.runtime.undo("names", sources(folder), &story.chain))
    }

    fn exchange(
        &mut self,
        make: impl FnOnce(&Self, &NamedFolder) -> Result<Chain, RollbackError>,
    ) -> Result<(), RollbackError> {
        self.chain = make(self, &self.lab.named())?;
        Ok(())
    }

    /// Which of the names `a`, `b` and `c` are refused.
    fn refuses(&self) -> String {
        let all = ["a", "b", "c"].into_iter();
        all.filter(|name| self.denies(name)).collect()
    }
}

#[test]
fn the_last_good_one_serves_after_a_restart_too() {
    let mut story = Story::begin();
    story.lab.put("50-names.wasm", "no wasm");
    story.restart();
    assert!(matches!(story.only().state, PluginState::Kept { .. }));
    assert_eq!(story.refuses(), "a");

    // Its settings too.
    story.lab.put("50-names.wasm", guest("deny-by-prefix"));
    story.lab.put("50-names.toml", "[config");
    story.restart();
    assert!(matches!(story.only().state, PluginState::Kept { .. }));
    assert_eq!(story.refuses(), "a");

    story.prefix("b");
    assert_eq!(story.only().state, PluginState::Serving);
    story.restart();
    assert_eq!(story.refuses(), "b");
}

#[test]
fn what_was_removed_does_not_come_back_as_the_last_good_one() {
    let mut story = Story::begin();
    let removed = story.lab.policies().join("50-names.wasm");
    fs::remove_file(&removed).unwrap();
    story.reload();
    assert_eq!(fs::read_dir(story.lab.versions()).unwrap().count(), 0);
    story.lab.put("50-names.wasm", "no wasm");
    story.restart();
    assert!(matches!(story.only().state, PluginState::Refused { .. }));
}

#[test]
fn a_kept_component_that_was_changed_is_not_run() {
    let mut story = Story::begin();
    let kept = story
        .lab
        .versions()
        .join(format!("{}.wasm", story.only().digest));
    fs::write(&kept, guest("baseline")).unwrap();
    story.lab.put("50-names.wasm", "no wasm");
    story.restart();
    assert!(matches!(story.only().state, PluginState::Refused { .. }));
}

#[test]
fn whoever_goes_back_stays_there_until_the_files_change() {
    let mut story = Story::begin();
    story.prefix("b");
    story.prefix("c");
    assert_eq!(story.refuses(), "c");

    story.rollback().unwrap();
    let digest = story.only().digest;
    assert_eq!(story.only().state, PluginState::RolledBack { from: digest });
    assert_eq!(story.refuses(), "b");
    // Neither a restart nor a look at the same files changes that, nor the same files anew.
    story.restart();
    assert_eq!(story.refuses(), "b");
    story.prefix("c");
    assert_eq!(story.refuses(), "b");

    story.rollback().unwrap();
    assert_eq!(story.refuses(), "a");
    let error = story.rollback().unwrap_err();
    assert!(
        matches!(error, RollbackError::NothingEarlier { .. }),
        "{error}"
    );
    assert_eq!(story.refuses(), "a", "what serves goes on");

    story.undo().unwrap();
    assert_eq!(story.only().state, PluginState::Serving);
    assert_eq!(story.refuses(), "c");
    assert!(matches!(
        story.undo().unwrap_err(),
        RollbackError::NothingToUndo { .. }
    ));

    // Mended, it serves at once.
    story.rollback().unwrap();
    assert_eq!(story.refuses(), "b");
    story.prefix("ab");
    assert_eq!(story.only().state, PluginState::Serving);
    assert_eq!(story.refuses(), "");
}

#[test]
fn one_goes_back_from_a_component_as_from_its_settings() {
    let mut story = Story::begin();
    let before = story.only().digest;
    fs::remove_file(story.lab.policies().join("50-names.toml")).unwrap();
    story.lab.put("50-names.wasm", guest("baseline"));
    story.reload();
    let after = story.only().digest;
    assert_ne!(before, after);
    assert_eq!(story.refuses(), "");
    story.rollback().unwrap();
    assert_eq!(story.refuses(), "a");
    let status = story.only();
    assert_eq!(status.digest, before);
    assert_eq!(status.state, PluginState::RolledBack { from: after });
    // A broken file after that: still the one that was gone back to.
    story.lab.put("50-names.wasm", "no wasm");
    story.restart();
    assert!(matches!(story.only().state, PluginState::Kept { .. }));
    assert_eq!(story.refuses(), "a");
    // The operator's word about the level counts.
    story.lab.put("50-names.toml", "level = \"off\"\n");
    story.reload();
    assert_eq!(story.only().state, PluginState::Off);
    assert!(matches!(
        story.rollback().unwrap_err(),
        RollbackError::NotServing { .. }
    ));
}

#[test]
fn what_cannot_be_gone_back_from_is_said() {
    let mut story = Story::begin();
    let error = story.rollback().unwrap_err().to_string();
    assert!(error.contains("no earlier version of names"), "{error}");
    let folder = story.lab.named();
    for (name, said) in [("nobody", "called nobody"), ("baseline", "built in")] {
        let error = story.runtime.rollback(name, sources(&folder), &story.chain);
        let error = error.err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn five_versions_are_kept_and_no_component_without_one() {
    let mut story = Story::begin();
    for prefix in ["b", "c", "d", "e", "f", "g"] {
        story.prefix(prefix);
    }
    for _ in 0..4 {
        story.rollback().unwrap();
    }
    assert_eq!(story.refuses(), "c");
    assert!(story.rollback().is_err());
    let files = fs::read_dir(story.lab.versions()).unwrap().count();
    assert_eq!(files, 2, "a list, and the one component of all of them");
}
