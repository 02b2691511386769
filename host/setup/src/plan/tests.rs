use super::*;

/// The files as Debian 12 ships them, comments shortened.
fn debian() -> Seen {
    let mut seen = Seen {
        host_name: Some("node1".to_owned()),
        policies: true,
        ..Seen::default()
    };
    for (path, text) in [
        (
            paths::SANLOCK_DEFAULTS,
            "# opts\n# Use -w 0 if you don't have wdmd running\nsanlock_opts=\"-w 0\"\n",
        ),
        (
            paths::WDMD_DEFAULTS,
            "# Set to 1 to start.\nenabled=0\n\nwdmd_opts=\"\"\n",
        ),
        (
            paths::LVM,
            "global {\n\t# use_lvmlockd = 0\n}\nactivation {\n}\n",
        ),
        (paths::LVM_LOCAL, "local {\n\t# host_id = 0\n}\n"),
        (
            paths::VOLWARD,
            include_str!("../../../../packaging/volward.toml"),
        ),
    ] {
        seen.files.insert(path.to_owned(), text.to_owned());
    }
    seen
}

fn wanted() -> Wanted {
    Wanted {
        host_id: Some(3),
        shared: vec!["vg0".parse().unwrap()],
        local: Some("local".parse().unwrap()),
        ..Wanted::default()
    }
}

/// What the node says after the plan was written.
fn done(mut seen: Seen, plan: &Plan) -> Seen {
    for change in &plan.changes {
        assert_eq!(seen.text(&change.path), change.before.as_deref());
        seen.files.insert(change.path.clone(), change.after.clone());
    }
    seen.policies |= plan.policies;
    seen
}

fn after<'a>(plan: &'a Plan, path: &str) -> &'a str {
    let change = plan.changes.iter().find(|change| change.path == path);
    change.map_or_else(|| panic!("{path} is not changed"), |change| &change.after)
}

#[test]
fn a_bare_node_gets_all_that_the_guide_had_typed_by_hand() {
    let plan = plan(&wanted(), &debian()).unwrap();
    assert_eq!(
        after(&plan, paths::SANLOCK),
        "our_host_name = node1\nuse_watchdog = 1\n"
    );
    assert!(after(&plan, paths::SANLOCK_DEFAULTS).ends_with("\nsanlock_opts=\"\"\n"));
    let changed = |path| plan.changes.iter().any(|change| change.path == path);
    assert!(!changed(paths::WDMD_DEFAULTS), "Debian's own is right");
    assert_eq!(
        after(&plan, paths::LVM_LOCAL),
        "local {\n\t# host_id = 0\n\thost_id = 3\n}\n\nglobal {\n\tuse_lvmlockd = 1\n}\n"
    );
    assert!(after(&plan, paths::LVMLOCKD_DROPIN).contains("--adopt 1"));
    assert!(after(&plan, paths::SANLOCK_DROPIN).ends_with("\n[Unit]\nAfter=wdmd.service\n"));
    let joins = after(&plan, paths::LVMLOCKS_DROPIN);
    assert!(joins.contains(
        "\n[Unit]\nAfter=multipathd.service iscsid.service open-iscsi.service\n[Service]\nExecStartPre="
    ));
    // Beneath the bound of joining, and a look that nobody waits for any longer: systemd has `$$` for a `$`.
    assert!(
        joins.contains(
            "/sbin/lvm vgs -o vg_name > /dev/null 2>&1 & look=$$!; for half in $$(seq 120)"
        )
    );
    assert!(joins.ends_with("exit 1'\nKillMode=process\nTimeoutStartSec=300\n"));
    assert_eq!(joins.lines().count(), 7, "{joins}");
    assert!(after(&plan, paths::WATCHDOG_MODULE).ends_with("\nsoftdog\n"));
    let volward = after(&plan, paths::VOLWARD);
    assert!(
        volward.ends_with(
            "[[pool]]\nname = \"vg0\"\n\n[[pool]]\nname = \"local\"\nkind = \"local\"\n"
        )
    );
    assert!(
        plan.cannot.iter().any(|said| said.contains("dm-clone")),
        "{plan:?}"
    );
    assert!(!plan.changes.iter().any(|change| change.path == paths::LVM));
    assert_eq!(plan.next[0], "modprobe softdog");
    let nth = |words: &str| plan.next.iter().position(|next| next.starts_with(words));
    assert!(
        nth("vgcreate --shared vg0") < nth("vgcreate local"),
        "{:?}",
        plan.next
    );
    assert_eq!(plan.next.last().unwrap(), "volward doctor");
}

