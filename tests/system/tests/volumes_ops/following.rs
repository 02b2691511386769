//! A volume is copied while its user writes to it, on a real kernel: what is made holds one moment.

use super::*;
use volward_system::busy;

const DEVICE: &str = "/dev/volward/c0ffee02-0000-4000-8000-000000000000/vg0/busy";
const USER: &str = "c0ffee02-0000-4000-8000-000000000000";
const SIZE_MIB: u64 = 64;

/// A volume of its own, with a content, and somebody who writes to it from here on.
pub(super) fn begin(volward: &Volward<'_>) {
    let one = volward.node(1);
    busy::put_programs(volward).unwrap();
    operate(volward, 1, &format!("volume create vg0/busy {SIZE_MIB}M"));
    let attach = format!("attach {USER} vg0/busy");
    volward.cli_ok(1, &attach).unwrap();
    let fill = format!(
        "{} | dd of={DEVICE} bs=1M iflag=fullblock oflag=direct status=none",
        content("busy", SIZE_MIB)
    );
    one.run_ok_within(SLOW, &fill).unwrap();
    busy::begin(one, DEVICE, SIZE_MIB).unwrap();
}

/// Whoever writes ends, and has met no error.
pub(super) fn end(volward: &Volward<'_>) {
    let one = volward.node(1);
    assert_eq!(busy::end(one).unwrap(), "");
    volward.cli_ok(1, &format!("detach {USER}")).unwrap();
}

/// `made` on node 2 holds what was written up to one moment, not before the round `since`: the heads are of one round up
/// to a place, and of the one before from there on.
fn is_a_moment(volward: &Volward<'_>, made: &str, since: u64) {
    volward
        .cli_ok(2, &format!("attach {INSTANCE} vg0/{made}"))
        .unwrap();
    let device = super::DEVICE.replace("/new", &format!("/{made}"));
    let (rest, numbers) = busy::holds(volward.node(2), &device, SIZE_MIB).unwrap();
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    let falls = numbers.windows(2).all(|pair| pair[0] >= pair[1]);
    assert!(falls && first - last <= 1, "of no moment: {numbers:?}");
    assert!(
        last + 1 >= since,
        "of before it was asked for: {since}, {numbers:?}"
    );
    let (had, _) = busy::holds(volward.node(1), DEVICE, SIZE_MIB).unwrap();
    assert_eq!(rest, had, "the rest");
}

/// Asked for where its user is, and where he is not.
pub(super) fn it_is_copied_under_its_user(volward: &Volward<'_>) {
    begin(volward);
    let one = volward.node(1);
    let (since, before) = busy::written(one).unwrap();
    for (node, words, name) in [
        (1, "volume snap vg0/busy moment", "moment"),
        (2, "volume cp vg0/busy vg0/other --id told-copy", "other"),
    ] {
        let (since, _) = busy::written(one).unwrap();
        let copied = operate(volward, node, words);
        assert_eq!(copied["state"], "done", "{copied}");
        let (now, longest) = busy::written(one).unwrap();
        println!(
            "{words}: longest write so far {longest} ms, before {before} ms; rounds {since} to {now}"
        );
        is_a_moment(volward, name, since);
        operate(volward, 2, &format!("volume rm vg0/{name}"));
    }
    // Taken back in the middle: the user goes on.
    volward
        .cli_ok(1, "volume snap vg0/busy never --id never --no-wait")
        .unwrap();
    let cancelled = operate(volward, 1, "op cancel never");
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    let table = one.run_ok("dmsetup table | grep volward").unwrap();
    assert!(!table.contains("mirror"), "{table}");
    assert!(busy::written(one).unwrap().0 > since);
    end(volward);
    operate(volward, 1, "volume rm vg0/busy");
    assert_eq!(volumes(one), ["new"]);
}

/// Between any two kinds of steps of it.
#[cfg(feature = "long")]
pub(super) fn a_daemon_that_dies_goes_on_under_its_user(volward: &Volward<'_>) {
    begin(volward);
    let one = volward.node(1);
    for point in [
        "snapshot/make/after",
        "snapshot/lease/after",
        "snapshot/mirror/after",
        "snapshot/split/before",
        "snapshot/split/after",
        "snapshot/release/after",
    ] {
        let (since, _) = busy::written(one).unwrap();
        volward.stop(1).unwrap();
        let seam = format!("VOLWARD_TEST_CRASH={point}");
        volward.start(1, &[seam]).unwrap();
        let words = format!(
            "volume snap vg0/busy moment --id {}",
            point.replace('/', ".")
        );
        volward.cli(1, &format!("{words} --no-wait")).unwrap();
        volward.wait_ended(1).unwrap();
        println!("{point}: {:?}", volumes(one));
        volward.start(1, &[]).unwrap();
        let ended = operate(volward, 1, &words);
        assert_eq!(ended["state"], "done", "{point}: {ended}");
        is_a_moment(volward, "moment", since);
        operate(volward, 1, "volume rm vg0/moment");
    }
    end(volward);
    operate(volward, 1, "volume rm vg0/busy");
}
