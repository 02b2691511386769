use volward_model::{
    Backing, Bytes, CloneTable, DeviceId, DeviceRole, LeaseMode, MemberState, PoolName, Table,
    VolumeRef,
};
use volward_ports::{
    Activation, Applied, Devices, Leases, NewVolume, PortError, Registry, Volumes,
};

use super::*;

struct Lab {
    cluster: FakeCluster,
    n1: FakeNode,
    n2: FakeNode,
    pool: PoolName,
    disks: Vec<VolumeRef>,
}

fn lab() -> Lab {
    let cluster = FakeCluster::new(&["n1", "n2"]);
    let pool = cluster.shared_pool("san", Bytes::mib(1024));
    let disks = ["a", "b", "c"].map(|name| cluster.volume(&pool, name, Bytes::mib(8)));
    Lab {
        n1: cluster.node("n1"),
        n2: cluster.node("n2"),
        disks: disks.into(),
        cluster,
        pool,
    }
}

#[test]
fn one_command_can_succeed_for_some_as_the_real_one_does() {
    let lab = lab();
    lab.n2
        .take(&lab.pool, &lab.disks[1..2], LeaseMode::Exclusive)
        .unwrap();
    let error = lab.n1.take(&lab.pool, &lab.disks, LeaseMode::Exclusive);
    assert!(matches!(error, Err(PortError::Command { .. })));
    let held = lab.n1.held(&lab.pool).unwrap();
    assert!(held.contains_key(&lab.disks[0].id.lv) && held.contains_key(&lab.disks[2].id.lv));
    assert!(!held.contains_key(&lab.disks[1].id.lv));
}

#[test]
fn a_second_shared_activation_silently_converts() {
    let lab = lab();
    let one = &lab.disks[..1];
    lab.n1.take(&lab.pool, one, LeaseMode::Exclusive).unwrap();
    lab.n1.take(&lab.pool, one, LeaseMode::Shared).unwrap();
    lab.n2.take(&lab.pool, one, LeaseMode::Shared).unwrap();
    assert!(lab.n1.take(&lab.pool, one, LeaseMode::Exclusive).is_err());
    let held = lab.n1.held(&lab.pool).unwrap();
    assert_eq!(held[&one[0].id.lv].mode, LeaseMode::Shared);
}

#[test]
fn a_dead_nodes_lease_is_taken_and_a_failing_ones_is_not() {
    let lab = lab();
    let one = &lab.disks[..1];
    lab.n1.take(&lab.pool, one, LeaseMode::Exclusive).unwrap();
    lab.n1.power_cut();
    assert!(lab.n2.take(&lab.pool, one, LeaseMode::Exclusive).is_err());
    lab.cluster.set_member("n1", MemberState::Dead);
    lab.n2.take(&lab.pool, one, LeaseMode::Exclusive).unwrap();
}

#[test]
fn failures_and_crashes_come_where_they_are_asked_for() {
    let lab = lab();
    let one = &lab.disks[..1];
    lab.n1.fail_at(2);
    lab.n1.take(&lab.pool, one, LeaseMode::Exclusive).unwrap();
    assert!(lab.n1.release(&lab.pool, one).is_err());
    assert!(lab.n1.active().contains(&one[0].id));

    lab.n1.crash_after(1);
    assert!(lab.n1.release(&lab.pool, one).is_err());
    assert!(lab.n1.crashed() && lab.n1.pool(&lab.pool).is_err());
    lab.n1.restart();
    assert!(!lab.n1.active().contains(&one[0].id));

    lab.n1.crash_before(1);
    assert!(lab.n1.take(&lab.pool, one, LeaseMode::Exclusive).is_err());
    lab.n1.restart();
    assert!(!lab.n1.active().contains(&one[0].id));
}

#[test]
fn the_world_changes_between_two_calls_if_a_test_wants_it() {
    let lab = lab();
    let disk = lab.disks[0].clone();
    let changed = disk.clone();
    lab.n1.before("activate", move |cluster| {
        cluster.tamper(&changed, |_, tags, _| tags.push("moved".to_owned()));
    });
    assert!(lab.cluster.tags(&disk).is_empty());
    lab.n1
        .take(&lab.pool, std::slice::from_ref(&disk), LeaseMode::Exclusive)
        .unwrap();
    assert_eq!(lab.cluster.tags(&disk), ["moved"]);
}

#[test]
fn local_pools_are_seen_by_their_node_only() {
    let lab = lab();
    let local = lab.cluster.local_pool("n1", "nvme", Bytes::mib(64));
    assert!(lab.n2.pool(&local).is_err());
    let new = NewVolume {
        pool: local.clone(),
        name: "copy".parse().unwrap(),
        size: Bytes::mib(5),
        tags: vec!["t".to_owned()],
    };
    let (id, applied) = Volumes::create(&lab.n1, &new).unwrap();
    assert_eq!(applied, Applied::Changed);
    assert_eq!(
        Volumes::create(&lab.n1, &new).unwrap(),
        (id, Applied::Identity)
    );
    assert_eq!(lab.n1.pool(&local).unwrap().free, Bytes::mib(56));
    assert!(lab.n1.read(&lab.pool).unwrap().is_empty());
    assert!(lab.n1.list().unwrap().is_empty());
}

