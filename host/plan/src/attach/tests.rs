use volward_model::{
    Bytes, CopyFate, HeldLease, LvUuid, NodeName, Space, VgUuid, VolumeId, VolumeInfo,
    home::HomeState,
};

use super::*;
use crate::input::{ForeignAttachment, LocalAttachment, LocalPool, Watchdog};
use crate::requested::DiskOptions;
use crate::step::Step;
use volward_model::{Attachment, AttachmentState, CopyMode};

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
        copied: false,
        arriving: None,
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
fn i17_read_only_is_in_the_device_and_takes_a_lease() {
    let mut volume = seen('a');
    volume
        .info
        .tags
        .push(volward_model::volume::SHAREABLE_TAG.into());
    let plan = one(volume, |w, a| {
        (w.access, w.sharing) = (Access::ReadOnly, Sharing::Shared);
        *a = granted(std::slice::from_ref(w));
    })
    .unwrap();
    let lease = plan.steps.iter().any(|p| {
        matches!(
            &p.step,
            Step::Lease {
                mode: LeaseMode::Shared,
                ..
            }
        )
    });
    let read_only = plan.steps.iter().any(|p| {
        matches!(
            &p.step,
            Step::CreateDevice {
                read_only: true,
                ..
            }
        )
    });
    assert!(lease && read_only, "{plan:?}");
}

#[test]
fn i18_shared_read_write_needs_the_mark() {
    let shared = |w: &mut RequestedDisk, a: &mut Answer| {
        w.sharing = Sharing::Shared;
        *a = granted(std::slice::from_ref(w));
    };
    assert_eq!(refused(seen('a'), shared), RefusalCode::NotShareable);
    let mut marked = seen('a');
    marked
        .info
        .tags
        .push(volward_model::volume::SHAREABLE_TAG.into());
    assert!(one(marked, shared).is_ok());
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
fn less_than_asked_for_must_be_welcome() {
    let narrow = |a: &mut Answer| a.disks[0].access = Access::ReadOnly;
    assert_eq!(refused(seen('a'), |_, a| narrow(a)), RefusalCode::Narrowed);
    let welcome = one(seen('a'), |w, a| {
        w.accept_narrowing = true;
        narrow(a);
    });
    assert!(welcome.is_ok());
}

#[test]
fn i19_home_is_split_before_the_clone_is_loaded() {
    let plan = one(seen('a'), |_, a| {
        a.disks[0].copy = copy(CopyMode::Background)
    })
    .unwrap();
    assert_eq!(
        names(&plan),
        [
            "lease",
            "publish",
            "revalidate",
            "make-copy",
            "zero-metadata",
            "set-home",
            "load-clone",
            "create-device",
            "link"
        ]
    );
    let refuses_discards = plan.steps.iter().any(|p| {
        matches!(
            p.step,
            Step::CreateDevice {
                discards: false,
                ..
            }
        )
    });
    assert!(
        refuses_discards,
        "I21: a discard would bring old content back"
    );
}

#[test]
fn i21_nothing_is_zeroed_unless_home_is_pool() {
    let split = HomeState::Split {
        node: node("n1"),
        copy: uuid('c'),
    };
    let plan = one(with_home(seen('a'), split), |_, a| {
        a.disks[0].copy = copy(CopyMode::Background);
    })
    .unwrap();
    assert_eq!(
        names(&plan),
        [
            "lease",
            "publish",
            "revalidate",
            "load-clone",
            "create-device",
            "link"
        ]
    );
}

#[test]
fn a_copy_that_cannot_be_had_is_a_note_not_a_refusal() {
    let volume = seen('a');
    let mut answer = granted(&[requested(volume.clone())]);
    answer.disks[0].copy = copy(CopyMode::Background);
    let mut full = plan_input(vec![volume.clone()]);
    if let Some(local) = &mut full.local {
        local.space.free = Bytes::mib(100);
    }
    // 512 MiB and twice 4 MiB, in extents of which two are needed.
    let mut coarse = plan_input(vec![volume.clone()]);
    if let Some(local) = &mut coarse.local {
        local.extent = Bytes::mib(512);
        local.space.free = Bytes::mib(1023);
    }
    let mut unfit = plan_input(vec![volume.clone()]);
    unfit.clone_unfit = Some("no module".into());
    let mut none = plan_input(vec![volume]);
    none.local = None;
    for input in [full, coarse, unfit, none] {
        let plan = attach(&input, requester(), &answer).unwrap();
        assert_eq!(plan.notes.len(), 1, "{plan:?}");
        assert!(!names(&plan).contains(&"make-copy"));
    }
}

#[test]
fn data_elsewhere_or_on_its_way_refuses_and_says_where() {
    let (n2, copy) = (node("n2"), uuid('c'));
    for (state, code) in [
        (
            HomeState::Split {
                node: n2.clone(),
                copy,
            },
            RefusalCode::HomeElsewhere,
        ),
        (
            HomeState::Returning {
                node: n2.clone(),
                copy,
            },
            RefusalCode::Returning,
        ),
        (
            HomeState::Returning {
                node: node("n1"),
                copy,
            },
            RefusalCode::Returning,
        ),
        (HomeState::Node { node: n2, copy }, RefusalCode::CopyKept),
    ] {
        let error = one(with_home(seen('a'), state), as_is).unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.message.contains(" n"), "{error}");
    }
    let mut two = seen('a');
    two.info.tags = vec!["volward.home=x".into()];
    assert_eq!(refused(two, as_is), RefusalCode::HomeUnreadable);
}

