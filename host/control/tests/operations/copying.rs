//! Copies of volumes, snapshots and new names.

use super::*;

/// A copy under `c1`, asked for and not begun.
fn asked(lab: &Lab, daemon: &Daemon, size: Option<Bytes>) -> VolumeRef {
    let origin = origin(lab);
    let task = copy(lab, "origin", "new", size);
    daemon.node.ask_operation(&operation("c1", task)).unwrap();
    origin
}

fn copy(lab: &Lab, from: &str, to: &str, size: Option<Bytes>) -> VolumeTask {
    VolumeTask::Copy {
        from_pool: lab.pool.clone(),
        from: from.parse().unwrap(),
        pool: lab.pool.clone(),
        name: to.parse().unwrap(),
        size,
    }
}

fn rename(lab: &Lab, from: &str, to: &str) -> VolumeTask {
    VolumeTask::Rename {
        pool: lab.pool.clone(),
        name: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

/// More than two chunks, each block with a content of its own.
fn origin(lab: &Lab) -> VolumeRef {
    let origin = lab.cluster.volume(&lab.pool, "origin", SIZE);
    lab.cluster.fill(origin.id, |block| 7_000 + block);
    origin
}

/// The whole of it, and behind it zeroes where another tenant's data was.
#[test]
fn a_copy_has_the_content_and_zeroes_behind_it() {
    in_each_style(|lab, daemon| {
        let origin = origin(&lab);
        let larger = Some(Bytes::mib(300));
        assert_eq!(
            done(&daemon, "c1", copy(&lab, "origin", "new", larger)),
            End::Done
        );
        let made = found(&lab, &daemon, "new").unwrap();
        assert_eq!((made.size, made.tags.len()), (Bytes::mib(300), 0));
        let (had, has) = (
            lab.cluster.contents(origin.id),
            lab.cluster.contents(made.volume.id),
        );
        assert_eq!(has[..had.len()], had, "the whole source");
        assert!(
            has[had.len()..].iter().all(|block| *block == 0),
            "another tenant's data"
        );
        let progress = daemon.node.operation(&"c1".parse().unwrap()).unwrap();
        assert_eq!(
            (progress.operation.zeroed, progress.total),
            (made.size, made.size)
        );
        assert_eq!(found(&lab, &daemon, "origin").unwrap().tags, [""; 0]);
        for (n, volume) in [(1, &origin), (2, &made.volume)] {
            daemon
                .node
                .attach(&ask(instance(n), &[disk(volume)]))
                .unwrap();
            daemon.node.detach(&detach_ask(instance(n))).unwrap();
        }
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
    });
}

/// Of one moment: nobody attaches the source meanwhile, on no node.
#[test]
fn what_is_copied_is_attached_by_nobody_until_that_has_ended() {
    in_each_style(|lab, daemon| {
        let origin = asked(&lab, &daemon, None);
        daemon.tasks.run_all();
        assert_eq!(end(&daemon, "c1"), End::Done);
        // As a crash leaves it.
        lab.cluster.tamper(&origin, |_, tags, _| {
            tags.push(format!("volward.copying={}:c2", SIZE.0));
        });
        let refused = daemon.node.attach(&ask(instance(1), &[disk(&origin)]));
        match refused {
            Err(ControlError::Refused { refusal, .. }) => {
                assert_eq!(refusal.code.to_string(), "being-copied");
                assert!(refusal.retry_after_ms.is_some());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            refusal(&daemon, "c3", copy(&lab, "origin", "b", None)),
            "being-copied"
        );
        // Another node goes on with what this id began.
        assert_eq!(
            done(&daemon, "c2", copy(&lab, "origin", "c", None)),
            End::Done
        );
        assert_eq!(found(&lab, &daemon, "origin").unwrap().tags, [""; 0]);
    });
}

#[test]
fn what_may_be_written_is_not_copied_and_what_is_read_is() {
    in_each_style(|lab, daemon| {
        let origin = origin(&lab);
        let common = lab.shareable("common");
        let both = [disk(&origin), shared(&common)];
        daemon.node.attach(&ask(instance(1), &both)).unwrap();
        // Others may write to it, too.
        assert_eq!(
            refusal(&daemon, "c1", copy(&lab, "common", "new", None)),
            "held-here"
        );
        assert_eq!(
            refusal(&daemon, "m1", rename(&lab, "origin", "other")),
            "held-here"
        );
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        daemon
            .node
            .attach(&ask(instance(1), &[read_only(&origin)]))
            .unwrap();
        let snapshot = VolumeTask::Snapshot {
            pool: lab.pool.clone(),
            from: "origin".parse().unwrap(),
            name: "moment".parse().unwrap(),
        };
        assert_eq!(done(&daemon, "s1", snapshot), End::Done);
        let made = found(&lab, &daemon, "moment").unwrap();
        assert_eq!(
            lab.cluster.contents(made.volume.id),
            lab.cluster.contents(origin.id)
        );
        assert_eq!(daemon.node.attachments().len(), 1, "who reads it keeps it");
        let id = DeviceId::attachment(origin.id, instance(1));
        assert_eq!(daemon.kernel.guest_read(id, 0).unwrap(), 7_000);
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
    });
}

/// A lease that is lost, a node that dies: whoever could have written meanwhile was kept away by the mark.
#[test]
fn a_copy_goes_on_where_it_was_after_its_node_has_died() {
    in_each_style(|lab, daemon| {
        let origin = asked(&lab, &daemon, None);
        let kernel = daemon.kernel.clone();
        daemon.kernel.before("copy-range", move |_| {
            let next = kernel.clone();
            kernel.before("copy-range", move |_| next.crash_before(1));
        });
        daemon.tasks.run_all();
        assert!(daemon.kernel.crashed());
        daemon.kill();
        lab.reboot("n1");
        // The other node does not get at it, although nobody has its lease.
        let other = lab.start("n2");
        assert!(
            other
                .node
                .attach(&ask(instance(1), &[disk(&origin)]))
                .is_err()
        );
        let daemon = lab.start("n1");
        daemon.tasks.run_all();
        assert_eq!(end(&daemon, "c1"), End::Done);
        assert_eq!(calls(&daemon, "copy-range"), 3, "one before, two after");
        let made = found(&lab, &daemon, "new").unwrap();
        assert_eq!(
            lab.cluster.contents(made.volume.id),
            lab.cluster.contents(origin.id)
        );
        other
            .node
            .attach(&ask(instance(1), &[disk(&origin)]))
            .unwrap();
    });
}

#[test]
fn a_copy_is_cancelled_and_nothing_of_it_is_left() {
    let (lab, daemon) = lab();
    let origin = origin(&lab);
    daemon
        .node
        .ask_operation(&operation("c1", copy(&lab, "origin", "new", None)))
        .unwrap();
    let node = Arc::clone(&daemon.node);
    daemon.kernel.before("copy-range", move |_| {
        let request = operation("x", delete_nothing()).request;
        node.cancel_operation(request, &"c1".parse().unwrap())
            .unwrap();
    });
    daemon.tasks.run_all();
    assert_eq!(end(&daemon, "c1"), End::Cancelled);
    assert_eq!(names(&lab), ["origin"]);
    assert_eq!(found(&lab, &daemon, "origin").unwrap().tags, [""; 0]);
    daemon
        .node
        .attach(&ask(instance(1), &[disk(&origin)]))
        .unwrap();
}

fn delete_nothing() -> VolumeTask {
    VolumeTask::Delete {
        pool: "vg0".parse().unwrap(),
        name: "nothing".parse().unwrap(),
    }
}

#[test]
fn what_cannot_be_copied_or_renamed_is_refused_before_anything_is_begun() {
    let (lab, daemon) = lab();
    origin(&lab);
    lab.volume("b");
    for (task, code) in [
        (copy(&lab, "origin", "b", None), "name-taken"),
        (
            copy(&lab, "origin", "new", Some(Bytes::mib(4))),
            "would-shrink",
        ),
        (
            copy(&lab, "origin", "new", Some(Bytes(1 << 40))),
            "no-space",
        ),
        (copy(&lab, "origin", "origin", None), "name-taken"),
        (copy(&lab, "origin", "volward-x", None), "name-reserved"),
        (rename(&lab, "origin", "b"), "name-taken"),
        (rename(&lab, "origin", "pvmove0"), "name-reserved"),
    ] {
        assert_eq!(refusal(&daemon, "c", task.clone()), code, "{task}");
    }
    for task in [
        copy(&lab, "nothing", "new", None),
        rename(&lab, "nothing", "new"),
    ] {
        let error = daemon
            .node
            .ask_operation(&operation("c", task))
            .unwrap_err();
        assert!(matches!(error, ControlError::NotFound(_)), "{error}");
    }
    assert_eq!(daemon.node.operations(), [], "nothing is on record");
}

#[test]
fn a_volume_is_renamed_and_is_the_same_one() {
    in_each_style(|lab, daemon| {
        let origin = origin(&lab);
        assert_eq!(
            done(&daemon, "m1", rename(&lab, "origin", "other")),
            End::Done
        );
        assert_eq!(
            done(&daemon, "m1", rename(&lab, "origin", "other")),
            End::Done
        );
        let now = found(&lab, &daemon, "other").unwrap();
        assert_eq!(now.volume.id, origin.id);
        assert_eq!(names(&lab), ["other"]);
        daemon
            .node
            .attach(&ask(instance(1), &[disk(&now.volume)]))
            .unwrap();
        daemon.node.detach(&detach_ask(instance(1))).unwrap();
        assert_eq!(check::clean(&lab, &daemon), [""; 0]);
    });
}

/// What is to be done is said, and nothing is begun.
#[test]
fn a_dry_run_of_a_copy_lists_the_steps() {
    let (lab, daemon) = lab();
    origin(&lab);
    let asked = volward_control::OperationRequest {
        dry_run: true,
        ..operation("c1", copy(&lab, "origin", "new", None))
    };
    let plan = daemon.node.ask_operation(&asked).unwrap().plan;
    assert!(
        plan.iter().any(|step| step.starts_with("copy 132 MiB")),
        "{plan:?}"
    );
    assert!(plan.last().unwrap().contains("off the source"), "{plan:?}");
    assert_eq!(names(&lab), ["origin"]);
}

/// In the other pool another lockspace and another registry say who has what.
#[test]
fn a_copy_is_made_in_another_pool() {
    for style in STYLES {
        let mut lab = Lab::new(&["n1", "n2"]);
        let well = lab.add_pool("well");
        lab.cluster.set_lease_style(style);
        let daemon = lab.start("n1");
        let origin = origin(&lab);
        let task = VolumeTask::Copy {
            from_pool: lab.pool.clone(),
            from: "origin".parse().unwrap(),
            pool: well.clone(),
            name: "new".parse().unwrap(),
            size: None,
        };
        assert_eq!(done(&daemon, "c1", task), End::Done);
        let pool = Volumes::pool(&daemon.kernel, &well).unwrap();
        let made = pool.named(&"new".parse().unwrap()).unwrap();
        assert_eq!(made.tags, [""; 0]);
        let (had, has) = (origin.id, made.volume.id);
        assert_eq!(lab.cluster.contents(has), lab.cluster.contents(had));
        assert_eq!(found(&lab, &daemon, "origin").unwrap().tags, [""; 0]);
        let request = ask(instance(1), &[disk(&made.volume), disk(&origin)]);
        daemon.node.attach(&request).unwrap();
    }
}

/// The source's lease is shared with whoever reads it on another node; one who may write is refused.
#[test]
fn a_copy_is_made_beside_readers_of_another_node() {
    in_each_style(|lab, daemon| {
        let origin = origin(&lab);
        let other = lab.start("n2");
        let reads = volward_control::DiskRequest {
            sharing: shared(&origin).sharing,
            ..read_only(&origin)
        };
        other.node.attach(&ask(instance(2), &[reads])).unwrap();
        assert_eq!(
            done(&daemon, "c1", copy(&lab, "origin", "new", None)),
            End::Done
        );
        let made = found(&lab, &daemon, "new").unwrap();
        assert_eq!(
            lab.cluster.contents(made.volume.id),
            lab.cluster.contents(origin.id)
        );
        let held = daemon.kernel.leases_held();
        assert!(
            held.iter().all(|(id, _)| *id != origin.id),
            "the lease was given back"
        );
        other.node.detach(&detach_ask(instance(2))).unwrap();
        // Others may write to it, too.
        let common = lab.shareable("common");
        let writes = ask(instance(2), &[shared(&common)]);
        other.node.attach(&writes).unwrap();
        let task = copy(&lab, "common", "b", None);
        assert_eq!(refusal(&daemon, "c2", task), "held-elsewhere");
    });
}

fn move_to(lab: &Lab, pool: &volward_model::PoolName, from: &str) -> VolumeTask {
    VolumeTask::Move {
        from_pool: lab.pool.clone(),
        from: from.parse().unwrap(),
        pool: pool.clone(),
        name: from.parse().unwrap(),
    }
}

/// Nobody has it while it goes, not even to read: its path has the old pool's name.
#[test]
fn a_volume_that_somebody_has_stays_in_its_pool() {
    for style in STYLES {
        let mut lab = Lab::new(&["n1", "n2"]);
        let well = lab.add_pool("well");
        lab.cluster.set_lease_style(style);
        let (daemon, other) = (lab.start("n1"), lab.start("n2"));
        let origin = origin(&lab);
        for (there, code) in [(&daemon, "held-here"), (&other, "held-elsewhere")] {
            for wish in [disk(&origin), read_only(&origin)] {
                there.node.attach(&ask(instance(2), &[wish])).unwrap();
                let task = move_to(&lab, &well, "origin");
                assert_eq!(refusal(&daemon, "m1", task), code);
                there.node.detach(&detach_ask(instance(2))).unwrap();
            }
        }
        // The one name is taken there, the other one is free.
        lab.cluster.volume(&well, "origin", SIZE);
        let task = move_to(&lab, &well, "origin");
        assert_eq!(refusal(&daemon, "m1", task.clone()), "name-taken");
        let VolumeTask::Move {
            from_pool,
            from,
            pool,
            ..
        } = task
        else {
            unreachable!("it was made a moment ago");
        };
        let name = "free".parse().unwrap();
        let renamed = VolumeTask::Move {
            from_pool,
            from,
            pool,
            name,
        };
        assert_eq!(done(&daemon, "m1", renamed), End::Done);
        assert!(found(&lab, &daemon, "origin").is_none());
    }
}

/// Until the volume is in the new pool it is taken back whole; then it goes on to its end.
#[test]
fn a_move_is_taken_back_until_the_volume_is_there() {
    for style in STYLES {
        for (call, back) in [
            ("copy-range", true),
            ("rename", false),
            ("remove-volume", false),
        ] {
            let mut lab = Lab::new(&["n1"]);
            let well = lab.add_pool("well");
            lab.cluster.set_lease_style(style);
            let daemon = lab.start("n1");
            let origin = origin(&lab);
            let had = lab.cluster.contents(origin.id);
            let task = move_to(&lab, &well, "origin");
            daemon.node.ask_operation(&operation("m1", task)).unwrap();
            let id: OperationId = "m1".parse().unwrap();
            let (node, cancels) = (Arc::clone(&daemon.node), id.clone());
            let (says, said) = std::sync::mpsc::channel();
            daemon.kernel.before(call, move |_| {
                let request = operation("x", delete_nothing()).request;
                says.send(node.cancel_operation(request, &cancels).is_ok())
                    .unwrap();
            });
            daemon.tasks.run_all();
            let ended = daemon.node.operation(&id).unwrap().operation;
            let end = ended.end().cloned();
            assert_eq!(said.try_iter().next(), Some(back), "cancelled in {call}");
            let there = lab.cluster.volumes(&well);
            let (pool, expected) = match back {
                true => (&lab.pool, End::Cancelled),
                false => (&well, End::Done),
            };
            let case = format!("{style:?}, {call}: {end:?}, {there:?}");
            assert_eq!(end, Some(expected), "{case}");
            let kept = Volumes::pool(&daemon.kernel, pool).unwrap();
            let kept = kept.named(&"origin".parse().unwrap()).unwrap().clone();
            assert_eq!(lab.cluster.contents(kept.volume.id), had, "{case}");
            assert_eq!(kept.tags, [""; 0], "{case}");
            let all = [&lab.pool, &well].map(|pool| lab.cluster.volumes(pool).len());
            assert_eq!(
                all.iter().sum::<usize>(),
                3,
                "{case}: two registries beside it"
            );
        }
    }
}
