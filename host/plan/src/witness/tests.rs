use volward_model::{
    Access, Attachment, CopyMode, DeviceId, DeviceNumber, InstanceId, LvUuid, Sectors, Sharing,
    VolumeId, VolumeInfo, VolumeRef,
};

use super::*;
use crate::RefusalCode;
use crate::input::{DiskForm, ForeignAttachment, LocalAttachment, LocalCopies, Witnesses};

fn lv(letter: char) -> LvUuid {
    letter.to_string().repeat(32).parse().unwrap()
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn instance() -> InstanceId {
    "c0ffee01-0000-4000-8000-000000000000".parse().unwrap()
}

fn home(state: HomeState, generation: u64) -> Home {
    Home { state, generation }
}

fn split(on: &str) -> HomeState {
    HomeState::Split {
        node: node(on),
        copy: lv('c'),
    }
}

fn returning() -> HomeState {
    HomeState::Returning {
        node: node("n1"),
        copy: lv('c'),
    }
}

fn seen() -> VolumeInput {
    VolumeInput {
        info: VolumeInfo {
            volume: VolumeRef {
                id: VolumeId {
                    vg: "v".repeat(32).parse().unwrap(),
                    lv: lv('a'),
                },
                pool: "vg0".parse().unwrap(),
                name: "web".parse().unwrap(),
            },
            size: Bytes::mib(64),
            tags: Vec::new(),
            segment_type: "linear".into(),
            active: true,
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
        witnesses: Witnesses {
            copies: LocalCopies::Found(Vec::new()),
            ..Witnesses::default()
        },
    }
}

fn device(role: DeviceRole, target: Option<&str>) -> DeviceInfo {
    DeviceInfo {
        id: DeviceId {
            volume: seen().info.volume.id,
            role,
        },
        number: DeviceNumber {
            major: 253,
            minor: 9,
        },
        open: true,
        suspended: false,
        read_only: false,
        target: target.map(str::to_owned),
        size: Sectors(0),
        event: 0,
    }
}

fn with_copy(stage: Option<CopyStage>) -> VolumeInput {
    let mut seen = seen();
    seen.witnesses.copies = LocalCopies::Found(vec![CopyLv {
        lv: lv('c'),
        size: Bytes::mib(64),
        stage,
    }]);
    seen
}

fn used(generation: u64) -> Option<CopyStage> {
    Some(CopyStage::Used {
        generation,
        size: Bytes::mib(64),
    })
}

fn attached(copied: bool) -> LocalAttachment {
    LocalAttachment {
        instance: instance(),
        instance_name: "web".into(),
        form: DiskForm::Own,
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        state: AttachmentState::Attached,
        copy: copied.then_some(CopyMode::Background),
        arriving: None,
        leaving: false,
    }
}

#[track_caller]
fn contradicts(home: &Home, seen: &VolumeInput, word: &str) {
    match weigh(&node("n1"), home, seen) {
        Verdict::Contradict(sentences) => {
            assert!(sentences.iter().any(|s| s.contains(word)), "{sentences:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is(home: &Home, seen: &VolumeInput, verdict: &Verdict) {
    assert_eq!(weigh(&node("n1"), home, seen), *verdict);
}

#[test]
fn a_volume_of_the_pool_with_nothing_here_is_as_its_tag_says() {
    is(&home(HomeState::Pool, 0), &seen(), &Verdict::Agree);
    let mut plain = seen();
    plain.here = vec![attached(false)];
    let role = DeviceRole::Attachment(instance());
    plain.witnesses.devices = vec![device(role, Some("linear"))];
    is(&home(HomeState::Pool, 0), &plain, &Verdict::Agree);
}

#[test]
fn a_device_that_no_attachment_accounts_for_speaks_against_everything() {
    let mut seen = with_copy(used(4));
    let role = DeviceRole::Attachment(instance());
    seen.witnesses.devices = vec![device(role, Some("linear"))];
    for state in [HomeState::Pool, split("n1"), split("n2"), returning()] {
        contradicts(&home(state, 4), &seen, "no attachment of instance");
    }
}

#[test]
fn a_copy_is_left_over_only_when_it_says_itself_that_it_was_written_back() {
    let pool = |generation| home(HomeState::Pool, generation);
    is(
        &pool(6),
        &with_copy(Some(CopyStage::Returned)),
        &Verdict::Leftovers,
    );
    // Whatever its generation: metadata that is restored brings any of them back.
    for generation in [0, 3, 4, 6] {
        contradicts(&pool(generation), &with_copy(used(4)), "has the copy");
    }
    // Made and never under a clone.
    is(
        &pool(0),
        &with_copy(Some(CopyStage::Fresh)),
        &Verdict::Leftovers,
    );
    let mut loaded = with_copy(Some(CopyStage::Fresh));
    loaded.witnesses.devices = vec![device(DeviceRole::Clone, Some("clone"))];
    contradicts(&pool(0), &loaded, "never used");
    // A copy of 0.1.0 says nothing: the record of its write-back must.
    contradicts(&pool(6), &with_copy(None), "does not say");
    let mut recorded = with_copy(None);
    recorded.witnesses.write_back = true;
    is(&pool(6), &recorded, &Verdict::Leftovers);
    contradicts(&pool(0), &recorded, "does not say");
}

#[test]
fn a_clone_without_its_copy_and_an_attachment_with_one_speak_against_a_home_in_the_pool() {
    let pool = home(HomeState::Pool, 6);
    for role in [DeviceRole::Clone, DeviceRole::Return] {
        let mut loaded = seen();
        loaded.witnesses.copies = LocalCopies::Silent("it is gone".into());
        loaded.witnesses.devices = vec![device(role, Some("linear"))];
        contradicts(&pool, &loaded, "is loaded");
        // A crash between making it and loading its table: nothing is in it.
        loaded.witnesses.devices = vec![device(role, None)];
        is(&pool, &loaded, &Verdict::Agree);
    }
    let mut recorded = with_copy(Some(CopyStage::Returned));
    recorded.here = vec![attached(true)];
    // A detach that was not recorded: no device, and the copy is back.
    is(&pool, &recorded, &Verdict::Leftovers);
    let role = DeviceRole::Attachment(instance());
    recorded.witnesses.devices = vec![device(role, Some("linear"))];
    contradicts(&pool, &recorded, "attached with a copy");
    let mut unknown = recorded.clone();
    unknown.witnesses = Witnesses::default();
    contradicts(&pool, &unknown, "attached with a copy");
}

#[test]
fn the_copy_that_the_home_names_must_be_the_one_that_is_here() {
    is(&home(split("n1"), 4), &with_copy(used(4)), &Verdict::Agree);
    is(&home(returning(), 5), &with_copy(used(4)), &Verdict::Agree);
    is(&home(split("n1"), 4), &with_copy(None), &Verdict::Agree);
    let returned = with_copy(Some(CopyStage::Returned));
    is(&home(returning(), 5), &returned, &Verdict::Agree);
    contradicts(
        &home(split("n1"), 4),
        &returned,
        "written back or discarded",
    );
    is(
        &home(split("n1"), 4),
        &with_copy(Some(CopyStage::Fresh)),
        &Verdict::Agree,
    );
    contradicts(&home(split("n1"), 4), &seen(), "no copy of the volume");
    contradicts(&home(split("n1"), 2), &with_copy(used(4)), "its copy is");
    contradicts(&home(returning(), 4), &with_copy(used(4)), "its copy is");
    let mut another = with_copy(used(4));
    another.witnesses.copies = LocalCopies::Found(vec![CopyLv {
        lv: lv('d'),
        size: Bytes::mib(64),
        stage: used(4),
    }]);
    contradicts(&home(split("n1"), 4), &another, "where it names");
    let mut smaller = with_copy(used(4));
    smaller.info.size = Bytes::mib(32);
    contradicts(&home(split("n1"), 4), &smaller, "smaller");
    // Where the local pool cannot be read, the steps that need it say so.
    let mut unread = seen();
    unread.witnesses.copies = LocalCopies::Silent("it is gone".into());
    is(&home(split("n1"), 4), &unread, &Verdict::Agree);
}

#[test]
fn nothing_is_written_back_beneath_a_guest_or_before_the_home_says_so() {
    let mut early = with_copy(used(4));
    early.witnesses.devices = vec![device(DeviceRole::Return, Some("clone"))];
    contradicts(&home(split("n1"), 4), &early, "writes back already");
    let mut beneath = with_copy(used(4));
    beneath.here = vec![attached(true)];
    contradicts(&home(returning(), 5), &beneath, "being written back");
    let mut elsewhere = seen();
    elsewhere.witnesses.devices = vec![device(DeviceRole::Clone, Some("clone"))];
    contradicts(&home(split("n2"), 4), &elsewhere, "is loaded here");
    // The home names this node's copy by the name that the node had.
    contradicts(
        &home(split("n2"), 4),
        &with_copy(used(4)),
        "put back name = \"n2\"",
    );
}

#[test]
fn the_size_of_a_clone_is_the_one_its_copy_was_made_with() {
    let mut grown = with_copy(used(4));
    grown.info.size = Bytes::mib(128);
    assert_eq!(copied_size(&home(split("n1"), 4), &grown), Bytes::mib(64));
    assert_eq!(
        copied_size(&home(HomeState::Pool, 6), &grown),
        Bytes::mib(128)
    );
    assert_eq!(
        copied_size(&home(split("n1"), 4), &with_copy(None)),
        Bytes::mib(64)
    );
}

#[test]
fn a_person_is_told_what_each_witness_says_and_which_tag_would_be_right() {
    let told = |home: &Home, seen: &VolumeInput| testimony(&node("n1"), home, seen, &Owner::Here);
    let lost = told(&home(HomeState::Pool, 0), &with_copy(used(4)));
    assert!(matches!(lost.verdict, Verdict::Contradict(_)));
    let tag = home(split("n1"), 4).tag();
    let tag = tag.strip_prefix("volward.home=").unwrap();
    let right = format!("`volward recover vg0/web --set-home {tag} --instead-of pool:::0`");
    assert!(lost.ways_out[0].contains(&right), "{:?}", lost.ways_out);
    assert_eq!(lost.homes, [home(split("n1"), 4)]);
    let copy = lost.witnesses.iter().find(|(w, _)| *w == Witness::Copy);
    assert!(copy.unwrap().1.contains("in use since"), "{copy:?}");

    let mut older = with_copy(Some(CopyStage::Returned));
    older.info.tags = vec![home(split("n1"), 4).tag()];
    let older = told(&home(split("n1"), 4), &older);
    assert!(
        older.ways_out[0].contains("--instead-of split:n1:"),
        "{:?}",
        older.ways_out
    );
    assert!(
        older.ways_out[0].contains("--set-home pool:::6"),
        "{:?}",
        older.ways_out
    );

    let gone = told(&home(split("n1"), 4), &seen());
    assert!(
        gone.ways_out[0].contains("bring the disk"),
        "{:?}",
        gone.ways_out
    );
    let mut open = seen();
    let role = DeviceRole::Attachment(instance());
    open.witnesses.devices = vec![device(role, Some("linear"))];
    let open = told(&home(HomeState::Pool, 0), &open);
    assert!(open.ways_out[0].contains("fuser"), "{:?}", open.ways_out);
    let well = told(&home(split("n1"), 4), &with_copy(used(4)));
    assert_eq!((well.verdict, well.ways_out), (Verdict::Agree, Vec::new()));
    assert_eq!(well.homes, []);
}

/// A command is typed later than it was printed.
#[test]
fn what_was_printed_for_other_witnesses_is_refused() {
    let (pool, here) = (home(HomeState::Pool, 0), home(split("n1"), 4));
    let volume = seen().info.volume;
    let said = |home: &Home, seen: &VolumeInput, found: &Home, right: &Home| {
        let heard = testimony(&node("n1"), home, seen, &Owner::Here);
        choose(&heard, home, &volume, found, right).map_err(|refusal| {
            assert_eq!(refusal.code, RefusalCode::HomeChanged);
            refusal.message
        })
    };
    let copied = with_copy(used(4));
    assert_eq!(said(&pool, &copied, &pool, &here), Ok(()));
    // The tag has changed: to the right one, or to another node's.
    for now in [&here, &home(split("n2"), 7)] {
        let message = said(now, &copied, &pool, &here).unwrap_err();
        assert!(message.contains("its home tag says"), "{message}");
    }
    // The tag is the same, and the copy is another one, is gone, or was written back.
    for other in [with_copy(used(6)), seen(), with_copy(None)] {
        let message = said(&pool, &other, &pool, &here).unwrap_err();
        assert!(message.contains("now"), "{message}");
    }
    let elsewhere = VolumeInput {
        elsewhere: vec![ForeignAttachment {
            host_id: 2,
            attachment: Attachment {
                volume: volume.id,
                instance: instance(),
                node: node("n2"),
                sharing: Sharing::Exclusive,
                access: Access::ReadWrite,
                since_ms: 0,
                state: AttachmentState::Attached,
            },
            silence: None,
        }],
        ..copied.clone()
    };
    assert!(said(&pool, &elsewhere, &pool, &here).is_err());
    // Something that nobody printed: what could be chosen is said beside it.
    let message = said(&pool, &copied, &pool, &home(split("n1"), 5)).unwrap_err();
    assert!(
        message.contains(":5 is not among") && message.contains("of generation 4"),
        "{message}"
    );
    // Nothing is to be chosen, and nobody's node is to blame.
    let message = said(&here, &copied, &here, &pool).unwrap_err();
    assert!(message.contains("nothing to choose"), "{message}");
}

mod choice;
