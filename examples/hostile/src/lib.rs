//! Misbehaves as its configuration asks (`do`), to show that the sandbox holds. Not an example
//! to follow.

use std::hint::black_box;

use volward_sdk::{
    Answer, Attach, CopyFate, Denial, Detach, Disk, Lifecycle, Migrate, Operate, Operation,
    Problem, Request, config, log,
};

struct Hostile;

impl Attach for Hostile {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        misbehave("do", request, answer)
    }
}

impl Detach for Hostile {
    fn detach(request: &Request, _disk: &Disk) -> Option<CopyFate> {
        // The refusal of some misdeeds is for attach; here only the fate can be said.
        let _refused = misbehave("do-at-detach", request, &mut Answer::default());
        Some(CopyFate::Discard)
    }
}

impl Migrate for Hostile {
    fn migrate(request: &Request) -> Result<(), Denial> {
        misbehave("do-at-migrate", request, &mut Answer::default())
    }
}

impl Operate for Hostile {
    fn operate(_: &Operation) -> Result<(), Denial> {
        misbehave("do-at-operate", &Request::default(), &mut Answer::default())
    }
}

impl Lifecycle for Hostile {
    fn check_config() -> Vec<Problem> {
        let _refused = misbehave("do-at-load", &Request::default(), &mut Answer::default());
        Vec::new()
    }
}

volward_sdk::export!(Hostile: attach, detach, migrate, operate, lifecycle);

fn misbehave(key: &str, request: &Request, answer: &mut Answer) -> Result<(), Denial> {
    match config::get(key).as_deref() {
        None => {}
        Some("loop") => loop {
            black_box(());
        },
        Some("memory") => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(Vec::with_capacity(1 << 20));
                black_box(&hoard);
            }
        }
        Some("recursion") => {
            black_box(descend(0));
        }
        Some("log-lines") => loop {
            log::info("again");
        },
        Some("log-bytes") => {
            let line = "x".repeat(16 << 10);
            loop {
                log::info(&line);
            }
        }
        Some("log-string") => log::info(&"x".repeat(4 << 20)),
        Some("denial-string") => return Err(Denial::new("long", "x".repeat(4 << 20))),
        Some("note-flood") => {
            for n in 0..1_000 {
                answer.note(n.to_string(), "again");
            }
        }
        Some("panic") => panic!("on purpose"),
        Some("index") => {
            black_box([1, 2, 3][black_box(7)]);
        }
        Some("foreign-disk") => answer.read_only(&Disk {
            id: "nobody's".into(),
            ..Disk::default()
        }),
        Some("refuse") => return Err(Denial::new("on-purpose", "refused on purpose")),
        Some("narrow") => {
            for disk in &request.disks {
                answer.exclusive(disk);
                answer.read_only(disk);
            }
        }
        Some(other) => panic!("no such misdeed: {other}"),
    }
    Ok(())
}

/// Deep, and not a loop in disguise: the result is needed after the call.
fn descend(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    black_box(descend(depth + 1)) + depth
}
