//! Requests at the same instant, and facts that change between gathering them and taking the lease.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests measure time, and end at the first surprise"
)]

use std::time::Duration;

use serde_json::Value;
use volward_system::sight::Sight;
use volward_system::volward::Volward;
use volward_system::{Cluster, ClusterSpec, Lab, Progress};

/// Each kind of round is run at least once in the lab tier, and often in the long one.
const ROUNDS: u8 = if cfg!(feature = "long") { 12 } else { 4 };

fn ready() -> Cluster {
    let lab = Lab::open().unwrap();
    Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap()
}

/// An instance of a round; `who` tells those of a round apart.
fn instance(round: u8, who: u8) -> String {
    format!("c0ffee{who:02x}-{round:04x}-4000-8000-000000000000")
}

/// Two requests for `disk` at the same instant, each from its node; what each was answered.
fn race(volward: &Volward<'_>, round: u8, nodes: [u8; 2], disk: &str) -> [Result<(), Value>; 2] {
    let ask = |who: usize| {
        let words = format!("--json attach {} {disk}", instance(round, who as u8));
        let output = volward.cli(nodes[who], &words).unwrap();
        if output.ok() {
            return Ok(());
        }
        let said: Value = serde_json::from_str(&output.stderr).unwrap();
        Err(said["problem"].clone())
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(0));
        let second = ask(1);
        [first.join().unwrap(), second]
    })
}

/// Exactly one won; answers who, and what the other was told.
fn winner(answers: [Result<(), Value>; 2], round: u8) -> (u8, Value) {
    match answers {
        [Ok(()), Err(problem)] => (0, problem),
        [Err(problem), Ok(())] => (1, problem),
        other => panic!("round {round}: {other:?}"),
    }
}

fn told_who(problem: &Value, winner: &str, node: u8, round: u8) {
    let message = problem["message"].as_str().unwrap();
    let here = message.contains("this node") || message.contains(&format!("node{node}"));
    assert!(
        message.contains(winner) && here,
        "round {round}: the loser was told {problem}"
    );
}

/// Takes the winner's away again; afterwards nothing is left on either node.
fn clear(volward: &Volward<'_>, nodes: &[(u8, String)]) {
    for (node, instance) in nodes {
        volward
            .cli_ok(*node, &format!("detach {instance}"))
            .unwrap();
    }
    for node in [1, 2] {
        let left = Sight::of(volward.node(node)).unwrap();
        assert!(left.is_empty(), "left on node {node}: {left:?}");
    }
}

#[test]
fn of_two_requests_for_a_volume_at_once_one_wins_and_the_other_is_told_who() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    volward.volume("disk", 16).unwrap();
    let mut won = [0; 3];
    for round in 0..ROUNDS {
        // Every third round on one node.
        let nodes = [[1, 2], [2, 1], [1, 1]][usize::from(round % 3)];
        let (who, problem) = winner(race(&volward, round, nodes, "vg0/disk"), round);
        let node = nodes[usize::from(who)];
        won[usize::from(node)] += 1;
        told_who(&problem, &instance(round, who), node, round);
        clear(&volward, &[(node, instance(round, who))]);
    }
    println!("node 1 won {} times, node 2 {}", won[1], won[2]);
}

#[test]
fn of_two_writers_at_once_a_policy_lets_one_through() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    volward.volume("disk", 16).unwrap();
    volward
        .cli_ok(1, "volume set vg0/disk --shareable yes")
        .unwrap();
    for node in [1, 2] {
        volward.add_policy(node, "one-writer", "").unwrap();
    }
    let reader = "c0ffee33-0000-4000-8000-000000000000";
    volward
        .cli_ok(2, &format!("attach {reader} vg0/disk:ro,shared"))
        .unwrap();
    for round in 0..ROUNDS {
        let nodes = [[1, 2], [2, 1], [2, 2]][usize::from(round % 3)];
        let answers = race(&volward, round, nodes, "vg0/disk:rw,shared");
        let (who, problem) = winner(answers, round);
        let node = nodes[usize::from(who)];
        assert_eq!(problem["code"], "one-writer", "round {round}: {problem}");
        told_who(&problem, &instance(round, who), node, round);
        volward
            .cli_ok(node, &format!("detach {}", instance(round, who)))
            .unwrap();
    }
    clear(&volward, &[(2, reader.to_owned())]);
}

