//! A small cluster's replies: node n1 is asked, node n2 has a volume n1 wants.

use serde_json::{Value, json};
use volward_api::fake::{Canned, Seen};
use volward_api::model::{
    Access, Answer, Attachment, AttachmentState, Bytes, Combined, CopyFate, CopyMode, CopyPlan,
    DecisionRecord, Denial, DiskFacts, Facts, Fault, FaultKind, Home, HomeState, NodeFacts, Note,
    Origin, PluginVerdict, Purpose, RequestFacts, Sharing, Space, Verdict, VolumeId,
};

pub(crate) const WEB1: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const DB1: &str = "99999999-2222-3333-4444-555555555555";
pub(crate) const REQUEST: &str = "00000000-0000-4000-8000-000000000001";
/// 2026-11-21 10:39:14 UTC.
const NOW: u64 = 1_795_257_554_000;

/// A daemon in good order.
pub(crate) fn healthy(seen: &Seen) -> Canned {
    let (path, _) = seen.line.split_once('?').unwrap_or((&seen.line, ""));
    Canned::json(&match path {
        "POST /v1/attach" if seen.body.contains("\"dry_run\":true") => plan(),
        "POST /v1/attach" => attached(),
        "POST /v1/detach" if seen.body.contains("\"dry_run\":true") => json!({
            "detached": [], "plan": ["withdraw /dev/volward/...", "deactivate vg0/root"],
        }),
        "POST /v1/detach" => json!({"detached": [
            {"pool": "vg0", "volume": "root"},
            {"pool": "vg0", "volume": "data", "writing_back": true},
        ]}),
        "POST /v1/pools" => pool(),
        "POST /v1/volumes/set" => json!({
            "name": "common", "id": "x:y", "size": 1, "shareable": true, "home": "pool",
        }),
        "POST /v1/volumes/create" if seen.body.contains("\"dry_run\":true") => json!({
            "plan": ["make it, 10 GiB, with the tag volward.new=c1", "take the tag volward.new=c1 off"],
        }),
        "POST /v1/volumes/delete" if seen.body.contains("\"nothing\"") => json!({"operation": {
            "id": "c7", "operation": "delete", "pool": "vg0", "volume": "nothing", "state": "done", "done": 0,
            "total": 0, "note": "there is no volume vg0/nothing: nothing was deleted",
            "started_ms": NOW, "changed_ms": NOW,
        }}),
        "POST /v1/volumes/create" | "POST /v1/volumes/delete" | "POST /v1/volumes/extend" => {
            json!({"operation": operation("running")})
        }
        "POST /v1/volumes/copy" if seen.body.contains("\"dry_run\":true") => json!({
            "plan": ["take the source's lease (exclusive) and activate it", "copy 10 GiB of the source from byte 0 on"],
        }),
        "POST /v1/volumes/copy"
        | "POST /v1/volumes/snapshot"
        | "POST /v1/volumes/move"
        | "POST /v1/volumes/rename" => {
            let id = match path {
                "POST /v1/volumes/copy" => "c4",
                "POST /v1/volumes/snapshot" => "c5",
                "POST /v1/volumes/move" => "c8",
                _ => "c6",
            };
            json!({"operation": copied(id)})
        }
        "POST /v1/volumes/snapshots" if seen.body.contains("\"dry_run\":true") => json!({
            "operations": [],
            "plan": ["vg0/root-now: make it, 10 GiB, with the tag volward.new=c9:1"],
        }),
        "POST /v1/volumes/snapshots" => json!({"operations": [copied("c9:1"), copied("c9:2")]}),
        "GET /v1/operations/c9:1" => copied("c9:1"),
        "GET /v1/operations/c9:2" => copied("c9:2"),
        "GET /v1/operations/c4" => copied("c4"),
        "GET /v1/operations/c5" => copied("c5"),
        "GET /v1/operations/c6" => copied("c6"),
        "GET /v1/operations/c8" => copied("c8"),
        "GET /v1/operations/c1" => operation("done"),
        "POST /v1/operations/cancel" => operation("taking-back"),
        "GET /v1/operations/c2" => json!({
            "id": "c2", "operation": "delete", "pool": "vg0", "volume": "old", "state": "failed",
            "done": 0, "total": 0, "code": "held-here", "started_ms": NOW, "changed_ms": NOW,
            "message": "vg0/old is attached to instance x on this node; detach it first",
        }),
        "GET /v1/operations" => json!([operation("running"), {
            "id": "c3", "operation": "extend", "pool": "vg0", "volume": "web", "size": 1u64 << 30,
            "state": "waiting", "done": 0, "total": 0, "started_ms": NOW, "changed_ms": NOW,
            "trouble": "zeroing vg0/web did not finish within 60 s and was stopped",
        }]),
        "GET /v1/volumes" => json!({
            "pool": "vg0",
            "volume": {"name": "new", "id": "x:y", "size": 10u64 << 30, "shareable": false,
                       "home": "pool", "home_state": "pool", "mark": "new",
                       "status": {"word": "fault", "attached": 0, "attaching": 0, "detaching": 0,
                                  "fault": 0, "why": ["the registry slot of host-id 7 cannot be read"]}},
            "attachments": [], "operations": [operation("running")],
            "unreadable": ["the registry slot of host-id 7 cannot be read",
                           "pool vg1: the LUN does not answer"],
        }),
        "GET /v1/pools/vg0" => pool_reply(),
        "GET /v1/pools" => json!([pool(), broken_pool()]),
        "GET /v1/attachments" => attachments(),
        "GET /v1/cluster" => json!({"attachments": attachments(), "unreadable": []}),
        "GET /v1/hydrations" => hydrations(),
        "GET /v1/policies" | "POST /v1/policies/load" => policies(),
        "GET /v1/explain" => json!({
            "request": REQUEST,
            "summary": "web1 (boot, 2 disks) was denied by policy tenants",
            "decision": decision(),
            "steps": [["publish the intent", "undone"], ["take vg0/root exclusive", "waiting"]],
            "trouble": ["vg0/root is attached on n2"],
        }),
        "GET /v1/recover" => recover(),
        "POST /v1/recover/home" => json!({
            "volume": "vg0/web", "heard": "agree", "contradictions": [], "ways_out": [],
            "witnesses": [["home-tag", "split"], ["copy", "y, in use since the home's generation 1"]],
        }),
        "GET /v1/decisions" => decisions(),
        "GET /v1/decisions/record" => json!([{
            "seq": 8,
            "record": decision(),
            "outcome": {"became": "refused", "code": "tenant-unknown",
                        "message": "tenant blue has no volumes here"},
        }]),
        "GET /v1/doctor" => doctor("ok"),
        "GET /v1/status" => json!({
            "version": "0.1.0", "node": "n1", "quarantined": 1, "pools": ["vg0", "nvme"],
        }),
        other => panic!("no reply for {other}"),
    })
}

