//! What the policies answered, beside what was asked for.

use super::*;

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
