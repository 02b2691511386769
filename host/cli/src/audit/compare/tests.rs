use serde_json::{Value, json};

use super::*;

const WEB: &str = "11111111-2222-4333-8444-555555555555";
const DB: &str = "99999999-2222-4333-8444-555555555555";
const V1: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const V2: &str = "aaaaaaaa-0000-4000-8000-000000000002";

/// The pool `vg0` with those volumes: names, each LV's UUID being the name's too.
fn pools(names: &[&str]) -> Vec<PoolView> {
    let volume = |name: &&str| json!({"name": name, "id": format!("vg:{name}"), "size": 1, "shareable": false, "home": "pool"});
    let pool = json!({
        "name": "vg0", "kind": "shared", "lock_type": "sanlock", "size": 9, "free": 1, "members": [],
        "volumes": names.iter().map(volume).collect::<Vec<Value>>(),
    });
    vec![serde_json::from_value(pool).unwrap()]
}

/// Who has what: volume and instance.
fn cluster(attachments: &[(&str, &str)]) -> ClusterReply {
    let attachment = |(volume, instance): &(&str, &str)| {
        json!({
            "node": "n1", "instance": instance, "pool": "vg0", "volume": volume, "sharing": "exclusive",
            "access": "read-write", "state": "attached", "since_ms": 0, "causes": [],
        })
    };
    let attachments: Vec<Value> = attachments.iter().map(attachment).collect();
    serde_json::from_value(json!({"attachments": attachments, "unreadable": []})).unwrap()
}

fn lists(values: &[Value]) -> Lists {
    let mut lists = Lists::default();
    for value in values {
        lists.add("a list", &value.to_string()).unwrap();
    }
    lists
}

/// As `openstack volume list --long -f json` has it.
fn volume(id: &str, status: &str, servers: &[&str]) -> Value {
    let attached = |server: &&str| json!({"id": id, "server_id": server, "host_name": "h", "device": "/dev/vdb"});
    json!({
        "ID": id, "Name": "web", "Status": status, "Size": 1, "Type": "volward", "Bootable": "false",
        "Attached to": servers.iter().map(attached).collect::<Vec<Value>>(), "Properties": {},
    })
}

fn named(id: &str) -> String {
    format!("volume-{id}")
}

fn whys(audit: &Audit) -> Vec<String> {
    let one = |ghost: &Ghost| format!("{:?} {}", ghost.side, ghost.why);
    audit.ghosts.iter().map(one).collect()
}

#[test]
fn what_both_have_is_no_ghost() {
    let found = compare(
        &pools(&[&named(V1), &named(V2), "by-hand"]),
        &cluster(&[(&named(V1), WEB), ("by-hand", DB)]),
        &lists(&[json!([
            volume(V1, "in-use", &[WEB]),
            volume(V2, "available", &[]),
            volume("of-another-backend", "in-use", &[DB]),
        ])]),
    );
    let expected = Audit {
        volumes: 2,
        attachments: 1,
        others_of_cinder: 1,
        others_here: 1,
        ..Audit::default()
    };
    assert_eq!(found, expected);
}

#[test]
fn a_node_that_has_what_cinder_believes_free_or_anothers_is_a_ghost_here() {
    let found = compare(
        &pools(&[&named(V1), &named(V2)]),
        &cluster(&[(&named(V1), WEB), (&named(V2), WEB), (&named(V2), DB)]),
        &lists(&[json!([
            volume(V1, "available", &[]),
            volume(V2, "in-use", &[DB])
        ])]),
    );
    assert_eq!(
        whys(&found),
        [
            "Volward attached since 1970-01-01 00:00:00 UTC; Cinder has it available, and attached to nobody".to_owned(),
            format!("Volward attached since 1970-01-01 00:00:00 UTC; Cinder has it attached to {DB}"),
        ]
    );
    assert_eq!(found.ghosts[0].node.as_deref(), Some("n1"));
    assert_eq!(found.attachments, 1);
}

#[test]
fn what_cinder_believes_attached_and_nobody_has_is_a_ghost_of_cinders_unless_the_server_is_shut_off()
 {
    let volumes = json!([volume(V1, "in-use", &[WEB])]);
    let servers =
        |status: &str| json!([{"ID": WEB, "Name": "web", "Status": status, "Networks": {}}]);
    let said = |lists: &Lists| whys(&compare(&pools(&[&named(V1)]), &cluster(&[]), lists));
    let unknown = said(&lists(std::slice::from_ref(&volumes)));
    assert_eq!(unknown.len(), 1);
    assert!(
        unknown[0].contains("which is right if it is shut off"),
        "{unknown:?}"
    );
    let running = said(&lists(&[volumes.clone(), servers("ACTIVE")]));
    assert_eq!(
        running,
        ["Cinder no node has it for that server, which is ACTIVE"]
    );
    assert_eq!(
        said(&lists(&[volumes.clone(), servers("SHUTOFF")])),
        [""; 0]
    );
    let other = json!([{"ID": DB, "Status": "ACTIVE", "Networks": {}}]);
    let gone = said(&lists(&[volumes, other]));
    assert_eq!(
        gone,
        ["Cinder no node has it for that server, which nova's list does not have"]
    );
}

