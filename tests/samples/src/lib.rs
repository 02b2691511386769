//! Made-up facts, answers and records for property tests: proptest strategies, one a word of the
//! model. They are small and repeat themselves on purpose: three nodes, a few volumes and
//! instances, so that conflicts happen.
#![allow(
    clippy::unwrap_used,
    reason = "names and UUIDs of our own making; a test is the only caller"
)]

pub mod fuzz;
pub mod mutate;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;
use volward_model::scenario::Hook;
use volward_model::{
    Access, Answer, Attachment, AttachmentState, Bytes, Combined, CopyFate, CopyMode, CopyPlan,
    DecisionRecord, Denial, DiskAnswer, DiskFacts, Facts, Fault, FaultKind, Home, HomeState,
    HydrationFacts, InstanceId, LvmUuid, NodeFacts, NodeName, Note, Origin, PluginVerdict, Purpose,
    RequestFacts, RequestId, Sharing, Space, Verdict, VolumeId,
};
use volward_model::{OperationFacts, OperationKind, PoolName, VolumeName};

/// A volume of a few.
pub fn volume() -> impl Strategy<Value = VolumeId> {
    (lvm_uuid("gh"), lvm_uuid("abcdefkl")).prop_map(|(vg, lv)| VolumeId { vg, lv })
}

fn lvm_uuid(letters: &'static str) -> impl Strategy<Value = LvmUuid> {
    let all: Vec<LvmUuid> = letters
        .chars()
        .map(|letter| letter.to_string().repeat(32).parse().unwrap())
        .collect();
    select(all)
}

fn node_name() -> impl Strategy<Value = NodeName> {
    select(vec!["node1", "node2", "node3"]).prop_map(|name| name.parse().unwrap())
}

fn instance() -> impl Strategy<Value = InstanceId> {
    (1..5u128).prop_map(|n| InstanceId(Uuid::from_u128(n)))
}

/// Shared or exclusive.
pub fn sharing() -> impl Strategy<Value = Sharing> {
    select(vec![Sharing::Shared, Sharing::Exclusive])
}

/// Read-write or read-only.
pub fn access() -> impl Strategy<Value = Access> {
    select(vec![Access::ReadWrite, Access::ReadOnly])
}

/// Any mode of copying.
pub fn copy_mode() -> impl Strategy<Value = CopyMode> {
    select(vec![
        CopyMode::None,
        CopyMode::WritesOnly,
        CopyMode::Background,
        CopyMode::BeforeStart,
    ])
}

/// Any fate of a copy.
pub fn copy_fate() -> impl Strategy<Value = CopyFate> {
    select(vec![CopyFate::WriteBack, CopyFate::Keep, CopyFate::Discard])
}

fn amount() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        (1..200u64).prop_map(|gib| Bytes(gib << 30)),
        any::<u64>().prop_map(Bytes)
    ]
}

/// Any plan for a copy.
pub fn copy_plan() -> impl Strategy<Value = CopyPlan> {
    (
        copy_mode(),
        option::of(amount()),
        option::of(amount()),
        copy_fate(),
    )
        .prop_map(|(mode, in_flight, batch, fate)| CopyPlan {
            mode,
            in_flight,
            batch,
            fate,
        })
}

/// Text as people and machines write it, with what JSON must escape.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["", "web-1", "db-2", "test-3", "cache", "ä\n\"\\\u{1}"])
            .prop_map(ToOwned::to_owned),
        "\\PC{0,12}",
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..3)
}

fn home() -> impl Strategy<Value = Home> {
    let state = (0..4, node_name(), lvm_uuid("xyz")).prop_map(|(state, node, copy)| match state {
        0 => HomeState::Split { node, copy },
        1 => HomeState::Node { node, copy },
        2 => HomeState::Returning { node, copy },
        _ => HomeState::Pool,
    });
    // Most volumes never had a copy.
    prop_oneof![
        3 => Just(Home::POOL),
        1 => (state, 0..9u64).prop_map(|(state, generation)| Home { state, generation }),
    ]
}

/// Somebody's attachment.
pub fn attachment() -> impl Strategy<Value = Attachment> {
    let state = select(vec![
        AttachmentState::Intent,
        AttachmentState::Attached,
        AttachmentState::Quarantined,
    ]);
    (
        volume(),
        instance(),
        node_name(),
        sharing(),
        access(),
        any::<u64>(),
        state,
    )
        .prop_map(
            |(volume, instance, node, sharing, access, since_ms, state)| Attachment {
                volume,
                instance,
                node,
                sharing,
                access,
                since_ms,
                state,
            },
        )
}