/// A volume that is made.
/// What is done with another volume, or with a name.
fn copied(id: &str) -> Value {
    let mut of = operation("done");
    of["id"] = json!(id);
    of["operation"] = json!(match id {
        "c4" => "copy",
        "c5" | "c9:1" | "c9:2" => "snapshot",
        "c8" => "move",
        _ => "rename",
    });
    if id == "c6" {
        of["to"] = json!("other");
        of["total"] = json!(0);
    } else {
        of["source"] = json!("vg0/web");
    }
    if id == "c8" {
        (of["pool"], of["volume"]) = (json!("vg1"), json!("web"));
    }
    if id != "c4"
        && let Some(fields) = of.as_object_mut()
    {
        fields.remove("size");
    }
    of
}

fn operation(state: &str) -> Value {
    json!({
        "id": "c1", "operation": "create", "pool": "vg0", "volume": "new", "volume_id": "x:y",
        "size": 10u64 << 30, "state": state, "done": 3u64 << 30, "total": 10u64 << 30,
        "started_ms": NOW, "changed_ms": NOW + 5_000,
    })
}

/// A volume whose home tag was lost while its data is on a copy.
fn recover() -> Value {
    json!({
        "volume": "vg0/web",
        "heard": "contradict",
        "witnesses": [
            ["home-tag", "pool"],
            ["lease", "exclusive"],
            ["record", "quarantined to instance 11111111-2222-3333-4444-555555555555, with a copy"],
            ["device", "volward-clone-x: linear, in use"],
            ["copy", "y, in use since the home's generation 1"],
        ],
        "contradictions": ["the home is pool, and this node has the copy y, in use since the \
                            home's generation 1"],
        "ways_out": ["if the copy is right and the tag is not: `volward recover vg0/web --set-home \
                      split:n1:y:1 --instead-of pool:::0`, then `volward detach 11111111-2222-3333-4444-555555555555`"],
    })
}

