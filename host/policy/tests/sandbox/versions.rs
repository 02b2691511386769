//! What was good before: over a restart, and for whoever goes back.

use std::fs;
use std::time::Duration;

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
        self.exchange(|story, _| story.runtime.rollback("names", &story.chain))
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

/// A deployment that removes its files and puts them back, or a folder that was not mounted.
#[test]
fn what_was_away_for_a_moment_has_its_versions_and_its_rollback() {
    let mut story = Story::begin();
    story.prefix("b");
    story.rollback().unwrap();
    let (here, away) = (story.lab.policies(), story.lab.root.path().join("away"));
    fs::rename(&here, &away).unwrap();
    story.reload();
    assert!(matches!(story.only().state, PluginState::Refused { .. }));
    fs::rename(&away, &here).unwrap();
    story.restart();
    assert!(matches!(story.only().state, PluginState::RolledBack { .. }));
    assert_eq!(story.refuses(), "a");

    let (file, aside) = (here.join("50-names.wasm"), here.join("aside"));
    fs::rename(&file, &aside).unwrap();
    story.reload();
    fs::rename(&aside, &file).unwrap();
    story.restart();
    assert_eq!(story.refuses(), "a");
}

#[test]
fn what_was_away_for_long_is_forgotten() {
    let mut story = Story::begin();
    story.lab.keeping.absent = Duration::ZERO;
    story.restart();
    let file = story.lab.policies().join("50-names.wasm");
    fs::remove_file(&file).unwrap();
    story.reload();
    assert_eq!(fs::read_dir(story.lab.versions()).unwrap().count(), 0);
    story.lab.put("50-names.wasm", "no wasm");
    story.restart();
    assert!(matches!(story.only().state, PluginState::Refused { .. }));
}

impl Story {
    /// The settings with a level.
    fn level(&mut self, level: &str, prefix: &str) {
        let settings = format!("level = \"{level}\"\n[config]\nprefix = \"{prefix}\"\n");
        self.lab.put("50-names.toml", settings);
        self.reload();
    }
}

/// Watched first and enforced then, as the guide advises: one version, not two.
#[test]
fn going_back_after_monitor_and_enforce_goes_back_to_what_was_enforced() {
    let mut story = Story::begin();
    story.level("monitor", "b");
    assert_eq!(story.refuses(), "");
    story.level("enforce", "b");
    assert_eq!(story.refuses(), "b");
    story.rollback().unwrap();
    assert_eq!(story.refuses(), "a");
    // The level is the folder's after that too, over a restart as well.
    story.level("monitor", "b");
    assert_eq!(story.refuses(), "");
    assert!(matches!(story.only().state, PluginState::RolledBack { .. }));
    story.level("enforce", "b");
    story.restart();
    assert_eq!(story.refuses(), "a");
}

#[test]
fn beside_a_broken_component_the_new_level_counts() {
    let mut story = Story::begin();
    story.level("monitor", "a");
    story.lab.put("50-names.wasm", "no wasm");
    story.level("enforce", "a");
    assert!(matches!(story.only().state, PluginState::Kept { .. }));
    assert_eq!(story.refuses(), "a");
    story.level("monitor", "a");
    assert_eq!(story.refuses(), "");
    // Where only the level can be read, it counts; where not even that can, the last one does.
    story.lab.put(
        "50-names.toml",
        "level = \"enforce\"\n[config]\nprefix = 1.5\n",
    );
    story.reload();
    assert_eq!(story.refuses(), "a");
    story.level("monitor", "a");
    story.lab.put("50-names.toml", "[config");
    story.restart();
    assert_eq!(story.refuses(), "");
}

#[test]
fn what_stood_between_two_files_of_a_deployment_is_not_gone_back_to() {
    let mut story = Story::begin();
    // The first one has stood for long.
    story.lab.keeping.settled = Duration::ZERO;
    story.restart();
    let list = story.lab.versions().join("names.json");
    let text = fs::read_to_string(&list).unwrap();
    let loaded = text
        .lines()
        .find(|line| line.contains("loaded-ms"))
        .unwrap();
    fs::write(&list, text.replace(loaded, "\"loaded-ms\": 1,")).unwrap();
    story.lab.keeping.settled = Duration::from_secs(600);
    story.restart();

    let old = story.only().digest;
    story.prefix("b");
    story.lab.put("50-names.wasm", other_component());
    story.reload();
    assert_ne!(story.only().digest, old);
    story.rollback().unwrap();
    assert_eq!(
        (story.only().digest, story.refuses()),
        (old, "a".to_owned())
    );
    // What somebody went back from stays marked, however short it stood.
    story.prefix("c");
    assert_eq!(story.only().state, PluginState::Serving);
    story.prefix("b");
    assert!(matches!(story.only().state, PluginState::RolledBack { .. }));
}

/// The same policy as another component: a custom section more at its end.
fn other_component() -> Vec<u8> {
    let mut component = guest("deny-by-prefix");
    component.extend([0, 5, 1, b'x', 1, 2, 3]);
    component
}

#[test]
fn settings_that_name_their_component_are_loaded_with_it_only() {
    let mut story = Story::begin();
    let (old, new) = (story.only().digest, other_component());
    let digest = volward_policy::digest(&new);
    let settings = format!("component = \"{digest}\"\n[config]\nprefix = \"b\"\n");
    story.lab.put("50-names.toml", settings);
    story.reload();
    let status = story.only();
    let PluginState::Kept { reason } = &status.state else {
        panic!("{status:?}")
    };
    assert!(reason.contains("not all there"), "{reason}");
    let meant = status.meant.unwrap();
    assert_eq!(
        (meant.digest, meant.differs),
        (old, vec!["prefix".to_owned()])
    );
    assert_eq!(story.refuses(), "a");
    story.lab.put("50-names.wasm", new);
    story.reload();
    assert_eq!(story.only().state, PluginState::Serving);
    assert_eq!(story.refuses(), "b");
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
    for (name, said) in [("nobody", "called nobody"), ("baseline", "built in")] {
        let error = story.runtime.rollback(name, &story.chain);
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
