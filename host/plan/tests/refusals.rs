//! The table of refusals: each code has a case that makes it, and each sentence is reviewed as
//! text in tests/golden/refusals.txt.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests; golden files are read by path"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use volward_model::home::HomeState;
use volward_model::{
    Access, Answer, Attachment, AttachmentState, Bytes, CloneMode, CloneStatus, CopyMode,
    CopyProgress, DeviceId, DeviceInfo, DeviceNumber, DiskAnswer, HeldLease, Home, InstanceId,
    LeaseHolder, LeaseMode, LvUuid, Mark, MigrationCall, MigrationNonce, OperationId, PoolInfo,
    PoolKind, RequestId, Sectors, Sharing, Space, VolumeId, VolumeInfo, VolumeOperation, VolumeRef,
    VolumeTask,
};
use volward_plan::attach::{Requester, attach};
use volward_plan::home::{come_home, write_back};
use volward_plan::input::ForeignAttachment;
use volward_plan::last_use::LastUse;
use volward_plan::migrate::{Caller, Heard, Job, Judgement, judge, source};
use volward_plan::operate::{
    Place, Seen, Sight, SourceSeen, Wipe, Writer, may_be_copied, may_begin, may_change, may_hold,
    next,
};
use volward_plan::permit::permit;
use volward_plan::recheck::recheck;
use volward_plan::service::Kind;
use volward_plan::{
    Action, CallerKind, DiskForm, DiskOptions, Expectation, HostIdTaken, LocalAttachment,
    LocalCopies, LocalPool, NodeRoles, PlanInput, Recheck, Refusal, RefusalCode, RequestedDisk,
    Unmet, VolumeInput, Watchdog,
};