/// A grant and a denial, the seventh and eighth of the log.
pub(crate) fn decisions() -> Value {
    json!({
        "decisions": [
            {"seq": 7, "request": "00000000-0000-4000-8000-000000000007", "at_ms": NOW - 60_000,
             "hook": "attach", "instance": DB1, "instance_name": "", "disks": ["vg0/db"],
             "said": "granted", "by": null, "became": "done", "message": null, "micros": 61},
            {"seq": 8, "request": REQUEST, "at_ms": NOW, "hook": "attach", "instance": WEB1,
             "instance_name": "web1", "disks": ["vg0/root", "vg0/common"], "said": "denied",
             "by": "tenants", "became": "refused",
             "message": "tenant blue has no volumes here", "micros": 412},
        ],
        "last": 8,
    })
}

fn attached() -> Value {
    json!({
        "request": REQUEST,
        "attached": [
            {"pool": "vg0", "volume": "root", "device": format!("/dev/volward/{WEB1}/vg0/root"),
             "access": "read-write", "sharing": "exclusive",
             "copy": {"mode": "background", "fate": "write-back"}},
            {"pool": "vg0", "volume": "common", "already": true,
             "device": format!("/dev/volward/{WEB1}/vg0/common"),
             "access": "read-only", "sharing": "shared"},
        ],
        "notes": ["vg0/common: read-only was granted for read-write"],
    })
}

fn plan() -> Value {
    json!({
        "request": REQUEST, "attached": [],
        "plan": ["take vg0/root exclusive and activate it", "look again under the lease"],
    })
}

fn pool() -> Value {
    json!({
        "name": "vg0", "vg_uuid": "x", "kind": "shared", "lock_type": "sanlock",
        "size": 107_374_182_400_u64, "free": 53_687_091_200_u64,
        "members": [
            {"host_id": 1, "node": "n1", "state": "live", "own": true, "slot_trouble": null},
            {"host_id": 2, "node": "n2", "state": "fail", "own": false,
             "slot_trouble": "the newer copy is torn, the one before it is used"},
            {"host_id": 7, "node": null, "state": "dead", "own": false, "slot_trouble": null},
        ],
        "volumes": [
            {"name": "root", "id": "x:a", "size": 10_737_418_240_u64, "shareable": false,
             "home": "split on n1",
             "status": {"word": "in-use", "attached": 1, "attaching": 0, "detaching": 0, "fault": 0}},
            {"name": "common", "id": "x:b", "size": 1_610_612_736, "shareable": true,
             "home": "pool",
             "status": {"word": "fault", "attached": 2, "attaching": 1, "detaching": 1, "fault": 1,
                        "why": ["the registry slot of host-id 7 cannot be read"]}},
            {"name": "older", "id": "x:c", "size": 1_610_612_736, "shareable": false,
             "home": "pool"},
        ],
        "trouble": null,
        "incomplete": true,
    })
}

/// A pool on two disks, one of them lost, with a lease of each sort.
pub(crate) fn pool_reply() -> Value {
    let lease = |volume: &str, sharing: &str, host_id: u64, node: Option<&str>, state: &str| {
        json!({
            "volume": volume, "sharing": sharing, "host_id": host_id, "node": node, "state": state,
            "own": host_id == 1, "orphan": false, "by_hand": false, "instances": [],
        })
    };
    let mut root = lease("root", "exclusive", 1, Some("n1"), "live");
    root["instances"] = json!([{"instance": WEB1, "since_ms": NOW}]);
    let mut common = lease("common", "shared", 2, Some("n2"), "fail");
    common["instances"] = json!([
        {"instance": DB1, "since_ms": NOW},
        {"instance": WEB1, "since_ms": NOW + 60_000},
    ]);
    let mut old = lease("old", "exclusive", 1, Some("n1"), "live");
    old["orphan"] = json!(true);
    let mut hand = lease("hand", "exclusive", 1, Some("n1"), "live");
    hand["by_hand"] = json!(true);
    json!({
        "pool": pool(),
        "disks": [
            {"path": "/dev/mapper/lun0", "uuid": "y2Pt6t", "size": 64u64 << 30, "free": 50u64 << 30,
             "missing": false, "carries": [
                {"name": "lvmlock", "size": 256u64 << 20},
                {"name": "root", "size": 10u64 << 30},
             ]},
            {"path": "/dev/mapper/lun1", "uuid": "hkIpGf", "size": 36u64 << 30, "free": 36u64 << 30,
             "missing": false, "carries": []},
            {"path": "[unknown]", "uuid": "MN9cj8", "size": 36u64 << 30, "free": 0, "missing": true,
             "carries": [{"name": "common", "size": 1u64 << 30}]},
        ],
        "leases": [
            lease("volward-registry", "shared", 1, Some("n1"), "live"),
            root, common, old, hand, lease("new", "exclusive", 7, None, "dead"),
        ],
        "operations": [operation("running")],
        "operations_elsewhere": [
            {"id": "c7", "volume": "common", "mark": "growing", "operation": "extend", "node": "n2",
             "asked_on": "n3", "done": 1u64 << 30, "total": 4u64 << 30},
            {"id": "c8", "volume": "other", "mark": "new"},
        ],
        "hydrations": [hydrations()[0]],
        "unreadable": [],
    })
}