/// Node 1 with a clone of disk `a` onto a fresh LV, discards refused as asked.
struct Cloned {
    lab: Lab,
    id: DeviceId,
    table: CloneTable,
}

fn cloned(discards: bool) -> Cloned {
    let lab = lab();
    let disk = lab.disks[0].clone();
    lab.cluster.fill(disk.id, |block| block + 100);
    lab.n1
        .take(&lab.pool, &lab.disks[..1], LeaseMode::Exclusive)
        .unwrap();
    let local = lab.cluster.local_pool("n1", "nvme", Bytes::mib(64));
    let [destination, metadata] = ["copy", "meta"].map(|name| {
        let new = NewVolume {
            pool: local.clone(),
            name: name.parse().unwrap(),
            size: Bytes::mib(8),
            tags: Vec::new(),
        };
        let (id, _) = Volumes::create(&lab.n1, &new).unwrap();
        let name = new.name;
        VolumeRef {
            id,
            pool: new.pool,
            name,
        }
    });
    let table = CloneTable {
        metadata: Backing::Volume(metadata.id),
        destination: Backing::Volume(destination.id),
        source: Backing::Volume(disk.id),
        size: Bytes::mib(8).sectors().unwrap(),
        region: BLOCK.sectors().unwrap(),
        hydrating: true,
        threshold: 1,
        batch: 1,
    };
    let id = DeviceId {
        volume: disk.id,
        role: DeviceRole::Clone,
    };
    let make = || Devices::create(&lab.n1, id, &Table::Clone(table.clone()), false, discards);
    assert!(make().is_err(), "I21: old metadata is refused");
    lab.n1.zero(&metadata, Bytes::kib(64)).unwrap();
    assert_eq!(make().unwrap(), Applied::Changed);
    assert_eq!(make().unwrap(), Applied::Identity);
    Cloned { lab, id, table }
}

#[test]
fn a_clone_reads_as_its_source_and_keeps_what_was_written() {
    let Cloned { lab, id, table } = cloned(false);
    let n1 = &lab.n1;
    n1.guest_write(id, 3, 7).unwrap();
    assert_eq!(n1.guest_read(id, 3).unwrap(), 7);
    assert_eq!(n1.guest_read(id, 4).unwrap(), 104);
    assert_eq!(n1.hydrate(id, 10).unwrap(), 10);
    let status = n1.clone_status(id).unwrap().unwrap();
    assert_eq!((status.hydrated, status.total), (11, 128));
    assert!(!n1.wait_event(id, 0, std::time::Duration::ZERO).unwrap());
    n1.hydrate(id, u64::MAX).unwrap();
    assert!(n1.clone_status(id).unwrap().unwrap().complete());
    assert!(n1.wait_event(id, 0, std::time::Duration::ZERO).unwrap());
    let Backing::Volume(destination) = table.destination else {
        unreachable!()
    };
    let mut expected = lab.cluster.contents(lab.disks[0].id);
    expected[3] = 7;
    assert_eq!(lab.cluster.contents(destination), expected);
}

#[test]
fn i21_a_discard_shows_old_content_unless_it_is_refused() {
    let refused = cloned(false);
    assert!(refused.lab.n1.guest_discard(refused.id, 5).is_err());
    let allowed = cloned(true);
    allowed.lab.n1.guest_discard(allowed.id, 5).unwrap();
    assert_eq!(
        allowed.lab.n1.guest_read(allowed.id, 5).unwrap(),
        OLD_CONTENT
    );
}

#[test]
fn hydration_goes_on_where_a_power_cut_stopped_it() {
    let Cloned { lab, id, table } = cloned(false);
    lab.n1.hydrate(id, 5).unwrap();
    lab.n1.power_cut();
    lab.cluster.set_member("n1", MemberState::Dead);
    lab.n1.boot();
    let copies = lab.n1.pool(&"nvme".parse().unwrap()).unwrap().volumes;
    let copies: Vec<VolumeRef> = copies.into_iter().map(|info| info.volume).collect();
    lab.n1.activate(&copies[0].pool, &copies).unwrap();
    lab.n1
        .take(&lab.pool, &lab.disks[..1], LeaseMode::Exclusive)
        .unwrap();
    let made = Devices::create(&lab.n1, id, &Table::Clone(table), false, false).unwrap();
    assert_eq!(made, Applied::Changed);
    assert_eq!(lab.n1.clone_status(id).unwrap().unwrap().hydrated, 5);
}