#[test]
fn an_lv_path_can_have_neither_read_only_nor_copy_nor_company() {
    let lv = |w: &mut RequestedDisk| w.form = DiskForm::Lv;
    assert_eq!(
        names(&one(seen('a'), |w, _| lv(w)).unwrap()),
        ["lease", "publish", "revalidate"]
    );
    let mut marked = seen('a');
    marked
        .info
        .tags
        .push(volward_model::volume::SHAREABLE_TAG.into());
    marked.here.push(held_by(2, Sharing::Shared));
    let shared = refused(marked, |w, a| {
        lv(w);
        w.sharing = Sharing::Shared;
        *a = granted(std::slice::from_ref(w));
    });
    let read_only = refused(seen('a'), |w, a| {
        lv(w);
        w.access = Access::ReadOnly;
        *a = granted(std::slice::from_ref(w));
    });
    let copied = refused(seen('a'), |w, a| {
        lv(w);
        a.disks[0].copy = copy(CopyMode::Background);
    });
    assert_eq!([shared, read_only, copied], [RefusalCode::LvPath; 3]);
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

/// Plans two volumes, answered as `change` leaves it.
fn two(change: impl FnOnce(&mut Answer)) -> Result<AttachPlan, Refusal> {
    let input = plan_input(vec![seen('a'), seen('b')]);
    let mut answer = granted(&input.disks);
    change(&mut answer);
    attach(&input, requester(), &answer)
}

#[test]
fn an_answer_that_lacks_a_disk_doubles_one_or_names_another_is_refused() {
    let changes: [fn(&mut Answer); 5] = [
        |a| a.disks.truncate(1),
        |a| a.disks.clear(),
        |a| a.disks[1] = a.disks[0].clone(),
        |a| a.disks.push(a.disks[0].clone()),
        |a| a.disks[1].volume.lv = uuid('x'),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let code = two(change).unwrap_err().code;
        assert_eq!(code, RefusalCode::AnswerMismatch, "change {n}");
    }
    assert_eq!(two(|_| ()).unwrap().grants.len(), 2);
}

#[test]
fn answers_in_another_order_are_matched_by_volume() {
    let plan = two(|a| {
        a.disks[1].copy = copy(CopyMode::Background);
        a.disks.reverse();
    })
    .unwrap();
    let copied = |grant: &Grant| (grant.volume.name.to_string(), grant.copy.is_some());
    let copied: Vec<_> = plan.grants.iter().map(copied).collect();
    assert_eq!(copied, [("disk-a".into(), false), ("disk-b".into(), true)]);
}

#[test]
fn sharing_that_is_not_said_is_shared_for_readers_of_a_shareable_volume_only() {
    let mut marked = seen('a');
    let mark = volward_model::volume::SHAREABLE_TAG;
    marked.info.tags.push(mark.into());
    let sharing = |input: &VolumeInput, access, sharing| {
        let options = DiskOptions {
            form: DiskForm::Own,
            access,
            sharing,
            accept_narrowing: false,
        };
        RequestedDisk::new(input.clone(), options).unwrap().sharing
    };
    let (ro, rw) = (Access::ReadOnly, Access::ReadWrite);
    assert_eq!(sharing(&marked, ro, None), Sharing::Shared);
    assert_eq!(sharing(&marked, rw, None), Sharing::Exclusive);
    assert_eq!(sharing(&seen('a'), ro, None), Sharing::Exclusive);
    let said = Some(Sharing::Exclusive);
    assert_eq!(sharing(&marked, ro, said), Sharing::Exclusive);
}