fn broken_pool() -> Value {
    json!({
        "name": "vg9", "vg_uuid": null, "kind": "shared", "lock_type": "", "size": 0, "free": 0,
        "members": [], "volumes": [],
        "trouble": "there is no such volume group on this node: check the LUN",
    })
}

fn attachments() -> Value {
    let attachment = |node: &str, name: Option<&str>, instance: &str, volume: &str| {
        json!({
            "node": node, "instance": instance, "instance_name": name, "pool": "vg0",
            "volume": volume, "sharing": "exclusive", "access": "read-write",
            "state": "attached", "device": null, "since_ms": NOW, "causes": [],
        })
    };
    let mut bad = attachment("n1", Some("web1"), WEB1, "old");
    bad["state"] = json!("quarantined");
    bad["causes"] = json!(["removing the device failed: in use", "undo failed: in use"]);
    let mut root = attachment("n1", Some("web1"), WEB1, "root");
    root["claims"] = json!(["libvirt", "openstack"]);
    bad["access"] = json!("read-only");
    bad["asked"] = json!("read-write");
    json!([root, attachment("n2", None, DB1, "db-data"), bad,])
}

pub(crate) fn hydrations() -> Value {
    let hydration = |volume: &str, state: &str, done: u64| {
        json!({
            "pool": "vg0", "volume": volume, "state": state, "done": done,
            "total": 10_737_418_240_u64, "remaining_ms": null, "stalled_ms": 0, "trouble": null,
        })
    };
    let mut moving = hydration("root", "hydrating", 10_737_418_239);
    moving["remaining_ms"] = json!(125_000);
    let mut stalled = hydration("data", "stalled", 1 << 30);
    stalled["stalled_ms"] = json!(61_000);
    let mut waiting = hydration("old", "returning", 0);
    waiting["total"] = json!(0);
    json!([moving, stalled, hydration("log", "writes-only", 0), waiting])
}

fn policies() -> Value {
    json!([
        {"name": "baseline", "digest": "ab".repeat(32), "interface": "0.1.0", "level": "enforce",
         "state": "serving", "hooks": ["attach", "detach"], "granted": 41, "denied": 2,
         "faulted": 0, "p50_micros": 66, "p99_micros": 140},
        {"name": "tenants", "digest": "cd".repeat(32), "interface": "0.1.0", "level": "monitor",
         "state": "refused", "reason": "the file is writable by others", "hooks": [],
         "granted": 0, "denied": 0, "faulted": 3},
        {"name": "hours", "digest": "ef".repeat(32), "interface": "volward:policy@0.1.0",
         "level": "enforce", "state": "rolled-back", "hooks": ["attach"], "granted": 7,
         "reason": "an operator went back from 0123456789ab, which is in the folder",
         "denied": 0, "faulted": 1, "p50_micros": 80, "p99_micros": 9_000,
         "faults": [{"at_ms": 1_767_268_800_000_u64,
                     "request": "6f2d1c9a-0000-4000-8000-000000000001",
                     "hook": "attach", "kind": "trap",
                     "message": "wasm `unreachable` instruction executed",
                     "backtrace": ["hours::review at 0x1a2b", "function 12 at 0x44"]}]},
    ])
}