#[test]
fn a_node_that_is_set_up_is_left_alone_whoever_did_it() {
    let first = plan(&wanted(), &debian()).unwrap();
    let seen = done(debian(), &first);
    // What is there is enough: nothing has to be said again.
    for again in [wanted(), Wanted::default()] {
        let second = plan(&again, &seen).unwrap();
        assert!(second.is_done(), "{:?}", second.changes);
        assert!(second.kept.len() > 5, "{:?}", second.kept);
        assert!(!second.next.iter().any(|next| next.contains("restart wdmd")));
    }
    let mut by_hand = seen;
    by_hand.files.remove(paths::LVMLOCKD_DROPIN);
    by_hand.files.remove(paths::SANLOCK_DROPIN);
    by_hand.files.remove(paths::LVMLOCKS_DROPIN);
    by_hand.files.remove(paths::WATCHDOG_MODULE);
    for (path, text) in [
        (
            "etc/systemd/system/lvmlockd.service.d/override.conf",
            "[Service]\nExecStart=\nExecStart=/sbin/lvmlockd -f -A 1\n",
        ),
        (
            "etc/systemd/system/sanlock.service.d/override.conf",
            "[Unit]\nAfter=local-fs.target wdmd.service\n",
        ),
        (
            "etc/systemd/system/lvmlocks.service.d/override.conf",
            "[Unit]\nAfter=multipathd.service\nAfter=open-iscsi.service iscsid.service\n",
        ),
        ("etc/modules-load.d/watchdog.conf", "softdog\n"),
        (
            paths::LVM,
            "global { use_lvmlockd = 1 }\nlocal { host_id = 3 }\n",
        ),
        (paths::LVM_LOCAL, "local {\n}\n"),
        (paths::SANLOCK_DEFAULTS, "sanlock_opts=\"-Q 1\"\n"),
    ] {
        by_hand.files.insert(path.to_owned(), text.to_owned());
    }
    let third = plan(&wanted(), &by_hand).unwrap();
    assert!(third.is_done(), "{:?}", third.changes);
}

#[test]
fn a_dropin_of_somebody_elses_that_lacks_a_unit_stays_and_ours_comes_beside_it() {
    let mut seen = debian();
    let other = "etc/systemd/system/lvmlocks.service.d/override.conf";
    let text = "[Unit]\n# After=iscsid.service open-iscsi.service\nAfter=multipathd.service\n";
    seen.files.insert(other.to_owned(), text.to_owned());
    let plan = plan(&wanted(), &seen).unwrap();
    assert!(after(&plan, paths::LVMLOCKS_DROPIN).contains("open-iscsi.service"));
    assert!(plan.changes.iter().all(|change| change.path != other));
    assert!(plan.next.contains(&"systemctl daemon-reload".to_owned()));
}

#[test]
fn options_that_are_not_ours_stay() {
    let mut seen = debian();
    let own = "sanlock_opts=\"-Q 1 -w 0 -S 7\"\n";
    seen.files
        .insert(paths::SANLOCK_DEFAULTS.to_owned(), own.to_owned());
    let sanlock = "# ours\nuse_watchdog = 0\nmax_worker_threads = 8\n";
    seen.files
        .insert(paths::SANLOCK.to_owned(), sanlock.to_owned());
    let plan = plan(&wanted(), &seen).unwrap();
    assert_eq!(
        after(&plan, paths::SANLOCK_DEFAULTS),
        "sanlock_opts=\"-Q 1 -S 7\"\n"
    );
    assert_eq!(
        after(&plan, paths::SANLOCK),
        "# ours\nuse_watchdog = 1\nmax_worker_threads = 8\nour_host_name = node1\n"
    );
}

fn refused(wanted: &Wanted, files: &[(&str, &str)]) -> String {
    let mut seen = debian();
    for (path, text) in files {
        seen.files.insert((*path).to_owned(), (*text).to_owned());
    }
    let said = plan(wanted, &seen).unwrap_err().to_string();
    assert!(!said.contains('\n'), "one sentence: {said}");
    said
}

#[test]
fn two_settings_that_contradict_each_other_are_named_with_their_places() {
    let named = Wanted {
        name: Some("other".parse().unwrap()),
        ..wanted()
    };
    let sanlock = [(paths::SANLOCK, "our_host_name = n7\n")];
    let said = refused(&named, &sanlock);
    assert!(
        said.contains("other (--name)") && said.contains("n7 (/etc/sanlock/sanlock.conf)"),
        "{said}"
    );
    let toml = (paths::VOLWARD, "[node]\nname = \"n8\"\n");
    let said = refused(&wanted(), &[sanlock[0], toml]);
    assert!(
        said.contains("n7") && said.contains("n8 (/etc/volward/volward.toml)"),
        "{said}"
    );
    let option = (paths::SANLOCK_DEFAULTS, "sanlock_opts=\"-e n9\"\n");
    let said = refused(&wanted(), &[sanlock[0], option]);
    assert!(said.contains("n9 (/etc/default/sanlock)"), "{said}");

    let said = refused(&wanted(), &[(paths::LVM_LOCAL, "local { host_id = 4 }\n")]);
    assert!(
        said.contains("3 (--host-id) and 4 (/etc/lvm/lvmlocal.conf)"),
        "{said}"
    );

    let said = refused(
        &wanted(),
        &[(
            paths::VOLWARD,
            "[[pool]]\nname = \"vg0\"\nkind = \"local\"\n",
        )],
    );
    assert!(
        said.contains("pool vg0") && said.contains("shared") && said.contains("local"),
        "{said}"
    );
    let said = refused(
        &wanted(),
        &[(
            paths::VOLWARD,
            "[[pool]]\nname = \"ssd\"\nkind = \"local\"\n",
        )],
    );
    assert!(
        said.contains("ssd") && said.contains("at most one"),
        "{said}"
    );
}

