//! Policies on a node: one that is put into the folder decides, one that is broken or hostile lets no
//! guest start, and removing the file ends either.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use std::time::Duration;

use volward_system::guest::{Guest, Wish};
use volward_system::volward::{POLICIES, Volward};
use volward_system::{Cluster, ClusterSpec, Lab, Node, Progress};

/// Starts it, which must be refused with these words at virsh and leave nothing behind.
#[track_caller]
fn refused(volward: &Volward<'_>, guest: &Guest, words: &[&str]) {
    let node = volward.node(1);
    let answer = guest.try_start(node).unwrap();
    println!("{}", answer.stderr);
    assert!(!answer.ok(), "it started");
    for word in words {
        assert!(answer.stderr.contains(word), "no {word:?} in {answer:?}");
    }
    assert_eq!(volward.left_over(1).unwrap(), "");
}

/// Changes the folder, and has it loaded: without being asked the daemon does so when it is at
/// rest.
fn put(node: &Node, script: &str) {
    node.run_ok(&format!("cd {POLICIES} && {script}")).unwrap();
    // It fails where something is refused; what, is asked for elsewhere.
    node.run("volward policy load").unwrap();
}

/// What is in the folder is broken, and what served before refuses `test`.
fn what_was_good_comes_back(volward: &Volward<'_>, test: &Guest, web: &Guest) {
    let node = volward.node(1);
    let restart = || {
        volward.stop(1).unwrap();
        volward.start(1, &[]).unwrap();
    };
    let listed = |words: &str| {
        let listed = volward.cli_ok(1, words).unwrap();
        println!("{listed}");
        listed
    };
    // Over a restart too.
    restart();
    // Policies are loaded once the daemon answers.
    let comes_to = |state: &str| {
        volward
            .wait(1, state, Duration::from_secs(60), || {
                Ok(volward.cli_ok(1, "policy ls")?.contains(state))
            })
            .unwrap();
    };
    comes_to("last-good");
    refused(volward, test, &["denied, name-refused"]);

    // A change that loads, and is wrong all the same: the operator goes back from it. What stood for
    // less than two minutes only passed by, so the clock goes on.
    node.run_ok("date -s '+3 minutes'").unwrap();
    put(
        node,
        "printf '[config]\\nprefix = \"web-\"\\n' > 50-names.toml && \
         cp /host/guests/deny-by-prefix.wasm 50-names.wasm",
    );
    refused(volward, web, &["denied, name-refused"]);
    assert!(listed("policy rollback names").contains("rolled-back"));
    refused(volward, test, &["denied, name-refused"]);
    restart();
    comes_to("rolled-back");
    web.start(node).unwrap();
    web.stop(node).unwrap();
    listed("policy rollback names --undo");
    refused(volward, web, &["denied, name-refused"]);

    // And the log of this node knows it.
    let decisions = listed("decisions ls --said denied -n 2");
    assert!(
        decisions.contains("web-1") && decisions.contains("denied by names"),
        "{decisions}"
    );
}

#[test]
fn policies_decide_and_broken_ones_let_nothing_start() {
    let lab = Lab::open().unwrap();
    let cluster = Cluster::with_volward(&lab, &ClusterSpec::default(), Progress::shown()).unwrap();
    let volward = Volward::on(&cluster);
    let node = cluster.node(1);
    volward.volume("root", 32).unwrap();
    let test = Guest::new("test-1", 1).disk("root", Wish::Plain);
    let web = Guest::new("web-1", 2).disk("root", Wish::Plain);

    // A policy from examples/ denies by its configuration.
    node.put_file(
        &format!("{POLICIES}/50-names.toml"),
        0o644,
        "[config]\nprefix = \"test-\"\n",
    )
    .unwrap();
    put(node, "cp /host/guests/deny-by-prefix.wasm 50-names.wasm");
    refused(
        &volward,
        &test,
        &[
            "volward: guest test-1 was not started (denied, name-refused): instance test-1 may not \
             start: names that begin with \"test-\" are refused here",
            "volward explain",
        ],
    );
    let why = volward
        .cli_ok(1, &format!("explain --instance {}", test.uuid))
        .unwrap();
    println!("{why}");
    assert!(
        why.contains("asked: libvirt's hook (uid 0)")
            && why.contains("names denied: ")
            && why.contains("name-refused"),
        "{why}"
    );
    web.start(node).unwrap();
    web.stop(node).unwrap();
    // What is broken does not take the place of what serves; and nobody has to say that it is there.
    node.run_ok(&format!("echo hello > {POLICIES}/50-names.wasm"))
        .unwrap();
    volward
        .wait(1, "look at the folder", Duration::from_secs(60), || {
            let listed = volward.cli_ok(1, "policy ls")?;
            Ok(listed.contains("names, last-good: "))
        })
        .unwrap();
    refused(&volward, &test, &["denied, name-refused"]);
    what_was_good_comes_back(&volward, &test, &web);
    put(node, "rm 50-names.*");
    test.start(node).unwrap();
    test.stop(node).unwrap();

    // A file that is no policy, or that others may write: the refusal names it and the reason.
    for (put_there, reason) in [
        ("echo hello > 50-x.wasm", "it is not WebAssembly"),
        (
            "sed 's/@0\\.1\\.[0-9]/@0.9.0/g' /host/guests/baseline.wasm > 50-x.wasm",
            "0.9.0",
        ),
        (
            "cp /host/guests/baseline.wasm 50-x.wasm; chmod 666 50-x.wasm",
            "can be written by others (mode 666)",
        ),
        (
            "cp /host/guests/deny-by-prefix.wasm 50-x.wasm; \
             printf '[config]\\nprefx = \"a\"\\n' > 50-x.toml",
            "prefx",
        ),
    ] {
        put(node, put_there);
        refused(&volward, &web, &["(policy fault, ", "policy x: ", reason]);
        let listed = volward.cli_ok(1, "policy ls").unwrap();
        println!("{listed}");
        assert!(listed.contains("x, refused: "), "{listed}");
        put(node, "rm 50-x.*");
    }

    // A policy that loads and misbehaves when a hook is called.
    put(node, "cp /host/guests/hostile.wasm 50-x.wasm");
    for (misdeed, reason) in [
        ("loop", "it did not answer in time"),
        ("memory", "it needs more than 134217728 bytes of memory"),
    ] {
        put(
            node,
            &format!("printf '[config]\\ndo = \"{misdeed}\"\\n' > 50-x.toml"),
        );
        refused(&volward, &web, &["(policy fault, ", "policy x: ", reason]);
    }
    // A policy that hangs at detach does not keep a guest's disks.
    put(
        node,
        "printf '[config]\\ndo-at-detach = \"loop\"\\n' > 50-x.toml",
    );
    web.start(node).unwrap();
    web.stop(node).unwrap();
    assert_eq!(volward.left_over(1).unwrap(), "");
    put(node, "rm 50-x.*");
    web.start(node).unwrap();
}
