//! Whatever policies answer, an attach that is planned grants no more than was asked for, than
//! they said together, and than the rules allow that hold whatever they say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy does not take helpers of tests for tests"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use volward_model::scenario::ScenarioDisk;
use volward_model::{
    Access, Answer, AttachmentState, Bytes, Combined, CopyMode, InstanceId, PluginVerdict,
    Scenario, Sharing, Space, VolumeId, VolumeInfo, VolumeRef,
};
use volward_plan::attach::{Requester, attach};
use volward_plan::input::ForeignAttachment;
use volward_plan::{
    DiskForm, DiskOptions, Grant, LocalAttachment, LocalPool, PlanInput, RequestedDisk,
    VolumeInput, Watchdog,
};

const MOST_DISKS: usize = 3;

fn own() -> InstanceId {
    InstanceId(uuid::Uuid::from_u128(1))
}

fn volume(n: usize) -> VolumeId {
    let letter = ["a", "b", "c"][n];
    VolumeId {
        vg: "g".repeat(32).parse().unwrap(),
        lv: letter.repeat(32).parse().unwrap(),
    }
}

fn form() -> impl Strategy<Value = DiskForm> {
    select(vec![
        DiskForm::Own,
        DiskForm::Own,
        DiskForm::Own,
        DiskForm::Lv,
    ])
}

fn here() -> impl Strategy<Value = LocalAttachment> {
    let instance = (1..4u128).prop_map(|n| InstanceId(uuid::Uuid::from_u128(n)));
    let state = select(vec![
        AttachmentState::Attached,
        AttachmentState::Quarantined,
    ]);
    (
        instance,
        form(),
        volward_samples::sharing(),
        volward_samples::access(),
        state,
    )
        .prop_map(|(instance, form, sharing, access, state)| LocalAttachment {
            instance,
            instance_name: "guest".into(),
            form,
            sharing,
            access,
            state,
            copy: None,
            arriving: None,
            leaving: false,
        })
}

/// A volume: most are free, and nothing is unknown.
fn seen(n: usize) -> impl Strategy<Value = VolumeInput> {
    let elsewhere = (2..4u64, volward_samples::attachment()).prop_map(|(host_id, attachment)| {
        ForeignAttachment {
            host_id,
            attachment,
            silence: None,
        }
    });
    // A slot nobody can read; one of a newer version.
    let mut unreadable = vec![(0, 0); 8];
    unreadable.extend([(1, 0), (0, 1)]);
    let unreadable = select(unreadable);
    (
        vec(here(), 0..2),
        vec(elsewhere, 0..2),
        any::<bool>(),
        unreadable,
    )
        .prop_map(
            move |(here, elsewhere, shareable, (unreadable, newer))| VolumeInput {
                info: VolumeInfo {
                    volume: VolumeRef {
                        id: volume(n),
                        pool: "vg0".parse().unwrap(),
                        name: format!("disk{n}").parse().unwrap(),
                    },
                    size: Bytes::mib(512),
                    tags: if shareable {
                        vec![volward_model::volume::SHAREABLE_TAG.to_owned()]
                    } else {
                        Vec::new()
                    },
                    segment_type: "linear".into(),
                    active: false,
                    autoactivation: false,
                    roles: Vec::new(),
                    own_lease: true,
                    read_only: false,
                },
                lease: None,
                here,
                elsewhere,
                unreadable: vec!["a slot cannot be read".to_owned(); unreadable],
                newer: vec!["a slot is newer".to_owned(); newer],
                answers: Vec::new(),
                progress: None,
                clone: None,
                clone_loaded: false,
                witnesses: volward_plan::Witnesses::default(),
            },
        )
}

fn plan_input() -> impl Strategy<Value = PlanInput> {
    let watchdog = select(vec![Watchdog::Armed, Watchdog::Armed, Watchdog::Missing]);
    let disks = (requested(0), requested(1), requested(2), 1..=MOST_DISKS);
    (disks, watchdog).prop_map(|((a, b, c, count), watchdog)| PlanInput {
        node: "node1".parse().unwrap(),
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
        watchdog,
        clone_unfit: None,
        incomplete: Vec::new(),
        attached: Vec::new(),
        disks: [a, b, c].into_iter().take(count).collect(),
    })
}

