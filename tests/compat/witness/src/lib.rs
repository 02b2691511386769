//! Calls every function of the interface, and tells what it heard: a runtime that says anything
//! else than the one it was built for is noticed. Its compiled form of each release is kept.

use volward_sdk::{
    Answer, Attach, CopyFate, CopyMode, CopyPlan, Denial, Detach, Disk, Lifecycle, Migrate,
    Operate, Operation, Problem, Request, config, log,
};

struct Witness;

impl Attach for Witness {
    fn attach(request: &Request, answer: &mut Answer) -> Result<(), Denial> {
        testify(request);
        answer.note("config", format!("{:?}", config::all()));
        as_configured()?;
        // One disk for each method, and the rest untouched.
        let [exclusive, read_only, ceiling, copied, ..] = &request.disks[..] else {
            return Ok(());
        };
        answer.exclusive(exclusive);
        answer.read_only(read_only);
        answer.copy_at_most(ceiling, CopyMode::WritesOnly);
        let plan = CopyPlan {
            mode: CopyMode::Background,
            in_flight_bytes: Some(16 << 20),
            batch_bytes: Some(1 << 20),
            fate: CopyFate::Keep,
        };
        answer.copy(copied, plan);
        Ok(())
    }
}

impl Detach for Witness {
    fn detach(request: &Request, disk: &Disk) -> Option<CopyFate> {
        testify(request);
        log::info(&format!("{disk:?}"));
        match config::get("fate").as_deref() {
            Some("write-back") => Some(CopyFate::WriteBack),
            Some("keep") => Some(CopyFate::Keep),
            Some("discard") => Some(CopyFate::Discard),
            _ => None,
        }
    }
}

impl Migrate for Witness {
    fn migrate(request: &Request) -> Result<(), Denial> {
        testify(request);
        as_configured()
    }
}

impl Operate for Witness {
    fn operate(operation: &Operation) -> Result<(), Denial> {
        log::debug(&format!("{operation:?}"));
        as_configured()
    }
}

impl Lifecycle for Witness {
    fn check_config() -> Vec<Problem> {
        config::unknown_keys(&["deny", "fate"])
    }
}

volward_sdk::export!(Witness: attach, detach, migrate, operate, lifecycle);

/// Refuses where it is told to.
fn as_configured() -> Result<(), Denial> {
    let Some(code) = config::get("deny") else {
        return Ok(());
    };
    let mut denial = Denial::new(code, "as configured");
    denial.retry_after_ms = Some(1_500);
    Err(denial)
}

/// A line of each level, all that was told among them.
fn testify(request: &Request) {
    log::debug(&format!("{request:?}"));
    log::write_with(log::Level::Info, "fields", &[("one", "1"), ("two", "2")]);
    log::warn("warned");
    log::error("failed");
}
