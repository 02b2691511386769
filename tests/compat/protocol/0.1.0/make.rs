//! Made in a checkout of 0.1.0 (commit 8639f52): every message of its protocol, by its own types, in
//! every word that its hook, command line and daemon send. Usage: `fixtures OUT`.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use volward_api::model::{
    Access, Bytes, CopyFate, CopyMode, CopyPlan, InstanceId, PoolName, Purpose, Sharing,
    VolumeName,
};
use volward_api::*;

type Done = Result<(), Box<dyn Error>>;

const WEB1: &str = "11111111-2222-3333-4444-555555555555";
const REQUEST: &str = "00000000-0000-4000-8000-000000000001";
const NOW: u64 = 1_795_257_554_000;

/// The samples as a file; each is read back by the type first.
fn write<T>(out: &Path, name: &str, samples: &[T]) -> Done
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    for sample in samples {
        let text = serde_json::to_string(sample)?;
        assert_eq!(&serde_json::from_str::<T>(&text)?, sample);
    }
    let text = serde_json::to_string_pretty(samples)?;
    Ok(fs::write(out.join(format!("{name}.json")), text + "\n")?)
}

fn instance() -> InstanceId {
    WEB1.parse().unwrap_or(InstanceId(uuid::Uuid::nil()))
}

fn pool() -> PoolName {
    "vg0".parse().unwrap()
}

fn volume(name: &str) -> VolumeName {
    name.parse().unwrap()
}

fn wish(name: &str, access: Access, sharing: Option<Sharing>) -> DiskWish {
    DiskWish {
        pool: pool(),
        volume: volume(name),
        path: DiskPath::Own,
        access,
        sharing,
        accept_narrowing: false,
    }
}

fn attach(purpose: Purpose) -> AttachRequest {
    AttachRequest {
        instance: instance(),
        instance_name: "web1".into(),
        purpose,
        hints: Vec::new(),
        disks: vec![wish("root", Access::ReadWrite, None)],
        dry_run: false,
        only_while_waiting: false,
    }
}

fn requests(out: &Path) -> Done {
    let hook = AttachRequest {
        hints: vec![("tenant".into(), "blue".into())],
        disks: vec![
            wish("root", Access::ReadWrite, None),
            DiskWish {
                accept_narrowing: true,
                ..wish("common", Access::ReadOnly, Some(Sharing::Shared))
            },
            DiskWish {
                path: DiskPath::Lv,
                ..wish("swap", Access::ReadWrite, None)
            },
        ],
        only_while_waiting: true,
        ..attach(Purpose::Boot)
    };
    let operator = AttachRequest {
        instance_name: String::new(),
        disks: vec![wish("data", Access::ReadWrite, Some(Sharing::Exclusive))],
        dry_run: true,
        ..attach(Purpose::HotPlug)
    };
    write(
        out,
        "attach-request",
        &[
            hook,
            operator,
            attach(Purpose::Restore),
            attach(Purpose::MigrationIn),
            attach(Purpose::Other("rescue".into())),
        ],
    )?;
    let everything = DetachRequest {
        instance: instance(),
        volumes: Vec::new(),
        not_after: None,
        dry_run: false,
    };
    let release = DetachRequest {
        not_after: Some(StartMark {
            boot_id: "6f2d1c9a-0000-4000-8000-000000000001".into(),
            sequence: 7,
        }),
        ..everything.clone()
    };
    let named = DetachRequest {
        volumes: vec![(pool(), volume("data"))],
        dry_run: true,
        ..everything.clone()
    };
    write(out, "detach-request", &[everything, release, named])?;
    let events = ["start", "started", "stopped", "reconnect", "attach"];
    let confirm = events.map(|event| ConfirmRequest {
        instance: instance(),
        event: event.into(),
        volumes: vec![(pool(), volume("root"))],
    });
    write(out, "confirm-request", &confirm)?;
    write(
        out,
        "pool-init-request",
        &[PoolInitRequest { name: "vg0".into() }],
    )?;
    write(
        out,
        "volume-set-request",
        &[true, false].map(|shareable| VolumeSetRequest {
            pool: "vg0".into(),
            volume: "common".into(),
            shareable,
        }),
    )?;
    write(
        out,
        "rollback-request",
        &[false, true].map(|undo| RollbackRequest {
            name: "hours".into(),
            undo,
        }),
    )
}

