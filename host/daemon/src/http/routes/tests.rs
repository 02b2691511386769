use super::super::rights::Role;
use super::*;

#[test]
fn what_needs_only_memory_waits_for_nothing() {
    let table = table();
    let waits = |path: &str, query| {
        let route = table.iter().find(|route| route.path == path).unwrap();
        route.waits_for(query)
    };
    let at_once = table.iter().filter(|r| r.waits == Waits::Never);
    let at_once: Vec<_> = at_once.map(|route| route.path).collect();
    let expected = [
        "/v1/confirm",
        "/v1/fence",
        "/v1/attachments",
        "/v1/hydrations",
        "/v1/status",
    ];
    assert_eq!(at_once, expected);
    assert_eq!(waits("/v1/attachments", Some("all=true")), Waits::ToLook);
    assert_eq!(waits("/v1/doctor", None), Waits::ToLook);
}

/// Every route, every role: a new route has to be thought about here.
#[test]
fn who_may_do_what_is_as_reviewed() {
    let lines: Vec<String> = table()
        .iter()
        .map(|route| {
            let who = Role::ALL.iter().filter(|role| role.may(route.right));
            let who: Vec<String> = who.map(ToString::to_string).collect();
            format!("{} {}: {}", route.method, route.path, who.join(", "))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "post /v1/attach: root, openstack",
            "post /v1/detach: root, openstack",
            "post /v1/confirm: root, openstack",
            "post /v1/fence: root",
            "post /v1/unfence: root",
            "post /v1/pools: root",
            "get /v1/pools: root, openstack, monitoring",
            "post /v1/volumes/set: root",
            "get /v1/attachments: root, openstack, monitoring",
            "get /v1/cluster: root, openstack, monitoring",
            "get /v1/hydrations: root, openstack, monitoring",
            "get /v1/policies: root, openstack, monitoring",
            "post /v1/policies/load: root",
            "post /v1/policies/rollback: root",
            "get /v1/explain: root, openstack",
            "get /v1/recover: root, openstack, monitoring",
            "post /v1/recover/home: root",
            "get /v1/decisions: root",
            "get /v1/decisions/record: root",
            "get /v1/doctor: root, openstack, monitoring",
            "get /v1/status: root, openstack, monitoring",
        ]
    );
}