#[test]
fn what_is_missing_or_wrong_is_said_and_nothing_is_changed() {
    let none = Wanted {
        host_id: None,
        ..wanted()
    };
    assert!(refused(&none, &[]).contains("--host-id NUMBER"));
    let much = Wanted {
        host_id: Some(513),
        ..wanted()
    };
    assert!(refused(&much, &[]).contains("1 to 512"));
    let zero = [(paths::LVM_LOCAL, "local { host_id = \"x\" }\n")];
    assert!(refused(&none, &zero).contains("/etc/lvm/lvmlocal.conf"));
    for (path, text) in [
        (paths::LVM_LOCAL, "local {\n"),
        (paths::VOLWARD, "[node\n"),
        (paths::SANLOCK_DEFAULTS, "sanlock_opts=\"$MORE -w 0\"\n"),
    ] {
        let said = refused(&wanted(), &[(path, text)]);
        assert!(said.starts_with(&format!("/{path} line ")), "{said}");
    }
    let nameless = Seen {
        host_name: None,
        ..debian()
    };
    assert_eq!(
        plan(&wanted(), &nameless).unwrap_err(),
        Contradiction::NoName
    );
}

#[test]
fn a_watchdog_that_is_there_is_kept_and_one_that_is_asked_for_is_loaded() {
    let hardware = Seen {
        hardware_watchdog: true,
        dm_clone: true,
        ..debian()
    };
    let kept = plan(&wanted(), &hardware).unwrap();
    assert!(
        kept.changes
            .iter()
            .all(|change| change.path != paths::WATCHDOG_MODULE)
    );
    assert_eq!(after(&kept, paths::CLONE_MODULE), "dm-clone\n");
    let asked = Wanted {
        watchdog: Some("iTCO_wdt".to_owned()),
        ..wanted()
    };
    let loaded = plan(&asked, &hardware).unwrap();
    assert!(after(&loaded, paths::WATCHDOG_MODULE).ends_with("\niTCO_wdt\n"));
    assert_eq!(loaded.next[0], "modprobe iTCO_wdt");
}

#[test]
fn what_it_cannot_do_is_said() {
    let mut seen = debian();
    let dropin = "etc/systemd/system/lvmlockd.service.d/override.conf";
    seen.files.insert(
        dropin.to_owned(),
        "[Service]\nExecStart=\nExecStart=/sbin/lvmlockd -f\n".to_owned(),
    );
    seen.files.insert(
        paths::LVM.to_owned(),
        "activation {\n\tvolume_list = [ \"debian\", \"local\" ]\n}\n".to_owned(),
    );
    let no_pool = Wanted {
        shared: Vec::new(),
        ..wanted()
    };
    let said = plan(&no_pool, &seen).unwrap().cannot.join("\n");
    for words in ["--adopt 1", "no shared pool", "dm-clone"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert!(!said.contains("volume_list"), "local is listed: {said}");
    let said = plan(&wanted(), &seen).unwrap().cannot.join("\n");
    assert!(said.contains("add \"vg0\" there"), "{said}");
}

#[test]
fn a_change_is_shown_as_a_diff() {
    let plan = plan(&wanted(), &debian()).unwrap();
    let of = |path: &str| {
        let change = plan.changes.iter().find(|change| change.path == path);
        change.unwrap().diff()
    };
    assert!(
        of(paths::SANLOCK).starts_with("--- /dev/null\n+++ /etc/sanlock/sanlock.conf\n"),
        "{}",
        of(paths::SANLOCK)
    );
    let defaults = of(paths::SANLOCK_DEFAULTS);
    assert!(
        defaults.contains("-sanlock_opts=\"-w 0\"\n+sanlock_opts=\"\"\n"),
        "{defaults}"
    );
}

/// wdmd.service runs Debian's init script first, which ends with a fault when it is enabled there.
#[test]
fn what_keeps_systemd_from_starting_wdmd_is_taken_back() {
    let mut seen = debian();
    let enabled = "# Set to 1 to start.\nenabled=1\n".to_owned();
    seen.files.insert(paths::WDMD_DEFAULTS.to_owned(), enabled);
    let plan = plan(&wanted(), &seen).unwrap();
    assert_eq!(
        after(&plan, paths::WDMD_DEFAULTS),
        "# Set to 1 to start.\nenabled=0\n"
    );
    assert!(
        done(seen, &plan)
            .text(paths::WDMD_DEFAULTS)
            .unwrap()
            .contains("enabled=0")
    );
}
