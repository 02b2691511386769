use std::os::unix::net::UnixListener;

use super::*;

/// Sent by sanlock 3.8.5 on a node: one shared, one exclusive lease, then lvmlockd killed.
const HELD: &[u8] = include_bytes!("../testdata/status-held.bin");
const ORPHAN: &[u8] = include_bytes!("../testdata/status-orphan.bin");

fn lease(mode: LeaseMode, orphan: bool) -> HeldLease {
    HeldLease {
        mode,
        version: 1,
        orphan,
    }
}

fn replaced(from: &str, to: &str) -> Vec<u8> {
    replaced_in(HELD.to_vec(), from, to)
}

fn replaced_in(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths stand in the answer");
    let at = |bytes: &[u8]| bytes.windows(from.len()).position(|w| w == from.as_bytes());
    assert!(at(&bytes).is_some(), "{from}");
    while let Some(at) = at(&bytes) {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

fn modes(answer: &[u8]) -> Vec<HeldLease> {
    let status = parse(answer).unwrap();
    status.resources.iter().map(|r| r.lease).collect()
}

#[test]
fn leases_held_are_read_with_mode_and_version() {
    let status = parse(HELD).unwrap();
    assert!(!status.use_watchdog);
    assert_eq!(status.our_name, "node1");
    let [lockspace] = &status.lockspaces[..] else {
        panic!("{status:?}")
    };
    assert_eq!((&*lockspace.name, lockspace.generation), ("lvm_vg0", 1));
    let fresh = lockspace.freshness(status.monotime);
    let (ago, expires_after) = (Duration::from_secs(2), Duration::from_secs(8));
    assert_eq!(fresh, Freshness::Renewed { ago, expires_after });
    assert!(!fresh.is_expired());
    assert_eq!(
        modes(HELD),
        [
            lease(LeaseMode::Shared, false),
            lease(LeaseMode::Exclusive, false)
        ]
    );
    let first = &status.resources[0];
    assert_eq!(first.name, "STr3v6-iOjA-OkvE-odLS-CA5J-RlWO-v7gPkt");
    assert_eq!(first.lockspace, "lvm_vg0");
    assert_eq!(first.disk, "/dev/mapper/vg0-lvmlock");
    let second = &status.resources[1];
    assert_eq!((first.offset, second.offset), (71_303_168, 70_254_592));
    assert_eq!((first.pid, second.pid), (181, 181), "lvmlockd's");
    assert!(
        parse(&replaced("use_watchdog=0", "use_watchdog=1"))
            .unwrap()
            .use_watchdog
    );
}

/// A LUN that hung for long: the lockspace and its leases are listed as before.
#[test]
fn a_lockspace_that_is_not_renewed_any_more_is_expired() {
    let status = parse(&replaced(
        "renewal_last_success=55",
        "renewal_last_success=49",
    ))
    .unwrap();
    assert!(status.lockspaces[0].freshness(status.monotime).is_expired());
    assert_eq!(status.resources.len(), 2);
}

/// Leases were lost, and lvmlockd still has some: sanlock renews, and gives none.
#[test]
fn a_lockspace_that_is_given_up_is_known_by_its_mark() {
    assert_eq!(parse(HELD).unwrap().lockspaces[0].end, End::No);
    let lost = "renew_fail=1 space_dead=1";
    let lost = parse(&replaced("renew_fail=0 space_dead=0", lost)).unwrap();
    let freshness = lost.lockspaces[0].freshness(lost.monotime);
    assert_eq!(freshness, Freshness::GivenUp);
    assert!(freshness.is_expired() && freshness.is_failing());
}

/// Who types `sanlock client rem_lockspace` takes no lease from anybody.
#[test]
fn i2_a_lockspace_that_is_to_be_left_is_renewed_and_closed() {
    let told = replaced("space_dead=0", "space_dead=1");
    let (from, to) = ("renewal_last_success=55", "renewal_last_success=49");
    let late = parse(&replaced_in(told.clone(), from, to)).unwrap();
    let told = parse(&told).unwrap();
    let freshness = told.lockspaces[0].freshness(told.monotime);
    assert!(
        matches!(freshness, Freshness::Leaving { .. }),
        "{freshness:?}"
    );
    assert!(freshness.is_closed() && !freshness.is_failing());
    assert!(late.lockspaces[0].freshness(late.monotime).is_expired());
}

#[test]
fn i5_orphans_are_seen() {
    assert_eq!(
        modes(ORPHAN),
        [
            lease(LeaseMode::Shared, true),
            lease(LeaseMode::Exclusive, true)
        ]
    );
}

#[test]
fn leases_on_their_way_are_not_held() {
    for list in ["list=add ", "list=rem "] {
        // A shorter word leaves a blank more, which is no word.
        assert!(modes(&replaced("list=held", list)).is_empty());
    }
}

#[test]
fn i29_what_is_not_understood_is_no_answer() {
    for (from, to) in [
        ("list=held", "list=kept"),
        ("use_watchdog=0", "use_watchdog=2"),
        ("use_watchdog=0", "use_watchpig=0"),
        ("lver=1", "lver=x"),
        ("renewal_last_success=55", "renewal_last_success=-1"),
        ("monotime=57", "monotine=57"),
    ] {
        assert!(parse(&replaced(from, to)).is_err(), "{to}");
    }
    for at in [0, 4, HEADER] {
        let mut other = HELD.to_vec();
        other[at] ^= 0x10;
        assert!(parse(&other).is_err(), "byte {at}");
    }
    // Cut anywhere: an answer that ends between two states looks whole, and is refused
    // only if the daemon's own is missing. sanlock closes an answer it could not finish
    // nowhere but where it dies.
    for length in [0, HEADER - 1, HEADER, HEADER + 9, HELD.len() - 1] {
        assert!(parse(&HELD[..length]).is_err(), "{length}");
    }
}

#[test]
fn whoever_listens_is_asked_and_who_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let error = ask(&socket, Duration::from_secs(1)).unwrap_err();
    assert!(
        error.to_string().contains("systemctl status sanlock"),
        "{error}"
    );

    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; HEADER];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(HELD).unwrap();
        drop(stream);
        // The second is let in and told nothing.
        let silent = listener.accept().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        drop(silent);
        asked
    });
    assert_eq!(
        ask(&socket, Duration::from_secs(5))
            .unwrap()
            .resources
            .len(),
        2
    );
    let error = ask(&socket, Duration::from_millis(100)).unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert_eq!(server.join().unwrap().to_vec(), request());
}
