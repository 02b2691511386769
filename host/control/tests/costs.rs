//! What an attach with a local copy costs: the LVM commands of one, counted.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use volward_control::ports::Volumes;
use volward_model::{CopyMode, VolumeRef};
use volward_simulation::check::settled;
use volward_simulation::{Daemon, Lab, Say, ask, disk, instance};

/// The LVM commands of attaching a volume of that name; whatever the node knows of its pools, it
/// knows before.
fn commands_of_attach(lab: &Lab, n1: &Daemon, volume: &VolumeRef, number: u8) -> Vec<String> {
    for pool in [Some(lab.pool.clone()), lab.local("n1")] {
        n1.kernel.validated_pool(&pool.unwrap()).unwrap();
    }
    let before = n1.kernel.lvm_commands().len();
    n1.node
        .attach(&ask(instance(number), &[disk(volume)]))
        .unwrap();
    n1.kernel.lvm_commands().split_off(before)
}

/// The copy's LV is made by one command. Home tag and copy each say where the data is before a guest
/// can write (I19): a command on the LUN, and one on the local pool. One report each reads back what
/// was made, and the home. Nothing else of LVM's runs.
#[test]
fn a_copy_costs_two_lvm_commands_beside_the_one_that_makes_it() {
    let lab = Lab::new(&["n1"]);
    let (a, b) = (lab.volume("a"), lab.volume("b"));
    let n1 = lab.start("n1");
    lab.policy.say(Say::AsAsked);
    let plain = commands_of_attach(&lab, &n1, &a, 1);
    lab.policy.say(Say::Copy(CopyMode::Background));
    let copied = commands_of_attach(&lab, &n1, &b, 2);
    assert_eq!(settled(&lab, &n1), [""; 0]);
    let words = |commands: &[String]| -> Vec<String> {
        let two = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        commands.iter().map(two).collect()
    };
    let (plain, copied) = (words(&plain), words(&copied));
    assert_eq!(copied[..plain.len()], plain[..], "the lease, as without");
    let lv = format!("nvme-n1/volward-copy-{}", b.id.lv);
    let of_copy = [
        format!("lvcreate {lv}"),
        "fullreport nvme-n1".to_owned(),
        "lvchange san/b".to_owned(),
        "fullreport san".to_owned(),
        format!("lvchange {lv}"),
    ];
    assert_eq!(copied[plain.len()..], of_copy, "and the copy");
}