#[test]
fn what_is_reserved_or_a_services_is_known_by_the_list_of_attachments() {
    let here = cluster(&[(&named(V1), WEB), (&named(V2), DB)]);
    let volumes = json!([volume(V1, "reserved", &[]), volume(V2, "available", &[])]);
    assert_eq!(
        compare(
            &pools(&[&named(V1), &named(V2)]),
            &here,
            &lists(std::slice::from_ref(&volumes))
        )
        .ghosts
        .len(),
        2
    );
    // Nova's is under way; the other one is of a service, which has no server.
    let attachments = json!({"attachments": [
        {"id": "a", "status": "attaching", "instance": WEB, "volume_id": V1},
        {"id": "b", "status": "attached", "instance": null, "volume_id": V2},
        {"id": "c", "status": "detached", "instance": DB, "volume_id": V1},
    ]});
    let found = compare(
        &pools(&[&named(V1), &named(V2)]),
        &here,
        &lists(&[volumes, attachments]),
    );
    assert_eq!((found.ghosts.len(), found.attachments), (0, 2));
    // As the client prints them, and before the volumes.
    let client = json!([{"ID": "a", "Volume ID": V1, "Server ID": WEB, "Status": "attached"}]);
    let only = cluster(&[(&named(V1), WEB)]);
    let found = compare(
        &pools(&[&named(V1)]),
        &only,
        &lists(&[client, json!([volume(V1, "in-use", &[WEB])])]),
    );
    assert_eq!((found.ghosts.len(), found.attachments), (0, 1));
    // An image is copied, and Cinder's list of volumes says no more than that.
    let copied = json!([volume(V1, "uploading", &[])]);
    assert_eq!(
        compare(&pools(&[&named(V1)]), &only, &lists(&[copied])).ghosts,
        []
    );
}

#[test]
fn volumes_that_one_side_lacks_are_ghosts_of_the_other() {
    let api = json!({"volumes": [
        {"id": V1, "status": "available", "attachments": [], "os-vol-host-attr:host": "h@volward#vg0"},
        {"id": DB, "status": "error", "attachments": [], "os-vol-host-attr:host": "h@volward#vg0"},
        {"id": WEB, "status": "in-use", "attachments": [], "os-vol-host-attr:host": "h@lvm#other"},
    ]});
    let found = compare(
        &pools(&[&named(V2), "volume-of-somebody"]),
        &cluster(&[]),
        &lists(&[api]),
    );
    assert_eq!(
        whys(&found),
        [
            "Volward Cinder's list has no such volume",
            "Cinder Cinder has it available in pool vg0, which has no such volume",
        ]
    );
    assert_eq!(found.others_of_cinder, 2);
}

/// A volume that was managed has its own name, and an administrator is told its LV.
#[test]
fn a_managed_volume_is_known_by_its_lv() {
    let api = json!({"volumes": [{
        "id": V1, "status": "in-use", "provider_id": "vg:web1", "attachments": [{"server_id": WEB}],
    }]});
    let found = compare(
        &pools(&["web1"]),
        &cluster(&[("web1", WEB)]),
        &lists(&[api]),
    );
    assert_eq!(
        (found.ghosts.len(), found.volumes, found.attachments),
        (0, 1, 1)
    );
    // Somebody else's LV has the name that its own would have.
    let api = json!({"volumes": [{"id": V1, "status": "available", "provider_id": "vg:x", "attachments": []}]});
    let found = compare(&pools(&[&named(V1)]), &cluster(&[]), &lists(&[api]));
    assert_eq!(
        whys(&found),
        ["Volward Cinder has another volume under that id"]
    );
}

#[test]
fn what_cannot_be_read_is_no_ghosts_absence() {
    let mut silent = pools(&[]);
    silent[0].trouble = Some("the LUN does not answer".to_owned());
    let here = ClusterReply {
        unreadable: vec!["the slot of n3".to_owned()],
        ..cluster(&[])
    };
    let api = json!({"volumes": [
        {"id": V1, "status": "available", "attachments": [], "os-vol-host-attr:host": "h@volward#vg0"},
    ]});
    let found = compare(&silent, &here, &lists(&[api]));
    assert_eq!(found.ghosts, []);
    assert_eq!(
        found.unreadable,
        ["the slot of n3", "pool vg0: the LUN does not answer"]
    );
}

#[test]
fn a_list_that_is_none_is_refused_with_the_place() {
    for (text, why) in [
        ("", "a list is empty"),
        ("+----+\n", "a list is no JSON"),
        ("{}", "a list, entry 1: it has no id"),
        (r#"[{"ID": "x"}]"#, "x is no volume with its attachments"),
        (
            r#"[{"ID": "x", "Status": "in-use", "Attached to": "Attached to y"}]"#,
            "prints it for people only",
        ),
    ] {
        let error = Lists::default().add("a list", text).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }
    let mut two = Lists::default();
    let text = format!(
        "{}\n{}",
        json!([volume(V1, "in-use", &[])]),
        json!([volume(V2, "in-use", &[])])
    );
    two.add("two lists in one", &text).unwrap();
    assert_eq!(two.volumes.len(), 2);
    // What would act on a terminal does not.
    two.add(
        "a forged list",
        r#"[{"ID": "x", "Status": "in-use\u001b[A", "Attached to": []}]"#,
    )
    .unwrap();
    assert_eq!(two.volumes["x"].status, "in-use\\u{1b}[A");
}