fn granted(name: &str, copy: Option<CopyPlan>) -> Attached {
    Attached {
        pool: pool(),
        volume: volume(name),
        device: format!("/dev/volward/{WEB1}/vg0/{name}"),
        access: Access::ReadWrite,
        sharing: Sharing::Exclusive,
        copy,
        already: false,
    }
}

fn copy(mode: CopyMode, fate: CopyFate) -> Option<CopyPlan> {
    Some(CopyPlan {
        mode,
        in_flight: None,
        batch: None,
        fate,
    })
}

fn attach_replies(out: &Path) -> Done {
    let request = REQUEST.parse()?;
    let attached = AttachReply {
        request,
        attached: vec![
            granted("root", copy(CopyMode::Background, CopyFate::WriteBack)),
            granted("swap", copy(CopyMode::WritesOnly, CopyFate::Discard)),
            granted(
                "data",
                Some(CopyPlan {
                    mode: CopyMode::BeforeStart,
                    in_flight: Some(Bytes(1 << 20)),
                    batch: Some(Bytes(1 << 16)),
                    fate: CopyFate::Keep,
                }),
            ),
            Attached {
                access: Access::ReadOnly,
                sharing: Sharing::Shared,
                already: true,
                ..granted("common", None)
            },
        ],
        plan: Vec::new(),
        notes: vec!["vg0/common: read-only was granted for read-write".into()],
    };
    let planned = AttachReply {
        request,
        attached: vec![granted("root", None)],
        plan: vec!["take vg0/root exclusive and activate it".into()],
        notes: Vec::new(),
    };
    write(out, "attach-reply", &[attached, planned])?;
    let gone = |name, writing_back| Detached {
        pool: pool(),
        volume: volume(name),
        writing_back,
    };
    let detached = DetachReply {
        detached: vec![gone("root", true), gone("common", false)],
        plan: Vec::new(),
    };
    let planned = DetachReply {
        detached: Vec::new(),
        plan: vec!["deactivate vg0/root".into()],
    };
    write(out, "detach-reply", &[detached, planned, DetachReply::default()])?;
    let missing = ConfirmReply {
        missing: vec![(pool(), volume("root"))],
    };
    write(out, "confirm-reply", &[ConfirmReply::default(), missing])
}

fn volume_view(name: &str, home: &str) -> VolumeView {
    VolumeView {
        name: name.into(),
        id: "Vh1Vvv-0ZJ1-3vW2-D1hu-jmXc-kG4d-yW9fXK:aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa".into(),
        size: 10_737_418_240,
        shareable: name == "common",
        home: home.into(),
    }
}

fn pools(out: &Path) -> Done {
    let homes = [
        volume_view("common", "pool"),
        volume_view("root", "split on n1"),
        volume_view("data", "returning on n2"),
        volume_view("kept", "node on n2"),
        volume_view(
            "odd",
            "unreadable: \"split\" is not a home (STATE:NODE:COPY:GENERATION)",
        ),
    ];
    let member = |host_id: u64, state: &str| PoolMember {
        host_id,
        node: (host_id < 4).then(|| format!("n{host_id}")),
        state: state.into(),
        own: host_id == 1,
        slot_trouble: (host_id == 3).then(|| "cannot be read: no copy has its checksum".into()),
    };
    let shared = PoolView {
        name: "vg0".into(),
        vg_uuid: Some("Vh1Vvv-0ZJ1-3vW2-D1hu-jmXc-kG4d-yW9fXK".into()),
        kind: "shared".into(),
        lock_type: "sanlock".into(),
        size: 107_374_182_400,
        free: 53_687_091_200,
        members: vec![
            member(1, "live"),
            member(2, "fail"),
            member(3, "dead"),
            member(4, "free"),
            member(5, "unknown"),
        ],
        volumes: homes.to_vec(),
        trouble: None,
    };
    let local = PoolView {
        name: "nvme".into(),
        kind: "local".into(),
        lock_type: "none".into(),
        members: Vec::new(),
        volumes: Vec::new(),
        ..shared.clone()
    };
    let foreign = PoolView {
        kind: "shared".into(),
        lock_type: "dlm".into(),
        ..local.clone()
    };
    let unreadable = PoolView {
        name: "vg9".into(),
        vg_uuid: None,
        kind: "shared".into(),
        lock_type: String::new(),
        size: 0,
        free: 0,
        trouble: Some("vg9 does not exist".into()),
        ..local.clone()
    };
    write(out, "pool-view", &[shared, local, foreign, unreadable])?;
    write(out, "volume-view", &homes)
}

