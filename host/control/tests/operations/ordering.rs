//! A volume grows on the node that has it attached, whichever node is asked.

use std::time::Duration;

use volward_control::OperationRequest;
use volward_control::ports::Devices;
use volward_model::RequestId;
use volward_model::scenario::Hook;
use volward_plan::DiskForm;
use volward_simulation::doubles::denied;
use volward_simulation::story::seconds;

use super::*;

/// `a` is attached to instance 2 on node 2; node 1 is asked.
fn apart(lab: &Lab) -> (VolumeRef, Daemon) {
    let a = lab.volume("a");
    let other = lab.start("n2");
    other.node.attach(&ask(instance(2), &[disk(&a)])).unwrap();
    (a, other)
}

fn length(daemon: &Daemon, of: &VolumeRef) -> Bytes {
    let id = DeviceId::attachment(of.id, instance(2));
    let device = daemon.kernel.get(id).unwrap().unwrap();
    device.size.bytes()
}

fn begin(lab: &Lab, daemon: &Daemon, id: &str) {
    let task = extend(lab, "a", SIZE);
    daemon.node.ask_operation(&operation(id, task)).unwrap();
}

fn message(end: &End) -> &str {
    match end {
        End::Failed { message, .. } => message,
        other => panic!("not failed: {other:?}"),
    }
}

#[test]
fn i11_a_volume_grows_on_the_node_that_has_it() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        let had = lab.cluster.contents(a.id);
        let dry = OperationRequest {
            dry_run: true,
            ..operation("e0", extend(&lab, "a", SIZE))
        };
        let plan = daemon.node.ask_operation(&dry).unwrap().plan;
        assert!(plan[0].contains("node n2"), "{plan:?}");
        assert!(plan.len() > 3, "{plan:?}");

        begin(&lab, &daemon, "e1");
        daemon.tasks.run_all();
        let waits = daemon.node.operation(&"e1".parse().unwrap()).unwrap();
        assert_eq!(waits.failures, 0);
        assert!(waits.trouble.unwrap().contains("node n2"));
        seconds(&lab, &[&daemon, &other], 4);
        assert_eq!(end(&daemon, "e1"), End::Done);
        assert_eq!(end(&other, "e1"), End::Done, "the same one there");
        // Whoever looks at the node that was asked sees that all of it was zeroed.
        let [asked, does] = [&daemon, &other].map(|d| d.node.operation(&"e1".parse().unwrap()));
        let (asked, does) = (asked.unwrap(), does.unwrap());
        assert!(does.operation.zeroed.0 > 0, "{does:?}");
        assert_eq!(asked.written(), does.operation.zeroed, "{asked:?}");
        assert_eq!(
            (asked.total, asked.operation.zeroed),
            (does.total, does.operation.zeroed)
        );
        assert_eq!(length(&other, &a), SIZE, "its guest sees it");
        let now = lab.cluster.contents(a.id);
        assert_eq!(now[..had.len()], had, "its data");
        assert!(now[had.len()..].iter().all(|block| *block == 0));
        assert_eq!(calls(&daemon, "grow") + calls(&daemon, "grow-held"), 0);
        assert_eq!(
            check::clean(&lab, &daemon),
            [format!("the shared LV of {} lost data", a.id)],
            "only longer than it was"
        );
        other.node.detach(&detach_ask(instance(2))).unwrap();
        // What is done is done, on either node.
        assert_eq!(done(&daemon, "e2", extend(&lab, "a", SIZE)), End::Done);
        seconds(&lab, &[&daemon, &other], 2);
    });
}

/// Its own policies are not asked a second time: the node that was asked has the decision on record.
#[test]
fn i32_only_the_node_that_is_asked_asks_its_policies() {
    in_each_style(|lab, daemon| {
        let (_, other) = apart(&lab);
        begin(&lab, &daemon, "e1");
        assert_eq!(daemon.policy.asked_at(Hook::Operate).len(), 1);
        let no = denied("not-today", "the test grows nothing today".to_owned());
        daemon.policy.say_at(Hook::Operate, no);
        daemon.tasks.run_all();
        seconds(&lab, &[&daemon, &other], 4);
        assert_eq!(end(&daemon, "e1"), End::Done);
        assert_eq!(daemon.policy.asked_at(Hook::Operate).len(), 1);
        let refused = operation("e2", extend(&lab, "a", Bytes(SIZE.0 * 2)));
        let error = daemon.node.ask_operation(&refused).unwrap_err();
        assert_eq!(error.to_string(), "the test grows nothing today");
        seconds(&lab, &[&daemon, &other], 2);
        assert!(other.node.operation(&refused.id).is_none());
    });
}

#[test]
fn several_nodes_that_have_it_are_not_told() {
    in_each_style(|lab, daemon| {
        let other = lab.start("n2");
        let c = lab.shareable("c");
        for (node, n) in [(&daemon, 1), (&other, 2)] {
            node.node.attach(&ask(instance(n), &[shared(&c)])).unwrap();
        }
        assert_eq!(
            refusal(&daemon, "e1", extend(&lab, "c", SIZE)),
            "held-elsewhere"
        );
    });
}

