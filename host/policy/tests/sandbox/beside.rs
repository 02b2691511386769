//! Scenarios beside a policy: it serves only if it decides them as they say.

use crate::common::{Lab, guest};
use std::time::Duration;

use volward_policy::scenarios::ScenarioTime;
use volward_policy::{PluginState, Sources};

const GOOD: &str = r#"{"title": "a name with the prefix",
  "facts": {"request": {"instance_name": "test-1"}, "disks": [{}]},
  "plugins": [{"plugin": "names", "config": {"prefix": "test-"}}],
  "combined": {"denied": [["names", {"code": "name-refused"}]]}}
 {"title": "another name", "facts": {"disks": [{}]}, "combined": {"granted": {}}}
 {"title": "the baseline comes first", "facts": {"disks": [{"asked_sharing": "shared"}]},
  "combined": {"denied": [["baseline", {"code": "not-shareable"}]]}}"#;

fn state(scenarios: &str) -> PluginState {
    state_at("enforce", scenarios)
}

fn state_at(level: &str, scenarios: &str) -> PluginState {
    let mut lab = Lab::new();
    // Whether the baseline serves here or not, it is what their author had in the chain.
    lab.baseline = false;
    lab.put("50-names.wasm", guest("deny-by-prefix"));
    let settings = format!("level = {level:?}\n[config]\nprefix = \"own-\"\n");
    lab.put("50-names.toml", settings);
    lab.put("50-names.scenarios.jsonl", scenarios);
    lab.load().status().remove(0).state
}

#[test]
fn what_decides_them_as_they_say_serves() {
    assert_eq!(state(GOOD), PluginState::Serving);
    assert_eq!(state(""), PluginState::Serving);
    // It may be only watched here; that is not what its author speaks of.
    let own = r#"{"facts": {"request": {"instance_name": "own-1"}, "disks": [{}]},
        "combined": {"denied": [["names", {"code": "name-refused"}]]}}"#;
    for scenarios in [GOOD, own] {
        assert_eq!(state_at("monitor", scenarios), PluginState::Serving);
    }
}

#[test]
fn what_decides_otherwise_is_refused_with_the_place_and_the_difference() {
    let wrong = GOOD.replace("test-1", "web-1");
    let PluginState::Refused { reason } = state(&wrong) else {
        panic!("it serves");
    };
    for said in [
        "its scenarios:1",
        "a name with the prefix",
        "expected denied",
        "granted",
    ] {
        assert!(reason.contains(said), "{said}: {reason}");
    }
}

/// A decision of a node names all its policies, and a policy is installed under whatever name.
#[test]
fn a_record_of_a_node_is_a_scenario_beside_one_of_its_policies() {
    let record = r#"{"facts": {"request": {"instance_name": "test-1"}, "disks": [{}]},
      "plugins": [{"plugin": "baseline", "verdict": {"granted": {}}},
        {"plugin": "quota", "config": {"instance-volumes": "3"}, "verdict": {"granted": {}}},
        {"plugin": "names", "config": {"prefix": "test-"}, "verdict": {"denied": {"code": "name-refused"}}}],
      "combined": {"denied": [["names", {"code": "name-refused"}]]}}"#;
    assert_eq!(state(record), PluginState::Serving);
    // Its author has it under another name.
    assert_eq!(
        state(&GOOD.replace("\"names\"", "\"deny-by-prefix\"")),
        PluginState::Serving
    );
    // What is expected of it counts all the same.
    for wrong in [
        record.replace("name-refused", "other"),
        record.replace("test-1", "web-1"),
        GOOD.replace("\"names\"", "\"deny-by-prefix\"")
            .replace("test-1", "web-1"),
    ] {
        let PluginState::Refused { reason } = state(&wrong) else {
            panic!("it serves: {wrong}");
        };
        assert!(reason.contains("expected"), "{reason}");
    }
    let PluginState::Refused { reason } = state(&record.replace("\"names\"", "\"tenants\"")) else {
        panic!("it serves");
    };
    assert!(
        reason.contains("it names quota, tenants: which of them is this policy?"),
        "{reason}"
    );
}

