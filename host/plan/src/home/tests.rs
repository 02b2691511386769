use crate::refusal::RefusalCode;
use volward_model::{Bytes, CloneMode, Home, Sectors, VolumeInfo, VolumeRef};

use super::*;

fn seen(state: HomeState) -> VolumeInput {
    let uuid = |c: &str| c.repeat(32).parse().unwrap();
    VolumeInput {
        info: VolumeInfo {
            volume: VolumeRef {
                id: VolumeId {
                    vg: uuid("v"),
                    lv: uuid("a"),
                },
                pool: "vg0".parse().unwrap(),
                name: "web".parse().unwrap(),
            },
            size: Bytes::mib(64),
            tags: vec![
                Home {
                    state,
                    generation: 4,
                }
                .tag(),
            ],
            segment_type: "linear".into(),
            active: true,
            autoactivation: false,
            roles: Vec::new(),
            own_lease: true,
            read_only: false,
        },
        lease: None,
        here: vec![],
        elsewhere: vec![],
        unreadable: vec![],
        newer: vec![],
        answers: Vec::new(),
        progress: None,
        clone: None,
        clone_loaded: false,
        witnesses: crate::input::Witnesses::default(),
    }
}

fn names(state: HomeState) -> Vec<&'static str> {
    let (node, local) = ("n1".parse().unwrap(), "local".parse().unwrap());
    let steps = write_back(&node, &local, &seen(state), true).unwrap();
    steps.iter().map(Step::name).collect()
}

fn copy_on(node: &str) -> (NodeName, volward_model::LvUuid) {
    (node.parse().unwrap(), "c".repeat(32).parse().unwrap())
}

#[test]
fn i24_home_is_pool_only_after_the_reverse_clone_is_complete() {
    let (node, copy) = copy_on("n1");
    assert_eq!(
        names(HomeState::Split { node, copy }),
        [
            "lease",
            "load-clone",
            "make-write-back-metadata",
            "set-home",
            "load-write-back",
            "await-write-back",
            "set-home",
            "unload-write-back",
            "unload-clone",
            "release",
            "remove-copy",
        ]
    );
}

#[test]
fn i21_a_write_back_that_goes_on_zeroes_nothing() {
    let (node, copy) = copy_on("n1");
    assert_eq!(
        names(HomeState::Returning { node, copy }),
        [
            "lease",
            "load-clone",
            "load-write-back",
            "await-write-back",
            "set-home",
            "unload-write-back",
            "unload-clone",
            "release",
            "remove-copy",
        ]
    );
}

#[test]
fn once_home_is_pool_only_the_rest_is_cleaned_up() {
    assert_eq!(
        names(HomeState::Pool),
        [
            "unload-write-back",
            "unload-clone",
            "release",
            "remove-copy"
        ]
    );
}

#[test]
fn another_nodes_copy_is_left_alone() {
    let (node, copy) = copy_on("n2");
    let (n1, local) = ("n1".parse().unwrap(), "local".parse().unwrap());
    let error = write_back(&n1, &local, &seen(HomeState::Split { node, copy }), true).unwrap_err();
    assert_eq!(error.code, RefusalCode::HomeElsewhere);
}

#[test]
fn i22_the_switch_needs_all_copied_nothing_in_flight_and_a_healthy_clone() {
    let done = CloneStatus {
        region: Sectors(128),
        hydrated: 8,
        total: 8,
        in_flight: 0,
        hydrating: true,
        mode: CloneMode::ReadWrite,
    };
    assert!(may_switch(Some(&done)));
    for bad in [
        CloneStatus {
            hydrated: 7,
            ..done
        },
        CloneStatus {
            in_flight: 1,
            ..done
        },
        CloneStatus {
            mode: CloneMode::ReadOnly,
            ..done
        },
        CloneStatus {
            mode: CloneMode::Fail,
            ..done
        },
    ] {
        assert!(!may_switch(Some(&bad)), "{bad:?}");
    }
    assert!(!may_switch(None));
}