/// It does not run, or is of a version that knows no such orders.
#[test]
fn a_node_that_does_not_answer_is_waited_for_so_long_and_no_longer() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        begin(&lab, &daemon, "e1");
        seconds(&lab, &[&daemon], 20);
        assert!(
            daemon
                .node
                .operation(&"e1".parse().unwrap())
                .unwrap()
                .operation
                .end()
                .is_none()
        );
        seconds(&lab, &[&daemon], 15);
        assert_eq!(code(&end(&daemon, "e1")), "order-unanswered");
        // The order stands no longer.
        seconds(&lab, &[&other, &daemon], 3);
        assert!(other.node.operation(&"e1".parse().unwrap()).is_none());
        assert!(length(&other, &a) < SIZE);
    });
}

#[test]
fn what_that_node_refuses_is_told_with_its_reason() {
    in_each_style(|lab, daemon| {
        let a = lab.volume("a");
        let other = lab.start("n2");
        let mut as_lv = disk(&a);
        as_lv.form = DiskForm::Lv;
        other.node.attach(&ask(instance(2), &[as_lv])).unwrap();
        begin(&lab, &daemon, "e1");
        seconds(&lab, &[&daemon, &other], 4);
        let end = end(&daemon, "e1");
        assert_eq!(code(&end), "held-here");
        assert!(message(&end).contains("on node n2"), "{end:?}");
        assert!(message(&end).contains("the LV itself"), "{end:?}");
        // And one of another request there has that id.
        other.node.detach(&detach_ask(instance(2))).unwrap();
        other.node.attach(&ask(instance(2), &[disk(&a)])).unwrap();
        assert_eq!(done(&other, "e2", create(&lab, "x")), End::Done);
        begin(&lab, &daemon, "e2");
        seconds(&lab, &[&daemon, &other], 4);
        assert_eq!(code(&super::end(&daemon, "e2")), "operation-differs");
    });
}

/// In the middle of zeroing: whoever was asked goes on with what has the operation's mark.
#[test]
fn what_a_node_has_begun_when_it_dies_is_completed_by_whoever_was_asked() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        let had = lab.cluster.contents(a.id);
        begin(&lab, &daemon, "e1");
        daemon.tasks.run_all();
        for _ in 0..3 {
            other.kernel.fail_on("zero-range", failure());
        }
        other.node.follow_migrations();
        other.tasks.run_all();
        assert!(found(&lab, &daemon, "a").unwrap().mark().is_some());
        other.kernel.power_cut();
        lab.cluster.set_member("n2", MemberState::Dead);
        for _ in 0..3 {
            seconds(&lab, &[&daemon], 1);
            try_again(&lab, &daemon);
        }
        assert_eq!(end(&daemon, "e1"), End::Done);
        let now = lab.cluster.contents(a.id);
        assert_eq!(now[..had.len()], had, "its data");
        assert!(now[had.len()..].iter().all(|block| *block == 0));
        daemon.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    });
}

#[test]
fn the_guest_that_has_it_stops_before_it_is_begun() {
    in_each_style(|lab, daemon| {
        let (_, other) = apart(&lab);
        begin(&lab, &daemon, "e1");
        daemon.tasks.run_all();
        other.node.detach(&detach_ask(instance(2))).unwrap();
        seconds(&lab, &[&daemon, &other], 3);
        assert_eq!(end(&daemon, "e1"), End::Done);
        assert_eq!(found(&lab, &daemon, "a").unwrap().size, SIZE);
    });
}

#[test]
fn it_is_cancelled_there_while_that_is_possible() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        let request = RequestId(uuid::Uuid::nil());
        let cancel = |id: &str| daemon.node.cancel_operation(request, &id.parse().unwrap());
        // Not heard yet.
        begin(&lab, &daemon, "e1");
        daemon.tasks.run_all();
        cancel("e1").unwrap();
        seconds(&lab, &[&daemon, &other], 4);
        assert_eq!(end(&daemon, "e1"), End::Cancelled);
        assert!(length(&other, &a) < SIZE);
        // Begun, and before its commit point.
        begin(&lab, &daemon, "e2");
        daemon.tasks.run_all();
        other.kernel.fail_on("grow-held", failure());
        other.node.follow_migrations();
        other.tasks.run_all();
        cancel("e2").unwrap();
        seconds(&lab, &[&daemon, &other], 6);
        assert_eq!(end(&daemon, "e2"), End::Cancelled);
        assert_eq!(end(&other, "e2"), End::Cancelled);
        let now = found(&lab, &daemon, "a").unwrap();
        assert!(now.size < SIZE && now.tags.is_empty(), "{now:?}");
        // And after it: it is completed.
        begin(&lab, &daemon, "e3");
        daemon.tasks.run_all();
        other.kernel.fail_on("zero-range", failure());
        other.node.follow_migrations();
        other.tasks.run_all();
        cancel("e3").unwrap();
        seconds(&lab, &[&daemon, &other], 40);
        assert_eq!(end(&daemon, "e3"), End::Done);
        assert_eq!(length(&other, &a), SIZE);
    });
}