#[test]
fn what_is_no_scenario_and_too_many_of_them_are_refused() {
    for (scenarios, said) in [
        ("{\"facts\": 3}".to_owned(), "no scenario"),
        ("{\"fcts\": {}}".to_owned(), "fcts"),
        ("{}".repeat(257), "256"),
        (" ".repeat((1 << 20) + 1), "bigger than"),
    ] {
        let PluginState::Refused { reason } = state(&scenarios) else {
            panic!("{said}: it serves");
        };
        assert!(reason.contains(said), "{reason}");
    }
}

/// Those that `cargo xtask guests` puts beside the shipped policies, for whoever installs one.
#[test]
fn shipped_policies_are_loaded_with_their_scenarios() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
    let lab = Lab::new();
    let mut count = 0;
    for name in [
        "cluster-disk",
        "hydrate-local",
        "maintenance",
        "migration",
        "quota",
        "read-only-replicas",
        "volume-rules",
    ] {
        let scenarios = std::fs::read(folder.join(format!("{name}.scenarios.jsonl"))).unwrap();
        let placed = volward_policy::scenarios::parse(name, &scenarios).unwrap();
        let plugins = placed.iter().flat_map(|one| &one.scenario.plugins);
        assert!(
            plugins.clone().any(|plugin| plugin.plugin == name),
            "{name}"
        );
        // One that its own configuration check accepts.
        let config = plugins.filter_map(|plugin| plugin.config.as_ref()).next();
        let lines = config.into_iter().flatten();
        let lines: String = lines
            .map(|(key, value)| format!("{key} = {value:?}\n"))
            .collect();
        lab.put(&format!("50-{name}.wasm"), guest(name));
        lab.put(&format!("50-{name}.toml"), format!("[config]\n{lines}"));
        lab.put(&format!("50-{name}.scenarios.jsonl"), scenarios);
        count += placed.len();
    }
    assert!(count > 30, "only {count} scenarios");
    for status in lab.load().status() {
        assert_eq!(status.state, PluginState::Serving, "{}", status.name);
    }
}

/// A policy whose scenarios take long must not keep the others from being loaded.
#[test]
fn scenarios_have_so_much_time_together() {
    let lab = Lab::new();
    for name in ["50-one", "60-two"] {
        lab.put(&format!("{name}.wasm"), guest("deny-by-prefix"));
        lab.put(&format!("{name}.toml"), "[config]\nprefix = \"x\"\n");
        lab.put(
            &format!("{name}.scenarios.jsonl"),
            "{\"facts\": {\"disks\": [{}]}, \"combined\": {\"granted\": {}}}\n".repeat(9),
        );
    }
    let time = |own, all| ScenarioTime { own, all };
    let (none, enough) = (Duration::ZERO, Duration::from_secs(60));
    let folder = lab.named();
    let states = |time| {
        let sources = Sources {
            baseline: None,
            folder: &folder,
        };
        let chain = lab.runtime().trying_for(time).load(sources);
        let reasons = chain.status().into_iter().map(|one| match one.state {
            PluginState::Refused { reason } => reason,
            other => format!("{other:?}"),
        });
        (reasons.collect::<Vec<String>>(), chain.may_pass())
    };
    let (own, again) = states(time(none, enough));
    assert!(
        own.iter().all(|one| one.contains("make them fewer")),
        "{own:?}"
    );
    assert!(again);
    let (all, again) = states(time(enough, none));
    assert!(all[1].contains("at the next load"), "{all:?}");
    assert!(again);
    let (fine, again) = states(ScenarioTime::default());
    assert_eq!(fine, ["Serving", "Serving"]);
    assert!(!again);
    // What was good is not tried again at the next start.
    assert_eq!(states(time(none, none)).0, ["Serving", "Serving"]);
}