/// A doctor's reply; the watchdog is as given.
pub(crate) fn doctor(watchdog: &str) -> Value {
    let fine = watchdog == "ok";
    json!({"checks": [
        {"name": "tools", "verdict": "ok", "found": "lvm, sanlock, lvmlockctl, volward-policy",
         "remedy": null, "refuses_read_write": false},
        {"name": "dm-clone", "verdict": "warning", "found": "the module is not there",
         "remedy": "copies are not offered; everything else is. Install a kernel with dm-clone",
         "refuses_read_write": false},
        {"name": "watchdog", "verdict": watchdog,
         "found": if fine { "armed" } else { "sanlock runs with -w 0" },
         "remedy": if fine { None } else { Some("take `-w 0` out of /etc/default/sanlock") },
         "refuses_read_write": true},
    ]})
}

fn volume(letter: &str) -> VolumeId {
    VolumeId {
        vg: "v".repeat(32).parse().unwrap(),
        lv: letter.repeat(32).parse().unwrap(),
    }
}

fn decision() -> DecisionRecord {
    let facts = facts();
    let mut granted = Answer::as_asked(&facts);
    granted.disks[0].copy = Some(CopyPlan {
        mode: CopyMode::Background,
        in_flight: None,
        batch: Some(Bytes::mib(1)),
        fate: CopyFate::WriteBack,
    });
    granted.notes.push(Note {
        key: "space".into(),
        value: "enough".into(),
    });
    let denial = Denial {
        code: "tenant-unknown".into(),
        message: "tenant blue has no volumes here".into(),
        retry_after_ms: Some(60_000),
    };
    let fault = Fault::new(FaultKind::Deadline, "no answer within 20 ms");
    let mut audit = said("audit", Verdict::Faulted(fault));
    audit.monitored = true;
    let mut baseline = said("baseline", Verdict::Granted(granted));
    baseline.log.push("two disks".into());
    let plugins = vec![
        baseline,
        said("tenants", Verdict::Denied(denial)),
        audit,
        said("hydrate-local", Verdict::Absent),
    ];
    DecisionRecord {
        hook: "attach".into(),
        combined: Combined::attach(&facts, &plugins),
        facts,
        copies: Vec::new(),
        plugins,
        micros: 412,
    }
}

fn said(plugin: &str, verdict: Verdict) -> PluginVerdict {
    PluginVerdict {
        plugin: plugin.into(),
        digest: "ab".repeat(32),
        interface: "0.1.0".into(),
        monitored: false,
        config: std::collections::BTreeMap::new(),
        verdict,
        log: Vec::new(),
        micros: 100,
    }
}

fn facts() -> Facts {
    let root = DiskFacts {
        id: volume("a"),
        pool: "vg0".parse().unwrap(),
        name: "root".parse().unwrap(),
        size: Bytes::mib(10_240),
        shareable: false,
        tags: vec!["gold".into()],
        home: Home {
            state: HomeState::Split {
                node: "n2".parse().unwrap(),
                copy: "c".repeat(32).parse().unwrap(),
            },
            generation: 3,
        },
        attachments: vec![Attachment {
            volume: volume("a"),
            instance: DB1.parse().unwrap(),
            node: "n2".parse().unwrap(),
            sharing: Sharing::Exclusive,
            access: Access::ReadWrite,
            since_ms: NOW - 3_600_000,
            state: AttachmentState::Attached,
        }],
        hydration: None,
        asked_sharing: Sharing::Exclusive,
        asked_access: Access::ReadWrite,
    };
    let common = DiskFacts {
        id: volume("b"),
        name: "common".parse().unwrap(),
        shareable: true,
        tags: Vec::new(),
        home: Home::POOL,
        attachments: Vec::new(),
        asked_sharing: Sharing::Shared,
        asked_access: Access::ReadOnly,
        ..root.clone()
    };
    Facts {
        request: RequestFacts {
            id: REQUEST.parse().unwrap(),
            origin: Origin::Libvirt,
            caller_uid: 0,
            purpose: Purpose::Boot,
            instance: WEB1.parse().unwrap(),
            instance_name: "web1".into(),
            hints: vec![("tenant".into(), "blue".into())],
        },
        node: NodeFacts {
            name: "n1".parse().unwrap(),
            labels: vec![("rack".into(), "r1".into())],
            local: Some(Space {
                total: Bytes::mib(102_400),
                free: Bytes::mib(51_200),
                promised: Bytes::mib(10_240),
            }),
            io_pressure: Some(205),
            attachments: Some(7),
        },
        peer: None,
        operation: None,
        disks: vec![root, common],
        held: Vec::new(),
        now_ms: NOW,
        utc_offset_minutes: 60,
    }
}