/// A refusal, and what makes it.
type Case = (RefusalCode, &'static str, Refusal);

fn lv(letter: char) -> LvUuid {
    letter.to_string().repeat(32).parse().unwrap()
}

fn instance(n: u128) -> InstanceId {
    InstanceId(uuid::Uuid::from_u128(n))
}

fn volume() -> VolumeInput {
    VolumeInput {
        info: VolumeInfo {
            volume: VolumeRef {
                id: VolumeId {
                    vg: "g".repeat(32).parse().unwrap(),
                    lv: lv('a'),
                },
                pool: "vg0".parse().unwrap(),
                name: "root".parse().unwrap(),
            },
            size: Bytes::mib(512),
            tags: Vec::new(),
            segment_type: "linear".into(),
            active: false,
            autoactivation: false,
            roles: Vec::new(),
            own_lease: true,
            read_only: false,
        },
        lease: None,
        here: Vec::new(),
        elsewhere: Vec::new(),
        unreadable: Vec::new(),
        newer: Vec::new(),
        answers: Vec::new(),
        progress: None,
        clone: None,
        clone_loaded: false,
        witnesses: volward_plan::Witnesses::default(),
    }
}

fn at_home(state: HomeState) -> VolumeInput {
    let mut volume = volume();
    let home = Home {
        state,
        generation: 3,
    };
    volume.info.tags.push(home.tag());
    volume
}

fn split(node: &str) -> HomeState {
    HomeState::Split {
        node: node.parse().unwrap(),
        copy: lv('c'),
    }
}

fn here(instance: InstanceId, state: AttachmentState) -> LocalAttachment {
    LocalAttachment {
        instance,
        instance_name: "db1".into(),
        form: DiskForm::Own,
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        state,
        copy: None,
        arriving: None,
        leaving: false,
    }
}

fn copied_here(state: AttachmentState) -> LocalAttachment {
    LocalAttachment {
        copy: Some(CopyMode::Background),
        ..here(instance(2), state)
    }
}

fn clone_of(hydrating: bool) -> CloneStatus {
    CloneStatus {
        region: Sectors(128),
        hydrated: 10,
        total: 40,
        in_flight: 0,
        hydrating,
        mode: CloneMode::ReadWrite,
    }
}

/// A device of another instance that the kernel has, whatever the records say.
fn open_device(volume: &VolumeInput) -> DeviceInfo {
    DeviceInfo {
        id: DeviceId::attachment(volume.info.volume.id, instance(9)),
        number: DeviceNumber {
            major: 253,
            minor: 7,
        },
        open: true,
        suspended: false,
        read_only: false,
        target: Some("linear".into()),
        size: Sectors(0),
        event: 0,
    }
}

fn on_n2(instance: InstanceId) -> Attachment {
    Attachment {
        volume: volume().info.volume.id,
        instance,
        node: "n2".parse().unwrap(),
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        since_ms: 5,
        state: AttachmentState::Attached,
    }
}

/// A request for one volume, exclusive and read-write, on node n1.
struct Asked {
    input: PlanInput,
    answer: Answer,
}

impl Asked {
    fn disk(&mut self) -> &mut RequestedDisk {
        &mut self.input.disks[0]
    }

    fn grant(&mut self) -> &mut DiskAnswer {
        &mut self.answer.disks[0]
    }
}

/// The refusal of an attach of `volume`, changed before it is planned.
fn attached(volume: VolumeInput, change: impl FnOnce(&mut Asked)) -> Refusal {
    let options = DiskOptions {
        form: DiskForm::Own,
        access: Access::ReadWrite,
        sharing: None,
        accept_narrowing: false,
    };
    let disk = match RequestedDisk::new(volume, options) {
        Ok(disk) => disk,
        Err(refusal) => return refusal,
    };
    let grant = DiskAnswer {
        volume: disk.volume().id,
        sharing: disk.sharing,
        access: disk.access,
        copy_at_most: CopyMode::BeforeStart,
        copy: None,
    };
    let mut asked = Asked {
        input: PlanInput {
            node: "n1".parse().unwrap(),
            local: Some(LocalPool {
                name: "local".parse().unwrap(),
                space: Space {
                    total: Bytes::mib(8_192),
                    free: Bytes::mib(8_192),
                    promised: Bytes(0),
                },
                extent: Bytes::mib(4),
                partial: false,
            }),
            watchdog: Watchdog::Armed,
            clone_unfit: None,
            incomplete: Vec::new(),
            attached: Vec::new(),
            disks: vec![disk],
        },
        answer: Answer {
            disks: vec![grant],
            notes: Vec::new(),
        },
    };
    change(&mut asked);
    let requester = Requester {
        instance: instance(1),
        own_host_id: 1,
        now_ms: 1_000,
        arrives: None,
    };
    match attach(&asked.input, requester, &asked.answer) {
        Err(refusal) => refusal,
        Ok(plan) => panic!("not refused: {plan:?}"),
    }
}

fn changed(change: impl FnOnce(&mut VolumeInput)) -> Refusal {
    let mut volume = volume();
    change(&mut volume);
    attached(volume, |_| ())
}

fn asked(change: impl FnOnce(&mut Asked)) -> Refusal {
    attached(volume(), change)
}

/// The refusal of the second look, under the lease.
fn looked_again(change: impl FnOnce(&mut VolumeInput)) -> Refusal {
    let mut now = volume();
    change(&mut now);
    match recheck(&expected(), Some(&now)) {
        Recheck::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// What was seen of [`volume`] when it was decided.
fn expected() -> Expectation {
    let seen = volume();
    Expectation {
        volume: seen.info.volume.clone(),
        size: seen.info.size,
        home: seen.info.home().unwrap(),
        shareable: false,
        others: Vec::new(),
        lease: LeaseMode::Exclusive,
        writes: true,
        own_host_id: 1,
        called: None,
        saved: None,
    }
}

/// `version`: of the lease at its last use, where 7 is the one now.
fn restored(version: Option<u64>) -> Refusal {
    let mut now = volume();
    now.lease = Some(HeldLease {
        mode: LeaseMode::Exclusive,
        version: 7,
        orphan: false,
    });
    now.info.active = true;
    let expected = Expectation {
        saved: Some(LastUse {
            instance: instance(1),
            volume: now.info.volume.clone(),
            version,
            size: Some(now.info.size),
            at_ms: 1,
        }),
        ..expected()
    };
    match recheck(&expected, Some(&now)) {
        Recheck::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn written_back(volume: &VolumeInput) -> Refusal {
    let (node, local) = ("n1".parse().unwrap(), "local".parse().unwrap());
    write_back(&node, &local, volume, true).unwrap_err()
}

fn brought_home(mut volume: VolumeInput, change: impl FnOnce(&mut VolumeInput)) -> Refusal {
    let (node, local) = ("n1".parse().unwrap(), "local".parse().unwrap());
    change(&mut volume);
    come_home(&node, &local, &volume).unwrap_err()
}

const NO_SLOT: &str = "the registry slot of host-id 3 in pool vg0 cannot be read (torn header), and \
                       that node may be alive; restart volwardd there";
const NEWER: &str = "node n2 runs a newer Volward, whose slot in pool vg0 names this volume (format 9); upgrade this \
                     node";

fn cases() -> Vec<Case> {
    let mut cases = holders();
    cases.extend(homes());
    cases.extend(rules());
    cases.extend(kinds());
    cases.extend(requests());
    cases.extend(pools());
    cases.extend(permitted());
    cases.extend(operations());
    cases.extend(migrations());
    cases
}

fn task(word: &str, name: &str, size: u64) -> VolumeTask {
    let (pool, name, size) = ("vg0".parse().unwrap(), name.parse().unwrap(), Bytes(size));
    match word {
        "create" => VolumeTask::Create { pool, name, size },
        "delete" => VolumeTask::Delete { pool, name },
        "copy" => VolumeTask::Copy {
            from_pool: pool.clone(),
            from: name,
            pool,
            name: "new".parse().unwrap(),
            size: Some(size),
        },
        "relocate" => VolumeTask::Relocate {
            pool,
            name,
            disk: "d".repeat(32).parse().unwrap(),
        },
        "rename" => VolumeTask::Rename {
            pool,
            name,
            to: "new".parse().unwrap(),
        },
        _ => VolumeTask::Extend { pool, name, size },
    }
}

fn pool_of(volumes: Vec<VolumeInfo>) -> PoolInfo {
    PoolInfo {
        name: "vg0".parse().unwrap(),
        vg: "g".repeat(32).parse().unwrap(),
        kind: PoolKind::Shared,
        size: Bytes::mib(1_024),
        free: Bytes::mib(512),
        extent: Bytes::mib(4),
        partial: false,
        autoactivation: false,
        volumes,
    }
}

fn marked(mark: &Mark) -> VolumeInput {
    let mut volume = volume();
    volume.info.tags.push(mark.tag());
    volume
}

fn operations() -> Vec<Case> {
    use RefusalCode as Code;
    let by: OperationId = "cinder:7".parse().unwrap();
    let other: OperationId = "cinder:8".parse().unwrap();
    let from = Bytes::mib(512);
    let node = "n1".parse().unwrap();
    let gib = 1 << 30;
    let begin =
        |task: &VolumeTask| may_begin(&by, task, &pool_of(vec![volume().info])).unwrap_err();
    let change = |word: &str, volume: &VolumeInput| {
        may_change(&other, &task(word, "root", gib), &node, volume).unwrap_err()
    };
    let of = |change: fn(&mut VolumeInput)| {
        let mut volume = volume();
        change(&mut volume);
        volume
    };
    let new = Mark::New { by: by.clone() };
    let dying = Mark::Dying { by: by.clone() };
    let growing = Mark::Growing {
        by: by.clone(),
        from,
    };
    let attach = |mark: &Mark| attached(marked(mark), |_| {});
    let copying = Mark::Copying {
        by: by.clone(),
        size: from,
    };
    let copied = |volume: &VolumeInput| {
        may_be_copied(&other, &task("copy", "root", gib), &node, volume).unwrap_err()
    };
    let gone = {
        let operation = VolumeOperation::new(
            by.clone(),
            task("copy", "root", gib),
            (RequestId(uuid::Uuid::nil()), 0),
            1,
        );
        next(&operation, Wipe::default(), &Sight::nothing(false)).unwrap_err()
    };
    // Of a copy that was begun under a guest.
    let followed = |writer| {
        let operation = VolumeOperation::new(
            by.clone(),
            task("copy", "root", gib),
            (RequestId(uuid::Uuid::nil()), 0),
            1,
        );
        let sight = Sight {
            volume: Some(Seen::of(&marked(&new).info).unwrap()),
            source: Some(SourceSeen {
                name: "origin".parse().unwrap(),
                dying_name: "volward-dying-x".parse().unwrap(),
                wipes: false,
                size: from,
                mark: None,
                holds: false,
                works: false,
                read: false,
                writer,
            }),
            ..Sight::nothing(true)
        };
        next(&operation, Wipe::default(), &sight).unwrap_err()
    };
    // Of a relocation that was begun under a guest.
    let moved = |attached, place| {
        let mut operation = VolumeOperation::new(
            by.clone(),
            task("relocate", "root", gib),
            (RequestId(uuid::Uuid::nil()), 0),
            1,
        );
        operation.zeroed = from;
        let sight = Sight {
            volume: Some(Seen::of(&volume().info).unwrap()),
            attached,
            place: Some(place),
            ..Sight::nothing(true)
        };
        next(&operation, Wipe::default(), &sight).unwrap_err()
    };
    let disk = "f".repeat(32).parse().unwrap();
    vec![
        (
            Code::BeingCopied,
            "attached while it is copied",
            attach(&copying),
        ),
        (
            Code::BeingCopied,
            "copied by two",
            copied(&marked(&copying)),
        ),
        (Code::SourceGone, "the source of a copy was removed", gone),
        (
            Code::UsedSince,
            "restored after another node has had its volume",
            restored(Some(3)),
        ),
        (
            Code::UsedSince,
            "restored after another instance has written to its volume",
            restored(None),
        ),
        (
            Code::SourceDetached,
            "the guest stopped while its volume went to another disk",
            moved(false, Place::On { from: disk }),
        ),
        (
            Code::MoveHalted,
            "the I/O of a volume was cut off while it went to another disk",
            moved(true, Place::Halted { from: disk }),
        ),
        (
            Code::HeldElsewhere,
            "moved to another disk while attached on another node",
            change(
                "relocate",
                &of(|v| {
                    v.elsewhere.push(ForeignAttachment {
                        host_id: 2,
                        attachment: on_n2(instance(2)),
                        silence: None,
                    })
                }),
            ),
        ),
        (
            Code::HeldHere,
            "moved to another disk while quarantined",
            change(
                "relocate",
                &of(|v| v.here.push(here(instance(2), AttachmentState::Quarantined))),
            ),
        ),
        (
            Code::SourceDetached,
            "the guest stopped while its volume was copied",
            followed(None),
        ),
        (
            Code::CopyBroken,
            "the disks failed while a volume was copied under its guest",
            followed(Some(Writer::Failed)),
        ),
        (
            Code::WouldShrink,
            "a copy that is smaller than its source",
            may_hold(&task("copy", "root", 512), &volume().info, &pool_of(vec![])).unwrap_err(),
        ),
        (Code::NameTaken, "renamed to the name of another one", {
            let mut new = volume().info;
            new.volume.name = "new".parse().unwrap();
            may_begin(
                &by,
                &task("rename", "root", 0),
                &pool_of(vec![volume().info, new]),
            )
            .unwrap_err()
        }),
        (Code::BeingMade, "attached while it is made", attach(&new)),
        (
            Code::BeingDeleted,
            "attached while it is deleted",
            attach(&dying),
        ),
        (
            Code::BeingGrown,
            "attached while it grows",
            attach(&growing),
        ),
        (
            Code::BeingGrown,
            "attached with a mark of a later version",
            attach(&Mark::Unknown {
                tags: "volward.new=a/b".into(),
            }),
        ),
        (
            Code::BeingGrown,
            "grown by two",
            change("extend", &marked(&growing)),
        ),
        (
            Code::BeingMade,
            "grown while it is made",
            change("extend", &marked(&new)),
        ),
        (
            Code::OperationOpen,
            "another one has not ended",
            Refusal::operation_open(&task("delete", "root", 0), &by),
        ),
        (
            Code::OperationDiffers,
            "an id that was used",
            Refusal::operation_differs(&by, &task("create", "root", gib)),
        ),
        (
            Code::TooLate,
            "cancelled when it has ended",
            Refusal::too_late(&by, "has ended"),
        ),
        (
            Code::NameTaken,
            "made twice",
            begin(&task("create", "root", gib)),
        ),
        (
            Code::NameReserved,
            "LVM's",
            begin(&task("create", "snapshot1", 4096)),
        ),
        (
            Code::NameReserved,
            "LVM's part",
            begin(&task("create", "a_tmeta", 4096)),
        ),
        (
            Code::NameReserved,
            "Volward's",
            begin(&task("create", "volward-x", 4096)),
        ),
        (
            Code::SizeUnsupported,
            "nothing",
            begin(&task("create", "new", 0)),
        ),
        (
            Code::SizeUnsupported,
            "half a sector",
            begin(&task("create", "new", 1000)),
        ),
        (Code::NoSpace, "made", begin(&task("create", "new", gib))),
        (
            Code::NoSpace,
            "grown",
            begin(&task("extend", "root", 2 * gib)),
        ),
        (
            Code::PoolIncomplete,
            "a volume is made without a disk",
            may_begin(
                &by,
                &task("create", "new", 4096),
                &PoolInfo {
                    partial: true,
                    ..pool_of(vec![])
                },
            )
            .unwrap_err(),
        ),
        (
            Code::WouldShrink,
            "less than it has",
            may_change(&by, &task("extend", "root", 4096), &node, &volume()).unwrap_err(),
        ),
        (
            Code::NoWatchdog,
            "zeroed without a watchdog",
            Refusal::operation_without_watchdog(&task("create", "new", gib), &node),
        ),
        (
            Code::HomeElsewhere,
            "deleted while its data is in a copy",
            change("delete", &at_home(split("n2"))),
        ),
        (
            Code::HeldHere,
            "copied while somebody here may write to the LV itself",
            copied(&of(|v| {
                v.here.push(LocalAttachment {
                    form: DiskForm::Lv,
                    ..here(instance(2), AttachmentState::Attached)
                });
            })),
        ),
        (
            Code::HeldElsewhere,
            "copied while somebody elsewhere may write to it",
            copied(&of(|v| {
                v.elsewhere.push(ForeignAttachment {
                    host_id: 2,
                    attachment: on_n2(instance(2)),
                    silence: None,
                })
            })),
        ),
        (
            Code::HeldHere,
            "renamed while attached",
            change(
                "rename",
                &of(|v| v.here.push(here(instance(2), AttachmentState::Attached))),
            ),
        ),
        (
            Code::HeldHere,
            "deleted while attached",
            change(
                "delete",
                &of(|v| v.here.push(here(instance(2), AttachmentState::Attached))),
            ),
        ),
        (
            Code::HeldHere,
            "grown while quarantined",
            change(
                "extend",
                &of(|v| v.here.push(here(instance(2), AttachmentState::Quarantined))),
            ),
        ),
        (
            Code::HeldHere,
            "deleted while quarantined",
            change(
                "delete",
                &of(|v| v.here.push(here(instance(2), AttachmentState::Quarantined))),
            ),
        ),
        (
            Code::HeldElsewhere,
            "grown while attached elsewhere",
            change(
                "extend",
                &of(|v| {
                    v.elsewhere.push(ForeignAttachment {
                        host_id: 2,
                        attachment: on_n2(instance(2)),
                        silence: None,
                    });
                }),
            ),
        ),
        (
            Code::SlotUnreadable,
            "deleted while nobody knows who has it",
            change(
                "delete",
                &of(|v| {
                    v.unreadable
                        .push("the slot of n2 is torn; restart volwardd there".into())
                }),
            ),
        ),
        (
            Code::SegmentType,
            "deleted with snapshots",
            change("delete", &of(|v| v.info.roles = vec!["origin".into()])),
        ),
        (
            Code::NoOwnLease,
            "deleted without a lease",
            change("delete", &of(|v| v.info.own_lease = false)),
        ),
        (
            Code::Internal,
            "the registry deleted",
            change(
                "delete",
                &of(|v| v.info.volume.name = "volward-registry".parse().unwrap()),
            ),
        ),
    ]
}

fn permitted() -> Vec<Case> {
    use RefusalCode as Code;
    let [_, control, compute] = NodeRoles::ALL;
    let refused = |action, caller, roles| permit(action, caller, roles).unwrap_err();
    vec![
        (
            Code::CallerMayNot,
            "nova deletes",
            refused(Action::Delete, CallerKind::Nova, NodeRoles::default()),
        ),
        (
            Code::NotControl,
            "a compute node deletes",
            refused(Action::Delete, CallerKind::Cinder, compute),
        ),
        (
            Code::NotCompute,
            "a control node attaches",
            refused(Action::Attach, CallerKind::Nova, control),
        ),
    ]
}

/// Refusals of a live migration: by the source, and by the destination.
fn migrations() -> Vec<Case> {
    use RefusalCode as Code;
    let source = |change: fn(&mut Heard<'_>)| {
        let volume = at_home(HomeState::Pool);
        let attachment = here(instance(1), AttachmentState::Attached);
        heard(&volume, &attachment, change)
    };
    let copied = || {
        let volume = at_home(split("n1"));
        let attachment = here(instance(1), AttachmentState::Attached);
        heard(&volume, &attachment, |_| ())
    };
    let raid = || {
        let mut volume = volume();
        volume.info.segment_type = "raid1".into();
        let attachment = here(instance(1), AttachmentState::Attached);
        heard(&volume, &attachment, |_| ())
    };
    let quarantined = || {
        let attachment = here(instance(1), AttachmentState::Quarantined);
        heard(&volume(), &attachment, |_| ())
    };
    let (name, n2) = (volume().info.volume, "n2".parse().unwrap());
    let arriving = changed(|v| {
        v.here.push(LocalAttachment {
            arriving: Some("n2".parse().unwrap()),
            ..here(instance(1), AttachmentState::Attached)
        });
    });
    let mut expected = expected();
    expected.called = Some(MigrationNonce(uuid::Uuid::from_u128(7)));
    let mut now = volume();
    now.lease = Some(HeldLease {
        mode: LeaseMode::Exclusive,
        version: 1,
        orphan: false,
    });
    now.info.active = true;
    let over = match recheck(&expected, Some(&now)) {
        Recheck::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    vec![
        (
            Code::MigrationUnknown,
            "not attached",
            source(|h| h.attachment = None),
        ),
        (
            Code::MigrationElsewhere,
            "to a third node",
            source(|h| h.leaving = Some(3)),
        ),
        (
            Code::MigrationStale,
            "there at the start",
            source(|h| h.seen_for = None),
        ),
        (Code::MigrationCopy, "split", copied()),
        (Code::ExclusiveOnly, "migrating", raid()),
        (Code::Quarantined, "on the source", quarantined()),
        (
            Code::NoMigration,
            "none runs",
            source(|h| h.job = Job::None),
        ),
        (
            Code::LibvirtSilent,
            "no answer",
            source(|h| h.job = Job::Unknown("virsh is not installed on that node".into())),
        ),
        (
            Code::MigrationRefused,
            "by the source",
            Refusal::source_refuses(
                &name,
                &n2,
                "no-migration",
                "libvirt there shows none; migrate it there",
            ),
        ),
        (
            Code::MigrationUnanswered,
            "in time",
            Refusal::source_silent(&name, &n2, 30),
        ),
        (
            Code::OrderUnanswered,
            "in time",
            Refusal::order_unanswered(&name, "extend", &n2, 30),
        ),
        (Code::MigrationOver, "under the lease", over),
        (Code::Arriving, "a start", arriving),
        (
            Code::RegistryOld,
            "layout 1",
            Refusal::registry_old(&name.pool),
        ),
        (Code::HeldElsewhere, "on two nodes", on_two_nodes()),
    ]
}

/// What a source says to a call, changed before it is judged.
fn heard(
    volume: &VolumeInput,
    attachment: &LocalAttachment,
    change: fn(&mut Heard<'_>),
) -> Refusal {
    let mut heard = Heard {
        call: MigrationCall {
            volume: volume.info.volume.id,
            instance: instance(1),
            nonce: MigrationNonce(uuid::Uuid::from_u128(7)),
            source: 1,
        },
        caller: Caller {
            node: "n2".parse().unwrap(),
            host_id: 2,
            generation: 4,
            present: true,
        },
        seen_for: Some(Duration::from_secs(30)),
        info: Some(&volume.info),
        attachment: Some(attachment),
        leaving: None,
        copied_by: None,
        unsound: None,
        job: Job::MigratingOut { since: None },
    };
    change(&mut heard);
    match judge(&heard) {
        Judgement::Refuse(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// An instance arrives that has a volume on one node, and another on the next.
fn on_two_nodes() -> Refusal {
    let mut first = volume();
    first.info.volume.id.lv = lv('b');
    first.info.volume.name = "data".parse().unwrap();
    first.elsewhere.push(ForeignAttachment {
        host_id: 3,
        attachment: Attachment {
            volume: first.info.volume.id,
            node: "n3".parse().unwrap(),
            ..on_n2(instance(1))
        },
        silence: None,
    });
    let mut second = volume();
    second.elsewhere.push(ForeignAttachment {
        host_id: 2,
        attachment: on_n2(instance(1)),
        silence: None,
    });
    let options = DiskOptions {
        form: DiskForm::Own,
        access: Access::ReadWrite,
        sharing: None,
        accept_narrowing: false,
    };
    let disks = [first, second].map(|v| RequestedDisk::new(v, options).unwrap());
    let input = PlanInput {
        node: "n1".parse().unwrap(),
        local: None,
        watchdog: Watchdog::Armed,
        clone_unfit: None,
        incomplete: Vec::new(),
        attached: Vec::new(),
        disks: disks.to_vec(),
    };
    source(&input, instance(1)).unwrap_err()
}

fn holders() -> Vec<Case> {
    use RefusalCode as Code;
    let foreign = |instance| ForeignAttachment {
        host_id: 2,
        attachment: on_n2(instance),
        silence: None,
    };
    let holder = |node: Option<&str>| LeaseHolder {
        host_id: 2,
        generation: 4,
        mode: LeaseMode::Exclusive,
        node: node.map(|name| name.parse().unwrap()),
    };
    let name = volume().info.volume;
    vec![
        (
            Code::HeldHere,
            "another instance here",
            changed(|v| v.here.push(here(instance(2), AttachmentState::Attached))),
        ),
        (
            Code::HeldElsewhere,
            "another instance there",
            changed(|v| v.elsewhere.push(foreign(instance(9)))),
        ),
        (
            Code::HeldElsewhere,
            "this instance there",
            changed(|v| v.elsewhere.push(foreign(instance(1)))),
        ),
        (
            Code::HeldElsewhere,
            "a lease, slot readable",
            Refusal::leased_elsewhere(&name, &holder(Some("n2")), Some(instance(9))),
        ),
        (
            Code::HeldElsewhere,
            "a lease, slot not readable",
            Refusal::leased_elsewhere(&name, &holder(None), None),
        ),
        (
            Code::AttachedDifferently,
            "read-only instead",
            attached(
                {
                    let mut volume = volume();
                    let had = here(instance(1), AttachmentState::Attached);
                    volume.here.push(had);
                    volume
                },
                |a| {
                    a.disk().access = Access::ReadOnly;
                    a.grant().access = Access::ReadOnly;
                },
            ),
        ),
        (
            Code::Quarantined,
            "left of this instance",
            changed(|v| v.here.push(here(instance(1), AttachmentState::Quarantined))),
        ),
        (
            Code::SlotUnreadable,
            "when planned",
            changed(|v| v.unreadable.push(NO_SLOT.into())),
        ),
        (
            Code::SlotUnreadable,
            "under the lease",
            looked_again(|v| v.unreadable.push(NO_SLOT.into())),
        ),
        (
            Code::SlotNewer,
            "when planned",
            changed(|v| v.newer.push(NEWER.into())),
        ),
        (
            Code::SlotNewer,
            "under the lease",
            looked_again(|v| v.newer.push(NEWER.into())),
        ),
    ]
}

fn homes() -> Vec<Case> {
    use RefusalCode as Code;
    let returning = || {
        at_home(HomeState::Returning {
            node: "n2".parse().unwrap(),
            copy: lv('c'),
        })
    };
    let kept = |node: &str| {
        at_home(HomeState::Node {
            node: node.parse().unwrap(),
            copy: lv('c'),
        })
    };
    let broken = |volume: &mut VolumeInput| volume.info.tags = vec!["volward.home=x".into()];
    let progress = CopyProgress {
        volume: volume().info.volume.id,
        returning: true,
        done: 2,
        total: 5,
        remaining_ms: Some(60_000),
    };
    let mut moving = returning();
    moving.progress = Some(progress);
    vec![
        (
            Code::HomeElsewhere,
            "a copy on another node",
            attached(at_home(split("n2")), |_| ()),
        ),
        (
            Code::HomeElsewhere,
            "the local pool is not configured",
            attached(at_home(split("n1")), |a| a.input.local = None),
        ),
        (
            Code::HomeElsewhere,
            "written back elsewhere",
            written_back(&at_home(split("n2"))),
        ),
        (
            Code::NotHydrated,
            "brought home while it hydrates",
            brought_home(at_home(split("n1")), |v| {
                v.here.push(copied_here(AttachmentState::Attached));
                v.clone = Some(clone_of(true));
            }),
        ),
        (
            Code::NotHydrated,
            "brought home with writes only",
            brought_home(at_home(split("n1")), |v| {
                v.here.push(copied_here(AttachmentState::Attached));
                v.clone = Some(clone_of(false));
            }),
        ),
        (
            Code::NotHydrated,
            "brought home without its clone",
            brought_home(at_home(split("n1")), |v| {
                v.here.push(copied_here(AttachmentState::Attached));
            }),
        ),
        (
            Code::Returning,
            "brought home for nobody",
            brought_home(at_home(split("n1")), |_| ()),
        ),
        (
            Code::Quarantined,
            "brought home under what needs a person",
            brought_home(at_home(split("n1")), |v| {
                v.here.push(copied_here(AttachmentState::Quarantined));
            }),
        ),
        (Code::Returning, "with progress", attached(moving, |_| ())),
        (
            Code::Returning,
            "without progress",
            attached(returning(), |_| ()),
        ),
        (Code::HomeUnreadable, "when planned", changed(broken)),
        (
            Code::HomeUnreadable,
            "under the lease",
            looked_again(broken),
        ),
        (Code::CopyKept, "attached", attached(kept("n2"), |_| ())),
        (Code::CopyKept, "written back", written_back(&kept("n1"))),
    ]
}

/// Refusals by what LVM makes of the volume.
fn kinds() -> Vec<Case> {
    use RefusalCode as Code;
    let of_type = |name: &'static str| changed(|v| v.info.segment_type = name.into());
    let shared = |change: fn(&mut VolumeInfo)| {
        let mut volume = volume();
        change(&mut volume.info);
        attached(volume, |a| {
            a.disk().sharing = Sharing::Shared;
            a.grant().sharing = Sharing::Shared;
        })
    };
    let held = |v: &mut VolumeInput| {
        v.lease = Some(HeldLease {
            mode: LeaseMode::Exclusive,
            version: 1,
            orphan: false,
        });
    };
    vec![
        (Code::NoOwnLease, "thin", of_type("thin")),
        (Code::NoOwnLease, "VDO", of_type("vdo")),
        (
            Code::NoOwnLease,
            "a snapshot",
            changed(|v| {
                v.info.roles = ["public", "snapshot", "thicksnapshot"]
                    .map(str::to_owned)
                    .into();
                v.info.own_lease = false;
            }),
        ),
        (
            Code::NoOwnLease,
            "no lock arguments",
            changed(|v| v.info.own_lease = false),
        ),
        (Code::SegmentType, "a thin pool", of_type("thin-pool")),
        (Code::SegmentType, "unknown", of_type("linear,tomorrow")),
        (
            Code::ExclusiveOnly,
            "raid shared",
            shared(|info| info.segment_type = "raid1".into()),
        ),
        (
            Code::ExclusiveOnly,
            "an origin shared",
            shared(|info| info.roles = vec!["public".into(), "origin".into()]),
        ),
        (
            Code::NotActivated,
            "leased and inactive",
            looked_again(held),
        ),
        (
            Code::ActivatedReadOnly,
            "active read-only",
            looked_again(|v| {
                held(v);
                (v.info.active, v.info.read_only) = (true, true);
            }),
        ),
        (
            Code::PoolIncomplete,
            "autoactivation is to be taken off",
            asked(|a| {
                a.disk().input.info.autoactivation = true;
                a.input.incomplete.push("vg0".parse().unwrap());
            }),
        ),
        (
            Code::PathTaken,
            "another volume has its path",
            asked(|a| {
                let mut other = a.disk().volume().clone();
                other.id.lv = lv('b');
                a.input.attached.push(other);
            }),
        ),
    ]
}

fn rules() -> Vec<Case> {
    use RefusalCode as Code;
    let orphan = HeldLease {
        mode: LeaseMode::Exclusive,
        version: 1,
        orphan: true,
    };
    vec![
        (
            Code::NotShareable,
            "two writers",
            asked(|a| {
                a.disk().sharing = Sharing::Shared;
                a.grant().sharing = Sharing::Shared;
            }),
        ),
        (
            Code::Narrowed,
            "read-only at most",
            asked(|a| a.grant().access = Access::ReadOnly),
        ),
        (
            Code::NoWatchdog,
            "none",
            asked(|a| a.input.watchdog = Watchdog::Missing),
        ),
        (
            Code::LvPath,
            "read-only",
            asked(|a| {
                a.disk().form = DiskForm::Lv;
                a.disk().access = Access::ReadOnly;
                a.grant().access = Access::ReadOnly;
            }),
        ),
        (
            Code::LeaseOrphaned,
            "an orphan",
            changed(|v| v.lease = Some(orphan)),
        ),
        (
            Code::LeaseLost,
            "while its home was changed",
            Unmet::LeaseLost {
                volume: volume().info.volume,
            }
            .into(),
        ),
        (
            Code::ActiveByHand,
            "activated past Volward",
            Unmet::ActiveByHand {
                volume: volume().info.volume,
                why: "process 321 holds its lease, open by dd (process 4711)".to_owned(),
            }
            .into(),
        ),
        (
            Code::Internal,
            "the registry",
            changed(|v| {
                let own = volward_model::volume::REGISTRY_VOLUME;
                v.info.volume.name = own.parse().unwrap();
            }),
        ),
        (
            Code::SizeUnsupported,
            "no whole sectors",
            changed(|v| v.info.size = Bytes(1_000)),
        ),
        (Code::SizeUnsupported, "written back", {
            let mut volume = at_home(split("n1"));
            volume.info.size = Bytes(1_000);
            written_back(&volume)
        }),
        (
            Code::Contradiction,
            "a device nobody has recorded",
            changed(|v| v.witnesses.devices.push(open_device(v))),
        ),
        (
            Code::Contradiction,
            "home tag lost, attached with a copy",
            changed(|v| {
                v.witnesses.copies = LocalCopies::NoPool;
                v.here.push(LocalAttachment {
                    copy: Some(CopyMode::Background),
                    ..here(instance(9), AttachmentState::Attached)
                });
            }),
        ),
        (
            Code::LocalPoolUnreadable,
            "a copy that the journal speaks of",
            changed(|v| {
                v.witnesses.copies = LocalCopies::Silent("its disk does not answer".to_owned());
                v.witnesses.split_at = Some(7);
            }),
        ),
        (
            Code::Fenced,
            "its lease was taken again",
            Refusal::fenced(&volume().info.volume, "somebody asked for it"),
        ),
        (
            Code::Fenced,
            "and something is in the way now",
            Refusal::fenced_for_now(
                &volume().info.volume,
                "the lockspace is not renewed as it should be",
            ),
        ),
        (
            Code::Fenced,
            "for good",
            Refusal::fenced_for_good(
                &volume().info.volume,
                "this node is not in the pool's lockspace any more",
                Some(&"n2".parse().unwrap()),
            ),
        ),
        (
            Code::LeasesUncertain,
            "not renewed",
            Refusal::leases_uncertain(
                &"vg0".parse().unwrap(),
                "the lockspace was last renewed 45 s ago",
            ),
        ),
        (
            Code::Leftovers,
            "still open",
            Refusal::leftovers(&volume().info.volume, "the device is busy"),
        ),
        (
            Code::MarkInUse,
            "attached",
            Refusal::mark_in_use(&volume().info.volume),
        ),
        (
            Code::NoReason,
            "a copy is given up without a reason",
            Refusal::no_reason(&volume().info.volume),
        ),
        (
            Code::HomeChanged,
            "a command that was printed before",
            Refusal::home_changed(&volume().info.volume, "the witnesses agree now"),
        ),
    ]
}

fn requests() -> Vec<Case> {
    use RefusalCode as Code;
    let why = "the size of vg0/root was 512 MiB and is 1 GiB now";
    let name = volume().info.volume;
    vec![
        (
            Code::KeepsChanging,
            "three times",
            Refusal::keeps_changing(Some(&name), 3, why),
        ),
        (
            Code::Twice,
            "one volume twice",
            asked(|a| {
                let again = a.disk().clone();
                a.input.disks.push(again);
            }),
        ),
        (
            Code::AnswerMismatch,
            "a disk is missing",
            asked(|a| a.answer.disks.clear()),
        ),
        (
            Code::AnswerMismatch,
            "a disk is there twice",
            asked(|a| {
                let again = a.grant().clone();
                a.answer.disks.push(again);
            }),
        ),
        (
            Code::AnswerMismatch,
            "a volume nobody asked for",
            asked(|a| a.grant().volume.lv = lv('x')),
        ),
        (
            Code::AnswerMismatch,
            "another question",
            Refusal::no_attach_answer(),
        ),
        (Code::Stopping, "in the middle", Refusal::stopping()),
    ]
}

fn pools() -> Vec<Case> {
    use RefusalCode as Code;
    let pool = || "vg0".parse().unwrap();
    let registry = || "vg0/volward-registry".to_owned();
    let taken = |renewed| HostIdTaken {
        host_id: 2,
        node: "node1".to_owned(),
        renewed,
    };
    vec![
        (
            Code::NotShared,
            "a plain volume group",
            Refusal::not_shared(&pool(), "lock type \"none\""),
        ),
        (
            Code::DevicesFile,
            "none",
            Unmet::DevicesFile { pool: pool() }.into(),
        ),
        (
            Code::NotJoined,
            "no lockspace",
            Unmet::NotJoined {
                pool: pool(),
                taken: None,
            }
            .into(),
        ),
        (
            Code::NotJoined,
            "another node has the host-id",
            Unmet::NotJoined {
                pool: pool(),
                taken: Some(taken(true)),
            }
            .into(),
        ),
        (
            Code::NotJoined,
            "another node had the host-id",
            Unmet::NotJoined {
                pool: pool(),
                taken: Some(taken(false)),
            }
            .into(),
        ),
        (
            Code::PoolOlder,
            "a snapshot of the LUN",
            Unmet::PoolOlder {
                pool: pool(),
                why: "this node's place in its registry (host-id 1) was written 998 times, and 1041 times when this node wrote \
                      there last, 3 hours before that was seen"
                    .to_owned(),
            }
            .into(),
        ),
        (
            Code::NoRegistry,
            "not formatted",
            Unmet::NoRegistry {
                registry: registry(),
            }
            .into(),
        ),
        (
            Code::RegistryExists,
            "formatted twice",
            Unmet::RegistryExists {
                registry: registry(),
            }
            .into(),
        ),
        (
            Code::RegistryUnreadable,
            "damaged",
            Unmet::RegistryUnreadable {
                registry: registry(),
                reason: "holds a registry whose superblock is damaged".into(),
            }
            .into(),
        ),
        (
            Code::RegistryInUse,
            "to be converted",
            Unmet::RegistryInUse {
                pool: "vg0".parse().unwrap(),
                places: 89,
                why: String::new(),
            }
            .into(),
        ),
        (
            Code::NoPlace,
            "host-id 90",
            Unmet::NoPlace {
                registry: registry(),
                places: 89,
                host_id: 90,
            }
            .into(),
        ),
        (
            Code::RegistryFull,
            "too many attachments",
            Unmet::RegistryFull {
                registry: registry(),
                bytes: 70_000,
                most: 65_536,
            }
            .into(),
        ),
    ]
}

#[test]
fn every_code_has_a_case_that_makes_it() {
    let mut made = BTreeSet::new();
    for (code, what, refusal) in cases() {
        assert_eq!(refusal.code, code, "{what}: {refusal}");
        made.insert(code.as_str());
    }
    let all = RefusalCode::ALL.iter().map(|code| code.as_str());
    assert_eq!(made, all.collect(), "a code without a case");
}

#[test]
fn every_refusal_is_one_sentence_that_says_what_to_do() {
    for (code, what, refusal) in cases() {
        let text = &refusal.message;
        let plain = !text.ends_with('.') && !text.contains("  ") && !text.contains('\n');
        assert!(plain && text.contains("; "), "{code}, {what}: {text}");
        let about_volume = text.contains("vg0/root");
        assert!(
            refusal.volume.is_none()
                || about_volume
                || code == RefusalCode::Internal
                || code == RefusalCode::AnswerMismatch,
            "{code}, {what}: {text}"
        );
    }
}

#[test]
fn the_sentences_are_those_that_were_reviewed() {
    let mut text = String::new();
    for (code, what, refusal) in cases() {
        writeln!(text, "{code}, {what}:\n  {refusal}").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/refusals.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        text, reviewed,
        "{path} differs; UPDATE_GOLDEN=1 rewrites it"
    );
}

/// The operator guide has the table of what is served.
#[test]
fn the_guide_has_the_table_of_what_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operator-guide.md");
    let guide = std::fs::read_to_string(path).unwrap();
    for kind in Kind::ALL {
        let said = |sharing| match kind.service().refuses(sharing) {
            None => "yes".to_owned(),
            Some(code) => format!("`{code}`"),
        };
        let (alone, together) = (said(Sharing::Exclusive), said(Sharing::Shared));
        let row = format!("| {} | {alone} | {together} |", kind.words());
        assert!(guide.contains(&row), "the guide lacks {row}");
    }
}

/// What LVM allows on one node is served there.
#[test]
fn raid_and_several_segments_are_served_exclusively() {
    for (types, kind) in [
        ("linear", Kind::Plain),
        ("striped,linear", Kind::Plain),
        ("raid1", Kind::Raid),
        ("linear,raid5_ls", Kind::Raid),
        ("cache", Kind::Cached),
        ("", Kind::Other),
        ("error", Kind::Other),
    ] {
        let mut volume = volume();
        volume.info.segment_type = types.into();
        assert_eq!(Kind::of(&volume.info), kind, "{types}");
        let refused = kind.service().refuses(Sharing::Exclusive);
        assert_eq!(refused.is_none(), kind != Kind::Other, "{types}");
    }
    let mut origin = volume();
    origin.info.roles = vec!["public".into(), "origin".into(), "thickorigin".into()];
    assert_eq!(Kind::of(&origin.info), Kind::Origin);
    // A thin snapshot is a thin volume first.
    origin.info.segment_type = "thin".into();
    assert_eq!(Kind::of(&origin.info), Kind::Thin);
}
