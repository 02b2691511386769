//! One witness of where a copied volume's data is goes wrong: the node's records, the home tag, the
//! size. Nothing is written back, removed or handed out until they agree again.
#![allow(clippy::unwrap_used, reason = "tests end at the first surprise")]

use volward_system::sight::{self, Sight};

use copy::{Fixture, INSTANCE, MIB, PATIENCE, SLOW, ready};

mod copy;

const STATE: &str = "/var/lib/volward/state.db*";

/// What `volward recover` makes of the volume: its word, and its lines.
fn heard(fixture: &Fixture<'_>) -> (String, String) {
    let reply = fixture.volward.json(1, "recover vg0/disk").unwrap();
    println!("{reply}");
    let text = fixture.volward.cli_ok(1, "recover vg0/disk").unwrap();
    println!("{text}");
    (reply["heard"].as_str().unwrap().to_owned(), text)
}

/// Neither node gives the volume to anybody, and the copy is as it was.
fn nothing_moves(fixture: &Fixture<'_>, copy: &Sight) {
    for node in [1, 2] {
        let problem = fixture
            .volward
            .problem(node, "attach c0ffeeff-0000-4000-8000-000000000000 vg0/disk")
            .unwrap();
        println!("node {node}: {problem}");
    }
    let now = Sight::of(fixture.one()).unwrap();
    assert_eq!((&now.clones, &now.copies), (&copy.clones, &copy.copies));
    assert_eq!(now.leases, copy.leases);
    assert_eq!(Sight::of(fixture.two()).unwrap(), Sight::default());
}

#[test]
fn data_is_moved_only_when_all_witnesses_agree_on_where_it_is() {
    let cluster = ready();
    let fixture = Fixture::begin(&cluster);
    let (one, guest, volward) = (fixture.one(), &fixture.guest, &fixture.volward);
    one.slow_lun(SLOW).unwrap();
    fixture.hold_hydration();
    guest.start(one).unwrap();
    fixture.write(0xaa, 1 << 20, 64 << 10);
    fixture.is_under_way("hydrating");
    let copy = Sight::of(one).unwrap();

    // The records are lost while the guest writes to the copy: it is not written back beneath it.
    volward.stop(1).unwrap();
    let aside = format!("mkdir -p /root/aside && mv {STATE} /root/aside");
    one.run_ok(&aside).unwrap();
    volward.start(1, &[]).unwrap();
    let said = volward.cli_ok(1, "ls").unwrap();
    assert!(said.contains("quarantined"), "{said}");
    nothing_moves(&fixture, &copy);
    assert_eq!(fixture.home(), "split:node1");
    fixture.write(0xbb, (30 << 20) + 4096, 512);
    fixture.same(1);
    fixture.same(30);
    heard(&fixture);
    // Put back, all is as before.
    volward.stop(1).unwrap();
    one.run_ok(&format!("rm {STATE} && mv /root/aside/* /var/lib/volward"))
        .unwrap();
    volward.start(1, &[]).unwrap();
    let said = volward.cli_ok(1, "ls").unwrap();
    assert!(
        said.contains(INSTANCE) && !said.contains("quarantined"),
        "{said}"
    );

    // The volume grows behind the copy's back; the copy keeps the size it was made for.
    one.restore_lun().unwrap();
    // To LVM on this node a volume that volwardd has leased itself is somebody else's.
    one.run_ok("lvextend -qq -L +32M vg0/disk || lvextend -qq --lockopt skiplv -L +32M vg0/disk")
        .unwrap();
    fixture.go_on_copying();
    let complete = || Ok(fixture.copy().is_some_and(|copy| copy.0 == "complete"));
    volward.wait(1, "whole copy", PATIENCE, complete).unwrap();

    // The home tag is lost, so that the volume seems to be home: its newest data is in the copy
    // alone. The guest's end changes none of it.
    let tags = fixture
        .two()
        .run_ok("lvs --noheadings -o lv_tags vg0/disk | tr , '\\n' | grep volward.home")
        .unwrap();
    let tag = tags.trim();
    fixture
        .two()
        .run_ok(&format!("lvchange --deltag {tag} vg0/disk"))
        .unwrap();
    let copy = Sight::of(one).unwrap();
    guest.stop(one).unwrap();
    nothing_moves(&fixture, &copy);
    let (word, text) = heard(&fixture);
    assert_eq!(word, "contradict", "{text}");
    // The command that is printed, for when it has become clear that the copy is right.
    let tag = tag.trim_start_matches("volward.home=");
    let printed = format!("recover vg0/disk --set-home {tag} --instead-of pool:::0");
    assert!(text.contains(&printed), "{text}");
    let doctor = volward.cli(1, "doctor").unwrap();
    assert!(
        !doctor.ok() && doctor.stdout.contains("vg0/disk"),
        "{doctor:?}"
    );

    // With the tag as it was, everything comes home, what the guest wrote included.
    volward.cli_ok(1, &printed).unwrap();
    volward.cli_ok(1, &format!("detach {INSTANCE}")).unwrap();
    fixture.comes_home_whole();
    assert_eq!(sight::home(one, "disk").unwrap(), "pool");
    let size = one
        .run_ok("lvs --noheadings --nosuffix --units m -o lv_size vg0/disk")
        .unwrap();
    assert_eq!(size.trim(), format!("{}.00", MIB + 32));
}
