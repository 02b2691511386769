use super::*;
use volward_model::{
    Access, Bytes, CopyMode, Home, MigrationNonce, Sharing, VolumeId, VolumeInfo, VolumeRef,
};

use crate::input::DiskForm;
use crate::refusal::RefusalCode;

fn info() -> VolumeInfo {
    VolumeInfo {
        volume: VolumeRef {
            id: VolumeId {
                vg: "g".repeat(32).parse().unwrap(),
                lv: "a".repeat(32).parse().unwrap(),
            },
            pool: "vg0".parse().unwrap(),
            name: "root".parse().unwrap(),
        },
        size: Bytes::mib(512),
        tags: Vec::new(),
        segment_type: "linear".into(),
        active: true,
        autoactivation: false,
        roles: Vec::new(),
        own_lease: true,
        read_only: false,
    }
}

fn instance(n: u128) -> InstanceId {
    InstanceId(uuid::Uuid::from_u128(n))
}

fn attachment() -> LocalAttachment {
    LocalAttachment {
        instance: instance(1),
        instance_name: "web1".into(),
        form: DiskForm::Own,
        sharing: Sharing::Exclusive,
        access: Access::ReadWrite,
        state: AttachmentState::Attached,
        copy: None,
        arriving: None,
        leaving: false,
    }
}

fn migrating() -> Job {
    Job::MigratingOut {
        since: Some(Duration::from_secs(3)),
    }
}