fn hydration() -> impl Strategy<Value = HydrationFacts> {
    (
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(
            |(regions_total, regions_hydrated, region_bytes, running, stalled_ms)| HydrationFacts {
                regions_total,
                regions_hydrated,
                region_bytes,
                running,
                stalled_ms,
            },
        )
}

/// A disk.
pub fn disk() -> impl Strategy<Value = DiskFacts> {
    let what = (volume(), amount(), any::<bool>(), vec(text(), 0..3), home());
    let others = (vec(attachment(), 0..3), option::of(hydration()));
    (what, others, sharing(), access()).prop_map(|(what, others, asked_sharing, asked_access)| {
        let (id, size, shareable, tags, home) = what;
        let (attachments, hydration) = others;
        let letter = &id.lv.compact()[..1];
        DiskFacts {
            id,
            pool: format!("vg-{}", &id.vg.compact()[..1]).parse().unwrap(),
            name: format!("disk-{letter}").parse().unwrap(),
            size,
            shareable,
            tags,
            home,
            attachments,
            hydration,
            asked_sharing,
            asked_access,
        }
    })
}

/// A node.
pub fn node() -> impl Strategy<Value = NodeFacts> {
    let space = (amount(), amount(), amount()).prop_map(|(total, free, promised)| Space {
        total,
        free,
        promised,
    });
    (
        node_name(),
        pairs(),
        option::of(space),
        option::of(0..10_000u32),
        option::of(0..1_000u32),
    )
        .prop_map(
            |(name, labels, local, io_pressure, attachments)| NodeFacts {
                name,
                labels,
                local,
                io_pressure,
                attachments,
            },
        )
}

/// Any request: every origin and purpose, any caller and name, some hints.
pub fn request() -> impl Strategy<Value = RequestFacts> {
    let origin = prop_oneof![
        Just(Origin::Libvirt),
        Just(Origin::Openstack),
        Just(Origin::Operator),
        text().prop_map(Origin::Other),
    ];
    let purpose = prop_oneof![
        Just(Purpose::Boot),
        Just(Purpose::HotPlug),
        Just(Purpose::MigrationIn),
        Just(Purpose::Restore),
        text().prop_map(Purpose::Other),
    ];
    (
        any::<u128>(),
        origin,
        any::<u32>(),
        purpose,
        instance(),
        text(),
        pairs(),
    )
        .prop_map(
            |(id, origin, caller_uid, purpose, instance, instance_name, hints)| RequestFacts {
                id: RequestId(Uuid::from_u128(id)),
                origin,
                caller_uid,
                purpose,
                instance,
                instance_name,
                hints,
            },
        )
}

/// Facts: up to five disks asked for, no volume twice, as the daemon gathers them.
pub fn facts() -> impl Strategy<Value = Facts> {
    let times = (any::<u64>(), -900..900i32);
    let disks = (vec(disk(), 0..6), 0..6usize);
    (request(), node(), option::of(node()), disks, times).prop_map(
        |(request, node, peer, (disks, asked), times)| {
            let mut disks: Vec<DiskFacts> = disks;
            let mut seen = Vec::new();
            disks.retain(|disk| {
                !seen.contains(&disk.id) && {
                    seen.push(disk.id);
                    true
                }
            });
            let held = disks.split_off(asked.min(disks.len()));
            Facts {
                request,
                node,
                peer,
                operation: None,
                disks,
                held,
                now_ms: times.0,
                utc_offset_minutes: times.1,
            }
        },
    )
}

fn note() -> impl Strategy<Value = Note> {
    (text(), text()).prop_map(|(key, value)| Note { key, value })
}

/// An answer about these disks and perhaps others, perhaps not about all, in any order.
pub fn answer(volumes: Vec<VolumeId>) -> impl Strategy<Value = Answer> {
    let which = if volumes.is_empty() {
        volume().boxed()
    } else {
        prop_oneof![8 => select(volumes), 1 => volume()].boxed()
    };
    let disk = (
        which,
        sharing(),
        access(),
        copy_mode(),
        option::of(copy_plan()),
    )
        .prop_map(|(volume, sharing, access, copy_at_most, copy)| DiskAnswer {
            volume,
            sharing,
            access,
            copy_at_most,
            copy,
        });
    (vec(disk, 0..6), vec(note(), 0..3)).prop_map(|(disks, notes)| Answer { disks, notes })
}

fn denial() -> impl Strategy<Value = Denial> {
    (text(), text(), option::of(any::<u32>())).prop_map(|(code, message, retry_after_ms)| Denial {
        code,
        message,
        retry_after_ms,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = select(vec![
        FaultKind::Trap,
        FaultKind::Deadline,
        FaultKind::Memory,
        FaultKind::Stack,
        FaultKind::Hostcall,
        FaultKind::LogFlood,
        FaultKind::Link,
        FaultKind::Runtime,
    ]);
    (kind, text(), vec(text(), 0..3)).prop_map(|(kind, message, backtrace)| Fault {
        kind,
        message,
        backtrace,
    })
}

/// An answer as the sandbox lets a policy make it: one for each disk, narrowed from what was
/// asked.
pub fn narrowed(facts: &Facts) -> impl Strategy<Value = Answer> + use<> {
    let asked = Answer::as_asked(facts);
    let narrowing = (
        option::of(sharing()),
        option::of(access()),
        option::of(copy_mode()),
        option::of(copy_plan()),
    );
    let each = vec(narrowing, asked.disks.len());
    (each, vec(note(), 0..3)).prop_map(move |(each, notes)| {
        let mut answer = asked.clone();
        for (disk, (sharing, access, at_most, copy)) in answer.disks.iter_mut().zip(each) {
            disk.sharing = disk.sharing.max(sharing.unwrap_or(disk.sharing));
            disk.access = disk.access.max(access.unwrap_or(disk.access));
            disk.copy_at_most = disk.copy_at_most.min(at_most.unwrap_or(disk.copy_at_most));
            disk.copy = copy;
        }
        answer.notes = notes;
        answer
    })
}

/// What a policy says of an attach or a detach. Agreement is common.
pub fn verdict(facts: &Facts) -> impl Strategy<Value = Verdict> + use<> {
    let advice = vec((volume(), option::of(copy_fate())), 0..4);
    prop_oneof![
        6 => narrowed(facts).prop_map(Verdict::Granted),
        1 => advice.prop_map(Verdict::Advised),
        1 => denial().prop_map(Verdict::Denied),
        1 => fault().prop_map(Verdict::Faulted),
        1 => Just(Verdict::Absent),
    ]
}

/// A policy with what it says.
pub fn plugin(verdict: BoxedStrategy<Verdict>) -> impl Strategy<Value = PluginVerdict> {
    let config = proptest::collection::btree_map(text(), text(), 0..3);
    let said = (verdict, vec(text(), 0..2), any::<u64>());
    (text(), any::<bool>(), config, said).prop_map(
        |(plugin, monitored, config, (verdict, log, micros))| PluginVerdict {
            plugin,
            digest: "ab".repeat(32),
            interface: "volward:policy@0.1.0".to_owned(),
            monitored,
            config,
            verdict,
            log,
            micros,
        },
    )
}

/// An operation on a volume, as a policy is told of it.
fn operation() -> impl Strategy<Value = OperationFacts> {
    let kind = prop_oneof![
        select(vec![
            OperationKind::Create,
            OperationKind::Delete,
            OperationKind::Extend,
            OperationKind::Copy,
            OperationKind::Snapshot,
            OperationKind::Rename,
        ]),
        text().prop_map(OperationKind::Other),
    ];
    let pool = select(vec!["vg0", "vg1"]).prop_map(|name| name.parse::<PoolName>().unwrap());
    let name = select(vec!["a", "b"]).prop_map(|name| name.parse::<VolumeName>().unwrap());
    let new = (option::of(name), option::of(amount()));
    (kind, pool, new).prop_map(|(kind, pool, (new_name, new_size))| OperationFacts {
        kind,
        pool,
        new_name,
        new_size,
    })
}

/// A whole decision of one of the hooks, as the chain would have combined it.
pub fn record() -> impl Strategy<Value = DecisionRecord> {
    let copies = vec((volume(), copy_fate()), 0..4);
    let hook = (select(Hook::ALL.to_vec()), operation());
    (facts(), copies, hook, any::<u64>()).prop_flat_map(
        |(mut facts, copies, (hook, operation), micros)| {
            facts.operation = (hook == Hook::Operate).then_some(operation);
            vec(plugin(verdict(&facts).boxed()), 0..4).prop_map(move |plugins| {
                let (copies, combined) = match hook {
                    Hook::Detach => (copies.clone(), Combined::detach(&copies, &plugins)),
                    Hook::Attach | Hook::Migrate | Hook::Operate => {
                        (Vec::new(), Combined::attach(&facts, &plugins))
                    }
                };
                DecisionRecord {
                    hook: hook.word().to_owned(),
                    facts: facts.clone(),
                    copies,
                    plugins,
                    combined,
                    micros,
                }
            })
        },
    )
}