fn attachments(out: &Path) -> Done {
    let view = |state: &str, sharing: &str, access: &str| AttachmentView {
        node: "n1".into(),
        instance: WEB1.into(),
        instance_name: Some("web1".into()),
        pool: "vg0".into(),
        volume: "root".into(),
        sharing: sharing.into(),
        access: access.into(),
        state: state.into(),
        device: Some(format!("/dev/volward/{WEB1}/vg0/root")),
        since_ms: NOW,
        causes: Vec::new(),
    };
    let quarantined = AttachmentView {
        causes: vec!["removing the device failed: in use".into()],
        ..view("quarantined", "exclusive", "read-write")
    };
    let elsewhere = AttachmentView {
        node: "n2".into(),
        instance_name: None,
        device: None,
        ..view("intent", "shared", "read-only")
    };
    let views = [
        view("attached", "exclusive", "read-write"),
        quarantined,
        elsewhere,
    ];
    write(out, "attachment-view", &views)?;
    let whole = ClusterReply {
        attachments: views.to_vec(),
        unreadable: vec!["pool vg9: vg9 does not exist".into()],
    };
    write(out, "cluster-reply", &[whole, ClusterReply::default()])?;
    let states = [
        "hydrating",
        "complete",
        "writes-only",
        "returning",
        "stalled",
        "failed",
    ];
    let copies = states.map(|state| HydrationView {
        pool: "vg0".into(),
        volume: "root".into(),
        state: state.into(),
        done: 1 << 30,
        total: 10_737_418_240,
        remaining_ms: (state == "hydrating").then_some(125_000),
        stalled_ms: if state == "stalled" { 61_000 } else { 0 },
        trouble: (state == "failed").then(|| "vgs: no answer".into()),
    });
    write(out, "hydration-view", &copies)
}

fn policies(out: &Path) -> Done {
    let kinds = [
        ("attach", "trap"),
        ("attach", "deadline"),
        ("attach", "memory"),
        ("attach", "stack"),
        ("detach", "hostcall"),
        ("detach", "log flood"),
        ("detach", "link"),
        ("detach", "runtime"),
    ];
    let faults = kinds.map(|(hook, kind)| FaultView {
        at_ms: NOW,
        request: REQUEST.into(),
        hook: hook.into(),
        kind: kind.into(),
        message: "wasm `unreachable` instruction executed".into(),
        backtrace: vec!["hours::review at 0x1a2b".into()],
    });
    let view = |state: &str, level: &str| PolicyView {
        name: "hours".into(),
        digest: "ab".repeat(32),
        interface: "volward:policy@0.1.0".into(),
        level: level.into(),
        state: state.into(),
        reason: None,
        hooks: ["attach", "detach", "lifecycle"].map(Into::into).to_vec(),
        granted: 41,
        denied: 2,
        faulted: 0,
        p50_micros: Some(66),
        p99_micros: Some(140),
        faults: Vec::new(),
    };
    let why = |state: &str, level: &str| PolicyView {
        reason: Some("the file is writable by others".into()),
        p50_micros: None,
        p99_micros: None,
        faults: faults.to_vec(),
        ..view(state, level)
    };
    write(
        out,
        "policy-view",
        &[
            view("serving", "enforce"),
            why("last-good", "enforce"),
            why("rolled-back", "monitor"),
            why("refused", "monitor"),
            view("off", "off"),
        ],
    )
}