const PAUSED: &str = "/run/volward-test-paused";

/// Attaches `disk` on node 1, and changes its home tag by hand each time the attach has looked
/// and is about to take the lease: `tags[n]` is put in place of what `tags[n - 1]` put.
fn attach_while_home_changes(volward: &Volward<'_>, instance: &str, tags: &[&str]) -> String {
    volward.stop(1).unwrap();
    let pause = format!("VOLWARD_TEST_PAUSE=attach/lease/before={PAUSED}");
    volward.start(1, &[pause]).unwrap();
    let one = volward.node(1);
    std::thread::scope(|scope| {
        let words = format!("--json attach {instance} vg0/disk");
        let asked = scope.spawn(move || volward.cli(1, &words).unwrap());
        let mut before = String::new();
        for tag in tags {
            let paused = format!("test -e {PAUSED}");
            volward
                .wait(1, "pause", Duration::from_secs(60), || {
                    Ok(one.run(&paused)?.ok() || asked.is_finished())
                })
                .unwrap();
            if !tag.is_empty() {
                let change = format!("lvchange {before} --addtag volward.home={tag} vg0/disk");
                volward.node(2).run_ok(&change).unwrap();
                before = format!("--deltag volward.home={tag}");
            }
            one.run_ok(&format!("rm -f {PAUSED}")).unwrap();
        }
        let output = asked.join().unwrap();
        output.stdout + &output.stderr
    })
}

#[test]
fn a_home_that_changes_between_gathering_and_lease_is_decided_again() {
    let cluster = ready();
    let volward = Volward::on(&cluster);
    volward.volume("disk", 16).unwrap();
    let one = cluster.node(1);

    // Another node's copy came into being: the second decision refuses.
    let copy = "split:node2:yHvQQSQIEAwikWxlafo29VZh7wBOhSPR:1";
    let said = attach_while_home_changes(&volward, &instance(1, 0), &[copy]);
    let problem: Value = serde_json::from_str(&said).unwrap();
    let problem = &problem["problem"];
    assert_eq!(problem["code"], "home-elsewhere", "{said}");
    assert!(
        problem["message"].as_str().unwrap().contains("node2"),
        "{said}"
    );
    let left = Sight::of(one).unwrap();
    assert!(left.is_empty(), "{left:?}");
    let log = volward.log(1).unwrap();
    assert_eq!(log.matches("deciding again").count(), 1);

    // It came and went: the second decision grants, on what is true now.
    cluster
        .node(2)
        .run_ok(&format!("lvchange --deltag volward.home={copy} vg0/disk"))
        .unwrap();
    let said = attach_while_home_changes(&volward, &instance(2, 0), &["pool:::2", ""]);
    assert!(!said.contains("problem"), "{said}");
    let log = volward.log(1).unwrap();
    assert_eq!(log.matches("deciding again").count(), 2);
    volward
        .cli_ok(1, &format!("detach {}", instance(2, 0)))
        .unwrap();

    // It never stops changing: three times are enough.
    let tags = ["pool:::3", "pool:::4", "pool:::5"];
    one.run_ok("lvchange --deltag volward.home=pool:::2 vg0/disk")
        .unwrap();
    let said = attach_while_home_changes(&volward, &instance(3, 0), &tags);
    let problem: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(problem["problem"]["code"], "keeps-changing", "{said}");
    let left = Sight::of(one).unwrap();
    assert!(left.is_empty(), "{left:?}");
}