/// Each of them at each point: it is found again by its id, and ends the same way.
#[test]
fn a_daemon_that_restarts_meanwhile_goes_on() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        begin(&lab, &daemon, "e1");
        daemon.tasks.run_all();
        daemon.kill();
        let daemon = lab.start("n1");
        other.node.follow_migrations();
        other.kernel.fail_on("zero-range", failure());
        other.tasks.run_all();
        other.kill();
        let other = lab.start("n2");
        seconds(&lab, &[&daemon, &other], 40);
        assert_eq!(end(&daemon, "e1"), End::Done);
        assert_eq!(end(&other, "e1"), End::Done);
        assert_eq!(length(&other, &a), SIZE);
    });
}

/// It has told of it for longer than it is waited for; then its daemon is started again, and its slot is empty for a
/// moment.
#[test]
fn how_long_a_node_is_waited_for_counts_from_when_it_told_last() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        begin(&lab, &daemon, "e1");
        for _ in 0..8 {
            other.kernel.fail_on("zero-range", failure());
        }
        seconds(&lab, &[&daemon, &other], 45);
        other.kill();
        let other = lab.start("n2");
        lab.cluster.clock().sleep(Duration::from_secs(2));
        seconds(&lab, &[&daemon], 5);
        let waits = daemon.node.operation(&"e1".parse().unwrap()).unwrap();
        assert!(waits.operation.end().is_none(), "{waits:?}");
        seconds(&lab, &[&daemon, &other], 200);
        assert_eq!(end(&daemon, "e1"), End::Done);
        assert_eq!(length(&other, &a), SIZE);
    });
}

/// A pool whose disks hang while an order is begun keeps no slot from being written.
#[test]
fn nothing_is_kept_locked_while_an_order_is_begun() {
    let (lab, daemon) = lab();
    let (_, other) = apart(&lab);
    begin(&lab, &daemon, "e1");
    daemon.tasks.run_all();
    let (node, pool) = (Arc::clone(&other.node), lab.pool.clone());
    let (say, said) = std::sync::mpsc::channel();
    let once = std::sync::Mutex::new(Some(say));
    lab.cluster.set_pace(move |kernel, call| {
        if kernel.name().as_str() != "n2" || call != "watchdog-armed" {
            return;
        }
        let Some(say) = once.lock().unwrap().take() else {
            return;
        };
        let (node, pool) = (Arc::clone(&node), pool.clone());
        let (done, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(node.open_registry(&pool).is_ok()));
        say.send(ended.recv_timeout(Duration::from_secs(5)))
            .unwrap();
    });
    other.node.follow_migrations();
    other.tasks.run_all();
    assert_eq!(
        said.try_recv().unwrap(),
        Ok(true),
        "the slot was not written meanwhile"
    );
}

/// What is taken back for a reason of this node's own ends with that.
#[test]
fn what_fails_here_ends_with_the_reason_here() {
    in_each_style(|lab, daemon| {
        let (_, other) = apart(&lab);
        begin(&lab, &daemon, "e1");
        daemon.tasks.run_all();
        for _ in 0..3 {
            daemon.kernel.fail_on("members", failure());
        }
        for _ in 0..3 {
            try_again(&lab, &daemon);
        }
        seconds(&lab, &[&daemon, &other], 6);
        assert_eq!(code(&end(&daemon, "e1")), "storage");
        assert!(
            other
                .node
                .operation(&"e1".parse().unwrap())
                .is_none_or(|known| { known.operation.end() == Some(&End::Cancelled) })
        );
    });
}

/// Its device cannot grow, and nobody who waits would be told what for.
#[test]
fn what_is_cut_off_neither_grows_nor_is_copied_and_whoever_asks_is_told_why() {
    in_each_style(|lab, daemon| {
        let (a, other) = apart(&lab);
        let before = length(&other, &a);
        other.node.fence(Some(instance(2)), &[]);
        other.tasks.run_all();
        let snap = VolumeTask::Snapshot {
            pool: lab.pool.clone(),
            from: a.name.clone(),
            name: "moment".parse().unwrap(),
        };
        for (id, task) in [("e1", extend(&lab, "a", SIZE)), ("s1", snap)] {
            let error = other
                .node
                .ask_operation(&operation(&format!("own-{id}"), task.clone()))
                .unwrap_err();
            let ControlError::Refused { refusal, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(refusal.code.as_str(), "fenced", "{error}");

            daemon.node.ask_operation(&operation(id, task)).unwrap();
            seconds(&lab, &[&daemon, &other], 6);
            let said = end(&daemon, id);
            let said = message(&said);
            assert!(
                said.contains("node n2") && said.contains("somebody asked for it"),
                "{said}"
            );
        }
        assert_eq!(length(&other, &a), before);
    });
}