fn decisions(out: &Path) -> Done {
    let view = |hook: &str, said: &str, became: &str| DecisionView {
        seq: 7,
        request: REQUEST.into(),
        at_ms: NOW,
        hook: hook.into(),
        instance: WEB1.into(),
        instance_name: "web1".into(),
        disks: vec!["vg0/root".into()],
        said: said.into(),
        by: (said == "denied").then(|| "hours".into()),
        became: became.into(),
        message: (became != "done").then(|| "not at night".into()),
        micros: 412,
    };
    let list = DecisionsReply {
        decisions: vec![
            view("attach", "granted", "done"),
            view("attach", "granted", "failed"),
            view("attach", "denied", "refused"),
            view("attach", "faulted", "refused"),
            view("detach", "advised", "done"),
        ],
        last: 8,
    };
    write(out, "decisions-reply", &[list])?;
    let record: Value = json!({ "hook": "attach", "micros": 412 });
    let whole = DecisionReply {
        seq: 7,
        record: record.clone(),
        outcome: json!({ "became": "refused", "code": "too-late", "message": "not at night" }),
    };
    write(out, "decision-reply", &[whole])?;
    let steps = ["waiting", "started", "done", "undone"];
    let explained = ExplainReply {
        request: REQUEST.into(),
        summary: "attach of vg0/root: under way".into(),
        decision: Some(record),
        steps: steps.map(|s| ("deactivate vg0/root".into(), s.into())).to_vec(),
        trouble: vec!["vg0/root is attached on n2".into()],
    };
    let unknown = ExplainReply {
        decision: None,
        steps: Vec::new(),
        trouble: Vec::new(),
        ..explained.clone()
    };
    write(out, "explain-reply", &[explained, unknown])
}

fn rest(out: &Path) -> Done {
    let verdicts = [
        DoctorVerdict::Ok,
        DoctorVerdict::Warning,
        DoctorVerdict::Failed,
    ];
    let checks = verdicts.map(|verdict| DoctorCheck {
        name: "watchdog".into(),
        verdict,
        found: "sanlock runs with -w 0".into(),
        remedy: (verdict != DoctorVerdict::Ok).then(|| "take `-w 0` out".into()),
        refuses_read_write: verdict == DoctorVerdict::Failed,
    });
    write(
        out,
        "doctor-reply",
        &[DoctorReply {
            checks: checks.to_vec(),
        }],
    )?;
    write(
        out,
        "status-reply",
        &[StatusReply {
            version: "0.1.0".into(),
            node: "n1".into(),
            quarantined: 1,
            pools: vec!["vg0".into(), "nvme".into()],
        }],
    )?;
    let kinds = [
        ProblemCode::BadRequest,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::Denied,
        ProblemCode::Refused,
        ProblemCode::Faulted,
        ProblemCode::Storage,
        ProblemCode::Quarantined,
        ProblemCode::Internal,
    ];
    let whole = |kind| Problem {
        kind,
        code: "held-elsewhere".into(),
        message: "vg0/root is attached on n2".into(),
        details: vec!["says policy baseline".into()],
        retry_after_ms: Some(4_200),
        request: Some(REQUEST.into()),
    };
    let mut problems = kinds.map(whole).to_vec();
    problems.push(Problem {
        details: Vec::new(),
        retry_after_ms: None,
        request: None,
        ..whole(ProblemCode::NotFound)
    });
    write(out, "problem", &problems)
}

fn main() -> Done {
    let out = std::env::args().nth(1).ok_or("usage: fixtures OUT")?;
    let out = Path::new(&out);
    requests(out)?;
    attach_replies(out)?;
    pools(out)?;
    attachments(out)?;
    policies(out)?;
    decisions(out)?;
    rest(out)
}
