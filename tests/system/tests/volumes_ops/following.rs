//! A volume is copied while its user writes to it, on a real kernel: what is made holds one moment.

use super::*;
use volward_system::busy::READER;
pub(super) use volward_system::busy::WRITER;

const DEVICE: &str = "/dev/volward/c0ffee02-0000-4000-8000-000000000000/vg0/busy";
const USER: &str = "c0ffee02-0000-4000-8000-000000000000";
const SIZE_MIB: u64 = 64;

/// What a volume holds: the rest, and the numbers.
fn holds(volward: &Volward<'_>, node: u8, device: &str) -> (String, Vec<u64>) {
    let script = format!("python3 /run/lab/reader.py {device} {SIZE_MIB}");
    let text = volward.node(node).run_ok_within(SLOW, &script).unwrap();
    let mut words = text.split_whitespace().map(str::to_owned);
    let rest = words.next().unwrap();
    (rest, words.map(|word| word.parse().unwrap()).collect())
}

/// The round that the writer is in, and its longest write so far, in ms.
pub(super) fn written(node: &Node) -> (u64, u64) {
    let text = node.run_ok("cat /run/lab/busy.txt").unwrap();
    let mut words = text.split_whitespace().map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

/// A volume of its own, with a content, and somebody who writes to it from here on.
pub(super) fn begin(volward: &Volward<'_>) {
    let one = volward.node(1);
    for (node, name, program) in [
        (1, "writer", WRITER),
        (1, "reader", READER),
        (2, "reader", READER),
    ] {
        let path = format!("/run/lab/{name}.py");
        volward.node(node).put_file(&path, 0o644, program).unwrap();
    }
    operate(volward, 1, &format!("volume create vg0/busy {SIZE_MIB}M"));
    let attach = format!("attach {USER} vg0/busy");
    volward.cli_ok(1, &attach).unwrap();
    let write = format!(
        "{} | dd of={DEVICE} bs=1M iflag=fullblock oflag=direct status=none; \
         setsid python3 /run/lab/writer.py {SIZE_MIB} /run/lab/busy.txt {DEVICE} > /run/lab/busy.err 2>&1 & \
         echo $! > /run/lab/busy.pid; while [ ! -e /run/lab/busy.txt ]; do sleep 0.2; done",
        content("busy", SIZE_MIB)
    );
    one.run_ok_within(SLOW, &write).unwrap();
}

/// Whoever writes ends, and has met no error.
pub(super) fn end(volward: &Volward<'_>) {
    let one = volward.node(1);
    let script = "kill $(cat /run/lab/busy.pid); while [ -d /proc/$(cat /run/lab/busy.pid) ]; do sleep 0.2; done; \
                  cat /run/lab/busy.err";
    assert_eq!(one.run_ok_within(SLOW, script).unwrap(), "");
    volward.cli_ok(1, &format!("detach {USER}")).unwrap();
}

/// `made` on node 2 holds what was written up to one moment, not before the round `since`: the heads are of one round up
/// to a place, and of the one before from there on.
fn is_a_moment(volward: &Volward<'_>, made: &str, since: u64) {
    volward
        .cli_ok(2, &format!("attach {INSTANCE} vg0/{made}"))
        .unwrap();
    let device = super::DEVICE.replace("/new", &format!("/{made}"));
    let (rest, numbers) = holds(volward, 2, &device);
    volward.cli_ok(2, &format!("detach {INSTANCE}")).unwrap();
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    let falls = numbers.windows(2).all(|pair| pair[0] >= pair[1]);
    assert!(falls && first - last <= 1, "of no moment: {numbers:?}");
    assert!(
        last + 1 >= since,
        "of before it was asked for: {since}, {numbers:?}"
    );
    let (had, _) = holds(volward, 1, DEVICE);
    assert_eq!(rest, had, "the rest");
}

/// Asked for where its user is, and where he is not.
pub(super) fn it_is_copied_under_its_user(volward: &Volward<'_>) {
    begin(volward);
    let one = volward.node(1);
    let (since, before) = written(one);
    for (node, words, name) in [
        (1, "volume snap vg0/busy moment", "moment"),
        (2, "volume cp vg0/busy vg0/other --id told-copy", "other"),
    ] {
        let (since, _) = written(one);
        let copied = operate(volward, node, words);
        assert_eq!(copied["state"], "done", "{copied}");
        let (now, longest) = written(one);
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
    assert!(written(one).0 > since);
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
        let (since, _) = written(one);
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
