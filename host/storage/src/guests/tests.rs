use super::*;

#[test]
fn a_running_job_that_migrates_out_is_one_and_nothing_else_is() {
    let running = "Job type: 2\n\noperation: 5\ntime_elapsed: 1234\ndata_total: 7\n";
    let since = Some(Duration::from_millis(1234));
    assert_eq!(job(running), Job::MigratingOut { since });
    let begun = "Job type: 2\n\noperation: 5\n";
    assert_eq!(job(begun), Job::MigratingOut { since: None });
    for other in [
        // None; a migration that has ended, failed, or was cancelled.
        "Job type: 0\n\n",
        "Job type: 3\n\noperation: 5\n",
        "Job type: 4\n\noperation: 5\n",
        "Job type: 5\n\noperation: 5\n",
        // One that comes in, a save.
        "Job type: 2\n\noperation: 4\n",
        "Job type: 1\n\noperation: 2\n",
        "Job type: 2\n\n",
    ] {
        assert_eq!(job(other), Job::None, "{other}");
    }
}

#[test]
fn what_is_not_understood_is_no_answer() {
    for said in ["", "error: no domain", "Job type:         Unbounded   \n"] {
        assert!(matches!(job(said), Job::Unknown(_)), "{said}");
    }
    let none = Virsh::new(Arc::new(Exec::new(1)), None);
    let instance = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    let Job::Unknown(why) = none.job(instance) else {
        panic!("an answer without virsh");
    };
    assert!(why.contains("libvirt-clients"), "{why}");
}

#[test]
fn the_disks_of_a_guest_that_runs_are_its_paths_and_one_without_a_medium_is_none() {
    let said = "Domain: 'web'\n  state.state=1\n  state.reason=1\n  block.count=3\n  block.0.name=vda\n  \
                block.0.path=/dev/volward/x/vg0/a=b\n  block.0.rd.reqs=5\n  block.1.name=sda\n  block.2.name=vdb\n  \
                block.2.path=/var/x.img\n  block.2.backing.path=/y\n";
    let running = GuestDisks::Running(vec!["/dev/volward/x/vg0/a=b".into(), "/var/x.img".into()]);
    assert_eq!(disks(said), running);
    let none = "state.state=3\nblock.count=0\n";
    assert_eq!(disks(none), GuestDisks::Running(vec![]));
    // Shut off, in its shutdown, crashed, no state.
    for state in ["5", "4", "6", "0"] {
        let said = said.replace("state.state=1", &format!("state.state={state}"));
        assert_eq!(disks(&said), GuestDisks::NotRunning, "{state}");
    }
    for said in ["", "Domain: 'web'\n  state.state=1\n", "block.count=0\n"] {
        assert!(matches!(disks(said), GuestDisks::Unknown(_)), "{said}");
    }
}
