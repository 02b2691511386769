use volward_plan::permit::callers;

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
        "/v1/operations",
        "/v1/operations/{id}",
        "/v1/attachments",
        "/v1/hydrations",
        "/v1/hydrations/put-down",
        "/v1/status",
    ];
    assert_eq!(at_once, expected);
    assert_eq!(waits("/v1/attachments", Some("all=true")), Waits::ToLook);
    assert_eq!(waits("/v1/doctor", None), Waits::ToLook);
}

/// Every route, every kind of caller, wherever a node does it for him: a new route has to be thought about here.
#[test]
fn who_may_do_what_is_as_reviewed() {
    let lines: Vec<String> = table()
        .iter()
        .map(|route| {
            let who = callers(route.action);
            let who: Vec<String> = who.iter().map(ToString::to_string).collect();
            let (method, path, action) = (route.method, route.path, route.action);
            format!("{method} {path}, {action}: {}", who.join(", "))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "post /v1/attach, attach: root, openstack, nova, cinder",
            "post /v1/detach, detach: root, openstack, nova, cinder",
            "post /v1/confirm, detach: root, openstack, nova, cinder",
            "post /v1/fence, administer: root",
            "post /v1/unfence, administer: root",
            "post /v1/pools, administer: root",
            "get /v1/pools, look: root, openstack, nova, cinder, monitoring",
            "get /v1/pools/{pool}, look: root, openstack, nova, cinder, monitoring",
            "post /v1/volumes/set, mark: root, cinder",
            "get /v1/volumes, look: root, openstack, nova, cinder, monitoring",
            "post /v1/volumes/create, create: root, cinder",
            "post /v1/volumes/delete, delete: root, cinder",
            "post /v1/volumes/extend, extend: root, cinder",
            "post /v1/volumes/copy, copy: root, cinder",
            "post /v1/volumes/snapshot, copy: root, cinder",
            "post /v1/volumes/snapshots, copy: root, cinder",
            "post /v1/volumes/move, move: root, cinder",
            "post /v1/volumes/relocate, move: root, cinder",
            "post /v1/volumes/rename, rename: root, cinder",
            "get /v1/operations, look: root, openstack, nova, cinder, monitoring",
            "get /v1/operations/{id}, look: root, openstack, nova, cinder, monitoring",
            "post /v1/operations/cancel, delete: root, cinder",
            "get /v1/attachments, look: root, openstack, nova, cinder, monitoring",
            "get /v1/cluster, look: root, openstack, nova, cinder, monitoring",
            "get /v1/hydrations, look: root, openstack, nova, cinder, monitoring",
            "post /v1/hydrations/put-down, administer: root",
            "post /v1/hydrations/home, detach: root, openstack, nova, cinder",
            "get /v1/policies, look: root, openstack, nova, cinder, monitoring",
            "post /v1/policies/load, administer: root",
            "post /v1/policies/rollback, administer: root",
            "get /v1/explain, explain: root, openstack, nova, cinder",
            "get /v1/recover, look: root, openstack, nova, cinder, monitoring",
            "post /v1/recover/home, administer: root",
            "post /v1/recover/discard, administer: root",
            "get /v1/decisions, administer: root",
            "get /v1/decisions/record, administer: root",
            "get /v1/doctor, look: root, openstack, nova, cinder, monitoring",
            "get /v1/status, look: root, openstack, nova, cinder, monitoring",
        ]
    );
}
