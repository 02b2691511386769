//! What was cut off comes back also after the daemon was started again, where the lease is the one from before.

use volward_control::ports::FenceRecords;

use super::*;

/// A lab with volume `a` of instance 1, cut off for being renewed late; the record of it has been written.
fn cut_off() -> (Lab, Daemon, VolumeRef) {
    let lab = Lab::new(&["n1"]);
    let n1 = lab.start("n1");
    let volume = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
    look(&n1);
    n1.kernel.set_renewed_ago(Duration::from_secs(60));
    look(&n1);
    assert!(!writes(&lab, &n1, &volume, 1));
    n1.kernel.set_renewed_ago(Duration::from_secs(1));
    look(&n1);
    (lab, n1, volume)
}

/// Started again, and looked around.
fn started_again(lab: &Lab) -> Daemon {
    let n1 = lab.start("n1");
    look(&n1);
    look(&n1);
    n1
}

#[test]
fn i2_what_was_cut_off_for_a_moment_comes_back_after_a_restart_of_the_daemon() {
    let (lab, n1, volume) = cut_off();
    n1.kill();
    let n1 = started_again(&lab);
    let fenced = n1.node.fenced();
    let fenced = fenced.values().next().unwrap();
    assert!(
        fenced.cut && fenced.regainable && fenced.reason.contains("60 s ago"),
        "{fenced:?}"
    );
    assert_eq!(
        n1.node.unfence(request(), instance(1)).unwrap(),
        std::slice::from_ref(&volume)
    );
    assert!(writes(&lab, &n1, &volume, 2));
    // Killed before that could be put on record: the next daemon finds a device that works, and forgets the record.
    assert_eq!(lab.journal("n1").fences().unwrap().len(), 1);
    n1.kill();
    let n1 = started_again(&lab);
    assert_eq!(n1.node.fenced().len(), 0);
    assert_eq!(lab.journal("n1").fences().unwrap(), []);
    assert!(writes(&lab, &n1, &volume, 3));
    n1.node.detach(&detach_ask(instance(1))).unwrap();
    n1.tasks.run_all();
    assert_eq!(clean(&lab, &n1), [""; 0]);
}

/// Another node can have had the volume meanwhile.
#[test]
fn i2_a_lease_that_was_lost_around_the_restart_gives_nothing_back() {
    for lost_after in [false, true] {
        let (lab, mut n1, volume) = cut_off();
        if lost_after {
            n1.kill();
            n1 = started_again(&lab);
            n1.kernel.rejoin();
        } else {
            n1.kernel.lose_lease(volume.id);
            n1.kill();
            n1 = started_again(&lab);
        }
        look(&n1);
        look(&n1);
        let error = n1.node.unfence(request(), instance(1)).unwrap_err();
        assert_eq!(refused(&error).0, "fenced");
        assert!(!writes(&lab, &n1, &volume, 2), "lost after: {lost_after}");
    }
}

#[test]
fn a_record_that_cannot_be_written_is_written_later_and_without_it_nothing_comes_back() {
    for has_space in [false, true] {
        let lab = Lab::new(&["n1"]);
        let n1 = lab.start("n1");
        let volume = lab.volume("a");
        n1.node.attach(&ask(instance(1), &[disk(&volume)])).unwrap();
        look(&n1);
        lab.journal("n1").set_full(true);
        n1.node.fence(Some(instance(1)), &[]);
        look(&n1);
        look(&n1);
        assert!(!writes(&lab, &n1, &volume, 1), "the cut waits for nothing");
        if has_space {
            lab.journal("n1").set_full(false);
            look(&n1);
        }
        n1.kill();
        lab.journal("n1").set_full(false);
        let n1 = started_again(&lab);
        let back = n1.node.unfence(request(), instance(1));
        assert_eq!(back.is_ok(), has_space, "{back:?}");
        if let Err(error) = back {
            assert!(refused(&error).1.contains("not on record"), "{error}");
        }
        assert_eq!(writes(&lab, &n1, &volume, 2), has_space);
    }
}
