//! Either daemon, or either node, dies before or after any single call that changes something, from the
//! first of `prepare` to the last of the settlement. Never do two nodes have the volume but source and
//! destination, and in the end one has it.

use std::sync::Arc;

use volward_control::ports::Clock;
use volward_model::{LeaseMode, MemberState};
use volward_plan::migrate::Job;
use volward_simulation::{ask, check, detach_ask, disk};

use super::pair::{Pair, guest, lease};

/// Who dies, and at which of its changes.
#[derive(Clone, Copy, Debug)]
struct End {
    node: &'static str,
    after: bool,
    change: usize,
    /// The node with it.
    power: bool,
}

/// How libvirt ends the migration where nobody dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Goes,
    CalledOff,
}

/// From a guest on n1 to one on n2, or back on n1; libvirt's part is played by what the nodes say.
fn migrate(pair: &Pair, wish: Wish) {
    pair.begins("n1");
    let Some(attached) = volward_simulation::doubles::Death::survive(|| pair.attach("n2")) else {
        return;
    };
    pair.holds();
    let (n1, n2) = (pair.node("n1"), pair.node("n2"));
    // Whom libvirt does not reach, it does not ask: what is left is for `at_rest`.
    if attached.is_err() || wish == Wish::CalledOff {
        n1.kernel.set_job(guest(), Job::None);
        if !n2.kernel.crashed() {
            drop(n2.try_detach(&detach_ask(guest())));
        }
    } else if !n1.kernel.crashed() {
        n1.kernel.set_job(guest(), Job::None);
        drop(n1.try_detach(&detach_ask(guest())));
    }
    for _ in 0..3 {
        for node in ["n1", "n2"] {
            if !pair.node(node).kernel.crashed() {
                pair.look(node);
            }
        }
    }
}

fn changes(pair: &Pair, node: &str) -> usize {
    pair.node(node).kernel.changes_made()
}

/// Every moment of an uninterrupted run at which a daemon can die.
fn every_end(wish: Wish) -> Vec<End> {
    let pair = Pair::new();
    pair.starts_on("n1");
    let before = ["n1", "n2"].map(|node| changes(&pair, node));
    migrate(&pair, wish);
    let owner = if wish == Wish::Goes { "n2" } else { "n1" };
    assert_eq!(lease(&pair, owner), Some(LeaseMode::Exclusive));
    let mut ends = Vec::new();
    for (node, before) in ["n1", "n2"].into_iter().zip(before) {
        let made = changes(&pair, node) - before;
        assert!(made > 3, "{node}: {made}");
        for change in 1..=made {
            for after in [false, true] {
                for power in [false, true] {
                    ends.push(End {
                        node,
                        after,
                        change,
                        power,
                    });
                }
            }
        }
    }
    ends
}

fn interrupted(end: End, wish: Wish) {
    let case = format!("{end:?}, {wish:?}");
    let pair = Pair::new();
    pair.starts_on("n1");
    let kernel = pair.node(end.node).kernel.clone();
    match end.after {
        false => kernel.crash_before(end.change),
        true => kernel.crash_after(end.change),
    }
    migrate(&pair, wish);
    assert!(kernel.crashed(), "{case}: not reached");
    at_rest(&pair, end, &case);
}

/// The daemon comes back, libvirt says what it knows, and after a while one node has the volume.
fn at_rest(pair: &Pair, end: End, case: &str) {
    let dead = end.node;
    if end.power {
        pair.node(dead).kernel.power_cut();
        pair.holds();
        pair.lab.cluster.set_member(dead, MemberState::Dead);
        pair.lab.journal(dead).forget_marks();
        pair.lab.cluster.node(dead).boot();
    }
    pair.restart(dead);
    pair.holds();
    let (n1, n2) = (pair.node("n1"), pair.node("n2"));
    // Where it still has its disks the guest runs, on the source as long as that has them.
    let has = |node: &Arc<volward_simulation::Daemon>| !node.node.attachments().is_empty();
    n1.kernel.set_job(guest(), Job::None);
    if has(&n1) && has(&n2) {
        // libvirt gives the destination up.
        n2.node.detach(&detach_ask(guest())).unwrap();
    }
    for _ in 0..40 {
        for node in ["n1", "n2"] {
            pair.node(node).tasks.run_all();
            pair.look(node);
        }
        pair.lab
            .cluster
            .clock()
            .sleep(std::time::Duration::from_secs(1));
    }
    pair.holds();
    let owners: Vec<_> = [&n1, &n2].into_iter().filter(|node| has(node)).collect();
    assert!(owners.len() <= 1, "{case}: two owners");
    for node in [&n1, &n2] {
        assert_eq!(check::settled(&pair.lab, node), [""; 0], "{case}");
    }
    match owners.first() {
        Some(owner) => {
            let name = owner.kernel.name().as_str();
            let attachment = &owner.node.attachments()[0];
            assert_eq!(attachment.causes, [""; 0], "{case}");
            assert!(attachment.migration.is_none(), "{case}: {name}");
            assert_eq!(lease(pair, name), Some(LeaseMode::Exclusive), "{case}");
        }
        // It starts anywhere.
        None => {
            let request = ask(guest(), &[disk(&pair.volume)]);
            pair.node("n3").node.attach(&request).unwrap();
        }
    }
    assert!(pair.slot("n1").messages.answers.is_empty(), "{case}");
    assert!(pair.slot("n2").messages.calls.is_empty(), "{case}");
}

#[test]
fn i7_whoever_dies_at_whatever_moment_one_node_has_the_volume_in_the_end() {
    for wish in [Wish::Goes, Wish::CalledOff] {
        let ends = every_end(wish);
        for end in ends {
            interrupted(end, wish);
        }
    }
}
