use volward_model::{
    Bytes, CopyFate, HeldLease, LvUuid, NodeName, Space, VgUuid, VolumeId, VolumeInfo,
    home::HomeState,
};

use super::*;
use crate::input::{ForeignAttachment, LocalAttachment, LocalPool, Watchdog};
use crate::requested::DiskOptions;
use crate::step::Step;
use volward_model::{Attachment, AttachmentState, CopyMode};

mod answers;
mod copies;

fn uuid(letter: char) -> LvUuid {
    letter.to_string().repeat(32).parse().unwrap()
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn instance(n: u8) -> InstanceId {
    format!("11111111-2222-3333-4444-5555555555{n:02}")
        .parse()
        .unwrap()
}

fn seen(letter: char) -> VolumeInput {
    let vg: VgUuid = uuid('v');
    VolumeInput {
        info: VolumeInfo {
            volume: VolumeRef {
                id: VolumeId {
                    vg,
                    lv: uuid(letter),
                },
                pool: "vg0".parse().unwrap(),
                name: format!("disk-{letter}").parse().unwrap(),
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
        witnesses: crate::input::Witnesses::default(),
    }
}

fn plan_input(volumes: Vec<VolumeInput>) -> PlanInput {
    PlanInput {
        node: node("n1"),
        local: Some(LocalPool {
            name: "local".parse().unwrap(),
            space: Space {
                total: Bytes::mib(8192),
                free: Bytes::mib(8192),
                promised: Bytes(0),
            },
            extent: Bytes::mib(4),
            partial: false,
        }),
        watchdog: Watchdog::Armed,
        clone_unfit: None,
        incomplete: Vec::new(),
        attached: Vec::new(),
        disks: volumes.into_iter().map(requested).collect(),
    }
}

fn requested(input: VolumeInput) -> RequestedDisk {
    try_requested(input).unwrap()
}

fn try_requested(input: VolumeInput) -> Result<RequestedDisk, Refusal> {
    let options = DiskOptions {
        form: DiskForm::Own,
        access: Access::ReadWrite,
        sharing: None,
        accept_narrowing: false,
    };
    RequestedDisk::new(input, options)
}

fn granted(disks: &[RequestedDisk]) -> Answer {
    let disks = disks.iter().map(|disk| DiskAnswer {
        volume: disk.volume().id,
        sharing: disk.sharing,
        access: disk.access,
        copy_at_most: CopyMode::BeforeStart,
        copy: None,
    });
    Answer {
        disks: disks.collect(),
        notes: Vec::new(),
    }
}

fn requester() -> Requester {
    Requester {
        instance: instance(1),
        own_host_id: 1,
        now_ms: 1_000,
        arrives: None,
    }
}

fn copy(mode: CopyMode) -> Option<CopyPlan> {
    Some(CopyPlan {
        mode,
        in_flight: None,
        batch: None,
        fate: CopyFate::WriteBack,
    })
}

fn names(plan: &AttachPlan) -> Vec<&'static str> {
    plan.steps.iter().map(|p| p.step.name()).collect()
}

/// Plans one volume, asked for and answered as `change` leaves it.
fn one(
    seen: VolumeInput,
    change: impl FnOnce(&mut RequestedDisk, &mut Answer),
) -> Result<AttachPlan, Refusal> {
    let mut input = plan_input(Vec::new());
    input.disks = vec![try_requested(seen)?];
    let mut answer = granted(&input.disks);
    change(&mut input.disks[0], &mut answer);
    attach(&input, requester(), &answer)
}

fn refused(seen: VolumeInput, change: impl FnOnce(&mut RequestedDisk, &mut Answer)) -> RefusalCode {
    one(seen, change).unwrap_err().code
}

fn as_is(_: &mut RequestedDisk, _: &mut Answer) {}

fn held_by(n: u8, sharing: Sharing) -> LocalAttachment {
    LocalAttachment {
        instance: instance(n),
        instance_name: format!("guest{n}"),
        form: DiskForm::Own,
        sharing,
        access: Access::ReadWrite,
        state: AttachmentState::Attached,
        copy: None,
        arriving: None,
        leaving: false,
    }
}

fn elsewhere(seen: &VolumeInput, sharing: Sharing, state: AttachmentState) -> ForeignAttachment {
    ForeignAttachment {
        host_id: 2,
        attachment: Attachment {
            volume: seen.info.volume.id,
            instance: instance(9),
            node: node("n2"),
            sharing,
            access: Access::ReadWrite,
            since_ms: 5,
            state,
        },
        silence: None,
    }
}

fn with_home(mut seen: VolumeInput, state: HomeState) -> VolumeInput {
    seen.info.tags.push(
        Home {
            state,
            generation: 3,
        }
        .tag(),
    );
    seen
}

#[test]
fn i1_lease_then_second_look_then_device_then_path() {
    let plan = one(seen('a'), as_is).unwrap();
    assert_eq!(
        names(&plan),
        ["lease", "publish", "revalidate", "create-device", "link"]
    );
    assert_eq!(plan.commit_at, 4);
}

#[test]
fn i1_undo_runs_in_reverse_to_the_lease() {
    let plan = one(seen('a'), as_is).unwrap();
    let undo: Vec<_> = plan
        .steps
        .iter()
        .rev()
        .flat_map(|p| &p.undo)
        .map(Step::name)
        .collect();
    assert_eq!(undo, ["unlink", "remove-device", "withdraw", "release"]);
}

#[test]
fn undo_restores_the_recorded_state_volume_by_volume() {
    let mut held = seen('b');
    held.lease = Some(HeldLease {
        mode: LeaseMode::Shared,
        version: 1,
        orphan: false,
    });
    let input = plan_input(vec![seen('a'), held]);
    let plan = attach(&input, requester(), &granted(&input.disks)).unwrap();
    let Step::Lease { volumes, mode, .. } = &plan.steps[0].step else {
        panic!("{plan:?}")
    };
    assert_eq!((volumes.len(), *mode), (2, LeaseMode::Exclusive));
    assert_eq!(plan.steps[0].undo.len(), 2);
    let Step::Release { volumes, .. } = &plan.steps[0].undo[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(volumes[0].name.as_str(), "disk-a");
    let Step::Lease { volumes, mode, .. } = &plan.steps[0].undo[1] else {
        panic!("{plan:?}")
    };
    assert_eq!(
        (volumes[0].name.as_str(), *mode),
        ("disk-b", LeaseMode::Shared)
    );
}

#[test]
fn i4_autoactivation_is_switched_off_where_it_is_on() {
    let mut volume = seen('a');
    volume.info.autoactivation = true;
    assert!(names(&one(volume, as_is).unwrap()).contains(&"disable-autoactivation"));
}

#[test]
fn i26_read_write_without_a_watchdog_is_refused() {
    let mut input = plan_input(vec![seen('a')]);
    let planned = |input: &PlanInput| attach(input, requester(), &granted(&input.disks));
    input.watchdog = Watchdog::Missing;
    let error = planned(&input).unwrap_err();
    assert_eq!(error.code, RefusalCode::NoWatchdog);
    input.disks[0].access = Access::ReadOnly;
    assert!(planned(&input).is_ok());
    input.watchdog = Watchdog::MissingInLab;
    input.disks[0].access = Access::ReadWrite;
    assert!(planned(&input).is_ok());
}

#[test]
fn i6_a_holder_elsewhere_or_a_slot_nobody_can_read_refuses() {
    let mut held = seen('a');
    held.elsewhere.push(elsewhere(
        &held,
        Sharing::Exclusive,
        AttachmentState::Attached,
    ));
    let error = one(held, as_is).unwrap_err();
    assert_eq!(error.code, RefusalCode::HeldElsewhere);
    assert!(
        error.message.contains("node n2") && error.message.contains("555509"),
        "{error}"
    );

    let mut blind = seen('a');
    blind
        .unreadable
        .push("the slot of host-id 3 is broken".into());
    assert_eq!(refused(blind, as_is), RefusalCode::SlotUnreadable);

    let mut newer = seen('a');
    newer.newer.push("node n3 runs a newer Volward".into());
    assert_eq!(refused(newer, as_is), RefusalCode::SlotNewer);

    let mut intent = seen('a');
    intent.elsewhere.push(elsewhere(
        &intent,
        Sharing::Exclusive,
        AttachmentState::Intent,
    ));
    assert!(
        one(intent, as_is).is_ok(),
        "an intent is settled under the lease"
    );
}

#[test]
fn i6_an_instance_that_runs_elsewhere_is_refused_even_where_sharing_would_allow_it() {
    let mut shared = seen('a');
    shared
        .info
        .tags
        .push(volward_model::volume::SHAREABLE_TAG.into());
    let mut other = elsewhere(&shared, Sharing::Shared, AttachmentState::Attached);
    other.attachment.instance = instance(1);
    shared.elsewhere.push(other);
    let code = refused(shared, |w, a| {
        w.sharing = Sharing::Shared;
        *a = granted(std::slice::from_ref(w));
    });
    assert_eq!(code, RefusalCode::HeldElsewhere);
}

#[test]
fn another_instance_on_this_node_refuses_and_is_named() {
    let mut held = seen('a');
    held.here.push(held_by(2, Sharing::Exclusive));
    let error = one(held, as_is).unwrap_err();
    assert_eq!(error.code, RefusalCode::HeldHere);
    assert!(error.message.contains("guest2"), "{error}");
}

#[test]
fn attach_is_idempotent_per_instance_and_volume() {
    let mut mine = seen('a');
    mine.here.push(held_by(1, Sharing::Exclusive));
    let plan = one(mine.clone(), as_is).unwrap();
    assert!(plan.steps.is_empty() && plan.grants[0].already);
    let code = refused(mine, |w, a| {
        w.access = Access::ReadOnly;
        *a = granted(std::slice::from_ref(w));
    });
    assert_eq!(code, RefusalCode::AttachedDifferently);
}

#[test]
fn an_orphaned_lease_refuses() {
    let mut orphan = seen('a');
    orphan.lease = Some(HeldLease {
        mode: LeaseMode::Exclusive,
        version: 1,
        orphan: true,
    });
    assert_eq!(refused(orphan, as_is), RefusalCode::LeaseOrphaned);
}

#[test]
fn the_lease_mode_follows_from_all_attachments_of_the_node() {
    let mut held = seen('a');
    held.info
        .tags
        .push(volward_model::volume::SHAREABLE_TAG.into());
    held.info.active = true;
    held.lease = Some(HeldLease {
        mode: LeaseMode::Exclusive,
        version: 1,
        orphan: false,
    });
    held.here.push(held_by(2, Sharing::Shared));
    let plan = one(held, |w, a| {
        w.sharing = Sharing::Shared;
        *a = granted(std::slice::from_ref(w));
    })
    .unwrap();
    assert!(
        !names(&plan).contains(&"lease"),
        "an exclusive lease is not weakened: {plan:?}"
    );
}
