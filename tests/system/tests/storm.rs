//! Many instances that start at the same instant on one node, while another node asks for some of the same volumes.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

const VOLUMES: usize = 16;
/// Of them, the ones that node 2 asks for as well.
const CONTENDED: usize = 3;
/// For all of them together, in emulation beside another story.
const PATIENCE: Duration = Duration::from_secs(240);

/// Each volume asked for by an instance of its own, all at once; answers one line a volume: its number and the exit
/// status.
fn ask_at_once(instances: &str, volumes: usize) -> String {
    format!(
        "cd /run/lab
         for n in $(seq 0 {last}); do
             ( volward --json attach {instances}$(printf %03d $n)-0000-4000-8000-000000000000 vg0/storm-$n \
                   > said-$n 2>&1; echo $n $? > ended-$n ) &
         done
         wait
         cat ended-*",
        last = volumes - 1
    )
}

/// The numbers of the volumes that were granted. Who was not must have been told so, by one of these codes.
fn granted(node: &volward_system::Node, ended: &str, codes: &[&str]) -> Vec<usize> {
    let mut granted = Vec::new();
    for line in ended.lines() {
        let (number, status) = line.split_once(' ').unwrap();
        if status == "0" {
            granted.push(number.parse().unwrap());
            continue;
        }
        let said = node.run_ok(&format!("cat /run/lab/said-{number}")).unwrap();
        println!("{number}: {said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let code = said["problem"]["code"].as_str().unwrap();
        assert!(codes.contains(&code), "{said}");
    }
    granted
}

#[test]
fn who_starts_at_the_same_instant_is_served_and_each_volume_has_one_holder() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let (one, two) = (cluster.node(1), cluster.node(2));
    one.run_ok_within(
        PATIENCE,
        &format!(
            "for n in $(seq 0 {}); do lvcreate -qq -an -Zn -Wn -L 4M -n storm-$n vg0; done",
            VOLUMES - 1
        ),
    )
    .unwrap();

    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| one.run_ok_within(PATIENCE, &ask_at_once("c0f01", VOLUMES)));
        let second = scope.spawn(|| two.run_ok_within(PATIENCE, &ask_at_once("c0f02", CONTENDED)));
        (
            first.join().unwrap().unwrap(),
            second.join().unwrap().unwrap(),
        )
    });
    // By what the registry said, or by the lease.
    let lost = ["in-use", "held-elsewhere"];
    let (first, second) = (granted(one, &first, &lost), granted(two, &second, &lost));
    println!("node 1 has {first:?}, node 2 has {second:?}");
    // Exactly one of both has each that both asked for; all others are node 1's.
    for number in 0..VOLUMES {
        let holders = [&first, &second].map(|has| has.contains(&number));
        assert!(holders[0] != holders[1], "storm-{number}: {holders:?}");
    }
    for (node, has) in [(1, &first), (2, &second)] {
        assert_eq!(volward.leases(node).unwrap().len(), has.len());
    }

    // All end at once too.
    for (node, instances, has) in [(one, "c0f01", &first), (two, "c0f02", &second)] {
        let numbers: Vec<String> = has.iter().map(|number| format!("{number:03}")).collect();
        node.run_ok_within(
            PATIENCE,
            &format!(
                "for n in {}; do
                     volward detach {instances}$n-0000-4000-8000-000000000000 > /dev/null || touch /run/lab/failed &
                 done
                 wait; [ ! -e /run/lab/failed ]",
                numbers.join(" ")
            ),
        )
        .unwrap();
    }
    for node in [1, 2] {
        assert_eq!(volward.left_over(node).unwrap(), "");
    }
}