/// A call of two seconds ago, of a migration that began a second before it.
fn heard<'a>(info: &'a VolumeInfo, attachment: &'a LocalAttachment) -> Heard<'a> {
    Heard {
        call: MigrationCall {
            volume: info.volume.id,
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
        seen_for: Some(Duration::from_secs(2)),
        info: Some(info),
        attachment: Some(attachment),
        leaving: None,
        copied_by: None,
        unsound: None,
        job: migrating(),
    }
}

/// What becomes of a call that `change` has changed.
fn judged(change: impl FnOnce(&mut Heard<'_>)) -> Judgement {
    let (info, attachment) = (info(), attachment());
    let mut heard = heard(&info, &attachment);
    change(&mut heard);
    judge(&heard)
}

fn code(judgement: Judgement) -> RefusalCode {
    match judgement {
        Judgement::Refuse(refusal) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn i6_a_call_is_good_while_its_own_migration_runs() {
    assert_eq!(judged(|_| ()), Judgement::Share);
    assert_eq!(
        judged(|h| h.job = Job::MigratingOut { since: None }),
        Judgement::Share
    );
    // The same node, whose attach was decided anew.
    assert_eq!(judged(|h| h.leaving = Some(2)), Judgement::Share);
    let third = judged(|h| h.leaving = Some(3));
    assert_eq!(code(third), RefusalCode::MigrationElsewhere);
}

#[test]
fn i6_without_a_migration_it_is_waited_for_and_then_refused() {
    let at = |seconds, job: Job| {
        judged(|h| {
            h.seen_for = Some(Duration::from_secs(seconds));
            h.job = job;
        })
    };
    let silent = || Job::Unknown("it is down".to_owned());
    for job in [Job::None, silent()] {
        assert_eq!(at(7, job), Judgement::Wait);
    }
    assert_eq!(code(at(8, Job::None)), RefusalCode::NoMigration);
    assert_eq!(code(at(8, silent())), RefusalCode::LibvirtSilent);
}

/// Days later the instance migrates, to somebody else: what an earlier attempt left behind is no
/// reason to share with its node.
#[test]
fn i6_a_call_of_an_earlier_migration_is_stale() {
    let stale = |change: fn(&mut Heard<'_>)| code(judged(change)) == RefusalCode::MigrationStale;
    assert!(stale(|h| h.seen_for = None), "it was there at the start");
    assert!(stale(|h| h.seen_for = Some(Duration::from_secs(61))));
    assert!(
        stale(|h| h.seen_for = Some(Duration::from_secs(9))),
        "a migration of three seconds"
    );
    assert!(stale(|h| h.caller.present = false), "a dead generation");
}

#[test]
fn i7_what_cannot_be_on_two_nodes_stays() {
    let refused = |change: fn(&mut VolumeInfo, &mut LocalAttachment)| {
        let (mut info, mut attachment) = (info(), attachment());
        change(&mut info, &mut attachment);
        code(judge(&heard(&info, &attachment)))
    };
    let home = |state| Home {
        state,
        generation: 1,
    };
    let copy: volward_model::LvUuid = "c".repeat(32).parse().unwrap();
    for state in [
        HomeState::Split {
            node: "n1".parse().unwrap(),
            copy,
        },
        HomeState::Returning {
            node: "n1".parse().unwrap(),
            copy,
        },
    ] {
        let mut info = info();
        info.tags.push(home(state).tag());
        let attachment = attachment();
        let judged = judge(&heard(&info, &attachment));
        assert_eq!(code(judged), RefusalCode::MigrationCopy);
    }
    // A copy that is being made, before the home says so.
    assert_eq!(
        refused(|_, a| a.copy = Some(CopyMode::Background)),
        RefusalCode::MigrationCopy
    );
    assert_eq!(
        refused(|i, _| i.segment_type = "raid1".into()),
        RefusalCode::ExclusiveOnly
    );
    assert_eq!(
        refused(|i, _| i.tags.push("volward.home=x".into())),
        RefusalCode::HomeUnreadable
    );
    assert_eq!(
        refused(|_, a| a.state = AttachmentState::Quarantined),
        RefusalCode::Quarantined
    );
    let copied = judged(|h| h.copied_by = Some("s1".parse().unwrap()));
    assert_eq!(code(copied), RefusalCode::OperationOpen);
    let cut = judged(|h| h.unsound = Some("somebody asked for it".into()));
    assert_eq!(code(cut), RefusalCode::Fenced);
}

#[test]
fn i6_what_is_not_attached_for_that_instance_is_not_shared() {
    let none = judged(|h| h.attachment = None);
    assert_eq!(code(none), RefusalCode::MigrationUnknown);
    let gone = judged(|h| h.info = None);
    assert_eq!(code(gone), RefusalCode::MigrationUnknown);
}

fn seen() -> Leaving {
    Leaving {
        dead: false,
        present: true,
        called: true,
        arrived: false,
        shared: false,
        job: migrating(),
        idle_looks: 0,
    }
}

#[test]
fn i7_the_source_goes_on_from_its_mark_and_takes_back_what_came_to_nothing() {
    let next = |change: fn(&mut Leaving)| {
        let mut seen = seen();
        change(&mut seen);
        leaving(&seen)
    };
    // A daemon that was started again between the mark and the conversion.
    assert_eq!(next(|_| ()), Next::Share);
    assert_eq!(next(|s| s.called = false), Next::Stay);
    assert_eq!(next(|s| s.present = false), Next::Stay);
    assert_eq!(next(|s| s.job = Job::Unknown(String::new())), Next::Stay);
    assert_eq!(next(|s| s.shared = true), Next::Stay);
    // The migration is over: once is not enough.
    assert_eq!(next(|s| s.job = Job::None), Next::Stay);
    let over = |s: &mut Leaving| {
        s.job = Job::None;
        s.idle_looks = 1;
        s.shared = true;
    };
    let mut ended = seen();
    over(&mut ended);
    assert_eq!(leaving(&ended), Next::TakeBack);
    // The destination has it still: its end is waited for, or its death.
    ended.arrived = true;
    assert_eq!(leaving(&ended), Next::Stay);
    ended.present = false;
    assert_eq!(leaving(&ended), Next::Stay, "its guest may write still");
    ended.dead = true;
    assert_eq!(leaving(&ended), Next::TakeBack);
}
