use super::*;

fn parse(text: &str) -> anyhow::Result<Config> {
    Config::parse(text, Path::new("volward.toml"))
}

#[test]
fn a_typo_is_refused_with_file_line_and_what_was_expected() {
    let error = parse("[node]\nname = \"n1\"\n\n[[pool]]\nname = \"vg0\"\nkund = \"shared\"\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("volward.toml line 6"), "{error}");
    assert!(
        error.contains("kund") && error.contains("expected"),
        "{error}"
    );
    assert!(!error.contains('\n'), "one line: {error}");
}

const PACKAGED: &str = include_str!("../../../../packaging/volward.toml");

/// The packaged file with its examples (`#key = value`, `#[[pool]]`) as settings, and where `defaults` is
/// true also its defaults (`# key = value`).
fn uncommented(defaults: bool) -> String {
    let setting = |line: &str| {
        let key = line.split_once(" = ").is_some_and(|(key, _)| {
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            key.chars().all(plain)
        });
        key || line.starts_with('[')
    };
    let shown = |line: &'static str| {
        let (example, default) = (line.strip_prefix('#'), line.strip_prefix("# "));
        let default = default.filter(|_| defaults);
        let candidates = [example, default].into_iter().flatten();
        candidates.into_iter().find(|line| setting(line))
    };
    let lines = PACKAGED.lines().map(|line| shown(line).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Also with every key that is commented out: what stands there is the default.
#[test]
fn the_packaged_file_configures_nothing_and_shows_the_defaults() {
    let packaged = parse(PACKAGED).unwrap();
    assert_eq!(
        format!("{packaged:?}"),
        format!("{:?}", parse("").unwrap()).replace("\"\"", "\"volward.toml\"")
    );
    let examples = parse(&uncommented(false)).unwrap();
    let pools: Vec<_> = examples
        .pool
        .iter()
        .map(|pool| pool.name.as_str())
        .collect();
    assert_eq!(pools, ["vg0", "local"]);
    let mut whole = parse(&uncommented(true)).unwrap();
    assert_eq!(
        whole.pool[0].devices_file(),
        examples.pool[0].devices_file()
    );
    assert_eq!(whole.pool[0].provider(), examples.pool[0].provider());
    whole.pool = examples.pool.clone();
    whole.paths.workbench = None;
    assert_eq!(format!("{whole:?}"), format!("{examples:?}"));
}

/// The keys of a table as the configuration itself lists them when it is given one that it does not know;
/// none where any key may stand.
fn keys(table: &str) -> Vec<String> {
    let Err(error) = toml::from_str::<Config>(&format!("{table}\nzzz = 1\n")) else {
        return Vec::new();
    };
    let said = error.message().to_owned();
    let Some((_, expected)) = said.split_once("unknown field `zzz`, expected ") else {
        return Vec::new();
    };
    let names = expected.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// The man page volward.toml(5) is made of this file, so what is missing here is missing there.
#[test]
fn the_packaged_file_has_every_key_there_is() {
    let sections = keys("");
    assert!(sections.len() > 7, "{sections:?}");
    let mut tables = vec!["[policy.limits]".to_owned()];
    let before_tables = PACKAGED.lines().take_while(|line| !line.starts_with('['));
    let before_tables: Vec<&str> = before_tables.collect();
    for section in sections {
        let forms = [format!("[{section}]"), format!("[[{section}]]")];
        match forms.into_iter().find(|form| !keys(form).is_empty()) {
            Some(table) => tables.push(table),
            // A key of no table.
            None => {
                let shown = format!("# {section} = ");
                let there = before_tables.iter().any(|line| line.starts_with(&shown));
                assert!(
                    there,
                    "{section} is not at the top of packaging/volward.toml"
                );
            }
        }
    }
    let mut seen = 0;
    for table in tables {
        let lines = PACKAGED.lines();
        let mut here = lines.skip_while(|line| line.trim_start_matches('#') != table);
        assert!(here.next().is_some(), "no {table}");
        let here: Vec<_> = here.take_while(|line| !line.starts_with('[')).collect();
        let keys = keys(&table);
        assert!(!keys.is_empty(), "{table} has no keys");
        for key in keys {
            let heading = format!("[{}.{key}]", table.trim_matches(['[', ']']));
            let shown = |line: &str| {
                let bare = line.trim_start_matches('#').trim_start();
                bare.starts_with(&format!("{key} = "))
            };
            let there = here.iter().any(|line| shown(line)) || PACKAGED.contains(&heading);
            assert!(there, "{key} of {table} is not in packaging/volward.toml");
            seen += 1;
        }
    }
    assert!(seen > 35, "{seen}");
}

#[test]
fn an_empty_file_is_a_configuration_without_pools() {
    let config = parse("").unwrap();
    assert!(config.pool.is_empty() && config.policy.baseline == Switch::On);
    assert!(!config.lab.read_write_without_watchdog, "I26");
}

#[test]
fn a_node_is_both_unless_its_roles_say_one() {
    for (text, roles) in [
        ("", "control and compute"),
        (
            "roles = [\"control\", \"compute\"]\n",
            "control and compute",
        ),
        ("roles = [\"control\"]\n", "control"),
        ("roles = [\"compute\"]\n", "compute"),
    ] {
        assert_eq!(parse(text).unwrap().roles.0.to_string(), roles, "{text}");
    }
    let none = refused("roles = []\n");
    assert!(
        none.starts_with("volward.toml line 1: roles names none"),
        "{none}"
    );
    let other = refused("[node]\nname = \"n1\"\n[api]\nroles = [\"controll\"]\n");
    assert!(other.contains("line 4"), "{other}");
    let typo = refused("roles = [\"controll\"]\n");
    assert!(
        typo.contains("line 1") && typo.contains("compute"),
        "{typo}"
    );
}

fn refused(text: &str) -> String {
    let error = parse(text).unwrap_err().to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    error
}

#[test]
fn the_same_pool_twice_and_two_local_pools_are_refused_with_their_line() {
    let pool = |name, kind| format!("[[pool]]\nname = \"{name}\"\n# a remark\nkind = \"{kind}\"\n");
    let twice = refused(&format!("{}{}", pool("a", "shared"), pool("a", "shared")));
    assert!(twice.starts_with("volward.toml line 6: pool a "), "{twice}");
    let local = refused(&format!("{}{}", pool("a", "local"), pool("b", "local")));
    assert!(
        local.starts_with("volward.toml line 8: ") && local.contains("pool a"),
        "{local}"
    );
}

#[test]
fn limits_of_the_decision_log_are_checked() {
    let config = parse("[decisions]\nkeep-days = 30\n").unwrap();
    assert_eq!(
        (config.decisions.keep_days, config.decisions.files),
        (30, 8)
    );
    for bad in [
        "files = 0",
        "file-bytes = 100",
        "file-byte = 100000",
        "keep-days = -1",
    ] {
        let error = parse(&format!("[decisions]\n{bad}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("volward.toml line 2: "), "{error}");
    }
}

#[test]
fn limits_within_which_every_policy_fails_are_refused_with_their_line() {
    let zeros = [
        "deadline-ms",
        "load-deadline-ms",
        "memory-bytes",
        "table-elements",
        "hostcall-bytes",
        "handles",
        "component-bytes",
        "concurrency",
    ];
    for key in zeros {
        let error = refused(&format!("[policy.limits]\n{key} = 0\n"));
        assert!(error.contains("line 2") && error.contains(key), "{error}");
    }
    let error = refused("[policy.limits]\nmemory-bytes = 1\n");
    assert!(error.contains("at least 2097152"), "{error}");
}

#[test]
fn i16_the_systems_devices_file_cannot_be_configured() {
    for file in ["system.devices", "../x.devices"] {
        let error = refused(&format!("[[pool]]\nname=\"a\"\ndevices-file=\"{file}\"\n"));
        assert!(
            error.starts_with("volward.toml line 3: devices-file"),
            "{error}"
        );
    }
}

#[test]
fn a_pools_provider_is_direct_unless_it_says_otherwise() {
    let provider = |more: &str| {
        let config = parse(&format!("[[pool]]\nname = \"a\"\n{more}")).unwrap();
        config.pool[0].provider()
    };
    assert_eq!(provider(""), Some(Provider::Direct));
    assert_eq!(
        provider("provider = \"lvmlockd\""),
        Some(Provider::Lvmlockd)
    );
    assert_eq!(provider("provider = \"direct\""), Some(Provider::Direct));
    assert_eq!(provider("kind = \"local\""), None);
    let local = refused("[[pool]]\nname = \"a\"\nkind = \"local\"\nprovider = \"direct\"\n");
    assert!(local.starts_with("volward.toml line 4: pool a"), "{local}");
}

/// What only the policy runtime would refuse is refused before it starts, where `--check` sees
/// it.
#[test]
fn limits_the_policy_runtime_refuses_are_refused_with_their_line() {
    for (limit, word) in [
        ("stack-bytes = 1048577", "1048576"),
        ("stack-bytes = 0", "zero"),
        ("memory-bytes = 99999999999999", "memory"),
        ("concurrency = 4294967295", "concurrency"),
        ("concurrency = 1025", "1024"),
    ] {
        let text = format!("[policy.limits]\ndeadline-ms = 100\n{limit}\nhandles = 7\n");
        let error = refused(&text);
        let key = limit.split(' ').next().unwrap();
        assert!(
            error.starts_with(&format!("volward.toml line 3: {key}")) && error.contains(word),
            "{error}"
        );
    }
    assert!(parse("policy.limits.memory-bytes = 67108864").is_ok());
}

#[test]
fn io_is_given_back_by_hand_unless_the_file_says_otherwise_and_never_without_a_pause() {
    assert_eq!(parse("").unwrap().fence.after(), None);
    let by_itself = parse("[fence]\nunfence = \"by-itself\"\n").unwrap();
    assert_eq!(by_itself.fence.after(), Some(Duration::from_secs(30)));
    let none = refused("[fence]\nunfence = \"by-itself\"\nunfence-pause = 0\n");
    assert!(none.starts_with("volward.toml line 3: "), "{none}");
}