/// A volume with what is asked for of it.
fn requested(n: usize) -> impl Strategy<Value = RequestedDisk> {
    (
        seen(n),
        form(),
        volward_samples::sharing(),
        volward_samples::access(),
        any::<bool>(),
    )
        .prop_map(|(input, form, sharing, access, accept_narrowing)| {
            let options = DiskOptions {
                form,
                access,
                sharing: Some(sharing),
                accept_narrowing,
            };
            RequestedDisk::new(input, options).unwrap()
        })
}

/// A plan input, and what policies answer to it.
fn asked() -> impl Strategy<Value = (PlanInput, Answer)> {
    plan_input().prop_flat_map(|input| {
        let mut scenario = Scenario::default();
        scenario.facts.disks = input
            .disks
            .iter()
            .map(|disk| ScenarioDisk {
                id: Some(disk.volume().id),
                asked_sharing: disk.sharing,
                asked_access: disk.access,
                ..ScenarioDisk::default()
            })
            .collect();
        let facts = scenario.facts();
        let verdicts = vec(
            volward_samples::narrowed(&facts).prop_map(volward_model::Verdict::Granted),
            0..4,
        );
        verdicts.prop_map(move |verdicts| {
            let plugins: Vec<_> = verdicts
                .into_iter()
                .map(|verdict| PluginVerdict {
                    plugin: "p".into(),
                    digest: String::new(),
                    interface: String::new(),
                    monitored: false,
                    config: Default::default(),
                    verdict,
                    log: Vec::new(),
                    micros: 0,
                })
                .collect();
            let Combined::Granted(answer) = Combined::attach(&facts, &plugins) else {
                panic!("nobody refused")
            };
            (input.clone(), answer)
        })
    })
}

/// Everything that must hold for a disk that is granted.
fn check(input: &PlanInput, asked: &RequestedDisk, grant: &Grant) {
    let seen = &asked.input;
    assert!(grant.sharing >= asked.sharing && grant.access >= asked.access);
    if grant.already {
        assert!(seen.here.iter().any(|a| a.instance == own()));
        return;
    }
    let narrowed = grant.sharing > asked.sharing || grant.access > asked.access;
    assert!(!narrowed || asked.accept_narrowing);
    let writes = grant.access == Access::ReadWrite;
    if grant.sharing == Sharing::Shared && writes {
        assert!(seen.info.shareable(), "I18");
    }
    assert!(!writes || input.watchdog != Watchdog::Missing, "I26");
    assert!(seen.unreadable.is_empty() && seen.newer.is_empty(), "I6");
    let others = seen.here.iter().map(|a| a.sharing);
    let others = others.chain(seen.settled_elsewhere().map(|f| f.attachment.sharing));
    for theirs in others {
        assert_eq!((theirs, grant.sharing), (Sharing::Shared, Sharing::Shared));
    }
    assert!(
        seen.settled_elsewhere()
            .all(|f| f.attachment.instance != own())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn d_what_is_planned_is_within_request_answers_and_rules((input, answer) in asked()) {
        let who = Requester { instance: own(), own_host_id: 1, now_ms: 1_000, arrives: None };
        let Ok(plan) = attach(&input, who, &answer) else {
            return Ok(());
        };
        prop_assert_eq!(plan.grants.len(), input.disks.len(), "all or none");
        for (n, grant) in plan.grants.iter().enumerate() {
            check(&input, &input.disks[n], grant);
            let said = &answer.disks[n];
            prop_assert!(grant.sharing >= said.sharing && grant.access >= said.access);
            let copied = grant.copy.map_or(CopyMode::None, |plan| plan.mode);
            prop_assert!(copied <= said.copy_at_most);
        }
    }
}

/// The made-up plan inputs are worth something: some are granted, and some are not.
#[test]
fn both_outcomes_occur() {
    use proptest::strategy::ValueTree;

    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let who = Requester {
        instance: own(),
        own_host_id: 1,
        now_ms: 1_000,
        arrives: None,
    };
    let (mut granted, mut refused) = (0, 0);
    for _ in 0..500 {
        let (input, answer) = asked().new_tree(&mut runner).unwrap().current();
        match attach(&input, who, &answer) {
            Ok(_) => granted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        granted > 25 && refused > 25,
        "{granted} granted, {refused} refused"
    );
}
