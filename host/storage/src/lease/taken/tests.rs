use super::*;

/// As sanlock writes one.
fn record(host_id: u64, node: &str, timestamp: u64) -> Vec<u8> {
    let mut record = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC.to_le_bytes());
    put(SECTOR_SIZE, &512_u32.to_le_bytes());
    put(OWNER_ID, &host_id.to_le_bytes());
    put(GENERATION, &3_u64.to_le_bytes());
    put(SPACE, b"lvm_vg0");
    put(OWNER, node.as_bytes());
    put(TIMESTAMP, &timestamp.to_le_bytes());
    put(IO_TIMEOUT, &10_u16.to_le_bytes());
    record
}

fn had_by(node: &str, timestamp: u64) -> Option<Place> {
    place(&record(2, node, timestamp), "lvm_vg0", 2)
}

#[test]
fn a_place_says_who_has_it() {
    let found = had_by("node1", 77).unwrap();
    assert_eq!((found.node.as_str(), found.generation), ("node1", 3));
    assert_eq!((found.timestamp, found.io_timeout_s), (77, 10));
    assert_eq!(sector_size(&record(1, "node1", 0)), Some(512));
}

#[test]
fn what_is_free_or_not_the_place_meant_is_nobodys() {
    assert_eq!(had_by("node1", 0), None, "its node has left");
    let other = record(3, "node1", 77);
    assert_eq!(place(&other, "lvm_vg0", 2), None);
    assert_eq!(place(&record(2, "node1", 77), "lvm_vg1", 2), None);
    let mut no_lease = record(2, "node1", 77);
    no_lease[0] ^= 1;
    assert_eq!(place(&no_lease, "lvm_vg0", 2), None);
    assert_eq!(sector_size(&no_lease), None);
    assert_eq!(place(&[], "lvm_vg0", 2), None);
}

#[test]
fn a_node_is_in_the_lockspace_while_its_place_changes() {
    let begin = now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut seen = Seen::default();
    seen.note(at(0), 2, had_by("node1", 77));
    let first = seen.taken(at(0)).unwrap();
    assert_eq!((first.host_id, first.node.as_str()), (2, "node1"));
    assert!(!first.renewed, "nobody can tell from one look");
    seen.note(at(5), 2, had_by("node1", 77));
    assert!(!seen.taken(at(5)).unwrap().renewed);
    seen.note(at(20), 2, had_by("node1", 97));
    assert!(seen.taken(at(20)).unwrap().renewed);
    seen.note(at(25), 2, had_by("node1", 97));
    assert!(seen.taken(at(90)).unwrap().renewed);
    assert!(!seen.taken(at(101)).unwrap().renewed, "it is dead by now");
    // Another node in the place, or another number, begins anew.
    seen.note(at(110), 2, had_by("node3", 5));
    assert!(!seen.taken(at(110)).unwrap().renewed);
    seen.note(at(115), 3, had_by("node3", 6));
    assert!(!seen.taken(at(115)).unwrap().renewed);
    seen.note(at(120), 3, None);
    assert_eq!(seen.taken(at(120)), None);
}

#[test]
fn one_look_is_made_at_a_time_and_again_after_a_pause() {
    let pool: PoolName = "vg0".parse().unwrap();
    let takers = Takers::new(|| None);
    let look = takers.look(&pool, "node2").unwrap();
    takers.is_looked_at(&pool, true);
    assert!(takers.look(&pool, "node2").is_none());
    look.take();
    assert!(takers.look(&pool, "node2").is_none(), "the pause");
    assert_eq!(takers.taker(&pool), None);
    // One that could not be handed on is made later.
    let other: PoolName = "vg1".parse().unwrap();
    assert!(takers.look(&other, "node2").is_some());
    takers.is_looked_at(&other, false);
    assert!(takers.look(&other, "node2").is_some());
}
