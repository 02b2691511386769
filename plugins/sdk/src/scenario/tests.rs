use super::*;
use crate::CopyMode;

/// Narrows the first disk, denies by name, breaks by name.
struct Moody;

impl Attach for Moody {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        match request.instance_name.as_str() {
            "bad" => return Err(Denial::new("bad-name", "a bad name")),
            "broken" => answer.read_only(&Disk::default()),
            _ => {}
        }
        if let Some(disk) = request.disks.first() {
            answer.copy_at_most(disk, CopyMode::Background);
            answer.copy_at_most(disk, CopyMode::BeforeStart);
            answer.note("who", config::get("who").unwrap_or_default());
        }
        Ok(())
    }
}

impl Detach for Moody {
    fn detach(_: &Request, disk: &Disk) -> Option<CopyFate> {
        (disk.size > 0).then_some(CopyFate::Keep)
    }
}

impl Lifecycle for Moody {
    fn check_config() -> Vec<Problem> {
        config::unknown_keys(&["who"])
    }
}

fn scenario(text: &str) -> Scenario {
    Scenario(serde_json::from_str(text).unwrap())
}

/// What is not as expected of the policy.
fn ask(text: &str) -> Vec<String> {
    let hooks = Hooks::default();
    let hooks = hooks.attach::<Moody>().detach::<Moody>();
    hooks.lifecycle::<Moody>().ask("moody", &scenario(text))
}

fn expecting(facts: &str, verdict: &str) -> Vec<String> {
    ask(&format!(
        r#"{{"facts": {facts}, "plugins": [{{"plugin": "moody", "verdict": {verdict}}}]}}"#
    ))
}

#[test]
fn what_is_left_out_is_as_asked() {
    let two = r#"{"disks": [{}, {}]}"#;
    let ceiling = r#"{"granted": {"disks": [{"copy_at_most": "background"}]}}"#;
    assert_eq!(expecting(two, ceiling), [""; 0]);
    let found = expecting(two, r#"{"granted": {}}"#);
    assert_eq!(
        found,
        ["plugins.moody.disks[0].copy_at_most: expected before-start, found background"]
    );
    let found = expecting(two, r#"{"granted": {"disks": [{}, {}, {}]}}"#);
    assert_eq!(
        found[1],
        "plugins.moody.disks[2]: expected a disk, found no such disk in the request"
    );
}

#[test]
fn denials_faults_and_grants_are_not_each_other() {
    let (good, bad) = ("{}", r#"{"request": {"instance_name": "bad"}}"#);
    let broken = r#"{"request": {"instance_name": "broken"}}"#;
    let denied = r#"{"denied": {"code": "bad-name"}}"#;
    let trap = r#"{"faulted": {"kind": "trap"}}"#;
    assert_eq!(expecting(bad, denied), [""; 0]);
    assert_eq!(expecting(broken, trap), [""; 0]);
    assert_eq!(expecting(good, r#"{"granted": {}}"#), [""; 0]);
    for (facts, verdict) in [
        (good, denied),
        (bad, trap),
        (broken, denied),
        (bad, r#""absent""#),
    ] {
        assert_eq!(expecting(facts, verdict).len(), 1, "{facts} {verdict}");
    }
    let other = expecting(
        bad,
        r#"{"denied": {"code": "bad", "message": "no", "retry_after_ms": 1}}"#,
    );
    assert_eq!(other.len(), 3, "{other:?}");
}

#[test]
fn notes_and_configuration_count() {
    let with = |config: &str, value: &str| {
        ask(&format!(
            r#"{{"facts": {{"disks": [{{}}]}}, "plugins": [{{"plugin": "moody", "config": {config},
                "verdict": {{"granted": {{"disks": [{{"copy_at_most": "background"}}],
                "notes": [{{"key": "who", "value": {value:?}}}]}}}}}}]}}"#
        ))
    };
    assert_eq!(with(r#"{"who": "me"}"#, "me"), [""; 0]);
    assert_eq!(with(r#"{"who": "me"}"#, "you").len(), 1);
    let wrong = with(r#"{"whom": "me"}"#, "me");
    assert!(wrong[0].contains("did you mean \"who\"?"), "{wrong:?}");
}

#[test]
fn detach_is_asked_for_each_copy() {
    let id = |word| {
        format!("pool00-0000-0000-0000-0000-0000-000001:{word}00-0000-0000-0000-0000-0000-000001")
    };
    let (disk, nobodys) = (id("disk"), id("lost"));
    let text = format!(
        r#"{{"hook": "detach", "facts": {{"disks": [{{}}]}},
            "copies": [["{disk}", "write-back"], ["{nobodys}", "keep"]],
            "plugins": [{{"plugin": "moody",
                "verdict": {{"advised": [["{disk}", "keep"], ["{nobodys}", null]]}}}}]}}"#
    );
    assert_eq!(ask(&text), [""; 0]);
    assert_eq!(
        ask(&text.replace("\"keep\"], [", "\"discard\"], [")).len(),
        1
    );
}

#[test]
fn who_expects_nothing_or_misspells_is_told() {
    assert_eq!(ask(r#"{"facts": {}}"#).len(), 1);
    for misspelt in [r#"{"fact": {}}"#, r#"{"facts": {"disks": [{"sise": 1}]}}"#] {
        assert!(
            serde_json::from_str::<record::Scenario>(misspelt).is_err(),
            "{misspelt}"
        );
    }
    let nowhere = Path::new("/nowhere");
    assert!(Hooks::default().run("moody", nowhere).is_err());
}

/// As `volward-policy test` and the daemon read the same file.
#[test]
fn a_node_says_it_has_nothing_unless_it_is_given() {
    let attachments = |facts: &str| {
        let text = format!("{{\"facts\": {facts}}}");
        *scenario(&text).request().node.attachments
    };
    assert_eq!(attachments("{}"), Some(0));
    assert_eq!(attachments(r#"{"node": {"name": "n1"}}"#), None);
}

#[test]
fn made_up_identities_are_the_records() {
    let request =
        scenario(r#"{"facts": {"disks": [{}, {"pool": "vg1"}], "held": [{"attachments": [{}]}]}}"#)
            .request();
    let all = request.disks.iter().chain(&request.held);
    let names: Vec<_> = all.map(|d| format!("{} {}", d.full_name(), d.id)).collect();
    assert_eq!(
        names,
        [
            "vg0/disk1 pool00-0000-0000-0000-0000-0000-000001:disk00-0000-0000-0000-0000-0000-000001",
            "vg1/disk2 pool00-0000-0000-0000-0000-0000-000002:disk00-0000-0000-0000-0000-0000-000002",
            "vg0/held1 pool00-0000-0000-0000-0000-0000-000001:held00-0000-0000-0000-0000-0000-000001",
        ]
    );
    assert_eq!(
        (request.local_hour(), request.held[0].attachments.len()),
        (12, 1)
    );
}
