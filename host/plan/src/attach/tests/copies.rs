//! Local copies, and where the data is.

use super::*;

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
