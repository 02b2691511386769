//! Making a volume group a pool.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use volward_control::ControlError;
use volward_control::ports::{Applied, Leases, PortError, Registry, Unmet, Volumes};
use volward_model::{LeaseMode, RequestId};
use volward_plan::RefusalCode;
use volward_simulation::{Daemon, Lab, ask, detach_ask, disk, instance};

fn request() -> RequestId {
    RequestId("00000000-0000-0000-0000-000000000001".parse().unwrap())
}

/// The registry can be read, and no node holds it so that another could not.
fn is_open(lab: &Lab, node: &Daemon) {
    assert!(Registry::read(&node.kernel, &lab.pool).is_ok());
    let held = Leases::held(&node.kernel, &lab.pool).unwrap();
    let pool = Volumes::pool(&node.kernel, &lab.pool).unwrap();
    let registry = pool.volumes.iter().find(|v| v.is_internal()).unwrap();
    assert_eq!(held[&registry.volume.id.lv].mode, LeaseMode::Shared);
}

#[test]
fn a_volume_group_becomes_a_pool_once_and_for_all_nodes() {
    let lab = Lab::bare(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    assert_eq!(
        n1.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Changed
    );
    assert_eq!(
        n2.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Identity
    );
    is_open(&lab, &n1);
    is_open(&lab, &n2);
}

#[test]
fn i4_autoactivation_is_switched_off_once_for_the_pool_and_no_attach_has_to() {
    let lab = Lab::bare(&["n1"]);
    let n1 = lab.start("n1");
    let failure = PortError::Busy { what: "vg0".into() };
    n1.kernel.fail_on("disable-pool-autoactivation", failure);
    assert!(n1.node.init_pool(request(), &lab.pool).is_err());
    assert_eq!(
        n1.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Changed
    );
    assert_eq!(
        n1.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Identity
    );
    let pool = Volumes::pool(&n1.kernel, &lab.pool).unwrap();
    assert!(!pool.autoactivation && pool.volumes.iter().all(|v| !v.autoactivation));
}

#[test]
fn a_pool_is_made_of_a_configured_group_whose_devices_lvm_sees_and_a_local_one_has_no_registry() {
    let lab = Lab::bare(&["n1"]);
    let n1 = lab.start("n1");
    let unknown = "vg9".parse().unwrap();
    let error = n1.node.init_pool(request(), &unknown).unwrap_err();
    assert!(matches!(error, ControlError::NotFound(_)), "{error:?}");
    assert!(error.to_string().contains("[[pool]]"), "{error}");

    let pool = lab.pool.clone();
    let unmet = PortError::from(Unmet::DevicesFile { pool });
    n1.kernel.fail_on("adopt", unmet);
    let error = n1.node.init_pool(request(), &lab.pool).unwrap_err();
    let ControlError::Refused { refusal, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.code, RefusalCode::DevicesFile);
    // Its volumes were not looked at, and nothing was made.
    let made = Volumes::pool(&n1.kernel, &lab.pool).unwrap().volumes;
    assert_eq!(made, []);

    let local = lab.local("n1").unwrap();
    let volumes = || Volumes::pool(&n1.kernel, &local).unwrap().volumes;
    let before = volumes();
    n1.node.init_pool(request(), &local).unwrap();
    assert_eq!(volumes(), before);
    n1.kernel.fail_on(
        "adopt",
        PortError::Missing {
            what: "a physical volume".into(),
        },
    );
    n1.node.init_pool(request(), &local).unwrap_err();
}

/// A second pool before its `pool init`: nothing is attached in it, and no other node sees a slot of ours in it.
#[test]
fn a_pool_that_was_never_opened_is_no_trouble_of_the_attachments() {
    let lab = Lab::bare(&["n1"]);
    let n1 = lab.start("n1");
    assert_eq!(n1.node.inconsistencies(), [""; 0]);
    n1.node.init_pool(request(), &lab.pool).unwrap();
    n1.tasks.run_all();
    let a = lab.volume("a");
    n1.node.attach(&ask(instance(1), &[disk(&a)])).unwrap();
    let failure = PortError::Busy { what: "vg0".into() };
    n1.kernel.fail_on("write-registry", failure);
    drop(n1.node.detach(&detach_ask(instance(1))));
    let slot = n1.node.inconsistencies().join("; ");
    assert!(slot.contains("could not be written"), "{slot}");
}

/// The slots stay: guests that they tell of go on while their daemons are stopped.
#[test]
fn a_registry_of_0_1_0_is_converted_when_no_other_node_has_it_active_and_refused_in_words_else() {
    let lab = Lab::new(&["n1", "n2"]);
    let (n1, n2) = (lab.start("n1"), lab.start("n2"));
    let [a, b] = ["a", "b"].map(|name| lab.volume(name));
    n2.node.attach(&ask(instance(2), &[disk(&a)])).unwrap();
    lab.cluster.age_registry(&lab.pool);
    let error = n1.node.init_pool(request(), &lab.pool).unwrap_err();
    let said = error.to_string();
    for word in [
        "upgrade every node",
        "systemctl stop volwardd volward-registry",
        "89",
    ] {
        assert!(said.contains(word), "{said}");
    }
    // Until then all goes on.
    is_open(&lab, &n1);
    n1.node.attach(&ask(instance(1), &[disk(&b)])).unwrap();
    assert_eq!(n1.node.registry_layout(&lab.pool).unwrap().format, 1);

    let pool = Volumes::pool(&n2.kernel, &lab.pool).unwrap();
    let registry = pool.volumes.iter().find(|v| v.is_internal()).unwrap();
    let registry = [registry.volume.clone()];
    Leases::release(&n2.kernel, &lab.pool, &registry).unwrap();
    assert_eq!(
        n1.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Changed
    );
    assert_eq!(n1.node.registry_layout(&lab.pool).unwrap().format, 2);
    is_open(&lab, &n1);
    let seen = n1.node.attachments_elsewhere();
    let (elsewhere, troubles) = (seen.attachments, seen.unreadable);
    assert_eq!((elsewhere.len(), troubles), (1, vec![]));
    assert_eq!(elsewhere[0].attachment.volume, a.id);
    // The other comes back, and asks again: nothing to do.
    assert_eq!(
        n2.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Identity
    );
    is_open(&lab, &n2);
}

#[test]
fn a_conversion_that_breaks_off_anywhere_is_finished_by_asking_again() {
    for n in 1.. {
        let lab = Lab::new(&["n1"]);
        let n1 = lab.start("n1");
        lab.cluster.age_registry(&lab.pool);
        n1.kernel.fail_at(n);
        if n1.node.init_pool(request(), &lab.pool).is_ok() {
            assert!(n > 3, "nothing was made to fail");
            return;
        }
        assert!(n1.node.init_pool(request(), &lab.pool).is_ok(), "call {n}");
        assert_eq!(n1.node.registry_layout(&lab.pool).unwrap().format, 2);
        is_open(&lab, &n1);
    }
}

#[test]
fn what_broke_off_anywhere_is_finished_by_asking_again() {
    for n in 1.. {
        let lab = Lab::bare(&["n1", "n2"]);
        let (n1, n2) = (lab.start("n1"), lab.start("n2"));
        n1.kernel.fail_at(n);
        if n1.node.init_pool(request(), &lab.pool).is_ok() {
            assert!(n > 4, "nothing was made to fail");
            return;
        }
        assert!(n1.node.init_pool(request(), &lab.pool).is_ok(), "call {n}");
        is_open(&lab, &n1);
        assert!(
            n2.node.init_pool(request(), &lab.pool).is_ok(),
            "call {n}, on the other node"
        );
    }
}

/// The daemon opens its pools in the background, again and again until each is open: one that is
/// being made is left alone, for the exclusive lease under which it is formatted keeps the other
/// nodes out.
#[test]
fn a_pool_is_not_opened_while_it_is_made() {
    let lab = Lab::bare(&["n1"]);
    let n1 = lab.start("n1");
    let (node, kernel, pool) = (Arc::clone(&n1.node), n1.kernel.clone(), lab.pool.clone());
    let (send, leased) = channel();
    n1.kernel.before("format-registry", move |_| {
        let (opens, opened) = (pool.clone(), channel::<()>());
        let opening = thread::spawn(move || {
            let done = node.open_registry(&opens);
            drop(opened.0);
            done
        });
        // Long enough for an opening that does not wait.
        let _waits = opened.1.recv_timeout(Duration::from_millis(300));
        let held = Leases::held(&kernel, &pool).unwrap();
        let modes: Vec<_> = held.values().map(|lease| lease.mode).collect();
        send.send((modes, opening)).unwrap();
    });
    assert_eq!(
        n1.node.init_pool(request(), &lab.pool).unwrap(),
        Applied::Changed
    );
    let (modes, opening) = leased.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(modes, [LeaseMode::Exclusive]);
    opening.join().unwrap().unwrap();
    is_open(&lab, &n1);
}
